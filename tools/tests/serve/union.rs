//! Several indexes of a server searched as one, as in process.
use spandrel_client::Client;
use spandrel_proto::v1;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::{QUERIES, Server, bytes, made, request, run, spandrel};

/// A server of `index`, of its first half, and of indexes that do not go with them.
fn server() -> Server {
    let (base, ip, documents) =
        (made().text("base.u8bin"), made().text("by-ip"), made().text("united-documents"));
    if !made().path("by-ip").exists() {
        let words = [3_u32, 1, 0, 2500, 5000].map(u32::to_le_bytes).concat();
        let offsets = made().text("united-documents.ibin");
        std::fs::write(&offsets, words).unwrap();
        let fixed = ["build", "--quiet", "--base", &base, "--metric", "ip", "--no-calibrate", "--out"];
        spandrel(&[&fixed[..], &[&ip]].concat());
        let (rest, other) = (made().text("rest.u8bin"), made().text("other-half"));
        spandrel(&["data", "crop", &base, &rest, "--rows", "2500..5000"]);
        spandrel(&["build", "--quiet", "--base", &rest, "--metric", "l2", "--no-calibrate", "--out", &other]);
        spandrel(&[&fixed[..], &[&documents, "--documents", &offsets]].concat());
    }
    let half = format!("half={}", made().text("half"));
    let others = [
        format!("ip={ip}"),
        format!("documents={documents}"),
        format!("other-half={}", made().text("other-half")),
    ];
    let mut more = vec!["--queue-delay-ms", "60000", "--index", &half];
    others.iter().for_each(|other| more.extend(["--index", other]));
    Server::of(&format!("index={}", made().text("index")), &more)
}

fn united(names: &[&str]) -> v1::SearchRequest {
    let indexes = names.iter().map(|&name| name.to_owned()).collect();
    v1::SearchRequest { index: String::new(), indexes, ..request(0) }
}

#[test]
fn several_indexes_answer_as_one_and_refuse_what_does_not_fit() {
    let server = server();
    they_answer_as_in_process(&server);
    a_radius_and_explanations_are_as_in_process(&server);
    run(async {
        let client = server.client();
        what_each_did_is_told(&client).await;
        filters_and_numbers_are_read_once(&client).await;
        vectors_come_from_the_index_of_the_neighbour(&client).await;
        what_does_not_fit_is_refused(&client).await;
        a_radius_is_asked_of_several_in_one_call(&client).await;
    });
    they_are_not_measured(&server);
}

fn they_answer_as_in_process(server: &Server) {
    let queries = made().text("queries.u8bin");
    let folders = ["index", "half"].map(|name| made().text(name));
    for flags in [&["--duplicates", "keep"][..], &["--duplicates", "best", "--k", "3"], &["--max-lists", "5"]]
    {
        let fixed = ["query", "--quiet", "--queries", &queries];
        let both = ["--index", &folders[0], "--index", &folders[1]];
        let mut expected = spandrel(&[&fixed[..], &both, flags].concat());
        for (folder, name) in folders.iter().zip(["index", "half"]) {
            expected = expected.replace(&format!("\t{folder}\n"), &format!("\t{name}\n"));
        }
        assert!(expected.contains("\tindex\n"), "{expected}");
        for rpc in ["unary", "batch", "stream"] {
            let names = ["--server", &server.address, "--index-name", "index", "--index-name", "half"];
            let found = spandrel(&[&fixed[..], &names, &["--rpc", rpc], flags].concat());
            assert!(found == expected, "{rpc} {flags:?}");
        }
    }
}

/// What is within a radius, and how each index was searched, is told as in process.
fn a_radius_and_explanations_are_as_in_process(server: &Server) {
    let queries = made().text("queries.u8bin");
    let folders = ["index", "half"].map(|name| made().text(name));
    let names = ["--server", &server.address, "--index-name", "index", "--index-name", "half"];
    let fixed = ["query", "--quiet", "--queries", &queries];
    let both = ["--index", &folders[0], "--index", &folders[1]];
    let named = |mut text: String| {
        for (folder, name) in folders.iter().zip(["index", "half"]) {
            for (from, to) in [
                (format!("\t{folder}\n"), format!("\t{name}\n")),
                (format!("\"{folder}\""), format!("\"{name}\"")),
            ] {
                text = text.replace(&from, &to);
            }
        }
        text
    };
    let near = spandrel(&[&fixed[..], &["--index", &folders[0], "--k", "20"]].concat());
    let radius = near.lines().last().unwrap().split('\t').nth(3).unwrap().to_owned();
    for duplicates in ["best", "keep"] {
        let flags = ["--radius", &radius, "--duplicates", duplicates];
        let expected = named(spandrel(&[&fixed[..], &both, &flags].concat()));
        assert!(expected.lines().count() > 20, "{expected}");
        assert!(spandrel(&[&fixed[..], &names, &flags].concat()) == expected, "{duplicates}");
        let best = [&flags[..], &["--max-results", "7"]].concat();
        let expected = named(spandrel(&[&fixed[..], &both, &best].concat()));
        assert!(spandrel(&[&fixed[..], &names, &best].concat()) == expected, "the best 7, {duplicates}");
    }
    let explained = |flags: &[&str]| -> Vec<serde_json::Value> {
        let text = named(spandrel(&[&fixed[..], flags, &["--explain", "--format", "json"]].concat()));
        let line = |line: &str| {
            let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
            for told in line["explanations"].as_array_mut().unwrap() {
                assert!(told["times_us"].take()["scan"].as_f64().unwrap() > 0.0);
            }
            line
        };
        text.lines().map(line).collect()
    };
    let expected = explained(&both);
    assert_eq!(expected[0]["explanations"].as_array().unwrap().len(), 2);
    for rpc in ["unary", "batch", "stream"] {
        assert_eq!(explained(&[&names[..], &["--rpc", rpc]].concat()), expected, "{rpc}");
    }
}

/// One call searches all, tells of each vector its index, and holds no more than it is told to.
async fn a_radius_is_asked_of_several_in_one_call(client: &Client) {
    let nearest = client.search(united(&["index"])).await.unwrap();
    let radius = nearest.distances.last().copied();
    let keep = v1::Duplicates::Keep as i32;
    let ask = |names: &[&str]| v1::SearchRangeRequest {
        query: united(names).query,
        indexes: united(names).indexes,
        radius,
        duplicates: keep,
        ..Default::default()
    };
    let all = |request: v1::SearchRangeRequest| async move {
        let mut stream = client.search_range(request, None).await?;
        let (mut found, mut end) = (Vec::new(), None);
        while let Some(part) = stream.message().await? {
            assert_eq!((part.ids.len(), part.indexes.len()), (part.distances.len(), part.ids.len()));
            found.extend(part.indexes.into_iter().zip(part.ids));
            end = part.end.or(end);
        }
        Ok::<_, tonic::Status>((found, end.unwrap()))
    };
    let (mut both, end) = all(ask(&["index", "half"])).await.unwrap();
    assert!(both.is_sorted_by_key(|&(index, _)| index), "one index after the other: {both:?}");
    both.sort_unstable();
    let mut alone = Vec::new();
    for (number, name) in ["index", "half"].into_iter().enumerate() {
        let (found, end) = all(ask(&[name])).await.unwrap();
        assert_eq!((end.versions.len(), end.versions[0].name.as_str()), (1, name));
        alone.extend(found.into_iter().map(|(_, id)| (number as u32, id)));
    }
    alone.sort_unstable();
    assert_eq!((&both, end.results), (&alone, both.len() as u64));
    assert_eq!((end.versions.len(), end.limited_by()), (2, v1::Limit::Unspecified));
    assert!(both.iter().any(|&(index, _)| index == 1), "{both:?}");
    // The best of both, each id once.
    let best = v1::SearchRangeRequest { max_results: Some(5), duplicates: 0, ..ask(&["index", "half"]) };
    let (found, end) = all(best).await.unwrap();
    let ids: Vec<u64> = found.iter().map(|&(_, id)| id).collect();
    assert_eq!((&ids[..], end.limited_by()), (&nearest.ids[..5], v1::Limit::MaxResults));
    for (request, field) in [
        (v1::SearchRangeRequest { duplicates: 0, ..ask(&["index", "half"]) }, "max_results"),
        (v1::SearchRangeRequest { index: "index".to_owned(), ..ask(&["index", "half"]) }, "indexes"),
        (ask(&["index", "index"]), "indexes"),
        (ask(&["index", "ip"]), "indexes"),
        (ask(&["index", "documents"]), "indexes"),
        (
            v1::SearchRangeRequest { query: Some(v1::Vectors::ids(vec![3])), ..ask(&["index", "half"]) },
            "query",
        ),
    ] {
        let status = all(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, field);
    }
}

async fn what_each_did_is_told(client: &Client) {
    let keep = v1::Duplicates::Keep as i32;
    let options = Some(v1::SearchOptions { with_work: true, ..Default::default() });
    let both = client
        .search(v1::SearchRequest {
            duplicates: keep,
            options: options.clone(),
            ..united(&["half", "index"])
        })
        .await
        .unwrap();
    let mut works = Vec::new();
    for name in ["half", "index"] {
        let alone = v1::SearchRequest { index: name.to_owned(), options: options.clone(), ..request(0) };
        works.push(client.search(alone).await.unwrap().work.unwrap().codes);
    }
    assert_eq!(both.work.unwrap().codes, works[0] + works[1]);
    let names: Vec<&str> = both.versions.iter().map(|of| of.name.as_str()).collect();
    assert_eq!((names, both.indexes.len()), (vec!["half", "index"], 10));
    assert_eq!(both.index_uuid, both.versions[0].uuid);
    assert_ne!(both.versions[0].uuid, both.versions[1].uuid);
    // Neighbours of the first half are there twice.
    assert!(both.indexes.contains(&0) && both.indexes.contains(&1), "{both:?}");
    let one = client.search(united(&["index"])).await.unwrap();
    let alone = v1::SearchRequest { index: "index".to_owned(), ..request(0) };
    assert_eq!(one.ids, client.search(alone).await.unwrap().ids);
    // Of all queries at once, which are more neighbours than are merged between two turns of others.
    let batch = v1::SearchBatchRequest {
        queries: Some(bytes(made().queries())),
        k: 200,
        indexes: vec!["index".to_owned(), "half".to_owned()],
        duplicates: keep,
        ..Default::default()
    };
    let answers = client.search_batch(batch).await.unwrap();
    assert_eq!((answers.counts, answers.indexes.len()), (vec![200; QUERIES], 200 * QUERIES));
    assert_eq!(answers.versions.len(), 2);
}

/// A query of two indexes with a filter.
fn filtered(json: &str) -> v1::SearchRequest {
    let filter = Some(v1::Filter { form: Some(v1::filter::Form::Json(json.to_owned())) });
    with(v1::SearchOptions { filter, ..Default::default() })
}

/// A query of two indexes with options.
fn with(options: v1::SearchOptions) -> v1::SearchRequest {
    v1::SearchRequest { options: Some(options), ..united(&["index", "half"]) }
}

async fn filters_and_numbers_are_read_once(client: &Client) {
    let floats = made().queries()[..crate::support::DIM].iter().map(|&byte| f32::from(byte)).collect();
    let query = Some(v1::Vectors::floats(crate::support::DIM as u32, floats));
    let by_floats = client.search(v1::SearchRequest { query, ..united(&["index", "half"]) }).await.unwrap();
    assert_eq!(by_floats.ids, client.search(united(&["index", "half"])).await.unwrap().ids);
    let some = client.search(filtered(r#"{"id": {"$in": [3, 5, 7]}}"#)).await.unwrap();
    assert_eq!((some.ids.len(), some.filtered.unwrap().matches), (3, 6));
}

/// The vectors of an answer are those that each index has under the ids, wherever a neighbour is in the answer.
async fn vectors_come_from_the_index_of_the_neighbour(client: &Client) {
    let options = Some(v1::SearchOptions { with_vectors: true, ..Default::default() });
    let keep = v1::Duplicates::Keep as i32;
    let indexes: Vec<String> = ["half", "other-half"].map(str::to_owned).into();
    let batch = v1::SearchBatchRequest {
        queries: Some(bytes(made().queries())),
        k: 20,
        indexes: indexes.clone(),
        duplicates: keep,
        options,
        ..Default::default()
    };
    let answers = client.search_batch(batch).await.unwrap();
    let Some(v1::vectors::Form::Raw(raw)) = answers.vectors.unwrap().form else { panic!("raw") };
    assert_eq!(raw.data.len(), 20 * QUERIES * crate::support::DIM);
    assert!(answers.indexes.contains(&0) && answers.indexes.contains(&1));
    for (number, name) in (0..).zip(&indexes) {
        let of: Vec<usize> = (0..answers.ids.len()).filter(|&at| answers.indexes[at] == number).collect();
        let mut places = of.clone();
        places.truncate(500);
        let ids = places.iter().map(|&at| answers.ids[at]).collect();
        let fetched =
            client.fetch(v1::FetchRequest { index: name.clone(), ids, ..Default::default() }).await.unwrap();
        let Some(v1::vectors::Form::Raw(rows)) = fetched.vectors.unwrap().form else { panic!("raw") };
        for (row, at) in rows.data.chunks_exact(crate::support::DIM).zip(places) {
            assert_eq!(
                row,
                &raw.data[at * crate::support::DIM..][..crate::support::DIM],
                "neighbour {at} of {name}"
            );
        }
    }
}

async fn what_does_not_fit_is_refused(client: &Client) {
    let many: Vec<String> = (0..17).map(|number| format!("index-{number}")).collect();
    let names: Vec<&str> = many.iter().map(String::as_str).collect();
    let by_id = v1::SearchRequest { query: Some(v1::Vectors::ids(vec![3])), ..united(&["index", "half"]) };
    let wrong = client.search(filtered(r#"{"price": 3}"#)).await.unwrap_err();
    let details = wrong.get_details_bad_request().unwrap();
    assert_eq!(details.field_violations[0].field, "options.filter.json", "{wrong}");
    let nan = Some(v1::Vectors::floats(crate::support::DIM as u32, vec![f32::NAN; crate::support::DIM]));
    let cases = [
        (v1::SearchRequest { query: nan, ..united(&["index", "half"]) }, "query", "element 0 is NaN"),
        (united(&["index", "index"]), "indexes", "named twice"),
        (united(&["index", ""]), "indexes", "an empty name"),
        (united(&["index", "ip"]), "indexes", "index 2 compares by ip, the first by l2"),
        (united(&["index", "documents"]), "indexes", "an index of documents"),
        (united(&names), "indexes", "17, the server's limit is 16"),
        (v1::SearchRequest { index: "index".to_owned(), ..united(&["half"]) }, "indexes", "both index and"),
        (v1::SearchRequest { duplicates: 3, ..united(&["half"]) }, "duplicates", "expected 0 to 2"),
        (by_id, "query", "ids are of one index"),
        (
            with(v1::SearchOptions { attention_scale: Some(1.0), ..Default::default() }),
            "options.attention_scale",
            "one index",
        ),
        (
            with(v1::SearchOptions { min_head_score: Some(1.0), ..Default::default() }),
            "options.min_head_score",
            "one index",
        ),
        (v1::SearchRequest { k: 1001, ..united(&["index", "half"]) }, "k", "limit is 1000"),
    ];
    for (request, field, words) in cases {
        let status = client.search(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.message().contains(words), "{status}");
        let details = status.get_details_bad_request().unwrap();
        assert_eq!(details.field_violations[0].field, field, "{status}");
    }
    let unknown = client.search(united(&["index", "other"])).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound, "{unknown}");
}

fn they_are_not_measured(server: &Server) {
    let queries = made().text("queries.u8bin");
    let (truth, base) = (made().text("united-truth.ibin"), made().text("base.u8bin"));
    spandrel(&["data", "truth", "--base", &base, "--queries", &queries, "--metric", "l2", "--out", &truth]);
    let bench = ["bench", "--server", &server.address, "--queries", &queries, "--truth", &truth];
    let several = [&bench[..], &["--index-name", "index", "--index-name", "half"]].concat();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_spandrel")).args(several).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && said.contains("give one --index-name"), "{said}");
}
