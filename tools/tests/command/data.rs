//! Files of vectors, neighbours and ids.
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{run, spandrel, text, write_u8bin};

#[test]
fn data_commands_work_together() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    write_u8bin(Path::new(&path("base.u8bin")), 100);
    run(&["data", "crop", &path("base.u8bin"), &path("queries.fbin"), "--rows", "40..45"]);
    run(&["data", "convert", &path("base.u8bin"), &path("base.fbin")]);
    let (base, queries) = (path("base.fbin"), path("queries.fbin"));
    let truth =
        ["data", "truth", "--base", &base, "--queries", &queries, "--metric", "l2", "--k", "3", "--out"];
    let said = run(&[&truth[..], &[&path("truth.ibin")]].concat());
    assert!(said.contains("3 nearest of 100 vectors for each of 5 queries, l2"), "{said}");
    let info = run(&["data", "info", &path("truth.ibin")]);
    assert!(info.contains("the 3 nearest for each of 5 queries, with distances"), "{info}");
    let scan = run(&["data", "info", "--scan", &path("base.fbin")]);
    assert!(scan.contains("100 vectors of 2 x f32") && scan.contains("values    0 to 99"), "{scan}");
    assert!(run(&["data", "get", "--list"]).contains("bigann-10M"));

    let wrong = spandrel(&[&truth[..], &[&path("truth.fbin")]].concat());
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("expected one ending in .ibin, .ivecs or .npy"));
    assert!(!Path::new(&path("truth.fbin")).exists());
}

#[test]
fn a_truth_within_a_radius_has_the_layout_of_big_ann() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    write_u8bin(Path::new(&path("base.u8bin")), 100);
    let (base, out) = (path("base.u8bin"), path("within.bin"));
    run(&["data", "crop", &base, &path("queries.u8bin"), "--rows", "40..45"]);
    let queries = path("queries.u8bin");
    let truth = ["data", "truth", "--base", &base, "--queries", &queries, "--metric", "l2", "--out", &out];
    let said = run(&[&truth[..], &["--radius", "0"]].concat());
    assert!(said.contains("5 of 100 vectors within 0 of 5 queries, 1 to 1 of each, l2"), "{said}");
    let words: Vec<u32> = [5, 5, 1, 1, 1, 1, 1, 40, 41, 42, 43, 44, 0, 0, 0, 0, 0].to_vec();
    let expected: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    assert_eq!(fs::read(&out).unwrap(), expected);

    for (flags, says) in [
        (&["--radius", "-1"][..], "radius is -1, expected a finite number of 0 or more for l2"),
        (&["--radius", "nan"], "radius is NaN"),
        (&["--radius", "1", "--k", "3"], "cannot be used with"),
    ] {
        let refused = spandrel(&[&truth[..], flags].concat());
        assert!(text(&refused.stderr).contains(says), "{}", text(&refused.stderr));
        assert_ne!(refused.status.code(), Some(0));
    }
}

#[test]
fn tags_and_filters_are_generated() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (base, queries) = (path("base.fbin"), path("queries.fbin"));
    let generate = ["data", "generate", "embedding", "--vectors", "500", "--dim", "8", "--queries", "20"];
    run(&[&generate[..], &["--out", &base, "--queries-out", &queries]].concat());
    let labels =
        ["data", "generate", "labels", "--base", &base, "--tags", "10", "--per-vector", "2", "--out"];
    let filters = ["--queries", &queries, "--correlation", "-0.5", "--query-tags", "2", "--filters-out"];
    let said = run(&[&labels[..], &[&path("tags.jsonl")], &filters, &[&path("filters.jsonl")]].concat());
    assert!(
        said.contains("1 000 tags of 500 vectors, of 10") && said.contains("filters of 20 queries"),
        "{said}"
    );
    let lines = |name: &str| -> Vec<Value> {
        let text = fs::read_to_string(path(name)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let (tags, asked) = (lines("tags.jsonl"), lines("filters.jsonl"));
    assert_eq!(
        (tags.len(), asked.len(), &tags[7]["id"], &asked[7]["query_id"]),
        (500, 20, &7.into(), &7.into())
    );
    let has_all = |row: &Value, wanted: &[Value]| {
        let tags = row["tags"].as_array().unwrap();
        wanted.iter().all(|tag| tags.contains(tag))
    };
    for filter in &asked {
        let wanted = filter["filter"]["tags"]["$containsAll"].as_array().unwrap();
        assert!((1..=2).contains(&wanted.len()) && tags.iter().any(|row| has_all(row, wanted)), "{filter}");
    }

    run(&[&labels[..], &[&path("tags.spmat")]].concat());
    let bytes = fs::read(path("tags.spmat")).unwrap();
    let counts: Vec<u64> =
        bytes.chunks(8).take(3).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
    assert_eq!((counts.as_slice(), bytes.len()), (&[500, 10, 1000][..], 24 + 8 * 501 + 8 * 1000));

    for (flags, says) in [
        (&["tags.txt"][..], "expected a name ending in .spmat or .jsonl"),
        (&["tags.spmat", "--correlation", "2"], "expected a number from -1 to 1"),
        (&["tags.spmat", "--queries", "q"], "--filters-out"),
        (&["tags.spmat", "--zipf", "x"], "expected a number of 0 or more"),
    ] {
        let refused = spandrel(&[&labels[..], flags].concat());
        assert!(text(&refused.stderr).contains(says), "{}", text(&refused.stderr));
        assert_eq!(refused.status.code(), Some(2));
    }
    let missing = spandrel(&["data", "generate", "sift", "--vectors", "5"]);
    assert!(text(&missing.stderr).contains("--out"), "{}", text(&missing.stderr));
}

#[test]
fn documents_of_tokens_are_generated() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let [base, documents, queries, query_documents, truth] =
        ["base.i8bin", "documents.ibin", "queries.i8bin", "query-documents.ibin", "truth.ibin"].map(path);
    let shape = ["--count", "300", "--tokens", "6", "--dim", "8", "--out", &base, "--documents", &documents];
    let generate = [&["data", "generate", "tokens"], &shape[..]].concat();
    let of_queries = ["--queries", "9", "--queries-out", &queries, "--query-documents", &query_documents];
    let said = run(&[&generate[..], &of_queries, &["--query-tokens", "3"]].concat());
    assert!(said.contains("offsets of 300 documents") && said.contains("offsets of 9 documents"), "{said}");
    let files = ["--base", &base, "--documents", &documents, "--queries", &queries, "--out", &truth];
    let truth_of = [&["data", "truth", "--metric", "ip", "--k", "5"], &files[..]].concat();
    let said = run(&[&truth_of[..], &["--query-documents", &query_documents]].concat());
    assert!(said.contains("5 best of 300 documents"), "{said}");

    for (flags, says) in [
        (&["--queries", "9"][..], "--query-documents"),
        (&["--query-tokens", "0"], "0 is not in 1..="),
        (&["--dtype", "f16"], "does not hold vectors of f16"),
    ] {
        let refused = spandrel(&[&generate[..], flags].concat());
        let error = text(&refused.stderr);
        assert!(error.contains(says), "{error}");
        assert_eq!(refused.status.code(), Some(2));
    }
}

/// A file of `ids`, in the form that NumPy saves.
fn write_ids(path: &str, ids: &[u64]) {
    let text = format!("{{'descr': '<u8', 'fortran_order': False, 'shape': ({},), }}\n", ids.len());
    let mut bytes = [&b"\x93NUMPY\x01\x00"[..], &(text.len() as u16).to_le_bytes(), text.as_bytes()].concat();
    ids.iter().for_each(|id| bytes.extend(id.to_le_bytes()));
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_truth_has_the_ids_of_the_index_and_its_metric() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (base, queries, index, ids) = (path("b.u8bin"), path("q.u8bin"), path("index"), path("ids.npy"));
    let size = ["--vectors", "1000", "--dim", "16", "--out", &base];
    run(&[&["data", "generate", "sift"], &size[..], &["--queries", "40", "--queries-out", &queries]].concat());
    let own: Vec<u64> = (0..1000).map(|row| (1 << 40) + row * 7).collect();
    write_ids(&ids, &own);
    run(&["build", "--base", &base, "--metric", "l2", "--ids", &ids, "--out", &index]);
    let truth = |metric: &str, flags: &[&str], name: &str| {
        let out = path(name);
        let fixed =
            ["data", "truth", "--base", &base, "--queries", &queries, "--metric", metric, "--k", "10"];
        run(&[&fixed[..], &["--out", &out], flags].concat());
        out
    };
    let named = truth("l2", &["--ids", &ids], "named.npy");
    let rows = truth("l2", &[], "rows.ibin");
    let bench = |truth: &str, flags: &[&str]| {
        let fixed = ["bench", "--index", &index, "--queries", &queries, "--truth", truth, "--seconds", "0"];
        spandrel(&[&fixed[..], &["--max-lists", "1000", "--rerank", "1000"], flags].concat())
    };
    // It printed a recall of 0.0000 for row numbers.
    for (truth, flags) in [(&named, &[][..]), (&rows, &["--ids", &ids])] {
        let output = bench(truth, flags);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains("1.0000"), "{}", text(&output.stdout));
        assert!(text(&output.stdout).contains("every list with 1000 reranked"), "{}", text(&output.stdout));
    }
    let other = truth("ip", &["--ids", &ids], "other.npy");
    let other_rows = truth("ip", &[], "other.ibin");
    for (truth, flags, says) in [
        (&rows, &[][..], "which the index does not hold"),
        (&other, &[], "the truth does not fit"),
        (&other_rows, &["--ids", &ids], "the truth has distances of ip, the index compares by l2"),
    ] {
        let output = bench(truth, flags);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
        assert!(text(&output.stderr).contains(says), "{}", text(&output.stderr));
    }
    // Ids that the format cannot hold are refused before anything is computed.
    let narrow = ["data", "truth", "--base", &base, "--queries", &queries, "--metric", "l2", "--ids", &ids];
    let output = spandrel(&[&narrow[..], &["--out", &path("t.ibin")]].concat());
    assert!(text(&output.stderr).contains("write an .npy file"), "{}", text(&output.stderr));
    // Fewer vectors than neighbours asked for: all of them.
    write_u8bin(Path::new(&path("five.u8bin")), 5);
    let all =
        ["data", "truth", "--base", &path("five.u8bin"), "--queries", &path("five.u8bin"), "--metric", "l2"];
    assert!(run(&[&all[..], &["--out", &path("five.ibin")]].concat()).contains("5 nearest of 5 vectors"));
}

#[test]
fn outputs_may_be_pipes_and_inputs_may_have_any_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    write_u8bin(Path::new(&path("base.u8bin")), 100);
    fs::copy(path("base.u8bin"), path("base.bin")).unwrap();
    fs::copy(path("base.u8bin"), path("base.1B.u8bin.crop_nb_100")).unwrap();
    fs::copy(path("base.u8bin"), path("base")).unwrap();
    for (args, says) in [
        (&["base.1B.u8bin.crop_nb_100"][..], "100 vectors of 2 x u8"),
        (&["base.bin", "--dtype", "u8"], "100 vectors of 2 x u8"),
        (&["base", "--input-format", "u8bin"], "100 vectors of 2 x u8"),
        (&["base", "--input-format", "fvecs"], "u8bin or i8bin by its length"),
        (&["base.bin"], "help: say what it holds with --input-format"),
    ] {
        let output = spandrel(&[&["data", "info", &path(args[0])], &args[1..]].concat());
        let said = [text(&output.stdout), text(&output.stderr)].concat();
        assert!(said.contains(says), "{args:?}: {said}");
    }
    let mut bytes = fs::read(path("base.u8bin")).unwrap();
    bytes.truncate(8 + 2 * 60);
    fs::write(path("part.u8bin"), &bytes).unwrap();
    let refused = spandrel(&["data", "info", &path("part.u8bin")]);
    assert!(text(&refused.stderr).contains("--allow-truncated"), "{}", text(&refused.stderr));
    let taken = spandrel(&["data", "info", &path("part.u8bin"), "--allow-truncated"]);
    assert!(text(&taken.stdout).contains("60 vectors"), "{}", text(&taken.stdout));

    // To a pipe, and to a file that the shell opened, goes what would be in a file of that name, and nothing else.
    let crop =
        ["data", "crop", &path("base.u8bin"), "/dev/stdout", "--rows", "3..5", "--out-format", "u8bin"];
    let rows = [2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 4, 1];
    let piped = spandrel(&crop);
    assert_eq!(
        (piped.status.code(), piped.stdout.as_slice()),
        (Some(0), &rows[..]),
        "{}",
        text(&piped.stderr)
    );
    assert!(text(&piped.stderr).contains("2 rows"), "{}", text(&piped.stderr));
    let file = fs::File::create(path("redirected")).unwrap();
    let status = Command::new(env!("CARGO_BIN_EXE_spandrel")).args(crop).stdout(file).status().unwrap();
    assert!(status.success());
    assert_eq!(fs::read(path("redirected")).unwrap(), rows);
    assert!(fs::symlink_metadata("/dev/stdout").unwrap().is_symlink(), "no file took its place");
    let nameless = spandrel(&["data", "crop", &path("base.u8bin"), "/dev/stdout", "--rows", "3..5"]);
    assert_eq!(nameless.status.code(), Some(2));
    assert!(text(&nameless.stderr).contains("--out-format"), "{}", text(&nameless.stderr));

    std::os::unix::fs::symlink("target.u8bin", path("link.u8bin")).unwrap();
    let linked = ["data", "crop", &path("base.u8bin"), &path("link.u8bin"), "--rows", "3..5"];
    assert_eq!(spandrel(&linked).status.code(), Some(0));
    assert!(fs::symlink_metadata(path("link.u8bin")).unwrap().is_symlink());
    assert_eq!(fs::read(path("target.u8bin")).unwrap(), rows);
}

#[test]
fn an_input_with_rows_of_two_lengths_leaves_no_build_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    // The second row claims one element, its bytes are two.
    let rows: Vec<u8> =
        [[2_i32, 7, 7], [1, 7, 7]].as_flattened().iter().flat_map(|x| x.to_le_bytes()).collect();
    fs::write(path("base.fvecs"), rows).unwrap();
    let output =
        spandrel(&["build", "--base", &path("base.fvecs"), "--metric", "l2", "--out", &path("index")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("row 1 at offset 12: expected 2 elements, found 1"));
    assert!(!Path::new(&path("index")).exists());
    fs::rename(path("base.fvecs"), path("truth.ivecs")).unwrap();
    assert_eq!(spandrel(&["data", "info", &path("truth.ivecs")]).status.code(), Some(0));
    let output = spandrel(&["data", "info", &path("truth.ivecs"), "--scan"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("row 1 at offset 12: expected 2 elements, found 1"));
}

#[test]
fn a_truth_under_filters_has_the_nearest_that_match() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    // Vector n is (n, n / 2): the nearest of n are n, then n - 1 and n + 1.
    write_u8bin(Path::new(&path("base.u8bin")), 100);
    run(&["data", "crop", &path("base.u8bin"), &path("queries.u8bin"), "--rows", "40..43"]);
    let rows: String = (0..100)
        .map(|row| {
            format!("{{\"id\": {row}, \"n\": {row}, \"tags\": [\"t{}\", \"t{}\"]}}\n", row % 10, row % 7)
        })
        .collect();
    fs::write(path("a.jsonl"), rows).unwrap();
    let filters = "{\"filter\": \"n < 10\"}\n{\"filter\": {\"tags\": {\"$containsAll\": [\"t0\", \"t1\"]}}}\n\
                   {\"filter\": \"n >= 98\", \"query_id\": 2}\n";
    fs::write(path("f.jsonl"), filters).unwrap();
    let (base, queries, out) = (path("base.u8bin"), path("queries.u8bin"), path("t.ibin"));
    let (attributes, filters) = (path("a.jsonl"), path("f.jsonl"));
    let fixed = ["data", "truth", "--base", &base, "--queries", &queries, "--metric", "l2", "--k", "3"];
    let truth = [&fixed[..], &["--filters", &filters, "--attributes", &attributes, "--out"]].concat();
    let said = run(&[&truth[..], &[&out]].concat());
    assert!(said.contains("3 different filters; fewer than 3 match for 1 of the queries"), "{said}");
    let words = |path: &str| -> Vec<u32> {
        let bytes = fs::read(path).unwrap();
        bytes.as_chunks::<4>().0.iter().map(|&word| u32::from_le_bytes(word)).collect()
    };
    // 21, 50 and 91.
    let of_tags: Vec<u32> = {
        let has = |row: &u32, tag: u32| row % 10 == tag || row % 7 == tag;
        let mut rows: Vec<u32> = (0..100).filter(|row| has(row, 0) && has(row, 1)).collect();
        rows.sort_by_key(|row| row.abs_diff(41));
        rows
    };
    assert_eq!(words(&out)[..2], [3, 3]);
    assert_eq!(words(&out)[2..11], [&[9, 8, 7], &of_tags[..3], &[98, 99, u32::MAX]].concat());
    assert_eq!(f32::from_bits(words(&out)[19]), f32::INFINITY);
    let json: serde_json::Value =
        serde_json::from_str(&run(&[&truth[..], &[&out, "--format", "json"]].concat())).unwrap();
    assert_eq!((&json["filters"], &json["fewer"]), (&3.into(), &1.into()));

    // Ids of the base name the rows of attributes, and are what is found.
    let own: Vec<u64> = (0..100).map(|row| 1000 - row).collect();
    write_ids(&path("ids.npy"), &own);
    let rows: String = own.iter().map(|id| format!("{{\"id\": {id}, \"n\": {}}}\n", 1000 - id)).collect();
    fs::write(path("own.jsonl"), rows).unwrap();
    let by_n = "{\"filter\": \"n < 10 and id != 991\"}\n".repeat(3);
    fs::write(path("n.jsonl"), by_n).unwrap();
    let (ids, own, by_n) = (path("ids.npy"), path("own.jsonl"), path("n.jsonl"));
    let named =
        [&fixed[..], &["--ids", &ids, "--filters", &by_n, "--attributes", &own, "--out", &out]].concat();
    run(&named);
    assert_eq!(words(&out)[2..5], [992, 993, 994]);
    run(&[&named[..7], &["l2", "--radius", "100000"], &named[10..]].concat());
    assert_eq!(words(&out)[..5], [3, 27, 9, 9, 9]);

    let refused = |arguments: &[&str]| text(&spandrel(arguments).stderr).to_owned();
    let message = refused(&[&fixed[..], &["--filters", &filters, "--out", &out]].concat());
    assert!(message.contains("--attributes"), "{message}");
    fs::write(&filters, "{\"filter\": \"n < 10\"}\n").unwrap();
    let message = refused(&[&truth[..], &[&out]].concat());
    assert!(
        message.contains(
            "f.jsonl: filters for 1 queries, one a line or a row of the matrix; there are 3 queries"
        ),
        "{message}"
    );
    fs::write(&filters, "{\"filter\": \"m < 10\"}\n".repeat(3)).unwrap();
    let message = refused(&[&truth[..], &[&out]].concat());
    assert!(
        message.contains("line 1: filter: no attribute `m`; the nearest is `n`; there are `n` (i64)"),
        "{message}"
    );
}
