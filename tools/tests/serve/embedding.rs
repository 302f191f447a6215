//! Versions of the model that queries come from, asked of a server.
use spandrel_proto::v1;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::{Server, made, run, spandrel};

const DIM: usize = 8;

/// An index whose vectors are of these versions, and queries.
fn build(name: &str, versions: &[&str]) -> (String, String) {
    let [base, queries, index] =
        ["base.fbin", "queries.fbin", "index"].map(|file| made().text(&format!("{name}-{file}")));
    let size = ["--vectors", "1000", "--dim", "8", "--queries", "10"];
    spandrel(&[&["data", "generate", "ood", "--out", &base, "--queries-out", &queries][..], &size].concat());
    let fixed = ["build", "--quiet", "--base", &base, "--metric", "ip", "--out", &index, "--no-calibrate"];
    spandrel(&[&fixed[..], versions].concat());
    (index, queries)
}

fn vectors(queries: &str, count: usize) -> Option<v1::Vectors> {
    let rows = std::fs::read(queries).unwrap()[8..8 + 4 * DIM * count].to_vec();
    Some(v1::Vectors::raw(DIM as u32, v1::Dtype::F32, rows))
}

fn options(version: Option<&str>) -> Option<v1::SearchOptions> {
    let embedding_version = version.map(str::to_owned);
    Some(v1::SearchOptions { embedding_version, ..Default::default() })
}

#[test]
fn a_version_that_is_not_listed_is_refused_by_every_call() {
    let (index, queries) =
        build("versions", &["--embedding-version", "new", "--compatible-version", "old,older"]);
    let server = Server::of(&format!("index={index}"), &[]);
    let one = |version| v1::SearchRequest {
        query: vectors(&queries, 1),
        k: 3,
        options: options(version),
        ..Default::default()
    };
    let many = |version| v1::SearchBatchRequest {
        queries: vectors(&queries, 5),
        k: 3,
        options: options(version),
        ..Default::default()
    };
    let range = |version: Option<&str>| v1::SearchRangeRequest {
        query: vectors(&queries, 1),
        radius: Some(-1e9),
        embedding_version: version.map(str::to_owned),
        ..Default::default()
    };
    run(async {
        let client = server.client();
        let told = client.describe_index("").await.unwrap();
        assert_eq!(told.embedding_versions, ["new", "old", "older"]);
        let refused = |status: tonic::Status, field: &str| {
            assert_eq!(status.code(), Code::InvalidArgument, "{status}");
            assert!(status.message().contains("\"other\", expected new, old, older"), "{status}");
            let details = status.get_details_bad_request().unwrap();
            assert_eq!(details.field_violations[0].field, field, "{status}");
        };
        for version in [None, Some("new"), Some("older")] {
            assert_eq!(client.search(one(version)).await.unwrap().ids.len(), 3, "{version:?}");
            client.search_batch(many(version)).await.unwrap();
            let mut parts = client.search_range(range(version), None).await.unwrap();
            assert!(parts.message().await.unwrap().is_some());
        }
        refused(client.search(one(Some("other"))).await.unwrap_err(), "options.embedding_version");
        refused(client.search_batch(many(Some("other"))).await.unwrap_err(), "options.embedding_version");
        let range = match client.search_range(range(Some("other")), None).await {
            Err(status) => status,
            Ok(mut parts) => parts.message().await.unwrap_err(),
        };
        refused(range, "embedding_version");
    });
    let ask = |flags: &[&str]| {
        let all = ["query", "--quiet", "--queries", &queries, "--k", "3", "--embedding-version", "old"];
        spandrel(&[&all[..], flags].concat())
    };
    let expected = ask(&["--index", &index]);
    for rpc in ["unary", "batch", "stream"] {
        assert!(ask(&["--server", &server.address, "--rpc", rpc]) == expected, "{rpc}");
    }
}

#[test]
fn several_indexes_must_all_list_a_version() {
    let (both, queries) = build("versions-both", &["--embedding-version", "2", "--compatible-version", "1"]);
    let (none, _) = build("versions-none", &[]);
    let server = Server::of(&format!("both={both}"), &["--index", &format!("none={none}")]);
    let request = |version, indexes: &[&str]| v1::SearchRequest {
        indexes: indexes.iter().map(|&name| name.to_owned()).collect(),
        query: vectors(&queries, 1),
        k: 3,
        options: options(version),
        ..Default::default()
    };
    run(async {
        let client = server.client();
        client.search(request(None, &["both", "none"])).await.unwrap();
        client.search(request(Some("1"), &["both"])).await.unwrap();
        let status = client.search(request(Some("1"), &["both", "none"])).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.message().contains("index none: embedding version"), "{status}");
        assert!(status.message().contains("the index names no version"), "{status}");
    });
}
