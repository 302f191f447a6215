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
        // Nothing is refused on a machine that is busy with other tests.
        let server = Server::start(&["--queue-delay-ms", "60000"]);
        let client = server.client();
        let printed = made().in_process("index", &[]);
        let (_heading, expected) = printed.split_once('\n').unwrap();
        let uuid = client.describe_index("").await.unwrap().summary.unwrap().uuid;
        assert_eq!(uuid.len(), 32);
        let mut unary = String::new();
        for number in 0..QUERIES {
            let response = client.search(request(number)).await.unwrap();
            assert!(response.missing.is_none() && response.effort.is_none() && response.work.is_none());
            assert_eq!((response.index_version, response.index_uuid.as_str()), (1, uuid.as_str()));
            unary += &lines(number, &response);
        }
        assert_eq!(unary, expected);

        let tagged = |number: usize| v1::SearchStreamRequest {
            tag: number as u64 + 7,
            request: Some(request(number)),
        };
        let queries = tokio_stream::iter((0..QUERIES).map(tagged).collect::<Vec<_>>());
        let mut stream = client.search_stream(queries, None).await.unwrap();
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
            queries: Some(v1::Vectors::floats(DIM as u32, numbers)),
            k: 10,
            options: Some(options),
            ..Default::default()
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
        assert_eq!(vectors, bytes(vectors.raw_data().to_vec()));
        for (id, vector) in response.ids.iter().zip(vectors.raw_data().chunks(DIM)) {
            assert_eq!(vector, row(*id));
        }

        let ids = vec![17, VECTORS + 3, 0, u64::MAX];
        let fetched = client.fetch(v1::FetchRequest { ids, ..Default::default() }).await.unwrap();
        assert_eq!(fetched.found, [true, false, true, false]);
        assert_eq!(fetched.vectors.unwrap().raw_data(), [row(17), row(0)].concat());
    });
}

#[test]
fn vectors_of_the_index_are_searched_for_by_their_ids() {
    run(async {
        let server = Server::start(&["--queue-delay-ms", "60000"]);
        let client = server.client();
        let base = std::fs::read(made().path("base.u8bin")).unwrap();
        let row = |id: u64| base[8 + id as usize * DIM..][..DIM].to_vec();
        let ids = [4711, 0, 17, 4711];
        let rows = bytes(ids.map(row).concat());
        let batch = |queries| v1::SearchBatchRequest { queries: Some(queries), k: 10, ..Default::default() };
        let expected = client.search_batch(batch(rows)).await.unwrap();
        let by_id = client.search_batch(batch(v1::Vectors::ids(ids.to_vec()))).await.unwrap();
        assert_eq!(by_id, expected);
        assert!(by_id.distances.iter().step_by(10).all(|&distance| distance == 0.0), "each finds itself");

        let one = |query| v1::SearchRequest { query: Some(query), ..request(0) };
        let expected = client.search(one(bytes(row(17)))).await.unwrap();
        let found = client.search(one(v1::Vectors::ids(vec![17]))).await.unwrap();
        assert_eq!(found, expected);
        let item = v1::SearchStreamRequest { tag: 3, request: Some(one(v1::Vectors::ids(vec![17]))) };
        let mut stream = client.search_stream(tokio_stream::iter([item]), None).await.unwrap();
        let item = stream.message().await.unwrap().unwrap();
        assert_eq!(item.result, Some(ItemResult::Answer(expected)));

        let unknown = client.search_batch(batch(v1::Vectors::ids(vec![17, VECTORS]))).await.unwrap_err();
        assert_eq!(unknown.code(), tonic::Code::NotFound);
        assert!(unknown.message().contains("no vector 5000"), "{unknown}");
    });
}

#[test]
fn an_answer_says_how_it_was_found_where_that_is_asked_for() {
    run(async {
        let server = Server::start(&["--queue-delay-ms", "60000", "--max-message", "512KiB"]);
        let client = server.client();
        let explain = Some(v1::SearchOptions { explain: true, ..v1::SearchOptions::default() });
        let one = client.search(v1::SearchRequest { options: explain.clone(), ..request(0) }).await.unwrap();
        let (told, work) = (one.explanation.unwrap(), one.work.unwrap());
        let scanned: u64 = told.lists.iter().map(|list| u64::from(list.scanned)).sum();
        assert!(scanned == work.codes && scanned > 0, "{told:?}");
        let reads: u32 = told.rounds.iter().map(|round| round.reads).sum();
        assert_eq!((told.compared.len() as u32, reads), (work.reranked, work.reads), "{told:?}");
        assert!(one.ids.iter().all(|id| told.compared.iter().any(|vector| vector.id == Some(*id))));
        assert!(work.stages.is_some_and(|stages| stages.probe_us > 0.0));
        let plain = client.search(request(0)).await.unwrap();
        assert_eq!((plain.ids, plain.explanation), (one.ids, None));

        let batch = |queries: usize| v1::SearchBatchRequest {
            queries: Some(bytes(made().queries()[..queries * DIM].to_vec())),
            k: 10,
            options: explain.clone(),
            ..Default::default()
        };
        let few = client.search_batch(batch(3)).await.unwrap();
        assert_eq!(few.explanations[0].lists, told.lists);
        assert_eq!(few.explanations.len(), 3);
        // As many as a message might not hold are refused before they are searched.
        let refused = client.search_batch(batch(30)).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
        assert!(refused.message().contains("bytes of explanations"), "{refused}");
    });
}

#[test]
fn a_recall_is_asked_for_and_what_to_expect_is_told() {
    run(async {
        let server = Server::start(&["--queue-delay-ms", "60000"]);
        let client = server.client();
        let ask = |options| v1::SearchRequest { options: Some(options), ..request(0) };
        let with = |recall| v1::SearchOptions { recall: Some(recall), with_work: true, ..Default::default() };
        let mut codes = Vec::new();
        for recall in [0.5, 0.9] {
            let answer = client.search(ask(with(recall))).await.unwrap();
            let promise = answer.promise.unwrap();
            assert!(promise.target == recall && promise.reached, "{promise:?}");
            assert!(promise.expected_recall.unwrap() > recall - 1e-9, "{promise:?}");
            let work = answer.work.unwrap();
            codes.push(work.codes + u64::from(work.reranked));
        }
        assert!(codes[0] < codes[1], "{codes:?}");
        let usual = client.search(request(0)).await.unwrap().promise.unwrap();
        assert_eq!(usual.target, 0.95);
        // More than the index can give is answered with what it has.
        let most = client.search(ask(with(1.0))).await.unwrap().promise.unwrap();
        assert!(!most.reached && most.expected_recall.unwrap() < 1.0, "{most:?}");
        let own = v1::SearchOptions { max_lists: Some(9), ..Default::default() };
        assert_eq!(client.search(ask(own)).await.unwrap().promise, None, "it names its own pruning");
        let batch = v1::SearchBatchRequest {
            queries: Some(bytes(made().queries()[..3 * DIM].to_vec())),
            k: 10,
            options: Some(with(0.9)),
            ..Default::default()
        };
        assert_eq!(client.search_batch(batch).await.unwrap().promises.len(), 3);
        for wrong in [with(0.0), with(1.5), v1::SearchOptions { epsilon: Some(0.1), ..with(0.9) }] {
            let refused = client.search(ask(wrong)).await.unwrap_err();
            assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{refused}");
            let fields = tonic_types::StatusExt::get_details_bad_request(&refused).unwrap().field_violations;
            assert_eq!(fields[0].field, "options.recall");
        }
        let calibration = client.describe_index("").await.unwrap().calibration.unwrap();
        let curve = calibration.curves.iter().find(|curve| curve.k == 10).unwrap();
        assert!(curve.queries > 100 && curve.points.last().unwrap().recall > 0.95, "{calibration:?}");
        assert_ne!(calibration.source(), v1::CalibrationSource::Unspecified);
    });
}

#[test]
fn a_limit_that_cuts_an_answer_short_is_named() {
    run(async {
        let server = Server::start(&["--max-k", "100000", "--metrics", "127.0.0.1:0"]);
        let client = server.client();
        let all = u32::try_from(VECTORS).unwrap();
        let lists = v1::SearchOptions { max_lists: Some(1), ..Default::default() };
        let bytes = v1::SearchOptions { max_bytes: Some(1), ..Default::default() };
        for (k, options, limit) in [
            (10, None, v1::Limit::Unspecified),
            (10, Some(bytes), v1::Limit::MaxBytes),
            (all, Some(lists), v1::Limit::MaxLists),
            (all, None, v1::Limit::Unspecified),
            (all + 7, None, v1::Limit::Unspecified),
        ] {
            let one = v1::SearchRequest { k, options: options.clone(), ..request(3) };
            let answer = client.search(one.clone()).await.unwrap();
            assert_eq!(answer.limited_by(), limit, "k {k}: {options:?}");
            if limit == v1::Limit::Unspecified {
                assert_eq!(answer.ids.len(), k.min(all) as usize, "k {k}");
            } else {
                assert!(!answer.ids.is_empty() && answer.ids.len() < k as usize, "k {k}: {options:?}");
            }
            let queries = Some(self::bytes(made().queries()[..2 * DIM].to_vec()));
            let batch = v1::SearchBatchRequest { queries, k, options: options.clone(), ..Default::default() };
            let batch = client.search_batch(batch).await.unwrap();
            let expected = if limit == v1::Limit::Unspecified { vec![] } else { vec![limit; 2] };
            assert_eq!(batch.limited_by().collect::<Vec<_>>(), expected, "k {k}: {options:?}");
            let item = v1::SearchStreamRequest { tag: 0, request: Some(one) };
            let mut stream = client.search_stream(tokio_stream::iter([item]), None).await.unwrap();
            let item = stream.message().await.unwrap().unwrap();
            assert_eq!(item.result, Some(ItemResult::Answer(answer)), "k {k}: {options:?}");
        }
        let counted = server.metric("spandrel_queries_limited_total{index=\"index\"}");
        assert!((counted - 8.0).abs() < 0.5, "{counted} counted");

        let queries = made().text("queries.u8bin");
        let index = made().text("index");
        for place in [["--server", &server.address], ["--index", &index]] {
            let flags = ["query", "--queries", &queries, "--k", "5000", "--max-lists", "1"];
            let output = std::process::Command::new(env!("CARGO_BIN_EXE_spandrel"))
                .args([&flags[..], &place[..]].concat())
                .output()
                .unwrap();
            let told = String::from_utf8(output.stderr).unwrap();
            assert!(
                output.status.success() && told.contains("200 answers were cut short by max_lists"),
                "{told}"
            );
        }
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
        let verify = v1::StartVerifyRequest { index: "index".to_owned(), deep: true };
        let verified = server.client().verify(verify).await.unwrap();
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
        let answer =
            with.client().search(v1::SearchRequest { options: options.clone(), ..request(3) }).await.unwrap();
        assert!(answer.estimated.is_empty() || answer.estimated.len() == answer.ids.len());
        let without = Server::start(&[]);
        let refused = without
            .client()
            .search(v1::SearchRequest { options: options.clone(), ..request(3) })
            .await
            .unwrap_err();
        assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
        assert!(refused.message().contains("--distances any"), "{refused}");
        let rows = bytes(made().queries());
        let batch = v1::SearchBatchRequest { queries: Some(rows), k: 10, options, ..Default::default() };
        let flags = with.client().search_batch(batch).await.unwrap();
        assert_eq!(flags.estimated.len(), flags.ids.len(), "some of 200 queries have an estimate");
    });
}

#[test]
fn of_two_indexes_the_command_line_asks_for_a_name() {
    let half = format!("half={}", made().text("half"));
    let server = Server::start(&["--index", &half]);
    let queries = made().text("queries.u8bin");
    for name in [&[][..], &["--index-name", "other"]] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_spandrel"))
            .args([&["query", "--server", &server.address, "--queries", &queries], name].concat())
            .output()
            .unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("help: choose one of them with --index-name"), "{told}");
        assert!(told.contains("half") && told.contains("index"), "{told}");
    }
    spandrel(&["query", "--server", &server.address, "--queries", &queries, "--index-name", "half"]);
}
