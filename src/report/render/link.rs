//! Links between pages in local folders.

use std::path::{Path, PathBuf};

use percent_encoding::{utf8_percent_encode, NON_ALPHANUMERIC};

/// An absolute path without symbolic links and `..`. The last components need not exist.
pub fn real(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    match (std::fs::canonicalize(&absolute), absolute.parent(), absolute.file_name()) {
        (Ok(real), _, _) => real,
        (Err(_), Some(parent), Some(name)) => real(parent).join(name),
        (Err(_), ..) => absolute,
    }
}

/// The relative path from a folder to a file, encoded as a link.
pub fn link(from: &Path, to: &Path) -> String {
    let (from, to) = (real(from), real(to));
    let common = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..".to_string(), from.components().count() - common);
    let down =
        to.components().skip(common).map(|part| utf8_percent_encode(&part.as_os_str().to_string_lossy(), NON_ALPHANUMERIC).to_string());
    up.chain(down).collect::<Vec<_>>().join("/").replace("%2D", "-").replace("%2E", ".").replace("%5F", "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_from_one_folder_to_another() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        std::fs::create_dir_all(at("logs/my study")).unwrap();
        assert_eq!(link(&at("logs/comparison"), &at("logs/a-b_1.2/report/index.html")), "../a-b_1.2/report/index.html");
        assert_eq!(link(&at("logs/../other"), &at("logs/my study/#1.html")), "../logs/my%20study/%231.html");
    }
}
