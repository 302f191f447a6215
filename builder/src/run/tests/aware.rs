//! Builds whose codes know the queries of a sample.
use super::*;
use crate::BuildConfig;
use spandrel_index::Index;

const DIM: usize = 8;

/// Rows that vary by `spread` around `middle` in each dimension.
fn around(rows: usize, seed: u64, middle: impl Fn(usize) -> u8, spread: impl Fn(usize) -> u8) -> Memory {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut row =
        || [0, 1, 2, 3, 4, 5, 6, 7].map(|i| middle(i) - spread(i) + rng.random_range(0..=2 * spread(i)));
    Memory { dim: DIM, rows: (0..rows).flat_map(|_| row()).collect() }
}

/// Vectors vary in the first dimensions most, and not at all in one.
fn vectors(rows: usize) -> Memory {
    around(rows, 8, |_| 70, |i| [60, 50, 40, 30, 12, 10, 8, 0][i])
}

/// Queries come from elsewhere, and vary in the last dimensions most.
fn queries(rows: usize, seed: u64) -> Memory {
    around(rows, seed, |_| 190, |i| [2, 3, 4, 6, 40, 50, 60, 60][i])
}

fn products() -> CodeSpec {
    CodeSpec::Products { quantisers: 4, bits: 4, rotated: true, uniform: false }
}

fn coded(out: &Path, code: CodeSpec) -> BuildConfig {
    BuildConfig { code, codes: Tier::Memory, replicas: ReplicaRule::None, ..config(out) }
}

fn build_by(base: &Memory, sample: Option<&Memory>, config: &BuildConfig) -> Result<BuildReport, BuildError> {
    let input = Input { query_sample: sample.map(|sample| sample as _), ..Input::of(base) };
    build(input, config, &Silent, &AtomicBool::new(false))
}

/// Whether the code of an index knows queries, once it is whole.
fn knows_queries(config: &BuildConfig) -> bool {
    spandrel_index::verify(&config.out, true, &mut |_| {}, &AtomicBool::new(false)).unwrap();
    let index = Index::open(&config.out).unwrap();
    index.segments()[0].model.as_ref().is_some_and(|model| model.knows_queries())
}

#[test]
fn codes_are_made_for_queries_that_are_unlike_the_vectors() {
    let dir = tempfile::tempdir().unwrap();
    let (base, sample) = (vectors(6000), queries(2400, 1));
    for (name, code) in [("axes", CodeSpec::Axes { bytes: 8 }), ("products", products())] {
        let out = |what: &str| coded(&dir.path().join(format!("{name} {what}")), code);
        let built = build_by(&base, Some(&sample), &out("sampled")).unwrap();
        let record = built.manifest.build.query_sample.clone().unwrap().code.unwrap();
        assert!(record.used, "{name}: {record:?}");
        assert!(record.best.unwrap().error < 0.8 * record.plain_error.unwrap(), "{name}: {record:?}");
        assert!(knows_queries(&out("sampled")));
        let expected = files(&out("sampled").out);
        for (threads, memory_bytes) in [(1, 1 << 30), (3, 128 << 20)] {
            let config = BuildConfig { threads, memory_bytes, ..out(&format!("{threads} threads")) };
            build_by(&base, Some(&sample), &config).unwrap();
            assert!(files(&config.out) == expected, "{name}: {threads} threads");
        }
        let input = Input { query_sample: Some(&sample), ..Input::of(&base) };
        for phase in ["file", "train", "compare codes", "write", "ids"] {
            let stopped = out(&format!("stopped at {phase}"));
            let progress = StopAt::new(Moment::Phase(phase));
            let ended = build(input, &stopped, &progress, &progress.stop);
            assert!(matches!(ended, Err(BuildError::Stopped)), "{name}: {phase}");
            let resume = BuildConfig { resume: true, ..stopped };
            let plain = BuildConfig { plain_codes: true, ..resume.clone() };
            let refused = build_by(&base, Some(&sample), &plain).unwrap_err();
            assert!(matches!(refused, BuildError::Resume { .. }), "{name}: {phase}: {refused}");
            build_by(&base, Some(&sample), &resume).unwrap();
            assert!(files(&resume.out) == expected, "{name}: after {phase}");
        }
        let plain = BuildConfig { plain_codes: true, ..out("plain") };
        let manifest = build_by(&base, Some(&sample), &plain).unwrap().manifest;
        assert_eq!(manifest.build.query_sample.unwrap().code, None);
        assert!(!knows_queries(&plain) && manifest.uuid != built.manifest.uuid);
        let other = build_by(&base, Some(&queries(2400, 2)), &out("another sample")).unwrap();
        assert_ne!(other.manifest.uuid, built.manifest.uuid);
    }
}

#[test]
fn codes_stay_plain_where_that_is_as_good_or_nothing_else_can_be() {
    let dir = tempfile::tempdir().unwrap();
    let base = around(6000, 8, |_| 100, |_| 90);
    let alike = around(2400, 9, |_| 100, |_| 90);
    let axes = CodeSpec::Axes { bytes: 8 };
    let config = coded(&dir.path().join("alike"), axes);
    let built = build_by(&base, Some(&alike), &config).unwrap();
    let record = built.manifest.build.query_sample.unwrap().code.unwrap();
    assert!(!record.used, "{record:?}");
    assert!(record.best.unwrap().error > 0.97 * record.plain_error.unwrap(), "{record:?}");
    assert!(!knows_queries(&config));
    let rabitq = coded(&dir.path().join("rabitq"), CodeSpec::RaBitQ { bits: 2 });
    let built = build_by(&vectors(3000), Some(&queries(2000, 1)), &rabitq).unwrap();
    assert_eq!(built.manifest.build.query_sample.unwrap().code, None);
    // One query, over and over: nothing varies as seen from its mean.
    let one = Memory { dim: DIM, rows: [7, 80, 60, 50, 40, 90, 100, 120].repeat(2000) };
    for (name, code) in [("one axes", axes), ("one products", products())] {
        let config = coded(&dir.path().join(name), code);
        let built = build_by(&vectors(3000), Some(&one), &config).unwrap();
        assert!(built.manifest.build.query_sample.unwrap().code.is_some());
        knows_queries(&config);
    }
}

/// Where all vectors are the same no code is off, so none is better than the plain one.
#[test]
fn codes_stay_plain_where_nothing_can_be_told() {
    let dir = tempfile::tempdir().unwrap();
    let same = |rows| Memory { dim: DIM, rows: [9; DIM].repeat(rows) };
    for (name, code) in [("axes", CodeSpec::Axes { bytes: 8 }), ("products", products())] {
        let found = |what: &str, sample: &Memory| {
            let config = coded(&dir.path().join(format!("{name} {what}")), code);
            let built = build_by(&same(3000), Some(sample), &config).unwrap();
            let record = built.manifest.build.query_sample.unwrap().code.unwrap();
            assert!(!record.used && !knows_queries(&config), "{name} {what}: {record:?}");
            record
        };
        let elsewhere = found("elsewhere", &queries(2000, 1));
        assert_eq!(elsewhere.plain_error, Some(0.0), "{name}: {elsewhere:?}");
        // Axes for queries take residuals of some length to be made from; products do not, and are not off either.
        let errors = elsewhere.best.map(|best| best.error);
        assert_eq!(errors, if name == "axes" { None } else { Some(0.0) }, "{elsewhere:?}");
        let there = found("there", &same(2000));
        assert_eq!((there.plain_error, there.best), (None, None), "{name}");
    }
}
