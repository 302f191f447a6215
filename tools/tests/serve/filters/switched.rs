//! Another version takes the place of an index under filtered queries.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use spandrel_index::testing::TestIndex;
use spandrel_proto::v1;

use super::messages::{K, as_text, request};
use super::rows::{Row, made, nearest, rows};
use crate::support::{Server, run};

/// Of the first version, and of the second, where each row has the attributes of the row `SHIFT` further.
const SHIFT: u64 = 1;

fn expected(version: u64, query: usize, holds: fn(&Row) -> bool) -> Vec<u64> {
    let all = match version {
        1 => nearest(query, holds),
        _ => {
            let moved: Vec<bool> = (0..rows().count() as u64)
                .map(|id| holds(&super::rows::row((id + SHIFT) % rows().count() as u64)))
                .collect();
            let mut all = nearest(query, |_| true);
            all.retain(|(id, _)| moved[*id as usize]);
            all
        }
    };
    all.into_iter().take(K as usize).map(|(id, _)| id).collect()
}

type Holds = fn(&Row) -> bool;

const FILTERS: [(&str, Holds); 4] = [
    ("stock >= 3", |row| row.stock.is_some_and(|stock| stock >= 3)),
    ("colour = 'grey'", |row| row.colour == Some("grey")),
    ("new = true and price < 50", |row| row.new == Some(true) && row.price.is_some_and(|price| price < 50.0)),
    ("not tags contains 'red'", |row| !row.tags.contains(&"red")),
];

#[test]
fn filtered_queries_are_of_one_version_and_the_filters_of_the_old_one_go() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        made().write(folder.path());
        let flags = ["--metrics", "127.0.0.1:0", "--queue-delay-ms", "60000"];
        let server = Server::of(&format!("index={}", folder.path().display()), &flags);
        let client = server.client();
        let taken = || server.metric("spandrel_index_memory_bytes{index=\"index\",part=\"filters\"}");
        let compiled = || server.metric("spandrel_filters_compiled_total{index=\"index\"}");
        // Many that nobody asks for again.
        for number in 0..200 {
            client.search(request(0, as_text(&format!("price < {number}.0625")))).await.unwrap();
        }
        let (old, before) = (taken(), compiled());
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        let answers: Vec<_> = (0..4_usize)
            .map(|asker| {
                let (client, stop, seen) = (client.clone(), Arc::clone(&stop), Arc::clone(&seen));
                let (text, holds) = FILTERS[asker];
                let of = [expected(1, asker, holds), expected(2, asker, holds)];
                assert_ne!(of[0], of[1]);
                tokio::spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        let answer = client.search(request(asker, as_text(text))).await.unwrap();
                        let version = answer.index_version as usize;
                        assert_eq!(answer.ids, of[version - 1], "{text} in version {version}");
                        seen[version - 1].fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let until_seen = async |version: usize| {
            let from = seen[version - 1].load(Ordering::Relaxed);
            while seen[version - 1].load(Ordering::Relaxed) < from + 20 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        until_seen(1).await;
        let mut attributes = made().attributes.clone();
        attributes.iter_mut().for_each(|attribute| attribute.cells.rotate_left(SHIFT as usize));
        TestIndex { attributes, version: 2, ..made().clone() }.write(folder.path());
        let switch = v1::StartSwitchRequest { index: "index".to_owned(), ..Default::default() };
        client.switch_index(switch).await.unwrap();
        until_seen(2).await;
        stop.store(true, Ordering::Relaxed);
        for answer in answers {
            answer.await.unwrap();
        }
        // Each of the four once for each version, and once more where its query was on its way while versions changed;
        // memory is that of the four.
        assert!((7.9..12.1).contains(&(compiled() - before)), "{} compiled", compiled() - before);
        assert!(taken() < old / 10.0, "{} of {old} bytes", taken());
    });
}
