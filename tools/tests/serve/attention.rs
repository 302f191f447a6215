//! The attention mass that answers hold, told by a server.
use spandrel_proto::v1;
use spandrel_proto::v1::search_stream_response::Result as ItemResult;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::{Server, made, run, spandrel};

const VECTORS: usize = 3000;
const DIM: usize = 8;
const QUERIES: usize = 20;

/// The numbers of a file of vectors.
fn numbers(path: &str) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap();
    bytes[8..].as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

/// The share of the mass that the vectors of these ids hold, by rows alone.
fn mass(base: &[f32], query: &[f32], ids: &[u64], scale: f64) -> f64 {
    let product = |row: &[f32]| row.iter().zip(query).map(|(a, b)| f64::from(a * b)).sum::<f64>();
    let scores: Vec<f64> = base.chunks(DIM).map(|row| scale * product(row)).collect();
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weight = |&score: &f64| (score - largest).exp();
    ids.iter().map(|&id| weight(&scores[id as usize])).sum::<f64>() / scores.iter().map(weight).sum::<f64>()
}

fn many(rows: &[f32], options: v1::SearchOptions) -> v1::SearchBatchRequest {
    let queries = Some(v1::Vectors::floats(DIM as u32, rows.to_vec()));
    v1::SearchBatchRequest { queries, k: 10, options: Some(options), ..Default::default() }
}

fn one(row: &[f32], options: v1::SearchOptions) -> v1::SearchRequest {
    let query = Some(v1::Vectors::floats(DIM as u32, row.to_vec()));
    v1::SearchRequest { query, k: 10, options: Some(options), ..Default::default() }
}

fn scaled(scale: f64) -> v1::SearchOptions {
    v1::SearchOptions { attention_scale: Some(scale), ..Default::default() }
}

#[test]
fn answers_tell_the_share_of_the_attention_mass_that_they_hold() {
    let [base, queries, index] =
        ["base.fbin", "queries.fbin", "index"].map(|file| made().text(&format!("attention-{file}")));
    let (vectors, dim, count) = (VECTORS.to_string(), DIM.to_string(), QUERIES.to_string());
    let size = ["--vectors", &vectors, "--dim", &dim, "--queries", &count];
    spandrel(&[&["data", "generate", "ood", "--out", &base, "--queries-out", &queries][..], &size].concat());
    let build = ["build", "--quiet", "--base", &base, "--metric", "ip", "--out", &index, "--no-calibrate"];
    spandrel(&[&build[..], &["--list-size", "32"]].concat());
    let (base, rows) = (numbers(&base), numbers(&queries));
    for flags in [&["--queue-delay-ms", "60000"][..], &["--queue-delay-ms", "60000", "--vectors", "memory"]] {
        let l2 = format!("l2={}", made().text("index"));
        let server = Server::of(&format!("index={index}"), &[flags, &["--index", &l2]].concat());
        run(async {
            let client = server.client();
            for scale in [0.35, 40.0] {
                let batch =
                    v1::SearchBatchRequest { index: "index".to_owned(), ..many(&rows, scaled(scale)) };
                let answers = client.search_batch(batch).await.unwrap();
                assert_eq!(answers.attention_masses.len(), QUERIES);
                for (number, (row, found)) in rows.chunks(DIM).zip(&answers.attention_masses).enumerate() {
                    let expected = mass(&base, row, &answers.ids[number * 10..number * 10 + 10], scale);
                    assert!(
                        (found - expected).abs() < 1e-4 * expected,
                        "{number}, {scale}: {found}, {expected}"
                    );
                }
            }
            let request = v1::SearchRequest { index: "index".to_owned(), ..one(&rows[..DIM], scaled(0.35)) };
            let answer = client.search(request.clone()).await.unwrap();
            let expected = mass(&base, &rows[..DIM], &answer.ids, 0.35);
            assert!((answer.attention_mass.unwrap() - expected).abs() < 1e-4 * expected, "{answer:?}");
            let item = v1::SearchStreamRequest { tag: 1, request: Some(request.clone()) };
            let mut stream = client.search_stream(tokio_stream::iter([item]), None).await.unwrap();
            let Some(ItemResult::Answer(streamed)) = stream.message().await.unwrap().unwrap().result else {
                panic!("an answer")
            };
            assert_eq!(streamed.attention_mass, answer.attention_mass);
            let none = v1::SearchRequest { options: None, ..request.clone() };
            assert_eq!(client.search(none).await.unwrap().attention_mass, None);
            let any = v1::Distances::Any as i32;
            let filter = Some(v1::Filter::text("id = 3"));
            for (options, says) in [
                (scaled(0.0), "0, expected more than 0 and at most 1e38"),
                (scaled(1e39), "expected more than 0 and at most 1e38"),
                (scaled(f64::NAN), "NaN, expected"),
                (v1::SearchOptions { filter, ..scaled(1.0) }, "not taken with filter"),
                (v1::SearchOptions { distances: any, ..scaled(1.0) }, "not taken with distances"),
            ] {
                let wrong = v1::SearchRequest { options: Some(options), ..request.clone() };
                let status = client.search(wrong).await.unwrap_err();
                assert_eq!(status.code(), Code::InvalidArgument, "{status}");
                assert!(status.message().contains(says), "{status}");
                let details = status.get_details_bad_request().unwrap();
                assert_eq!(details.field_violations[0].field, "options.attention_scale", "{status}");
            }
            let by_l2 = v1::SearchRequest {
                index: "l2".to_owned(),
                options: Some(scaled(1.0)),
                ..crate::support::request(0)
            };
            let status = client.search(by_l2).await.unwrap_err();
            assert!(status.message().contains("the index compares by l2, expected ip"), "{status}");
        });
    }
}
