//! Replacing indexes and servers while they are in use, and damage found on the way.
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use spandrel_client::{Client, ClientConfig, RetryPolicy};
use spandrel_index::format::{Manifest, current, publish_manifest};
use spandrel_io::FolderStore;
use spandrel_proto::v1;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::holding::until;
use crate::support::{QUERIES, Server, copy_folder, made, request, run, spandrel};

/// Asks without a pause until told to stop; checks every answer. How many there were.
fn keep_asking(
    client: Client,
    stop: Arc<AtomicBool>,
    check: impl Fn(usize, v1::SearchResponse) + Send + Sync + 'static,
) -> tokio::task::JoinHandle<u64> {
    tokio::spawn(async move {
        let (count, check) = (AtomicU64::new(0), &check);
        let asker = |first: usize| {
            let (client, stop, count) = (client.clone(), &stop, &count);
            async move {
                for number in (0..QUERIES).cycle().skip(first) {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    check(number, client.search(request(number)).await.unwrap());
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        tokio::join!(asker(0), asker(50), asker(100), asker(150));
        count.into_inner()
    })
}

/// Ids of the answers of an index, by query.
fn ids_of(index: &str) -> Vec<Vec<u64>> {
    let mut ids = vec![Vec::new(); QUERIES];
    // The first is a heading.
    for line in made().in_process(index, &[]).lines().skip(1) {
        let mut words = line.split('\t');
        let number: usize = words.next().unwrap().parse().unwrap();
        ids[number].push(words.nth(1).unwrap().parse().unwrap());
    }
    ids
}

/// A version that differs in what it says of recall alone, as calibrating an index again publishes it.
fn recalibrate(dir: &Path) {
    let store = FolderStore::new(dir);
    let manifest = Manifest::open(&store, current(&store).unwrap()).unwrap();
    publish_manifest(&store, &Manifest { version: manifest.version + 1, recall: None, ..manifest }).unwrap();
}

#[test]
fn a_recalibrated_index_is_switched_to_without_loading_it_again() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let live = folder.path().join("live");
        copy_folder(&made().path("index"), &live);
        let server = Server::of(&format!("index={}", live.display()), &["--threads", "1"]);
        let client = server.client();
        let before = client.search(request(0)).await.unwrap();
        assert!(before.promise.unwrap().expected_recall.is_some());
        let memory = client.describe_index("").await.unwrap().memory_bytes;
        recalibrate(&live);
        let switch =
            |version| v1::StartSwitchRequest { index: "index".to_owned(), version, ..Default::default() };
        let switched = client.switch_index(switch(0)).await.unwrap();
        assert_eq!((switched.old_version, switched.summary.unwrap().version), (Some(1), 2));
        let read = |operations: Vec<v1::Operation>| operations.last().unwrap().done_bytes;
        let listed = client.admin().list_operations(v1::ListOperationsRequest {}).await.unwrap();
        // The manifest alone, and the first ids of pages; opening it anew reads all that stays in memory.
        let (codes, shared) = (memory["codes"], read(listed.into_inner().operations));
        assert!(shared < codes / 4, "{shared} bytes were read of an index with {codes} bytes of codes");
        assert_eq!(client.describe_index("").await.unwrap().memory_bytes, memory);
        let after = client.search(request(0)).await.unwrap();
        assert_eq!((after.index_version, after.promise.unwrap().expected_recall), (2, None));
        // Once more the same, which is opened anew: files may have been restored.
        client.switch_index(switch(2)).await.unwrap();
        let listed = client.admin().list_operations(v1::ListOperationsRequest {}).await.unwrap();
        let anew = read(listed.into_inner().operations);
        assert!(anew > codes, "{anew} bytes were read");
    });
}

#[test]
fn an_index_is_switched_under_load_without_a_failure() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let live = folder.path().join("live");
        copy_folder(&made().path("half"), &live);
        let (half, whole) = (ids_of("half"), ids_of("index"));
        let root = folder.path().to_str().unwrap().to_owned();
        let flags = ["--root", &root, "--threads", "2"];
        let server = Server::of(&format!("index={}", live.display()), &flags);
        assert_eq!(server.search_threads(), 2);
        let versions = Arc::new(std::sync::Mutex::new(BTreeSet::new()));
        let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::clone(&versions));
        let asking = keep_asking(server.client(), Arc::clone(&stop), move |number, answer| {
            let expected = if answer.index_version == 1 { &half } else { &whole };
            assert_eq!(answer.ids, expected[number], "of version {} alone", answer.index_version);
            seen.lock().unwrap().insert(answer.index_version);
        });
        let client = server.client();
        let switch = v1::StartSwitchRequest { index: "index".to_owned(), ..Default::default() };
        let seen = |count| versions.lock().unwrap().len() >= count;
        while !seen(1) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Published beside the old version, in the same folder, by a build of its own.
        let (base, out) = (made().text("base.u8bin"), live.to_str().unwrap());
        spandrel(&[
            "build",
            "--quiet",
            "--base",
            &base,
            "--metric",
            "l2",
            "--out",
            out,
            "--list-size",
            "32",
            "--replace",
        ]);
        // The files of the old version are gone from the folder, and still what is served and verified.
        for deep in [false, true] {
            let verify = v1::StartVerifyRequest { index: "index".to_owned(), deep };
            let verified = client.verify(verify).await.unwrap();
            assert!(verified.whole && verified.version == 1, "{verified:?}");
        }
        let switched = client.switch_index(switch.clone()).await.unwrap();
        assert_eq!((switched.old_version, switched.summary.unwrap().version), (Some(1), 2));
        // Threads of search are those of the server, with one version open or several.
        for _ in 0..10 {
            client.switch_index(switch.clone()).await.unwrap();
            assert_eq!(server.search_threads(), 2);
        }
        // One that cannot be opened leaves the old one in place.
        std::fs::write(live.join("CURRENT"), b"nothing").unwrap();
        let refused = client.switch_index(switch).await.unwrap_err();
        assert_eq!(refused.code(), Code::DataLoss, "{refused}");
        while !seen(2) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stop.store(true, Ordering::Relaxed);
        assert!(asking.await.unwrap() > 100);
        assert_eq!(*versions.lock().unwrap(), BTreeSet::from([1, 2]));
    });
}

#[test]
fn two_servers_are_restarted_in_turn_without_a_failed_call() {
    run(async {
        let port = |server: &Server| server.address.clone();
        let mut servers = [Server::start(&[]), Server::start(&[])];
        let addresses = [port(&servers[0]), port(&servers[1])];
        let config = ClientConfig {
            address: addresses.join(","),
            retry: RetryPolicy { attempts: 20, ..RetryPolicy::default() },
            ..ClientConfig::default()
        };
        let client = Client::new(&config).unwrap();
        let whole = ids_of("index");
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&answered);
        let asking = keep_asking(client, Arc::clone(&stop), move |number, answer| {
            assert_eq!(answer.ids, whole[number]);
            count.fetch_add(1, Ordering::Relaxed);
        });
        for turn in 0..4 {
            let before = answered.load(Ordering::Relaxed);
            until("calls are answered", || answered.load(Ordering::Relaxed) > before + 100).await;
            let at = turn % 2;
            let flags = ["--listen", &addresses[at]];
            let index = format!("index={}", made().text("index"));
            servers[at].terminate();
            // The new one takes the address as soon as the old one has let it go.
            let new = tokio::task::block_in_place(|| {
                servers[at].wait();
                Server::of(&index, &flags)
            });
            servers[at] = new;
        }
        stop.store(true, Ordering::Relaxed);
        assert!(asking.await.unwrap() > 100);
    });
}

#[test]
fn a_server_told_to_stop_finishes_and_ends_with_0() {
    run(async {
        let mut server = Server::start(&["--grace-seconds", "20"]);
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
        let mut health = HealthClient::new(endpoint.connect().await.unwrap());
        let mut watch = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
        assert_eq!(watch.message().await.unwrap().unwrap().status, 1);
        // A stream that has been answered so far, and stays open.
        let (sender, receiver) = tokio::sync::mpsc::channel(4);
        let mut stream = server
            .client()
            .search_stream(tokio_stream::wrappers::ReceiverStream::new(receiver), None)
            .await
            .unwrap();
        sender.send(v1::SearchStreamRequest { tag: 1, request: Some(request(1)) }).await.unwrap();
        assert_eq!(stream.message().await.unwrap().unwrap().tag, 1);
        server.terminate();
        assert_eq!(watch.message().await.unwrap().unwrap().status, 2, "not serving");
        let ended = stream.message().await.unwrap_err();
        assert_eq!(ended.code(), Code::Unavailable, "{ended}");
        let client = server.client();
        assert_eq!(tokio::task::spawn_blocking(move || server.wait()).await.unwrap(), Some(0));
        assert_eq!(client.search(request(0)).await.unwrap_err().code(), Code::Unavailable);
    });
}

#[test]
fn damage_is_flagged_counted_and_the_rest_goes_on() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("damaged");
        copy_folder(&made().path("index"), &dir);
        let vectors = dir.join("vectors-1");
        let mut bytes = std::fs::read(&vectors).unwrap();
        // A byte in every tenth page.
        (4096 + 77..bytes.len()).step_by(40_960).for_each(|at| bytes[at] ^= 0x40);
        std::fs::write(&vectors, &bytes).unwrap();
        let server = Server::of(&format!("index={}", dir.display()), &["--metrics", "127.0.0.1:0"]);
        let mut partial = 0;
        for number in 0..QUERIES {
            let answer = server.client().search(request(number)).await.unwrap();
            assert!(!answer.ids.is_empty());
            partial += u64::from(answer.missing.is_some());
        }
        assert!((10..QUERIES as u64).contains(&partial), "{partial}");
        // By id, a damaged page costs its own vectors.
        let ids: Vec<u64> = (0..1000).collect();
        let fetched = server.client().fetch(v1::FetchRequest { ids, ..Default::default() }).await.unwrap();
        let found = fetched.found.iter().filter(|&&found| found).count();
        assert!(
            !fetched.damaged.is_empty() && found + fetched.damaged.len() == 1000,
            "{:?}",
            fetched.damaged
        );
        assert!(fetched.damaged.iter().all(|&at| !fetched.found[at as usize]));
        assert_eq!(fetched.vectors.unwrap().raw_data().len(), found * crate::support::DIM);
        let about = server.client().describe_index("").await.unwrap();
        let quarantined = about.summary.unwrap().quarantined;
        assert!(quarantined > 0 && about.quarantined.len() as u32 == quarantined);
        assert!(
            (server.metric("spandrel_index_quarantined{index=\"index\"}") - f64::from(quarantined)).abs()
                < 0.5
        );
        assert!(
            (server.metric("spandrel_queries_partial_total{index=\"index\"}") - partial as f64).abs() < 0.5
        );
        let verify = v1::StartVerifyRequest { index: "index".to_owned(), deep: false };
        let verified = server.client().verify(verify).await.unwrap();
        assert!(!verified.whole && verified.problem.contains("vectors-1"), "{verified:?}");
    });
}
