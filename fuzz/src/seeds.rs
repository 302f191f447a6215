//! Writes inputs that are well formed, from which fuzzing goes on: a folder for each target in `fuzz/corpus`.
use std::fs;
use std::path::{Path, PathBuf};

use prost::Message as _;
use spandrel_datasets::{Format, RangeTruth, Truth, VectorWriter};
use spandrel_fuzz::{folder, indexes};
use spandrel_index::DType;
use spandrel_proto::v1;
use spandrel_service::testing::methods;

/// The folders of seeds, and how many were written.
struct Corpus(PathBuf);

impl Corpus {
    fn add(&self, target: &str, name: &str, parts: &[&[u8]]) {
        let folder = self.0.join(target);
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join(format!("seed-{name}")), parts.concat()).expect("a seed");
    }
}

fn main() {
    let corpus = Corpus(Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus"));
    vectors(&corpus);
    attributes(&corpus);
    filters(&corpus);
    requests(&corpus);
    corpus.add(
        "tokens",
        "all",
        &[b"# who\nsearch 0123456789abcdef alice\nadmin certificate ops\nadmin 0123456789abcdefg\n"],
    );
    for (which, made) in (0..).zip(indexes::all()) {
        for file in 0_u8.. {
            let Some(content) = made.content(file.into()) else { break };
            corpus.add("index", &format!("{which}-{file}"), &[&[which, file], content]);
        }
    }
    fs::remove_dir_all(folder()).expect("the folder of this process");
}

fn vectors(corpus: &Corpus) {
    for (which, format) in (0..).zip(Format::ALL) {
        let path = folder().join(format!("seed.{format}"));
        for dtype in DType::ALL {
            if let Ok(mut writer) = VectorWriter::create(&path, dtype, 3) {
                writer.write_rows(&vec![7; dtype.row_bytes(3) * 20]).expect("rows");
                writer.finish().expect("a file");
                corpus.add(
                    "vectors",
                    &format!("{format}-{dtype}"),
                    &[&[which], &fs::read(&path).expect("a file")],
                );
            }
        }
        let truth = Truth { queries: 2, k: 3, ids: vec![5, 1, 2, 0, 7, 3], distances: Some(vec![0.5; 6]) };
        if truth.write(&path).is_ok() {
            corpus.add("vectors", &format!("truth-{format}"), &[&[which], &fs::read(&path).expect("a file")]);
        }
    }
    let mut truth = RangeTruth::default();
    truth.push([(3, 0.5), (1, 0.25)].into_iter()).expect("a few");
    let path = folder().join("seed.range");
    truth.write(&path).expect("a file");
    let which = Format::ALL.len() as u8 + 1;
    corpus.add("vectors", "range", &[&[which], &fs::read(&path).expect("a file")]);
}

fn attributes(corpus: &Corpus) {
    let lines = "{\"id\": 0, \"brand\": \"acme\", \"tags\": [1, 2], \"price\": 1.5, \"new\": true, \"at\": \"2024-01-01T00:00:00Z\"}\n\
                 {\"id\": 3, \"brand\": null, \"tags\": [], \"price\": -2}\n";
    corpus.add("attributes", "lines", &[&[0], lines.as_bytes()]);
    corpus.add(
        "attributes",
        "filters",
        &[&[0], b"{\"filter\": \"a = 1\"}\n{\"query_id\": 2, \"filter\": {\"b\": {\"$in\": [1, 2]}}}\n"],
    );
    let numbers = [3_i64, 10, 4, 0, 2, 3, 4];
    let columns = [1_i32, 5, 2, 9];
    let mut matrix: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    matrix.extend(columns.iter().flat_map(|column| column.to_le_bytes()));
    matrix.extend([1.0_f32; 4].iter().flat_map(|value| value.to_le_bytes()));
    corpus.add("attributes", "matrix", &[&[1], &matrix]);
    corpus.add(
        "attributes",
        "schema",
        &[&[2], b"{\"brand\": \"keyword\", \"tags\": \"tags\", \"price\": \"f64\"}"],
    );
}

fn filters(corpus: &Corpus) {
    let all = [
        "k = 'x' and not (i between 1 and 5 or f < -2.5e3)",
        "t contains any [1, 2] and t contains all [3]",
        "b = true or s >= '2024-01-01T00:00:00Z' and k is null",
        "k not in ['a', \"b\"] and id in [1, 18446744073709551615] and `i` exists",
        "{\"and\": [{\"k\": \"x\"}, {\"i\": {\"gte\": 1, \"lt\": 5}}, {\"not\": {\"t\": {\"any\": [1, 2]}}}]}",
        "{\"$and\": [{\"k\": {\"$in\": [\"a\"]}}, {\"f\": {\"$ne\": 1.5}}, {\"id\": [1, 2]}]}",
    ];
    for (number, text) in all.iter().enumerate() {
        corpus.add("filters", &number.to_string(), &[text.as_bytes()]);
    }
}

fn requests(corpus: &Corpus) {
    let query = || Some(v1::Vectors::raw(4, v1::Dtype::U8, vec![1, 2, 3, 4]));
    let filter = Some(v1::Filter::text("k = 'x'"));
    let options = || v1::SearchOptions { recall: Some(0.9), filter: filter.clone(), ..Default::default() };
    let one = v1::SearchRequest { query: query(), k: 10, options: Some(options()), ..Default::default() };
    let floats = Some(v1::vectors::Form::Floats(v1::Floats { values: vec![1.0; 8] }));
    let queries = Some(v1::Vectors { dim: 4, form: floats });
    let many = v1::SearchBatchRequest { queries, k: 10, options: Some(options()), ..Default::default() };
    let within = v1::SearchRangeRequest { query: query(), radius: Some(2.0), ..Default::default() };
    let fetch = v1::FetchRequest { ids: vec![1, 2, 300], ..Default::default() };
    let stream = v1::SearchStreamRequest { tag: 1, request: Some(one.clone()) };
    let load = v1::StartLoadRequest { index: "a".to_owned(), path: "/a".to_owned(), ..Default::default() };
    let messages = [
        ("Search", one.encode_to_vec()),
        ("SearchBatch", many.encode_to_vec()),
        ("SearchRange", within.encode_to_vec()),
        ("SearchStream", stream.encode_to_vec()),
        ("Fetch", fetch.encode_to_vec()),
        ("StartLoad", load.encode_to_vec()),
    ];
    for (name, message) in messages {
        let method = methods().position(|method| method == name).expect("a method") as u8;
        corpus.add("requests", name, &[&[method], &message]);
    }
}
