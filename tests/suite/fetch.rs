//! Downloads from a local server: complete, interrupted and resumed, wrong, and missing.

use crate::common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use md5_of::md5;
use transfergrid::data::{fetch, Checksum, Download};

mod md5_of {
    use std::process::{Command, Stdio};

    /// Uses the system's md5sum, so that the program's own implementation is tested too.
    pub fn md5(bytes: &[u8]) -> String {
        use std::io::Write;
        let mut child = Command::new("md5sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(bytes).unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap().split(' ').next().unwrap().to_string()
    }
}

#[derive(Clone, Copy, PartialEq)]
enum How {
    Whole,
    /// Sends half of the file and closes the connection. Sends the rest if asked for a range.
    HalfThenRange,
    /// The same, but does not support ranges.
    HalfNoRange,
    Missing,
    Garbage,
}

/// Serves `content` for each request and records the headers of the requests.
fn serve(content: Vec<u8>, how: How) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}/", listener.local_addr().unwrap());
    let heads = Arc::new(Mutex::new(vec![]));
    let noted = heads.clone();
    std::thread::spawn(move || {
        for (i, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let mut head = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while reader.read_line(&mut head).unwrap() > 2 {}
            noted.lock().unwrap().push(head.clone());
            let n = content.len();
            let from = head
                .lines()
                .find_map(|l| l.to_lowercase().strip_prefix("range: bytes=").map(|r| r.trim_end_matches('-').parse::<usize>().unwrap()));
            let (status, length, body) = match (how, from) {
                (How::Missing, _) => ("404 Not Found", 0, &content[..0]),
                (How::Garbage, _) => ("200 OK", 7, &b"<html/>"[..]),
                (How::HalfThenRange, Some(from)) => ("206 Partial Content", n - from, &content[from..]),
                (How::HalfThenRange | How::HalfNoRange, _) if i == 0 => ("200 OK", n, &content[..n / 2]),
                _ => ("200 OK", n, &content[..]),
            };
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n").unwrap();
            let _ = stream.write_all(body);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = reader.read_to_end(&mut vec![]);
        }
    });
    (base, heads)
}

fn content() -> Vec<u8> {
    (0..300_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn source(bases: Vec<String>) -> Download {
    Download { path: "set/file.gz".into(), bases, checksum: Checksum::Md5(md5(&content()).leak()) }
}

fn get(source: &Download, folder: &Path) -> Result<bool, String> {
    let mut last = 0;
    fetch(source, folder, &mut |done, _| {
        assert!(done >= last);
        last = done;
    })
    .map_err(|error| error.to_string())
}

#[test]
fn whole_and_then_not_again() {
    let folder = tempfile::tempdir().unwrap();
    let (base, heads) = serve(content(), How::Whole);
    let source = source(vec![base]);
    assert_eq!(get(&source, folder.path()), Ok(false));
    assert_eq!(std::fs::read(folder.path().join("set/file.gz")).unwrap(), content());
    assert_eq!(get(&source, folder.path()), Ok(true));
    assert_eq!(heads.lock().unwrap().len(), 1);
    assert_eq!(std::fs::read_dir(folder.path().join("set")).unwrap().count(), 1, "no part is left");
}

#[test]
fn broken_off_and_resumed() {
    for how in [How::HalfThenRange, How::HalfNoRange] {
        let folder = tempfile::tempdir().unwrap();
        let (base, heads) = serve(content(), how);
        let source = source(vec![base]);
        let first = get(&source, folder.path()).unwrap_err();
        assert!(first.contains("broke off") && first.contains("by hand"), "{first}");
        assert!(!folder.path().join("set/file.gz").exists());
        assert_eq!(get(&source, folder.path()), Ok(false));
        assert_eq!(std::fs::read(folder.path().join("set/file.gz")).unwrap(), content());
        assert!(heads.lock().unwrap()[1].to_lowercase().contains("range: bytes=150000-"));
    }
}

#[test]
fn a_mirror_helps_and_wrong_content_never_lands() {
    let folder = tempfile::tempdir().unwrap();
    let (missing, _) = serve(content(), How::Missing);
    let (garbage, _) = serve(content(), How::Garbage);
    let error = get(&source(vec![missing.clone(), garbage.clone()]), folder.path()).unwrap_err();
    assert!(error.contains("HTTP status 404") && error.contains("md5") && error.contains("put it at"), "{error}");
    assert!(!folder.path().join("set/file.gz").exists());
    let (whole, _) = serve(content(), How::Whole);
    assert_eq!(get(&source(vec![missing, garbage, whole]), folder.path()), Ok(false));
}

#[test]
fn no_server_says_what_to_do_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let done = common::run(
        common::program()
            .current_dir(folder.path())
            .args(["data", "fetch", "mnist", "--mirror", "http://127.0.0.1:9/"])
            .env("https_proxy", "http://127.0.0.1:9")
            .env("HTTPS_PROXY", "http://127.0.0.1:9"),
    );
    assert_eq!(done.code, Some(2));
    assert!(
        done.stderr.contains("127.0.0.1:9") && done.stderr.contains("by hand and put it at data/mnist/train-images-idx3-ubyte.gz"),
        "{}",
        done.stderr
    );
}
