//! Vectors of items and queries from scores.
use std::fs;

use serde_json::Value;

use crate::support::{run, spandrel, text};

/// Queries whose scores are learned from.
const ANCHOR_QUERIES: usize = 40;
const ITEMS: usize = 600;

/// The score of a query with an item: what six numbers of each come to, bent.
fn score(query: usize, item: usize) -> f32 {
    let number = |of: usize, at: usize| ((of * 37 + at * 101 + of * at * 13) % 97) as f32 / 48.0 - 1.0;
    (0..6).map(|at| number(query + 1, at) * number(item + 500, at + 6)).sum::<f32>().tanh()
}

fn fbin(path: &str, columns: usize, values: impl Iterator<Item = f32>) {
    let values: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
    let rows = values.len() / 4 / columns;
    let head = [rows as u32, columns as u32].map(u32::to_le_bytes).concat();
    fs::write(path, [head, values].concat()).unwrap();
}

fn words(path: &str) -> Vec<u32> {
    fs::read(path).unwrap().as_chunks::<4>().0.iter().map(|&word| u32::from_le_bytes(word)).collect()
}

#[test]
fn an_index_of_items_finds_what_scores_best() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let [scores, anchors, items, map, index] =
        ["scores.fbin", "anchors.ibin", "items.fbin", "map.npy", "index"].map(path);
    fbin(&scores, ITEMS, (0..ANCHOR_QUERIES * ITEMS).map(|at| score(at / ITEMS, at % ITEMS)));
    let learn = ["cur", "--scores", &scores, "--items-out", &items, "--map-out", &map, "--anchors"];
    let said = run(&[&learn[..], &["16", "--anchors-out", &anchors]].concat());
    assert!(
        said.contains("600 items of 40 x f32") && said.contains("16 anchor items x 40 anchor queries, ridge"),
        "{said}"
    );
    assert!(said.contains("of the best hundredth of the items for queries held back"), "{said}");
    let chosen = words(&anchors);
    assert_eq!(chosen[..2], [16, 1]);
    // The same once more, with the anchors given: the same bytes, told for programs.
    let (items_bytes, map_bytes) = (fs::read(&items).unwrap(), fs::read(&map).unwrap());
    let told: Value =
        serde_json::from_str(&run(&[&learn[..], &[&anchors, "--format", "json"]].concat())).unwrap();
    assert_eq!((fs::read(&items).unwrap(), fs::read(&map).unwrap()), (items_bytes, map_bytes));
    assert_eq!(
        (&told["map"]["anchors"], &told["items"]["dim"], &told["anchors"]),
        (&16.into(), &40.into(), &Value::Null)
    );
    assert!(
        told["map"]["strength"]["ridge"].is_f64() && told["tried"].as_array().unwrap().len() > 9,
        "{told}"
    );

    // Queries that nothing was learned from.
    let queries = 90..100;
    let (on_anchors, vectors) = (path("on-anchors.fbin"), path("queries.fbin"));
    let known =
        queries.clone().flat_map(|query| chosen[2..].iter().map(move |&item| score(query, item as usize)));
    fbin(&on_anchors, 16, known);
    let said = run(&["cur", "--query-scores", &on_anchors, "--map", &map, "--queries-out", &vectors]);
    assert!(said.contains("10 queries of 40 x f32"), "{said}");
    run(&["build", "--base", &items, "--metric", "ip", "--out", &index, "--no-calibrate"]);
    let found = run(&["query", "--index", &index, "--queries", &vectors, "--k", "20", "--max-lists", "100"]);
    let mut rows = found.lines().skip(1).map(|line| line.split('\t').map(str::to_owned).collect::<Vec<_>>());
    for query in queries {
        let of_query: Vec<usize> = rows.by_ref().take(20).map(|row| row[2].parse().unwrap()).collect();
        let mut best: Vec<usize> = (0..ITEMS).collect();
        best.sort_by(|&a, &b| score(query, b).total_cmp(&score(query, a)));
        let hits = best[..10].iter().filter(|item| of_query.contains(item)).count();
        assert!(hits >= 9, "{query}: {hits} of 10");
    }
}

#[test]
fn what_cannot_be_learned_from_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let [scores, few, nan, bytes, twice, beyond, items, map] =
        ["s.fbin", "few.fbin", "nan.fbin", "b.u8bin", "twice.ibin", "beyond.ibin", "items.fbin", "map.fbin"]
            .map(path);
    fbin(&scores, 30, (0..30 * 20).map(|at| score(at / 30, at % 30)));
    fbin(&few, 30, (0..30 * 15).map(|at| score(at / 30, at % 30)));
    fbin(&nan, 30, (0..30 * 20).map(|at| if at == 77 { f32::NAN } else { 1.0 + at as f32 }));
    fs::write(&bytes, [[16_u32, 4].map(u32::to_le_bytes).concat(), vec![1; 64]].concat()).unwrap();
    let ids = |path: &str, ids: &[u32]| {
        let words = [&[ids.len() as u32, 1], ids].concat();
        fs::write(path, words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>()).unwrap();
    };
    ids(&twice, &[4, 9, 4]);
    ids(&beyond, &[4, 30]);
    let out = ["--items-out", &items, "--map-out", &map];
    let anchors_out = path("anchors.npy");
    let four = ["--anchors", "4", "--anchors-out", &anchors_out];
    let cases: [(&str, &[&str], i32, &str); 15] = [
        (&few, &four, 1, "15 anchor queries, expected 16 or more"),
        (&nan, &four, 1, "the score in row 2, column 17 is NaN"),
        (&bytes, &four, 1, "u8bin cannot hold f32 vectors"),
        (&scores, &["--anchors", &twice], 1, "anchors 0 and 2 are both item 4"),
        (&scores, &["--anchors", &beyond], 1, "anchor 1 is item 30, expected 0 to 29"),
        (
            &scores,
            &["--anchors", "31", "--anchors-out", &anchors_out],
            1,
            "31 anchor items, expected 1 to the 30",
        ),
        (&scores, &["--anchors", "0", "--anchors-out", &anchors_out], 1, "0 anchor items"),
        (
            &scores,
            &["--anchors", "21", "--anchors-out", &anchors_out],
            1,
            "20 of 21 anchor items: no other adds anything",
        ),
        (&scores, &["--anchors", "4"], 2, "expected --anchors-out"),
        (
            &scores,
            &["--anchors", &twice, "--anchors-out", &anchors_out],
            2,
            "--anchors-out is for anchors that are chosen",
        ),
        (&scores, &[&four[..], &["--ridge", "nan"]].concat(), 1, "ridge is NaN"),
        (&scores, &[&four[..], &["--rank", "5"]].concat(), 1, "rank is 5, expected 1 to 4"),
        (
            &scores,
            &[&four[..], &["--hold-out", "11"]].concat(),
            1,
            "11 anchor queries held back of 20, expected 1 to 10",
        ),
        (&scores, &[&four[..], &["--memory", "1MiB"]].concat(), 1, "1048kB allowed; allow more (--memory)"),
        (&scores, &[&four[..], &["--query-scores", &scores]].concat(), 2, "cannot be used with"),
    ];
    for (scores, flags, code, says) in cases {
        let refused = spandrel(&[&["cur", "--scores", scores], &out[..], flags].concat());
        assert!(text(&refused.stderr).contains(says), "{flags:?}: {}", text(&refused.stderr));
        assert_eq!(refused.status.code(), Some(code), "{flags:?}: {}", text(&refused.stderr));
    }
    let zero = path("zero.fbin");
    fbin(&zero, 30, std::iter::repeat_n(0.0, 30 * 20));
    let refused = spandrel(&[&["cur", "--scores", &zero], &out[..], &four[..]].concat());
    let said = text(&refused.stderr);
    assert!(said.contains("all scores on the anchor items are 0; choose other anchors"), "{said}");
    for made in [&items, &map, &anchors_out] {
        assert!(!fs::exists(made).unwrap(), "{made}");
    }
}

/// Thirty items scored by twenty queries, and the ids of two of the items.
fn scored(path: impl Fn(&str) -> String) -> [String; 2] {
    let [scores, two] = ["s.fbin", "two.ibin"].map(path);
    fbin(&scores, 30, (0..30 * 20).map(|at| score(at / 30, at % 30)));
    fs::write(&two, [2_u32, 1, 4, 9].map(u32::to_le_bytes).concat()).unwrap();
    [scores, two]
}

#[test]
fn each_file_that_is_written_is_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let [scores, two] = scored(path);
    let [items, map] = ["items.fbin", "map.fbin"].map(path);
    // Before anything is read, and by any name of it.
    let beside = path("./items.fbin");
    let same: [(&[&str], &str); 6] = [
        (&["--items-out", &map, "--map-out", &map, "--anchors", &two], "--items-out and --map-out"),
        (&["--items-out", &scores, "--map-out", &map, "--anchors", &two], "--scores and --items-out"),
        (&["--items-out", &items, "--map-out", &scores, "--anchors", &two], "--scores and --map-out"),
        (
            &["--items-out", &items, "--map-out", &map, "--anchors", "4", "--anchors-out", &scores],
            "--scores and --anchors-out",
        ),
        (
            &["--items-out", &items, "--map-out", &map, "--anchors", "4", "--anchors-out", &map],
            "--map-out and --anchors-out",
        ),
        (&["--items-out", &items, "--map-out", &beside, "--anchors", &two], "--items-out and --map-out"),
    ];
    let before = fs::read(&scores).unwrap();
    for (flags, says) in same {
        let refused = spandrel(&[&["cur", "--scores", &scores], flags].concat());
        let said = text(&refused.stderr);
        assert!(said.contains(&format!("{says} name one file")) && said.contains("expected two"), "{said}");
        assert_eq!(refused.status.code(), Some(2));
    }
    assert_eq!(fs::read(&scores).unwrap(), before);
    assert!(![&items, &map].into_iter().any(|made| fs::exists(made).unwrap()));
}

#[test]
fn scores_that_a_map_does_not_take_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let [scores, _] = scored(path);
    let [items, map, anchors] = ["items.fbin", "map.fbin", "anchors.npy"].map(path);
    // A map of four anchor items takes four scores of each query.
    let out = ["--items-out", &items, "--map-out", &map, "--anchors", "4", "--anchors-out", &anchors];
    run(&[&["cur", "--scores", &scores, "--ridge", "0.1"], &out[..]].concat());
    let queries = path("queries.fbin");
    for (input, flag) in [(&scores, "--query-scores"), (&map, "--map")] {
        let refused = spandrel(&["cur", "--query-scores", &scores, "--map", &map, "--queries-out", input]);
        assert!(text(&refused.stderr).contains(&format!("{flag} and --queries-out name one file")), "{flag}");
    }
    let refused = spandrel(&["cur", "--query-scores", &scores, "--map", &map, "--queries-out", &queries]);
    let said = text(&refused.stderr);
    assert!(said.contains("30 scores for each query, the map takes 4, one for each anchor item"), "{said}");
    let small =
        ["cur", "--query-scores", &scores, "--map", &map, "--queries-out", &queries, "--memory", "100"];
    assert!(text(&spandrel(&small).stderr).contains("640B of memory are needed, 100B allowed"));
    assert!(!fs::exists(&queries).unwrap());
}

#[test]
fn the_rank_that_is_used_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let [scores, items, map, anchors] = ["s.fbin", "items.fbin", "map.fbin", "anchors.ibin"].map(path);
    // Each query scores two kinds of items.
    fbin(&scores, 30, (0..30 * 20).map(|at| if at % 2 == 0 { (at / 30) as f32 } else { 1.0 }));
    let learn = ["cur", "--scores", &scores, "--items-out", &items, "--map-out", &map];
    let learn =
        [&learn[..], &["--anchors", "5", "--anchor-choice", "random", "--anchors-out", &anchors]].concat();
    let said = run(&[&learn[..], &["--rank", "4"]].concat());
    assert!(said.contains("rank 2 of the 4 asked for"), "{said}");
    let told: Value =
        serde_json::from_str(&run(&[&learn[..], &["--rank", "4", "--format", "json"]].concat())).unwrap();
    assert_eq!(told["map"]["strength"]["rank"], 2);
    let said = run(&[&learn[..], &["--rank", "1"]].concat());
    assert!(said.contains("rank 1") && !said.contains("asked for"), "{said}");
}
