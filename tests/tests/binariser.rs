//! Indexes whose codes are made by matrices from elsewhere, and versions of the model that vectors come from.
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use spandrel_builder::testing::{Moment, StopAt};
use spandrel_builder::{BuildConfig, BuildError, BuildReport, Caller, Input, build_for};
use spandrel_engine::SearchParams;
use spandrel_index::codes::{BinariserError, CodeSpec};
use spandrel_index::format::EmbeddingEntry;
use spandrel_index::{
    ArrayShape, ArraySource, ArraySourceError, DType, Index, Metric, Tier, VectorSource as _,
    for_each_element,
};
use spandrel_tests::{Base, clustered, coded};

use crate::support::{assert_exact, every_list, identity, open_engine, verify_index};

const DIM: usize = 10;
const BITS: usize = 32;

fn code(codes: u8, symmetric: bool) -> CodeSpec {
    CodeSpec::Recurrent { bits: BITS as u32, codes, symmetric }
}

/// Matrices in memory, which count how often they are read.
struct Matrices {
    shapes: Vec<ArrayShape>,
    values: Vec<Vec<f64>>,
    reads: AtomicU32,
}

impl Matrices {
    /// For two codes.
    fn new(seed: u64) -> Matrices {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let of = |name: &str, sizes: &[usize]| ArrayShape { name: name.to_owned(), sizes: sizes.to_vec() };
        let shapes = vec![
            of("W0", &[BITS, DIM]),
            of("W1", &[BITS, DIM]),
            of("R0", &[DIM, BITS]),
            of("center", &[DIM]),
        ];
        let mut random = |shape: &ArrayShape| -> Vec<f64> {
            (0..shape.sizes.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect()
        };
        let values = shapes.iter().map(&mut random).collect();
        Matrices { shapes, values, reads: AtomicU32::new(0) }
    }

    /// As [`Matrices::new`], such that codes mean something: around the mean of the rows, the second string in the place of the first.
    fn of(base: &Base, seed: u64) -> Matrices {
        let mut rows: Vec<f64> = Vec::new();
        for_each_element(base.rows.dtype(), base.rows.bytes(), |x| rows.push(f64::from(x)));
        let count = (rows.len() / DIM) as f64;
        let centre: Vec<f64> =
            (0..DIM).map(|at| rows.iter().skip(at).step_by(DIM).sum::<f64>() / count).collect();
        let squares = rows.chunks(DIM).flat_map(|row| row.iter().zip(&centre).map(|(x, c)| (x - c).powi(2)));
        let length = (squares.sum::<f64>() / count).sqrt();
        let mut matrices = Matrices::new(seed);
        let first = matrices.values[0].clone();
        let back = |at: usize| 0.043 * length * first[at % BITS * DIM + at / BITS];
        matrices.values = vec![first.clone(), first.clone(), (0..DIM * BITS).map(back).collect(), centre];
        matrices
    }

    fn without(mut self, name: &str) -> Matrices {
        let at = self.shapes.iter().position(|shape| shape.name == name).unwrap();
        self.shapes.remove(at);
        self.values.remove(at);
        self
    }

    fn reads(&self) -> u32 {
        self.reads.load(Ordering::Relaxed)
    }
}

impl ArraySource for Matrices {
    fn arrays(&self) -> &[ArrayShape] {
        &self.shapes
    }
    fn read(&self, name: &str) -> Result<Vec<f64>, ArraySourceError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let at = self.shapes.iter().position(|shape| shape.name == name).unwrap();
        Ok(self.values[at].clone())
    }
    fn hash(&self) -> u128 {
        self.values.iter().flatten().map(|x| u128::from(x.to_bits())).sum()
    }
    fn name(&self) -> String {
        "matrices".into()
    }
}

fn base(dtype: DType) -> Base {
    Base::new(clustered(dtype, DIM, 2000, 3))
}

fn build(base: &Base, config: &BuildConfig, matrices: &Matrices) -> Result<BuildReport, BuildError> {
    let never = StopAt::new(Moment::Phases(u32::MAX));
    let caller = Caller { progress: &never, stop: &never.stop, calibrate: None };
    build_for(Input { binariser: Some(matrices), ..Input::of(&base.rows) }, config, caller)
}

fn config(codes: u8, out: &Path) -> BuildConfig {
    coded(Metric::L2, code(codes, false), Tier::Memory, out)
}

#[test]
fn given_matrices_are_searched_and_decide_the_identity() {
    let dir = tempfile::tempdir().unwrap();
    let mut uuids = Vec::new();
    for (number, (metric, dtype, symmetric, tier)) in [
        (Metric::L2, DType::U8, false, Tier::Memory),
        (Metric::InnerProduct, DType::F32, false, Tier::Ssd),
        (Metric::Cosine, DType::F16, true, Tier::Memory),
        (Metric::L2, DType::F32, true, Tier::Ssd),
    ]
    .into_iter()
    .enumerate()
    {
        let base = base(dtype);
        let matrices = Matrices::of(&base, 1);
        let out = dir.path().join(number.to_string());
        build(&base, &coded(metric, code(2, symmetric), tier, &out), &matrices).unwrap();
        verify_index(&out, true).unwrap();
        let engine = open_engine(&out);
        let queries = &base.rows.bytes()[..20 * base.rows.row(0).len()];
        for (query, answer) in engine.search(queries, &every_list(5)).unwrap().iter().enumerate() {
            assert_exact(metric, &base, base.rows.row(query), answer, &format!("{number}: query {query}"));
        }
        // Vectors of the index find themselves by their own codes, among all.
        let few = SearchParams { rerank: Some(spandrel_engine::Rerank::Count(40)), ..every_list(1) };
        let own = engine.search(queries, &few).unwrap();
        let found = (0..20).filter(|&query| own[query].neighbours[0].id == query as u64).count();
        assert!(metric != Metric::L2 || found >= 18, "{number}: {found} of 20");
        let index = Index::open(&out).unwrap();
        assert_eq!(index.manifest().build.binariser, Some(format!("{:032x}", matrices.hash())));
        uuids.push(index.uuid());
    }
    let base = base(DType::U8);
    for (name, matrices) in [("other", Matrices::of(&base, 2)), ("again", Matrices::of(&base, 1))] {
        let out = dir.path().join(name);
        build(&base, &config(2, &out), &matrices).unwrap();
        uuids.push(Index::open(&out).unwrap().uuid());
    }
    let trained = dir.path().join("trained");
    base.build(&config(2, &trained)).unwrap();
    let trained = Index::open(&trained).unwrap();
    assert_eq!(trained.manifest().build.binariser, None);
    assert_eq!(uuids[5], uuids[0], "the same matrices");
    assert!(uuids[4] != uuids[0] && trained.uuid() != uuids[0]);
    assert_eq!(identity(&dir.path().join("again")), identity(&dir.path().join("0")));
}

#[test]
fn matrices_that_do_not_fit_are_refused_before_any_work() {
    let dir = tempfile::tempdir().unwrap();
    let (base, out) = (base(DType::U8), dir.path().join("x"));
    let refused = |config: &BuildConfig, matrices: &Matrices| {
        let error = build(&base, config, matrices).unwrap_err();
        assert!(!out.exists(), "{error}");
        error
    };
    for (name, matrices) in [("missing", Matrices::new(1).without("R0")), ("extra", Matrices::new(1))] {
        let codes = if name == "extra" { 1 } else { 2 };
        let error = refused(&config(codes, &out), &matrices);
        assert!(matches!(error, BuildError::Parameter { parameter: "--binariser", .. }), "{name}: {error}");
    }
    let other = BuildConfig { code: CodeSpec::RaBitQ { bits: 2 }, ..config(2, &out) };
    let error = refused(&other, &Matrices::new(1));
    assert!(matches!(error, BuildError::Parameter { parameter: "--binariser", .. }), "{error}");
    let mut odd = Matrices::new(1);
    odd.values[2][7] = f64::NAN;
    let error = refused(&config(2, &out), &odd);
    assert!(matches!(error, BuildError::Binariser(BinariserError::Value { at: 7, .. })), "{error}");
    // Memory is looked at before they are read.
    let good = Matrices::new(1);
    let error = refused(&BuildConfig { memory_bytes: 1 << 20, ..config(2, &out) }, &good);
    assert!(matches!(error, BuildError::Memory { .. }) && good.reads() == 0, "{error}");
    // More bits than are trained.
    let wide = |matrices: Option<&Matrices>| {
        let config = BuildConfig {
            code: CodeSpec::Recurrent { bits: 160, codes: 1, symmetric: false },
            ..config(1, &out)
        };
        match matrices {
            Some(matrices) => build(&base, &config, matrices).map(|_| ()),
            None => base.build(&config).map(|_| ()),
        }
    };
    assert!(matches!(wide(None), Err(BuildError::Parameter { parameter: "--code", .. })));
    let mut many = Matrices::new(1).without("W1").without("R0");
    many.shapes[0].sizes[0] = 160;
    many.values[0] = (0..160 * DIM).map(|at| ((at * 7919) % 101) as f64 - 50.0).collect();
    wide(Some(&many)).unwrap();
}

#[test]
fn an_interrupted_build_goes_on_with_the_same_matrices_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (base, whole) = (base(DType::U8), dir.path().join("whole"));
    build(&base, &config(2, &whole), &Matrices::new(1)).unwrap();
    for phase in ["train", "write"] {
        let out = dir.path().join(phase);
        let matrices = Matrices::new(1);
        let at = StopAt::new(Moment::Phase(phase));
        let caller = Caller { progress: &at, stop: &at.stop, calibrate: None };
        let input = Input { binariser: Some(&matrices), ..Input::of(&base.rows) };
        assert!(matches!(build_for(input, &config(2, &out), caller), Err(BuildError::Stopped)), "{phase}");
        let again = BuildConfig { resume: true, ..config(2, &out) };
        for refused in [build(&base, &again, &Matrices::new(2)), base.build(&again)] {
            assert!(matches!(refused, Err(BuildError::Resume { parameter: "code", .. })), "{refused:?}");
        }
        build(&base, &again, &matrices).unwrap();
        assert_eq!(identity(&out), identity(&whole), "{phase}");
        assert!(matches!(build(&base, &again, &Matrices::new(2)), Err(BuildError::Exists { .. })));
        build(&base, &again, &Matrices::new(1)).unwrap();
    }
}

fn versioned(out: &Path, versions: &[&str]) -> BuildConfig {
    let mut versions = versions.iter().map(|&version| version.to_owned());
    let embedding = versions.next().map(|version| EmbeddingEntry { version, compatible: versions.collect() });
    BuildConfig { embedding, ..config(1, out) }
}

#[test]
fn versions_are_part_of_the_identity_and_said_by_the_manifest() {
    let dir = tempfile::tempdir().unwrap();
    let base = base(DType::U8);
    let mut uuids = Vec::new();
    for (number, versions) in [&[][..], &["a"], &["a", "b"], &["b", "a"]].into_iter().enumerate() {
        let out = dir.path().join(number.to_string());
        base.build(&versioned(&out, versions)).unwrap();
        let index = Index::open(&out).unwrap();
        let answers = |asked| index.manifest().answers_version(asked).is_ok();
        assert!(answers(None), "{versions:?}");
        for asked in ["a", "b", "c"] {
            assert_eq!(answers(Some(asked)), versions.contains(&asked), "{versions:?} asked for {asked}");
        }
        // Lists and codes are the same.
        let has_field = fs_text(&out.join("manifest-1")).contains("\"embedding\"");
        assert_eq!(has_field, !versions.is_empty());
        uuids.push(index.uuid());
        let again = |versions| base.build(&BuildConfig { resume: true, ..versioned(&out, versions) });
        again(versions).unwrap();
        assert!(matches!(again(&["c"]), Err(BuildError::Exists { .. })));
    }
    uuids.sort_unstable();
    uuids.dedup();
    assert_eq!(uuids.len(), 4);
    for versions in [&["a b"][..], &[""], &["a", "a"], &["a", "b,c"]] {
        let out = dir.path().join("refused");
        let refused = base.build(&versioned(&out, versions)).unwrap_err();
        assert!(
            matches!(refused, BuildError::Parameter { parameter: "--embedding-version", .. })
                && !out.exists(),
            "{refused}"
        );
    }
}

#[test]
fn an_interrupted_build_keeps_its_version() {
    let dir = tempfile::tempdir().unwrap();
    let base = base(DType::U8);
    let config = |versions| versioned(dir.path(), versions);
    let at = StopAt::new(Moment::Phase("train"));
    let caller = Caller { progress: &at, stop: &at.stop, calibrate: None };
    assert!(matches!(base.build_for(&config(&["a"]), caller), Err(BuildError::Stopped)));
    for versions in [&["b"][..], &["a", "b"], &[]] {
        let refused = base.build(&BuildConfig { resume: true, ..config(versions) }).unwrap_err();
        assert!(matches!(refused, BuildError::Resume { parameter: "--embedding-version", .. }), "{refused}");
    }
    base.build(&BuildConfig { resume: true, ..config(&["a"]) }).unwrap();
}

fn fs_text(path: &Path) -> String {
    String::from_utf8(std::fs::read(path).unwrap()).unwrap()
}
