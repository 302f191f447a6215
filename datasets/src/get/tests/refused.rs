//! Answers that are not the file the catalogue foretells.
use super::*;

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
