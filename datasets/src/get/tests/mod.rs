//! Downloads against a loopback server that behaves well, badly or strangely.
mod continued;
mod refused;
mod server;

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use self::server::{Answer, Asked, Server, serve};
use super::*;
use crate::catalogue::Catalogue;

const TAG: &str = "\"v1\"";
const PUBLISHED_ROWS: u32 = 1000;
const DIM: u32 = 16;
const CROP_ROWS: u32 = 100;

/// Answers a request for the base file.
type Serve = fn(&Asked, &[u8]) -> Answer;

/// A published file of bytes: header, then rows that differ.
fn published(rows: u32, width: u32, element_bytes: u32) -> Vec<u8> {
    let mut bytes = [rows.to_le_bytes(), width.to_le_bytes()].concat();
    let body = (rows * width * element_bytes) as usize;
    bytes.extend((0..body).map(|i| (i * 31 + i / 251) as u8));
    bytes
}

/// What `bytes` becomes when its first rows are fetched.
fn cropped(bytes: &[u8], rows: u32, row_bytes: u32) -> Vec<u8> {
    let mut crop = bytes[..8 + (rows * row_bytes) as usize].to_vec();
    crop[..4].copy_from_slice(&rows.to_le_bytes());
    crop
}

struct Files {
    base: Vec<u8>,
    queries: Vec<u8>,
    truth: Vec<u8>,
}

impl Files {
    fn new() -> Files {
        Files {
            base: published(PUBLISHED_ROWS, DIM, 1),
            queries: published(7, DIM, 1),
            truth: published(7, 5, 8),
        }
    }

    fn of(&self, path: &str) -> Option<&[u8]> {
        match path {
            "/m/toy/base.all" => Some(&self.base),
            "/m/toy/q" => Some(&self.queries),
            "/m/toy/gt-1h" => Some(&self.truth),
            _ => None,
        }
    }

    /// Queries and truth well served, the base by `answer`.
    fn with_base(answer: impl Fn(&Asked, &[u8]) -> Answer + Send + Sync + 'static) -> Server {
        let files = Files::new();
        let base_requests = Mutex::new(0);
        Server::start(move |asked| match files.of(&asked.path) {
            Some(file) if asked.path.ends_with("base.all") => {
                let mut count = base_requests.lock().unwrap();
                let asked = Asked { number: *count, ..asked.clone() };
                *count += 1;
                answer(&asked, file)
            }
            Some(file) => serve(asked, file, TAG),
            None => Answer::new(404, b"no such file"),
        })
    }
}

fn catalogue() -> Catalogue {
    Catalogue::parse(
        r#"{"sets": [{"name": "toy", "about": "a toy", "metric": "l2", "dtype": "u8", "dim": 16,
            "base": {"url": "https://toy.invalid/deep/base.all", "rows": 1000},
            "queries": {"url": "https://toy.invalid/q", "rows": 7},
            "crops": [
                {"label": "1h", "rows": 100, "truth": {"url": "https://elsewhere.invalid/gt-1h", "neighbors": 5}, "checked": false},
                {"label": "1k", "rows": 1000, "checked": true}],
            "source": "made up"}]}"#,
    )
    .unwrap()
}

const QUICK: Backoff =
    Backoff { first: Duration::from_millis(1), longest: Duration::from_millis(2), tries: 4 };

/// What a call told its caller.
#[derive(Default)]
struct Told(Vec<String>);

impl Told {
    fn count(&self, what: &str) -> usize {
        self.0.iter().filter(|line| line.contains(what)).count()
    }
}

fn get_with(
    name: &str,
    server: &Server,
    out: &Path,
    stop: &AtomicBool,
    mut on: impl FnMut(&Step<'_>),
) -> (Result<Fetched, GetError>, Told) {
    let catalogue = catalogue();
    let mut told = Told::default();
    let mut progress = |step: Step<'_>| {
        on(&step);
        told.0.push(format!("{step:?}"));
    };
    let options = Options {
        url_base: Some(format!("{}/m/", server.url())),
        progress: &mut progress,
        stop,
        backoff: QUICK,
    };
    let result = get(catalogue.find(name).unwrap(), out, options);
    (result, told)
}

fn get_quietly(name: &str, server: &Server, out: &Path) -> (Result<Fetched, GetError>, Told) {
    get_with(name, server, out, &AtomicBool::new(false), |_| {})
}

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The crop must be there, byte for byte, and nothing unfinished beside it.
fn assert_crop_is_right(out: &Path) {
    let files = Files::new();
    assert!(fs_err::read(out.join("toy-1h.base.u8bin")).unwrap() == cropped(&files.base, CROP_ROWS, DIM));
    assert_eq!(names_in(out), ["toy-1h.base.u8bin", "toy-1h.truth.ibin", "toy.queries.u8bin"]);
}

#[test]
fn fetches_a_crop_with_queries_and_truth() {
    let server = Files::with_base(|asked, file| serve(asked, file, TAG));
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("new/folder");
    let (result, told) = get_quietly("toy-1h", &server, &out);
    let fetched = result.unwrap();
    assert_eq!(fetched.base, out.join("toy-1h.base.u8bin"));
    assert_eq!(fetched.received_bytes, (8 + 100 * 16) + (8 + 7 * 16) + (8 + 7 * 5 * 8));
    assert_crop_is_right(&out);
    let files = Files::new();
    assert!(fs_err::read(&fetched.queries).unwrap() == files.queries);
    assert!(fs_err::read(fetched.truth.unwrap()).unwrap() == files.truth);
    assert_eq!((told.count("Unchecked"), told.count("Finished"), told.count("NoTruth")), (1, 3, 0));
    let base = &server.log()[2];
    assert_eq!((base.range(), base.header("if-range")), (Some((0, 1607)), None));
    assert_eq!(base.header("accept-encoding"), Some("identity"));
}

#[test]
fn fetches_a_whole_file_without_asking_for_a_range() {
    let server = Files::with_base(|asked, file| serve(asked, file, TAG));
    let folder = tempfile::tempdir().unwrap();
    let (result, told) = get_quietly("toy-1k", &server, folder.path());
    assert!(fs_err::read(result.unwrap().base).unwrap() == Files::new().base);
    assert!(server.log().iter().all(|asked| asked.header("range").is_none()));
    assert_eq!((told.count("Unchecked"), told.count("NoTruth")), (0, 1));
}

#[test]
fn what_is_there_already_is_not_fetched_again() {
    let server = Files::with_base(|asked, file| serve(asked, file, TAG));
    let folder = tempfile::tempdir().unwrap();
    get_quietly("toy-1h", &server, folder.path()).0.unwrap();
    let requests = server.log().len();
    let (result, told) = get_quietly("toy-1h", &server, folder.path());
    assert_eq!(result.unwrap().received_bytes, 0);
    assert_eq!((server.log().len(), told.count("Present")), (requests, 3));

    let base = folder.path().join("toy-1h.base.u8bin");
    fs_err::write(&base, b"something else").unwrap();
    assert!(matches!(get_quietly("toy-1h", &server, folder.path()).0, Err(GetError::Existing { .. })));
    assert_eq!(fs_err::read(&base).unwrap(), b"something else");
    fs_err::write(&base, vec![1; 1608]).unwrap();
    assert!(matches!(get_quietly("toy-1h", &server, folder.path()).0, Err(GetError::Existing { .. })));
}

#[test]
fn statuses_that_pass_are_tried_again_and_others_are_not() {
    let server = Files::with_base(|asked, file| match asked.number {
        0 => Answer::new(503, b"busy").with("Retry-After", "3600"),
        1 => Answer::new(429, b""),
        _ => serve(asked, file, TAG),
    });
    let folder = tempfile::tempdir().unwrap();
    let (result, told) = get_quietly("toy-1h", &server, folder.path());
    result.unwrap();
    assert_crop_is_right(folder.path());
    assert_eq!(told.count("Retry"), 2);

    let server = Server::start(|_| Answer::new(404, b"gone"));
    let folder = tempfile::tempdir().unwrap();
    let (result, _) = get_quietly("toy-1h", &server, folder.path());
    assert!(matches!(result, Err(GetError::Status { status: 404, .. })), "{result:?}");
    assert_eq!(server.log().len(), 1);
    assert!(names_in(folder.path()).is_empty());
}

#[test]
fn a_server_that_is_not_there_is_given_up_after_a_few_tries() {
    let server = Files::with_base(|asked, file| serve(asked, file, TAG));
    let url = server.url();
    drop(server);
    let folder = tempfile::tempdir().unwrap();
    let catalogue = catalogue();
    let options =
        Options { url_base: Some(url), progress: &mut |_| {}, stop: &AtomicBool::new(false), backoff: QUICK };
    let result = get(catalogue.find("toy-1h").unwrap(), folder.path(), options);
    assert!(matches!(result, Err(GetError::GaveUp { tries: 4, .. })), "{result:?}");
}

#[test]
fn an_encrypted_address_is_spoken_to_in_tls() {
    // The server understands no TLS greeting and hangs up: an error, and no panic for want of a TLS library.
    let server = Files::with_base(|asked, file| serve(asked, file, TAG));
    let folder = tempfile::tempdir().unwrap();
    let catalogue = catalogue();
    let options = Options {
        url_base: Some(server.url().replace("http:", "https:")),
        progress: &mut |_| {},
        stop: &AtomicBool::new(false),
        backoff: QUICK,
    };
    let error = get(catalogue.find("toy-1h").unwrap(), folder.path(), options).unwrap_err();
    assert!(matches!(error, GetError::Protocol { .. } | GetError::GaveUp { .. }));
    assert!(!error.to_string().contains("thread has ended"), "{error}");
    assert!(names_in(folder.path()).is_empty());
}

#[test]
fn redirects_are_followed_with_their_range_and_not_for_ever() {
    let files = Files::new();
    let server = Server::start(move |asked| match asked.path.strip_prefix("/moved") {
        Some(path) => {
            let answer = serve(asked, files.of(path).unwrap(), TAG);
            if path.ends_with("base.all") && asked.header("if-range").is_none() {
                answer.broken_after(500)
            } else {
                answer
            }
        }
        None => Answer::new(302, b"").with("Location", &format!("/moved{}", asked.path)),
    });
    let folder = tempfile::tempdir().unwrap();
    let (result, told) = get_quietly("toy-1h", &server, folder.path());
    result.unwrap();
    assert_crop_is_right(folder.path());
    assert_eq!((told.count("Retry"), told.count("Restart")), (1, 0));
    assert_eq!(server.log().last().unwrap().range(), Some((500, 1607)));

    let server = Server::start(|_| Answer::new(302, b"").with("Location", "/round"));
    let (result, _) = get_quietly("toy-1k", &server, &folder.path().join("other"));
    assert!(matches!(result, Err(GetError::Protocol { .. })), "{result:?}");
    assert!(server.log().len() < 20);
}
