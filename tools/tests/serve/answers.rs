//! Answers are those of a search in this process, whichever way they are asked for.
use std::collections::BTreeMap;

use spandrel_proto::v1;
use spandrel_proto::v1::search_stream_response::Result as ItemResult;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServiceResponse};

use crate::support::{DIM, QUERIES, Server, VECTORS, bytes, made, request, run, spandrel};

#[test]
fn the_command_line_gives_the_same_from_both() {
    let server = Server::start(&["--distances", "any"]);
    let queries = made().text("queries.u8bin");
    for flags in [
        &["--k", "3"][..],
        &["--max-lists", "7"],
        &["--rerank", "20"],
        &["--distances", "any"],
        &["--rerank-errors", "2.5"],
    ] {
        let fixed = ["query", "--quiet", "--server", &server.address, "--queries", &queries];
        assert_eq!(spandrel(&[&fixed, flags].concat()), made().in_process("index", flags), "{flags:?}");
    }
    let out = made().text("answers.ibin");
    spandrel(&["query", "--server", &server.address, "--queries", &queries, "--out", &out]);
    let truth = made().text("truth.ibin");
    let base = made().text("base.u8bin");
    spandrel(&["data", "truth", "--base", &base, "--queries", &queries, "--metric", "l2", "--out", &truth]);
    for rpc in ["unary", "batch", "stream"] {
        let fixed =
            ["bench", "--quiet", "--server", &server.address, "--queries", &queries, "--truth", &truth];
        let fixed = [&fixed[..], &["--rerank-errors", "3,0"]].concat();
        let asked = ["query", "--quiet", "--server", &server.address, "--queries", &queries, "--rpc", rpc];
        let paced = [&asked[..], &["--connections", "3", "--rate", "20000"]].concat();
        assert_eq!(spandrel(&paced), made().in_process("index", &[]), "{rpc}");
        let json = made().text(&format!("{rpc}.json"));
        spandrel(&[&fixed[..], &["--rpc", rpc, "--seconds", "0", "--json", &json]].concat());
        let points: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
        assert!(points[0]["recall"].as_f64().unwrap() > 0.9, "{points}");
        assert!(points[0]["lists"].as_f64().unwrap() > 1.0 && points[0]["io"].is_null(), "{points}");
        let reranked = [0, 1].map(|point: usize| points[point]["reranked"].as_f64().unwrap());
        assert!(reranked[0] > reranked[1], "more errors compare more: {points}");
    }
}

/// The lines of `query` for answers, by number.
fn lines(number: usize, response: &v1::SearchResponse) -> String {
    let found = response.ids.iter().zip(&response.distances).zip(1..);
    found.map(|((id, distance), rank)| format!("{number}\t{rank}\t{id}\t{distance}\n")).collect()
}

#[test]
fn every_method_gives_the_same() {
    run(async {
        let server = Server::start(&[]);
        let client = server.client();
        let expected = made().in_process("index", &[]);
        let mut unary = String::new();
        for number in 0..QUERIES {
            let response = client.search(request(number)).await.unwrap();
            assert!(!response.partial && !response.degraded && response.work.is_none());
            assert_eq!(response.index_version, 1);
            unary += &lines(number, &response);
        }
        assert_eq!(unary, expected);

        let tagged = |number: usize| v1::SearchStreamRequest {
            tag: number as u64 + 7,
            request: Some(request(number)),
        };
        let queries = tokio_stream::iter((0..QUERIES).map(tagged).collect::<Vec<_>>());
        let mut stream = client.search_stream(queries).await.unwrap();
        let mut answered = BTreeMap::new();
        while let Some(item) = stream.message().await.unwrap() {
            let Some(ItemResult::Answer(answer)) = item.result else { panic!("{item:?}") };
            answered.insert(item.tag as usize - 7, answer);
        }
        let streamed: String = answered.iter().map(|(number, answer)| lines(*number, answer)).collect();
        assert_eq!(streamed, expected);

        // Numbers instead of bytes, in one batch, with all that can be asked for.
        let numbers = made().queries().iter().map(|&x| f32::from(x)).collect();
        let options =
            v1::SearchOptions { with_vectors: true, with_work: true, ..v1::SearchOptions::default() };
        let batch = v1::SearchBatchRequest {
            index: "index".to_owned(),
            queries: Some(v1::Vectors { f32: numbers, dim: DIM as u32, ..v1::Vectors::default() }),
            k: 10,
            options: Some(options),
        };
        let response = client.search_batch(batch).await.unwrap();
        assert_eq!(response.counts, [10; QUERIES]);
        assert_eq!(response.work.len(), QUERIES);
        assert!(response.work.iter().all(|work| work.lists > 0 && work.codes > 0 && work.search_us > 0.0));
        let mut batched = String::new();
        for (number, found) in response.ids.chunks(10).zip(response.distances.chunks(10)).enumerate() {
            let one = v1::SearchResponse {
                ids: found.0.to_vec(),
                distances: found.1.to_vec(),
                ..Default::default()
            };
            batched += &lines(number, &one);
        }
        assert_eq!(batched, expected);
        let base = std::fs::read(made().path("base.u8bin")).unwrap();
        let row = |id: u64| &base[8 + id as usize * DIM..][..DIM];
        let vectors = response.vectors.unwrap();
        assert_eq!((vectors.dtype(), vectors.dim), (v1::Dtype::U8, DIM as u32));
        for (id, vector) in response.ids.iter().zip(vectors.data.chunks(DIM)) {
            assert_eq!(vector, row(*id));
        }

        let ids = vec![17, VECTORS + 3, 0, u64::MAX];
        let fetched = client.fetch(v1::FetchRequest { index: String::new(), ids }).await.unwrap();
        assert_eq!(fetched.found, [true, false, true, false]);
        assert_eq!(fetched.vectors.unwrap().data, [row(17), row(0)].concat());
    });
}

#[test]
fn the_server_describes_itself() {
    run(async {
        let server = Server::start(&["--codes", "memory"]);
        let mut admin = server.client().admin();
        let list = admin.list_indexes(v1::ListIndexesRequest {}).await.unwrap().into_inner().indexes;
        let [index] = list.as_slice() else { panic!("{list:?}") };
        assert_eq!((index.name.as_str(), index.vectors, index.dim as usize), ("index", VECTORS, DIM));
        assert_eq!(
            (index.dtype(), index.metric(), index.quarantined),
            (v1::Dtype::U8, v1::Metric::SquaredL2, 0)
        );
        let about = server.client().describe_index("").await.unwrap();
        assert_eq!(about.summary.as_ref(), Some(index));
        assert_eq!(
            (about.codes(), about.vectors(), about.estimates),
            (v1::Tier::Memory, v1::Tier::Ssd, false)
        );
        let default = about.default_rerank_errors;
        assert!(default.is_finite() && default > 0.0, "{default}");
        assert!(about.memory_bytes["codes"] > VECTORS * 16 && about.disk_bytes > VECTORS * DIM as u64);
        let verify = v1::VerifyRequest { index: "index".to_owned(), deep: true };
        let verified = admin.verify(verify).await.unwrap().into_inner();
        assert!(verified.whole && verified.bytes > 0, "{verified:?}");

        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
        let channel = endpoint.connect().await.unwrap();
        let mut health = HealthClient::new(channel.clone());
        for service in ["", "index", "spandrel.v1.SearchService", "spandrel.v1.AdminService"] {
            let asked = HealthCheckRequest { service: service.to_owned() };
            let found = health.check(asked).await.unwrap().into_inner();
            assert_eq!(found.status, 1, "{service} is serving");
        }
        let unknown = health.check(HealthCheckRequest { service: "none".to_owned() }).await.unwrap_err();
        assert_eq!(unknown.code(), tonic::Code::NotFound);

        let asked = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let mut reflection = ServerReflectionClient::new(channel);
        let mut told =
            reflection.server_reflection_info(tokio_stream::once(asked)).await.unwrap().into_inner();
        let told = told.message().await.unwrap().unwrap().message_response;
        let Some(MessageResponse::ListServicesResponse(services)) = told else { panic!("{told:?}") };
        let name = |s: &ServiceResponse| s.name.clone();
        let names: Vec<String> = services.service.iter().map(name).collect();
        for service in ["spandrel.v1.SearchService", "spandrel.v1.AdminService", "grpc.health.v1.Health"] {
            assert!(names.iter().any(|name| name == service), "{names:?}");
        }
    });
}

#[test]
fn health_and_reflection_can_be_switched_off() {
    run(async {
        let server = Server::start(&["--health", "off", "--reflection", "off"]);
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
        let mut health = HealthClient::new(endpoint.connect().await.unwrap());
        let refused = health.check(HealthCheckRequest::default()).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unimplemented);
        assert_eq!(server.client().search(request(0)).await.unwrap().ids.len(), 10);
    });
}

#[test]
fn answers_may_be_estimates_where_ids_are_in_memory() {
    run(async {
        let options = Some(v1::SearchOptions { distances: v1::Distances::Any.into(), ..Default::default() });
        let with = Server::start(&["--distances", "any"]);
        let answer = with.client().search(v1::SearchRequest { options, ..request(3) }).await.unwrap();
        assert!(answer.estimated.is_empty() || answer.estimated.len() == answer.ids.len());
        let without = Server::start(&[]);
        let refused = without.client().search(v1::SearchRequest { options, ..request(3) }).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
        assert!(refused.message().contains("--distances any"), "{refused}");
        let rows = bytes(made().queries());
        let batch = v1::SearchBatchRequest { queries: Some(rows), k: 10, options, ..Default::default() };
        let flags = with.client().search_batch(batch).await.unwrap();
        assert_eq!(flags.estimated.len(), flags.ids.len(), "some of 200 queries have an estimate");
    });
}
