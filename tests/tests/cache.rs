//! A cache of pages changes what is read, never what is answered.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use spandrel_engine::paging::CachePolicy;
use spandrel_engine::{Answer, Engine, EngineConfig, Lookup, Rerank, SearchParams};
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::VectorsOf;
use spandrel_index::{DType, Index, Metric, OpenOptions, Tier};
use spandrel_io::faults::{FaultRates, FaultyReader, Schedule};
use spandrel_io::{Backend, Completion, Read, ReadBuf, ReadError, ReadFile, Reader, open_reader};
use spandrel_tests::{Base, clustered, coded};
use tempfile::TempDir;

use crate::support::{assert_true, engine_config};

fn built(metric: Metric) -> (TempDir, Base) {
    let dir = tempfile::tempdir().unwrap();
    let base = Base::new(clustered(DType::F32, 32, 4000, 1));
    base.build(&coded(metric, CodeSpec::RaBitQ { bits: 2 }, Tier::Memory, dir.path())).unwrap();
    (dir, base)
}

fn config(cache_bytes: u64) -> EngineConfig {
    EngineConfig { cache_bytes, ..engine_config() }
}

fn neighbours(answers: &[Answer]) -> Vec<Vec<(u64, u32)>> {
    let bits = |a: &Answer| a.neighbours.iter().map(|n| (n.id, n.distance.to_bits())).collect();
    answers.iter().map(bits).collect()
}

fn sum(answers: &[Answer], of: fn(&Answer) -> u32) -> u32 {
    answers.iter().map(of).sum()
}

#[test]
fn answers_are_the_same_and_reads_are_saved() {
    for metric in Metric::ALL {
        let (dir, _) = built(metric);
        let queries = clustered(DType::F32, 32, 100, 2);
        for codes in [Tier::Memory, Tier::Ssd] {
            let options = OpenOptions { codes: Some(codes), vectors: None, ids: false };
            let index = Arc::new(Index::open_with(dir.path(), options).unwrap());
            for rerank in [Rerank::Errors(1.0), Rerank::Count(40)] {
                let params = SearchParams { rerank: Some(rerank), ..SearchParams::new(10) };
                let plain = Engine::open(Arc::clone(&index), config(0)).unwrap();
                let expected = plain.search(queries.bytes(), &params).unwrap();
                assert_eq!(sum(&expected, |a| a.work.cache_hits), 0);
                // Room for a fifth of the pages, and for all.
                for (share, cache_policy) in
                    [5, 1].into_iter().flat_map(|share| CachePolicy::ALL.map(|policy| (share, policy)))
                {
                    let bytes = index.segments()[0].vectors(VectorsOf::Main).body_bytes / share + 400_000;
                    let cached = EngineConfig { cache_policy, ..config(bytes) };
                    let engine = Engine::open(Arc::clone(&index), cached).unwrap();
                    for pass in 0..3 {
                        let answers = engine.search(queries.bytes(), &params).unwrap();
                        assert_eq!(
                            neighbours(&answers),
                            neighbours(&expected),
                            "{metric} {codes} pass {pass}"
                        );
                        let (hits, reranked) =
                            (sum(&answers, |a| a.work.cache_hits), sum(&answers, |a| a.work.reranked));
                        assert_eq!(reranked, sum(&expected, |a| a.work.reranked));
                        assert!(pass == 0 || hits > 0);
                        if pass > 0 && share == 1 && codes == Tier::Memory {
                            assert_eq!(sum(&answers, |a| a.work.reads), 0, "everything is in the cache");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn pages_that_were_damaged_on_the_way_are_not_kept() {
    let (dir, base) = built(Metric::L2);
    let queries = clustered(DType::F32, 32, 100, 2);
    let index = Arc::new(Index::open(dir.path()).unwrap());
    let rates = FaultRates { flip: 0.3, error: 0.1, ..FaultRates::default() };
    let config = EngineConfig {
        threads: 1,
        ..config(index.segments()[0].vectors(VectorsOf::Main).body_bytes + 400_000)
    };
    let engine = Engine::open_with(Arc::clone(&index), config, move || {
        Ok(Box::new(FaultyReader::new(open_reader(config.io, 32)?, Schedule::seeded(1, rates))))
    })
    .unwrap();
    let mut damaged = 0;
    for pass in 0..20 {
        let answers = engine.search(queries.bytes(), &SearchParams::new(10)).unwrap();
        for (at, answer) in answers.iter().enumerate() {
            assert_true(Metric::L2, &base, queries.row(at), answer, &format!("pass {pass}, query {at}"));
        }
        damaged = answers.iter().filter(|answer| answer.missing.parts() > 0).count();
    }
    assert_eq!(damaged, 0, "in the end every page was read well once, and stayed");
}

/// Counts reads.
struct Counting(Box<dyn Reader>, Arc<AtomicU64>);

impl Reader for Counting {
    fn add_file(&mut self, file: Arc<ReadFile>) -> u32 {
        self.0.add_file(file)
    }

    fn remove_file(&mut self, slot: u32) {
        self.0.remove_file(slot);
    }

    fn submit(&mut self, reads: &[Read]) -> Result<(), ReadError> {
        self.1.fetch_add(reads.len() as u64, Ordering::Relaxed);
        self.0.submit(reads)
    }

    fn complete(&mut self, at_least: usize, out: &mut Vec<Completion>) -> Result<(), ReadError> {
        self.0.complete(at_least, out)
    }

    fn in_flight(&self) -> usize {
        self.0.in_flight()
    }

    fn recycle(&mut self, buf: ReadBuf) {
        self.0.recycle(buf);
    }

    fn backend(&self) -> Backend {
        self.0.backend()
    }
}

/// Each id cost two reads, one after the other, also where they shared pages or the cache held them.
#[test]
fn ids_of_one_page_share_its_read_and_cached_vectors_need_none() {
    let (dir, base) = built(Metric::L2);
    let index = Arc::new(Index::open(dir.path()).unwrap());
    let lookup = Arc::new(Lookup::open(Arc::clone(&index)).unwrap());
    for (cache_bytes, expected) in
        [(0, [2, 2]), (index.segments()[0].vectors(VectorsOf::Main).body_bytes * 2, [2, 1])]
    {
        let config = EngineConfig { threads: 1, ..config(cache_bytes) };
        let reads = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&reads);
        let engine = Engine::open_with(Arc::clone(&index), config, move || {
            Ok(Box::new(Counting(open_reader(config.io, 32)?, Arc::clone(&counted))))
        })
        .unwrap();
        let ids = vec![7; 16];
        let got = expected.map(|_| {
            let before = reads.load(Ordering::Relaxed);
            let fetched = engine.fetch(&lookup, &ids).unwrap();
            assert_eq!(fetched.rows, base.rows.row(7).repeat(16));
            reads.load(Ordering::Relaxed) - before
        });
        assert_eq!(got, expected, "with {cache_bytes} bytes of cache");
    }
}
