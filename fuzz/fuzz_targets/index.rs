//! Indexes of which one file has other bytes, under hashes that hold. The first byte says of which index, the second which file.
//!
//! What opens is searched, and verified: answers are in order, distinct and of vectors that there are.
#![no_main]
use std::sync::atomic::AtomicBool;

use libfuzzer_sys::fuzz_target;
use spandrel_engine::{Engine, EngineConfig, SearchParams};
use spandrel_fuzz::indexes::all;
use spandrel_index::{Index, Metric, verify};

fuzz_target!(|input: &[u8]| {
    let [which, file, content @ ..] = input else { return };
    let indexes = all();
    let made = &indexes[usize::from(*which) % indexes.len()];
    made.with(usize::from(*file), content, |dir| {
        let Ok(index) = Index::open(dir) else { return };
        let (vectors, bytes) = (index.vectors(), index.query_shape().row_bytes());
        let (is_of_documents, metric) = (index.documents().is_some(), index.metric());
        // The best first, which products are from the largest on.
        let sign = if metric == Metric::InnerProduct { -1.0 } else { 1.0 };
        drop(verify(dir, true, &mut |_| {}, &AtomicBool::new(false)));
        let config = EngineConfig { threads: 1, in_flight: 1, ..EngineConfig::default() };
        let Ok(engine) = Engine::open(index.into(), config) else { return };
        if is_of_documents {
            return;
        }
        let params = SearchParams { max_lists: Some(30), ..SearchParams::new(10) };
        for answer in engine.search(&vec![7; bytes], &params).into_iter().flatten() {
            let found: Vec<(f32, u64)> =
                answer.neighbours.iter().map(|of| (sign * of.distance, of.id)).collect();
            assert!(found.is_sorted_by(|a, b| a < b), "{found:?}");
            assert!(found.iter().all(|&(_, id)| id < vectors), "{found:?} of {vectors}");
        }
    });
});
