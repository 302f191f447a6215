//! Builds that learn from a sample of queries.
use super::*;
use crate::BuildConfig;

/// Of every three vectors one lies in a corner of its own.
fn in_two_places(vectors: usize) -> Memory {
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let row = |row: usize| {
        let low = if row.is_multiple_of(3) { 200 } else { 0 };
        [(); 8].map(|()| low + rng.random_range(0..50_u8))
    };
    Memory { dim: 8, rows: (0..vectors).flat_map(row).collect() }
}

/// Queries of that corner.
fn of_the_corner(queries: usize, seed: u64) -> Memory {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Memory { dim: 8, rows: (0..queries * 8).map(|_| rng.random_range(200..250)).collect() }
}

fn coded(out: &Path) -> BuildConfig {
    let code = CodeSpec::RaBitQ { bits: 2 };
    BuildConfig { code, codes: Tier::Memory, replicas: ReplicaRule::None, ..config(out) }
}

fn build_by(base: &Memory, sample: Option<&Memory>, config: &BuildConfig) -> Result<BuildReport, BuildError> {
    let input = Input { query_sample: sample.map(|sample| sample as _), ..Input::of(base) };
    build(input, config, &Silent, &AtomicBool::new(false))
}

#[test]
fn vectors_that_queries_want_have_lists_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let (base, sample) = (in_two_places(9000), of_the_corner(2500, 1));
    let out = |name: &str| coded(&dir.path().join(name));
    let plain = build_by(&base, None, &out("plain")).unwrap();
    let built = build_by(&base, Some(&sample), &out("sampled")).unwrap();
    let record = built.manifest.build.query_sample.clone().unwrap();
    assert!(record.own_lists, "{record:?}");
    assert_eq!((record.queries, record.held_back, record.depth), (2500, 1000, 100));
    assert!((2000..=3000).contains(&record.wanted), "only those of the corner are wanted: {record:?}");
    assert!(record.foreseen <= record.foreseen_of && record.foreseen_of == 150_000, "{record:?}");
    // Those that are wanted are in lists of a third of the size.
    let lists = |report: &BuildReport| report.manifest.lists();
    assert!(lists(&built) > lists(&plain) + 150, "{} and {}", lists(&built), lists(&plain));
    assert_ne!(built.manifest.uuid, plain.manifest.uuid);
    let expected = files(&out("sampled").out);
    for (threads, memory_bytes) in [(1, 1 << 30), (3, 128 << 20)] {
        let config = BuildConfig { threads, memory_bytes, ..out(&format!("{threads} threads")) };
        build_by(&base, Some(&sample), &config).unwrap();
        assert!(files(&config.out) == expected, "{threads} threads");
    }
    let input = Input { query_sample: Some(&sample), ..Input::of(&base) };
    for phase in ["sample", "part", "cluster", "file", "train", "write"] {
        let stopped = out(&format!("stopped at {phase}"));
        let progress = StopAt::new(Moment::Phase(phase));
        let ended = build(input, &stopped, &progress, &progress.stop);
        assert!(matches!(ended, Err(BuildError::Stopped)), "{phase}");
        let resume = BuildConfig { resume: true, ..stopped };
        for other in [None, Some(&of_the_corner(2500, 2)), Some(&of_the_corner(2600, 1))] {
            let refused = build_by(&base, other, &resume).unwrap_err();
            assert!(matches!(refused, BuildError::Resume { .. }), "{phase}: {refused}");
        }
        build_by(&base, Some(&sample), &resume).unwrap();
        assert!(files(&resume.out) == expected, "after {phase}");
    }
    let again = BuildConfig { resume: true, ..out("sampled") };
    build_by(&base, Some(&sample), &again).unwrap();
    for other in [None, Some(&of_the_corner(2500, 2))] {
        assert!(matches!(build_by(&base, other, &again), Err(BuildError::Exists { .. })), "another sample");
    }
}

#[test]
fn a_sample_like_the_vectors_leaves_lists_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let (base, sample) = (clustered(9000, 8), clustered(2500, 8));
    let out = |name: &str| coded(&dir.path().join(name));
    let plain = build_by(&base, None, &out("plain")).unwrap();
    let built = build_by(&base, Some(&sample), &out("sampled")).unwrap();
    let record = built.manifest.build.query_sample.clone().unwrap();
    assert!(!record.own_lists, "{record:?}");
    assert_eq!(built.manifest.lists(), plain.manifest.lists());
    let heads = |name: &str| {
        let files = files(&out(name).out);
        let (_, bytes) = files.into_iter().find(|(name, _)| name == "heads-1").unwrap();
        // The header names the index.
        bytes[4096..].to_vec()
    };
    assert!(heads("plain") == heads("sampled"));
}

#[test]
fn queries_that_come_twice_foresee_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut random = |rows: usize| Memory { dim: 8, rows: (0..rows * 8).map(|_| rng.random()).collect() };
    let (base, once) = (random(60_000), random(1000));
    let twice = once.rows.chunks_exact(8).flat_map(|row| [row, row].concat()).collect();
    let sample = Memory { dim: 8, rows: twice };
    let built = build_by(&base, Some(&sample), &coded(&dir.path().join("index"))).unwrap();
    let record = built.manifest.build.query_sample.unwrap();
    assert!(2 * record.foreseen < record.foreseen_of && !record.own_lists, "{record:?}");
}

/// Of another type than it was written in.
struct Retyped<'a>(&'a Memory);

impl VectorSource for Retyped<'_> {
    fn len(&self) -> u64 {
        self.0.len()
    }
    fn dim(&self) -> usize {
        self.0.dim()
    }
    fn dtype(&self) -> DType {
        DType::I8
    }
    fn read_rows(&self, first: u64, out: &mut [u8]) -> Result<(), SourceError> {
        self.0.read_rows(first, out)
    }
    fn name(&self) -> String {
        "retyped".into()
    }
}

#[test]
fn samples_that_nothing_can_be_learned_from_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (base, good, config) =
        (in_two_places(3000), of_the_corner(2000, 1), coded(&dir.path().join("index")));
    let refused = |sample: &dyn VectorSource, config: &BuildConfig| {
        let input = Input { query_sample: Some(sample), ..Input::of(&base) };
        let refused = build(input, config, &Silent, &AtomicBool::new(false)).unwrap_err();
        assert!(!config.out.exists(), "nothing is left of it");
        refused.to_string()
    };
    let of = |dim: usize, rows: usize| Memory { dim, rows: vec![7; dim * rows] };
    let expected = "--query-sample: dimension is 9, expected 8, as --base has";
    assert_eq!(refused(&of(9, 2000), &config), expected);
    assert!(
        refused(&of(8, 1999), &config).starts_with("--query-sample: number of rows is 1999, expected 2000")
    );
    let expected = "--query-sample: element type is i8, expected u8, as --base has";
    assert_eq!(refused(&Retyped(&good), &config), expected);
    let mut zero = of(8, 2000);
    zero.rows[1500 * 8..1501 * 8].fill(0);
    let by_angle = BuildConfig { metric: Metric::Cosine, ..config.clone() };
    let said = refused(&zero, &by_angle);
    assert!(said.starts_with("memory: row 1500: "), "{said}");
    let numbered = Numbered::new(3000);
    let attributes = Some(crate::Attributes { source: &numbered, resident: &[], partition_by: Some("word") });
    let input = Input { attributes, query_sample: Some(&good), ..Input::of(&base) };
    let both = build(input, &config, &Silent, &AtomicBool::new(false)).unwrap_err();
    assert!(both.to_string().contains("no --partition-by"), "{both}");
}
