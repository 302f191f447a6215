//! Attributes in answers: those of the rows, in every call, with every type; refused by name, bounded, and lost with their blocks.
use std::os::unix::fs::FileExt as _;

use spandrel_index::Index;
use spandrel_proto::v1;
use spandrel_proto::v1::attribute_value::Kind;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::messages::{K, as_text, options, raw, request};
use super::rows::{DIM, Row, folder, made, row, server};
use crate::support::{Server, run};

const NAMES: [&str; 6] = ["colour", "tags", "new", "stock", "price", "made"];

fn selection(names: &[&str]) -> Option<v1::AttributeSelection> {
    Some(v1::AttributeSelection { names: names.iter().map(|&name| name.to_owned()).collect() })
}

fn with(names: &[&str], filter: Option<v1::Filter>) -> Option<v1::SearchOptions> {
    options(filter).map(|options| v1::SearchOptions { with_attributes: selection(names), ..options })
}

/// What a row has in an attribute.
fn expected(row: &Row, name: &str) -> v1::AttributeValue {
    let kind = match name {
        "colour" => row.colour.map(|colour| Kind::Keyword(colour.to_owned())),
        "tags" if row.tags.is_empty() => None,
        "tags" => {
            let mut tags: Vec<String> = row.tags.iter().map(|&tag| tag.to_owned()).collect();
            tags.sort_unstable();
            Some(Kind::Tags(v1::Tags { tags }))
        }
        "new" => row.new.map(Kind::Boolean),
        "stock" => row.stock.map(Kind::Integer),
        "price" => row.price.map(Kind::Number),
        "made" => row.made.map(|seconds| Kind::Timestamp(seconds * 1_000_000)),
        _ => panic!("{name}"),
    };
    v1::AttributeValue { kind }
}

/// The attributes of these names of vectors, which must be those of their rows.
fn check(attributes: &[v1::AttributeValues], ids: &[u64], names: &[&str]) {
    let found: Vec<&str> = attributes.iter().map(|of| of.name.as_str()).collect();
    assert_eq!(found, names);
    assert!(!ids.is_empty());
    for of in attributes {
        let values: Vec<_> = ids.iter().map(|&id| expected(&row(id), &of.name)).collect();
        assert_eq!(of.values, values, "{}", of.name);
        let kind = match of.name.as_str() {
            "colour" => v1::AttributeType::Keyword,
            "tags" => v1::AttributeType::Tags,
            "new" => v1::AttributeType::Bool,
            "stock" => v1::AttributeType::I64,
            "price" => v1::AttributeType::F64,
            _ => v1::AttributeType::Timestamp,
        };
        assert_eq!(of.r#type(), kind);
    }
}

#[test]
fn every_call_carries_the_attributes_of_its_neighbours() {
    run(async {
        let server = server(&[]);
        let client = server.client();
        for (names, told) in [(&[][..], &NAMES[..]), (&["made", "colour"], &["made", "colour"])] {
            for filter in [None, as_text("stock > 0 or tags contains \"red\"")] {
                let asked = v1::SearchRequest { options: with(names, filter.clone()), ..request(3, None) };
                let answer = client.search(asked.clone()).await.unwrap();
                check(&answer.attributes, &answer.ids, told);
                // Beside the vectors, and without them the same.
                let mut options = asked.options.clone().unwrap();
                options.with_vectors = true;
                let both = client
                    .search(v1::SearchRequest { options: Some(options), ..asked.clone() })
                    .await
                    .unwrap();
                assert_eq!(both.attributes, answer.attributes);
                assert_eq!(both.vectors.unwrap().raw_data().len(), DIM * answer.ids.len());
                let item = v1::SearchStreamRequest { tag: 1, request: Some(asked) };
                let mut stream = client.search_stream(tokio_stream::iter([item]), None).await.unwrap();
                let Some(v1::search_stream_response::Result::Answer(streamed)) =
                    stream.message().await.unwrap().unwrap().result
                else {
                    panic!("no answer")
                };
                assert_eq!(streamed.attributes, answer.attributes);
                let rows = [made().row(3), made().row(4), made().row(5)].concat();
                let batch = v1::SearchBatchRequest {
                    queries: Some(v1::Vectors::raw(DIM as u32, v1::Dtype::U8, rows)),
                    k: K,
                    options: with(names, filter),
                    ..Default::default()
                };
                let answers = client.search_batch(batch).await.unwrap();
                assert_eq!(answers.counts, [K; 3]);
                check(&answers.attributes, &answers.ids, told);
            }
        }
        let fetch = v1::FetchRequest {
            ids: vec![2999, 100_000, 7, 7, 0],
            with_attributes: selection(&NAMES[..5]),
            ..Default::default()
        };
        let fetched = client.fetch(fetch).await.unwrap();
        assert_eq!(fetched.found, [true, false, true, true, true]);
        check(&fetched.attributes, &[2999, 7, 7, 0], &NAMES[..5]);
        let plain = client.search(request(3, None)).await.unwrap();
        assert!(plain.attributes.is_empty());
    });
}

#[test]
fn other_names_and_too_many_bytes_are_refused() {
    run(async {
        let server = server(&["--max-message", "64KiB"]);
        let client = server.client();
        let asked =
            |names: &[&str], k| v1::SearchRequest { options: with(names, None), k, ..request(3, None) };
        for (names, says) in [
            (
                &["color"][..],
                "no attribute `color`; the nearest is `colour`; there are `colour` (keyword), `tags` (tags)",
            ),
            (&["tags", "stock", "tags"], "attribute `tags` is named twice"),
        ] {
            let refused = client.search(asked(names, K)).await.unwrap_err();
            assert!(refused.code() == Code::InvalidArgument && refused.message().contains(says), "{refused}");
            let bad = refused.get_details_bad_request().unwrap();
            assert_eq!(bad.field_violations[0].field, "options.with_attributes");
            let fetch =
                v1::FetchRequest { ids: vec![1], with_attributes: selection(names), ..Default::default() };
            let refused = client.fetch(fetch).await.unwrap_err();
            assert_eq!(
                refused.get_details_bad_request().unwrap().field_violations[0].field,
                "with_attributes"
            );
        }
        // By their number alone, and once they are read.
        for (k, says) in [(1000, "the server's limit is 65536"), (220, "more than 65536 bytes of values")] {
            let refused = client.search(asked(&[], k)).await.unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
            assert!(refused.message().contains(says), "{refused}");
        }
        assert!(client.search(asked(&[], 10)).await.is_ok());
    });
}

#[test]
fn a_damaged_block_costs_the_neighbours_in_it_and_says_so() {
    let copy = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(folder().path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    let index = Index::open(copy.path()).unwrap();
    let price = index.segments()[0].attribute(4).unwrap();
    let (piece, path) = (price.cell_piece(0), price.blob().unwrap().path().to_owned());
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, piece.offset + 40).unwrap();
    file.write_all_at(&[byte[0] ^ 1], piece.offset + 40).unwrap();
    drop(index);
    run(async {
        let server = Server::of(&format!("index={}", copy.path().display()), &["--queue-delay-ms", "60000"]);
        let client = server.client();
        // 1 024 of 3 000 vectors are in the block.
        let options = with(&["price", "colour"], None);
        let asked = v1::SearchRequest { k: 300, options, query: Some(raw(3)), ..Default::default() };
        let answer = client.search(asked.clone()).await.unwrap();
        let missing = answer.missing.unwrap();
        assert_eq!((missing.lists, missing.pages as usize), (0, 300 - answer.ids.len()));
        assert!((50..250).contains(&missing.pages), "{missing:?}");
        check(&answer.attributes, &answer.ids, &["price", "colour"]);
        let options = with(&["colour"], None);
        let whole = client.search(v1::SearchRequest { options, ..asked }).await.unwrap();
        assert!(whole.missing.is_none() && whole.ids.len() == 300);
        let lost = whole.ids.iter().find(|id| !answer.ids.contains(id)).copied().unwrap();
        let fetch = v1::FetchRequest {
            ids: vec![answer.ids[0], lost],
            with_attributes: selection(&["price"]),
            ..Default::default()
        };
        let fetched = client.fetch(fetch).await.unwrap();
        assert_eq!((fetched.found, fetched.damaged), (vec![true, false], vec![1]));
        assert!(server.log.wait(&["damaged parts"]).contains("block 0 of values"));
    });
}
