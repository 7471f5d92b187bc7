//! Downloads data sets from the official servers and their mirrors. An interrupted download is
//! resumed. A file is checked before it gets its final name.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use super::verify::{Checksum, CIFAR100_ARCHIVE, CIFAR10_ARCHIVE, EMNIST_ARCHIVE, FASHION_MNIST, KMNIST, NEWSGROUPS_ARCHIVE};
use super::DataError;
use crate::config::network::DataName;

/// A file to download.
#[derive(Debug, Clone)]
pub struct Download {
    /// Path of the file inside the data folder.
    pub path: PathBuf,
    /// Base URLs, tried in this order. The file's name is appended.
    pub bases: Vec<String>,
    /// Checksum of the downloaded file.
    pub checksum: Checksum,
}

impl Download {
    /// The files of a data set. `mirror` is tried before the official servers.
    pub fn of(name: DataName, mirror: Option<&str>) -> Vec<Download> {
        let (folder, bases, files): (&str, &[&str], &[(&str, Checksum)]) = match name {
            DataName::Digits | DataName::SyntheticGrey | DataName::SyntheticColour => ("", &[], &[]),
            DataName::Mnist => (
                "mnist",
                &["https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"],
                &[
                    ("train-images-idx3-ubyte.gz", Checksum::Md5("f68b3c2dcbeaaa9fbdd348bbdeb94873")),
                    ("train-labels-idx1-ubyte.gz", Checksum::Md5("d53e105ee54ea40749a09fcbcd1e9432")),
                    ("t10k-images-idx3-ubyte.gz", Checksum::Md5("9fb629c4189551a2d022fa330f9573f3")),
                    ("t10k-labels-idx1-ubyte.gz", Checksum::Md5("ec29112dd5afa0611ce80d1b7f02629c")),
                ],
            ),
            DataName::FashionMnist => (
                "fashion-mnist",
                &[
                    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
                    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
                ],
                &FASHION_MNIST.map(|(file, md5)| (file, Checksum::Md5(md5))),
            ),
            DataName::Kmnist => {
                ("kmnist", &["http://codh.rois.ac.jp/kmnist/dataset/kmnist/"], &KMNIST.map(|(file, md5)| (file, Checksum::Md5(md5))))
            }
            DataName::EmnistLetters | DataName::EmnistBalanced | DataName::EmnistDigits => (
                "emnist",
                &["https://biometrics.nist.gov/cs_links/EMNIST/", "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST/"],
                &[("gzip.zip", EMNIST_ARCHIVE)],
            ),
            DataName::Cifar10 => (
                "",
                &["https://www.cs.toronto.edu/~kriz/", "https://cave.cs.toronto.edu/kriz/"],
                &[("cifar-10-binary.tar.gz", CIFAR10_ARCHIVE)],
            ),
            DataName::Cifar100 | DataName::Cifar100Coarse => (
                "",
                &["https://www.cs.toronto.edu/~kriz/", "https://cave.cs.toronto.edu/kriz/"],
                &[("cifar-100-binary.tar.gz", CIFAR100_ARCHIVE)],
            ),
            DataName::Newsgroups => (
                "",
                &["http://qwone.com/~jason/20Newsgroups/", "https://people.csail.mit.edu/jrennie/20Newsgroups/"],
                &[("20news-bydate.tar.gz", NEWSGROUPS_ARCHIVE)],
            ),
        };
        let bases: Vec<String> =
            mirror.into_iter().chain(bases.iter().copied()).map(|base| format!("{}/", base.trim_end_matches('/'))).collect();
        files
            .iter()
            .map(|(file, checksum)| Download { path: Path::new(folder).join(file), bases: bases.clone(), checksum: *checksum })
            .collect()
    }

    fn urls(&self) -> impl Iterator<Item = String> + '_ {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.bases.iter().map(move |base| format!("{base}{name}"))
    }
}

/// Downloads one file into `folder`. `progress` is called with the bytes so far and the total, if
/// known. Returns true if the file was already there.
pub fn fetch(source: &Download, folder: &Path, progress: &mut dyn FnMut(u64, Option<u64>)) -> Result<bool, DataError> {
    let target = folder.join(&source.path);
    let check = |path: &Path| File::open(path).and_then(|file| source.checksum.compare(file));
    if check(&target).is_ok_and(|found| found.is_ok()) {
        return Ok(true);
    }
    let part = target.with_extension("part");
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent).map_err(|error| local(parent, error))?;
    }
    let mut failures = vec![];
    for url in source.urls() {
        // The second attempt starts from the beginning, because the first one may have resumed a
        // damaged part.
        for attempt in 0..2 {
            match download(&url, &part, progress) {
                Ok(()) => {}
                Err(Failed::Remote(what)) => {
                    failures.push(format!("{url}: {what}"));
                    break;
                }
                Err(Failed::Local(error)) => return Err(local(&part, error)),
            }
            let Err(what) = check(&part).map_err(|error| local(&part, error))? else {
                fs::rename(&part, &target).map_err(|error| local(&target, error))?;
                return Ok(false);
            };
            fs::remove_file(&part).map_err(|error| local(&part, error))?;
            if attempt == 1 {
                failures.push(format!("{url}: {what}"));
            }
        }
    }
    let by_hand = source.urls().last().unwrap_or_default();
    Err(DataError::new(
        format!("{} could not be downloaded:\n    {}", source.path.display(), failures.join("\n    ")),
        format!("download {by_hand} by hand and put it at {} (--mirror URL names another server)", target.display()),
    ))
}

fn local(path: &Path, error: std::io::Error) -> DataError {
    let hint = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => "free some space, or choose another folder with --data",
        std::io::ErrorKind::PermissionDenied => "check that you may write there, or choose another folder with --data",
        _ => "choose another folder with --data",
    };
    DataError::new(format!("{}: {error}", path.display()), hint)
}

enum Failed {
    /// Another server may succeed.
    Remote(String),
    /// No other server can succeed.
    Local(std::io::Error),
}

/// Downloads to `part`. Resumes an earlier attempt if the server supports it.
fn download(url: &str, part: &Path, progress: &mut dyn FnMut(u64, Option<u64>)) -> Result<(), Failed> {
    let have = fs::metadata(part).map_or(0, |meta| meta.len());
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_connect(Some(std::time::Duration::from_secs(20)))
        .timeout_recv_response(Some(std::time::Duration::from_secs(60)))
        .http_status_as_error(false)
        .build()
        .into();
    let mut request = agent.get(url);
    if have > 0 {
        request = request.header("Range", format!("bytes={have}-"));
    }
    let mut response = request.call().map_err(|error| Failed::Remote(error.to_string()))?;
    let status = response.status().as_u16();
    let resumed = match status {
        200 => false,
        206 => true,
        416 => return Ok(()), // no bytes are left to send; the checksum is verified next
        other => return Err(Failed::Remote(format!("HTTP status {other}"))),
    };
    let length = response.headers().get("content-length").and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok());
    let mut done = if resumed { have } else { 0 };
    let total = length.map(|n| n + done);
    let mut file = OpenOptions::new().create(true).write(true).append(resumed).truncate(!resumed).open(part).map_err(Failed::Local)?;
    let mut body = response.body_mut().with_config().limit(u64::MAX).reader();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = body.read(&mut buffer).map_err(|error| Failed::Remote(format!("broke off after {done} bytes: {error}")))?;
        if n == 0 {
            break;
        }
        file.write_all(&buffer[..n]).map_err(Failed::Local)?;
        done += n as u64;
        progress(done, total);
    }
    file.sync_all().map_err(Failed::Local)?;
    match total {
        Some(total) if done < total => {
            Err(Failed::Remote(format!("broke off after {done} of {total} bytes; run it again to go on from there")))
        }
        _ => Ok(()),
    }
}
