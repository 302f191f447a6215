//! Downloads that break, stop, or find another file than the one they began.
use std::sync::mpsc::channel;

use super::*;

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
    let begun = std::time::Instant::now();
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
    assert!(
        begun.elapsed() < Duration::from_secs(30),
        "the flag was seen only when the server's silence ran out"
    );
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
fn a_page_that_is_no_file_does_not_cost_the_part() {
    let server = Files::with_base(|asked, file| match asked.number {
        0 => serve(asked, file, TAG).broken_after(500),
        1 => Answer::new(200, b"<html>please log in</html>").without("Content-Length"),
        _ => serve(asked, file, TAG),
    });
    let folder = tempfile::tempdir().unwrap();
    let (result, _) = get_quietly("toy-1h", &server, folder.path());
    assert!(matches!(result, Err(GetError::Header { .. })), "{result:?}");
    let (result, _) = get_quietly("toy-1h", &server, folder.path());
    assert_eq!(result.unwrap().received_bytes, 1108);
    assert_crop_is_right(folder.path());
}
