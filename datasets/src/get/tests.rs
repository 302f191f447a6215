//! Downloads against a loopback server that behaves well, badly or strangely.
use std::sync::Mutex;
use std::sync::mpsc::channel;

use super::server::{Answer, Asked, Server, serve};
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
fn a_broken_connection_is_continued_where_it_broke() {
    let server = Files::with_base(|asked, file| {
        let answer = serve(asked, file, TAG);
        if asked.number < 2 { answer.broken_after(500) } else { answer }
    });
    let folder = tempfile::tempdir().unwrap();
    let (result, told) = get_quietly("toy-1h", &server, folder.path());
    result.unwrap();
    assert_crop_is_right(folder.path());
    assert_eq!((told.count("Retry"), told.count("Restart")), (2, 0));
    let log = server.log();
    assert_eq!((log[3].range(), log[3].header("if-range")), (Some((500, 1607)), Some(TAG)));
    assert_eq!((log[4].range(), log[4].header("if-range")), (Some((1000, 1607)), Some(TAG)));
}

#[test]
fn a_later_call_continues_what_an_earlier_one_left() {
    for left in [0, 3, 8, 9, 700, 1607] {
        let server = Files::with_base(move |asked, file| {
            let answer = serve(asked, file, TAG);
            match asked.number {
                0 => answer.broken_after(left),
                1..4 => Answer::new(503, b""),
                _ => answer,
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let (result, _) = get_quietly("toy-1h", &server, folder.path());
        assert!(matches!(result, Err(GetError::GaveUp { tries: 4, .. })), "{result:?}");
        assert!(!folder.path().join("toy-1h.base.u8bin").exists());
        let kept = folder.path().join("toy-1h.base.u8bin.part");
        assert_eq!(kept.exists(), left > 8, "{left}");
        let (result, _) = get_quietly("toy-1h", &server, folder.path());
        assert_eq!(result.unwrap().received_bytes, 1608 - if left > 8 { left as u64 } else { 0 });
        assert_crop_is_right(folder.path());
    }
}

#[test]
fn the_stop_flag_ends_a_silent_download_and_leaves_a_part() {
    let (release, wait) = channel::<()>();
    let wait = Mutex::new(Some(wait));
    let server = Files::with_base(move |asked, file| {
        let answer = serve(asked, file, TAG);
        match wait.lock().unwrap().take() {
            Some(wait) => answer.silent_after(600, wait),
            None => answer,
        }
    });
    let release = release; // dropped before the server, which waits for it
    let folder = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    let (result, _) = get_with("toy-1h", &server, folder.path(), &stop, |step| {
        if matches!(step, Step::Bytes { have: 600, total: 1608 }) {
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    });
    match result {
        Err(GetError::Stopped { path, have: 600, total: 1608 }) => assert!(path.exists()),
        other => panic!("{other:?}"),
    }
    let (result, told) = get_quietly("toy-1h", &server, folder.path());
    assert_eq!(result.unwrap().received_bytes, 1008);
    assert_eq!(told.count("have: 600, total: 1608"), 1);
    assert_crop_is_right(folder.path());
    drop(release);
}

#[test]
fn the_stop_flag_ends_the_wait_between_tries() {
    let server = Files::with_base(|_, _| Answer::new(503, b""));
    let folder = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    let (result, told) = get_with("toy-1h", &server, folder.path(), &stop, |step| {
        if matches!(step, Step::Retry { .. }) {
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    });
    assert!(matches!(result, Err(GetError::Stopped { have: 0, .. })));
    assert_eq!(told.count("Retry"), 1);
    assert_eq!(names_in(folder.path()), ["toy-1h.truth.ibin", "toy.queries.u8bin"]);
}

#[test]
fn a_changed_file_is_begun_anew() {
    // The first 500 bytes come from version 1, all later answers from version 2 with other rows.
    let server = Files::with_base(|asked, file| {
        if asked.number == 0 {
            let mut old = file.to_vec();
            old[8..].fill(0xEE);
            return serve(asked, &old, TAG).broken_after(500);
        }
        serve(asked, file, "\"v2\"")
    });
    let folder = tempfile::tempdir().unwrap();
    let (result, told) = get_quietly("toy-1h", &server, folder.path());
    result.unwrap();
    assert_crop_is_right(folder.path());
    assert_eq!(told.count("the file changed"), 1);
}

#[test]
fn a_server_that_ignores_if_range_is_caught_by_its_tag() {
    let server = Files::with_base(|asked, file| {
        if asked.number == 0 {
            return serve(asked, &file.iter().map(|_| 0xEE).collect::<Vec<u8>>(), TAG).broken_after(0);
        }
        let blind = Asked {
            headers: asked.headers.iter().filter(|(n, _)| n != "if-range").cloned().collect(),
            ..asked.clone()
        };
        match asked.number {
            1 => serve(&blind, file, TAG).broken_after(500),
            _ => serve(&blind, file, "\"v2\""),
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let (result, told) = get_quietly("toy-1h", &server, folder.path());
    result.unwrap();
    assert_crop_is_right(folder.path());
    assert_eq!(told.count("the file changed"), 1);
}

#[test]
fn a_file_that_never_stays_the_same_is_given_up() {
    let server = Files::with_base(|asked, file| {
        let tag = format!("\"v{}\"", asked.number);
        let answer = serve(asked, file, &tag);
        if answer.status == 206 { answer.broken_after(500) } else { answer }
    });
    let folder = tempfile::tempdir().unwrap();
    let backoff = Backoff { tries: 100, ..QUICK };
    let catalogue = catalogue();
    let options = Options {
        url_base: Some(format!("{}/m", server.url())),
        progress: &mut |_| {},
        stop: &AtomicBool::new(false),
        backoff,
    };
    let result = get(catalogue.find("toy-1h").unwrap(), folder.path(), options);
    assert!(matches!(result, Err(GetError::Restarts { restarts: 3, .. })), "{result:?}");
}

#[test]
fn a_server_without_ranges_serves_crops_and_fresh_starts() {
    let server = Files::with_base(|asked, file| {
        let answer = Answer::new(200, file).with("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT");
        if asked.number == 0 { answer.broken_after(500) } else { answer }
    });
    let folder = tempfile::tempdir().unwrap();
    let (result, told) = get_quietly("toy-1h", &server, folder.path());
    result.unwrap();
    assert_crop_is_right(folder.path());
    assert_eq!(told.count("whole files only"), 1);
    assert_eq!(server.log()[3].header("if-range"), Some("Mon, 01 Jan 2024 00:00:00 GMT"));
}

#[test]
fn without_a_version_nothing_is_continued() {
    let server = Files::with_base(|asked, file| {
        let answer = serve(asked, file, TAG).without("ETag");
        if asked.number == 0 { answer.broken_after(500) } else { answer }
    });
    let folder = tempfile::tempdir().unwrap();
    let (result, told) = get_quietly("toy-1h", &server, folder.path());
    result.unwrap();
    assert_crop_is_right(folder.path());
    assert_eq!(told.count("named no version"), 1);
    assert_eq!(server.log()[3].range(), Some((0, 1607)));
}

#[test]
fn a_wrong_size_is_refused_before_the_body() {
    let longer = |file: &[u8]| [file, b"x"].concat();
    let answers: [Serve; 3] = [
        |_, file| Answer::new(200, &[file, b"x"].concat()),
        |asked, file| serve(asked, &[file, b"x"].concat(), TAG),
        |_, file| Answer::new(200, &file[1..]),
    ];
    let expected = Files::new().base.len() as u64;
    for (i, answer) in answers.into_iter().enumerate() {
        let server = Files::with_base(answer);
        let folder = tempfile::tempdir().unwrap();
        for name in ["toy-1h", "toy-1k"] {
            let (result, told) = get_quietly(name, &server, folder.path());
            let found = if i < 2 { longer(&Files::new().base).len() as u64 } else { expected - 1 };
            match result {
                Err(GetError::Size { expected: e, found: f, .. }) => assert_eq!((e, f), (expected, found)),
                other => panic!("{other:?}"),
            }
            assert_eq!(told.count("total: 1608"), usize::from(name == "toy-1h"), "only the begin");
            assert!(names_in(folder.path()).iter().all(|n| !n.contains("base")));
        }
    }
}

#[test]
fn a_whole_file_of_untold_size_must_end_where_it_should() {
    for (more, less, good) in [(0, 0, true), (1, 0, false), (0, 1, false)] {
        let server = Files::with_base(move |_, file| {
            let mut body = file.to_vec();
            body.extend(vec![7; more]);
            body.truncate(body.len() - less);
            Answer::new(200, &body).without("Content-Length").with("ETag", TAG)
        });
        let folder = tempfile::tempdir().unwrap();
        let (result, _) = get_quietly("toy-1k", &server, folder.path());
        assert_eq!(result.is_ok(), good, "{more} {less} {result:?}");
        if more > 0 {
            assert!(matches!(result, Err(GetError::Size { .. })), "{result:?}");
            assert_eq!(names_in(folder.path()), ["toy.queries.u8bin"]);
        }
    }
}

#[test]
fn a_wrong_header_is_refused_before_a_row_is_kept() {
    for at in [0, 4] {
        let server = Files::with_base(move |asked, file| {
            let mut file = file.to_vec();
            file[at] ^= 1;
            serve(asked, &file, TAG)
        });
        let folder = tempfile::tempdir().unwrap();
        let (result, told) = get_quietly("toy-1h", &server, folder.path());
        match result {
            Err(GetError::Header { expected, found, .. }) => {
                assert_eq!((expected.rows, expected.width), (PUBLISHED_ROWS, DIM));
                assert_ne!(found, expected);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(told.count("Retry"), 0);
        assert!(names_in(folder.path()).iter().all(|n| !n.contains("base")));
    }
}

#[test]
fn answers_that_make_no_sense_are_refused() {
    let answers: [(&str, Serve); 5] = [
        ("Content-Range", |asked, file| serve(asked, file, TAG).without("Content-Range")),
        ("got 1-1607", |asked, file| serve(asked, file, TAG).with("Content-Range", "bytes 1-1607/16008")),
        ("got 0-1608", |asked, file| serve(asked, file, TAG).with("Content-Range", "bytes 0-1608/16008")),
        ("contradict", |asked, file| serve(asked, file, TAG).with("Content-Range", "bytes 0-1606/16008")),
        ("gzip", |asked, file| serve(asked, file, TAG).with("Content-Encoding", "gzip")),
    ];
    for (what, answer) in answers {
        let server = Files::with_base(answer);
        let folder = tempfile::tempdir().unwrap();
        match get_quietly("toy-1h", &server, folder.path()).0 {
            Err(GetError::Protocol { cause, .. }) => assert!(cause.contains(what), "{cause}"),
            other => panic!("{what}: {other:?}"),
        }
        assert!(names_in(folder.path()).iter().all(|n| !n.contains("base")));
    }
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

#[test]
fn what_the_disk_cannot_hold_is_refused_before_the_first_request() {
    let server = Files::with_base(|asked, file| serve(asked, file, TAG));
    let text = r#"{"sets": [{"name": "vast", "about": "", "metric": "l2", "dtype": "f32", "dim": 16384,
        "base": {"url": "http://h/b", "rows": 4294967295}, "queries": {"url": "http://h/q", "rows": 1},
        "crops": [{"label": "all", "rows": 4294967295, "checked": false}], "source": ""}]}"#;
    let catalogue = Catalogue::parse(text).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        url_base: Some(server.url()),
        progress: &mut |_| {},
        stop: &AtomicBool::new(false),
        backoff: QUICK,
    };
    let result = get(catalogue.find("vast-all").unwrap(), folder.path(), options);
    assert!(
        matches!(result, Err(GetError::NoSpace { needed_bytes, .. }) if needed_bytes > 281_000_000_000_000)
    );
    assert!(server.log().is_empty());
}

#[test]
fn a_mirror_must_be_an_http_address() {
    for bad in ["", "h/x", "ftp://h", "http://", "https:///x", "http://h/a b", "http://h/?q=", "file:///etc"]
    {
        assert!(matches!(checked_url_base(bad), Err(GetError::UrlBase { .. })), "{bad}");
    }
    assert_eq!(checked_url_base("http://h:80/a//").unwrap(), "http://h:80/a");
}
