//! Indexes whose lists follow the values of an attribute: each value is searched as if there were no others.
mod claims;
mod limits;
mod reasons;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rand::seq::SliceRandom as _;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use spandrel_builder::filing::ReplicaRule;
use spandrel_builder::testing::Moment;
use spandrel_builder::{BuildConfig, BuildError};
use spandrel_datasets::{GenerateParams, Kind, Rows, Watch, generate_rows};
use spandrel_engine::{Engine, FilterPlan, Limit, SearchParams};
use spandrel_filter::{Attribute, AttributeType, Cell, Comparison, Filter, Schema, Value};
use spandrel_index::attributes::{CompileLimits, compile};
use spandrel_index::codes::CodeSpec;
use spandrel_index::{DType, Index, Matches, Metric, OpenOptions, Tier, VectorSource as _};
use spandrel_tests::{Base, CALIBRATOR, CellRows, coded, config};

use crate::attributes::build_until;
use crate::support::{TIERS, assert_exact, assert_same, engine_config, identity, verify_index};

const K: usize = 10;
const DIM: usize = 32;
const QUERIES: usize = 100;
/// Vectors of each tenant: three have lists of their own, and so have the vectors without a tenant where these are many.
const LARGE: [usize; 3] = [2600, 2000, 3100];
const SMALL: [usize; 9] = [1999, 1, 300, 2, 77, 640, 15, 9, 120];

/// Tenants in random rows: large and small ones alternate in the order of their names. `nulls` vectors have none.
fn base(nulls: usize) -> Base {
    let sizes = SMALL.iter().zip(LARGE.iter().map(Some).chain(std::iter::repeat(None)));
    let sizes = sizes.flat_map(|(small, large)| [Some(small), large]).flatten();
    let mut tenants: Vec<Option<usize>> =
        sizes.enumerate().flat_map(|(tenant, &size)| std::iter::repeat_n(Some(tenant), size)).collect();
    tenants.extend(std::iter::repeat_n(None, nulls));
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    tenants.shuffle(&mut rng);
    let kinds = [
        ("tenant", AttributeType::Keyword),
        ("number", AttributeType::I64),
        ("is_odd", AttributeType::Bool),
        ("tags", AttributeType::Tags),
        ("weight", AttributeType::F64),
    ];
    let attribute = |(name, kind): (&str, AttributeType)| Attribute { name: name.to_owned(), kind };
    let cells = |tenant: &Option<usize>| match tenant {
        None => vec![Cell::Null; kinds.len()],
        Some(tenant) => vec![
            Cell::Keyword(format!("tenant {tenant:02}")),
            Cell::I64(*tenant as i64 - 5),
            Cell::Bool(tenant % 2 == 1),
            Cell::Tags([*tenant as u64].into_iter().collect()),
            Cell::F64(rng.random()),
        ],
    };
    let attributes = CellRows {
        schema: Schema::new(kinds.map(attribute).to_vec()).unwrap(),
        cells: tenants.iter().map(cells).collect(),
        resident: Vec::new(),
        partition_by: Some("tenant".into()),
    };
    let rows = generated(tenants.len() as u64).0;
    let ids = (0..tenants.len() as u64).map(|row| (row * 7919 % 100_003) << 20).collect();
    Base { attributes: Some(attributes), ..Base::with_ids(rows, ids) }
}

/// Vectors and queries.
fn generated(vectors: u64) -> (Rows, Rows) {
    let (kind, queries, dtype) = (Kind::Sift, QUERIES as u64, DType::U8);
    generate_rows(
        GenerateParams { kind, vectors, queries, dim: DIM, dtype, seed: 3, threads: 2 },
        Watch::none(),
    )
    .unwrap()
}

fn by(base: &Base, attribute: &str) -> Base {
    let mut base = base.clone();
    base.attributes.as_mut().unwrap().partition_by = Some(attribute.to_owned());
    base
}

fn codes(out: &Path) -> BuildConfig {
    coded(Metric::L2, CodeSpec::Axes { bytes: 8 }, Tier::Memory, out)
}

/// The vectors that have a value, as a base of their own; those without one for `Cell::Null`.
fn vectors_of(base: &Base, attribute: usize, cell: &Cell) -> Base {
    let (mut bytes, mut ids) = (Vec::new(), Vec::new());
    for (row, cells) in base.attributes.as_ref().unwrap().cells.iter().enumerate() {
        if cells[attribute] == *cell {
            bytes.extend_from_slice(base.rows.row(row));
            ids.push(base.id(row));
        }
    }
    Base::with_ids(Rows::new(DType::U8, DIM, bytes).unwrap(), ids)
}

/// The values of an attribute and the filters that ask for them, with the number of their vectors.
fn values_of(base: &Base, attribute: usize) -> Vec<(Cell, Filter, usize)> {
    let known = base.attributes.as_ref().unwrap();
    let name = known.schema.attributes()[attribute].name.clone();
    let mut counts: BTreeMap<String, (Cell, usize)> = BTreeMap::new();
    for cells in &known.cells {
        let cell = &cells[attribute];
        counts.entry(format!("{cell:?}")).or_insert((cell.clone(), 0)).1 += 1;
    }
    let filter = |cell: &Cell| {
        let value = match cell {
            Cell::Keyword(text) => Value::Text(text.clone()),
            Cell::I64(number) => Value::I64(*number),
            Cell::Bool(is) => Value::Bool(*is),
            _ => return Filter::IsNull { name: name.clone() },
        };
        Filter::Compare { name: name.clone(), comparison: Comparison::Equal, value }
    };
    counts.into_values().map(|(cell, count)| (cell.clone(), filter(&cell), count)).collect()
}

fn matches(index: &Index, filter: &Filter) -> Arc<Matches> {
    let stop = AtomicBool::new(false);
    let limits = CompileLimits { memory_bytes: 1 << 20, deadline: None, stop: &stop };
    Arc::new(compile(index, &filter.clone().bind(index.schema()).unwrap(), limits).unwrap())
}

fn open(out: &Path, options: OpenOptions) -> Engine {
    Engine::open(Arc::new(Index::open_with(out, options).unwrap()), engine_config()).unwrap()
}

/// Asks for the nearest of each value of the attribute that an index is partitioned by, and compares with all of its vectors.
fn check_values(base: &Base, engine: &Engine, attribute: usize) {
    let queries = generated(base.rows.len()).1;
    let queries = Rows::new(DType::U8, DIM, queries.bytes()[..20 * DIM].to_vec()).unwrap();
    let has_codes = engine.index().code() != CodeSpec::Full && engine.index().codes_tier() == Tier::Memory;
    for (cell, filter, count) in values_of(base, attribute) {
        let matches = matches(engine.index(), &filter);
        let segment = &matches.segments()[0];
        assert_eq!((matches.count(), segment.runs().len()), (count as u64, 1), "{cell:?} lies together");
        assert_eq!(segment.runs()[0].len(), count, "{cell:?} has no others beside it");
        let own = vectors_of(base, attribute, &cell);
        let filtered = || SearchParams { filter: Some(matches.clone()), ..SearchParams::new(K) };
        let exact = SearchParams { recall: Some(1.0), ..filtered() };
        for (query, answer) in engine.search(queries.bytes(), &exact).unwrap().iter().enumerate() {
            assert_eq!(answer.neighbours.len(), K.min(count), "{cell:?}");
            assert_exact(Metric::L2, &own, queries.row(query), answer, &format!("{cell:?}, query {query}"));
        }
        for plan in [None, Some(FilterPlan::Lists), Some(FilterPlan::Post), Some(FilterPlan::Codes)] {
            if plan == Some(FilterPlan::Codes) && !has_codes {
                continue;
            }
            let params = SearchParams { filter_plan: plan, recall: Some(0.95), ..filtered() };
            let answers = engine.search(queries.bytes(), &params).unwrap();
            let truth = engine.search(queries.bytes(), &exact).unwrap();
            let (mut found, mut wanted) = (0, 0);
            for (answer, truth) in answers.iter().zip(&truth) {
                assert_eq!(answer.neighbours.len(), K.min(count), "{cell:?}, {plan:?}");
                let kth = truth.neighbours.last().unwrap().distance;
                found += answer.neighbours.iter().filter(|near| near.distance <= kth).count();
                wanted += truth.neighbours.len();
                let most = count as u32 / 8 + 4;
                assert!(
                    answer.work.lists <= most,
                    "{cell:?}, {plan:?}: {} lists of {count}",
                    answer.work.lists
                );
            }
            assert!(found as f64 >= 0.93 * wanted as f64, "{cell:?}, {plan:?}: {found} of {wanted}");
        }
    }
}

/// Searches without the attribute, and by another one, find what is in shared lists too.
fn check_all(base: &Base, engine: &Engine) {
    let queries = generated(base.rows.len()).1;
    let half =
        Filter::Compare { name: "weight".into(), comparison: Comparison::Less, value: Value::F64(0.4) };
    for filter in [None, Some(matches(engine.index(), &half))] {
        let exact = SearchParams { recall: Some(1.0), filter: filter.clone(), ..SearchParams::new(K) };
        let truth: Vec<Vec<f32>> = match filter {
            Some(_) => {
                let answers = engine.search(queries.bytes(), &exact).unwrap();
                answers
                    .iter()
                    .map(|answer| answer.neighbours.iter().map(|near| near.distance).collect())
                    .collect()
            }
            None => (0..QUERIES).map(|query| nearest(base, queries.row(query))).collect(),
        };
        let params = SearchParams { recall: Some(0.95), explain: true, ..exact.clone() };
        let (mut found, mut wanted) = (0, 0);
        for (answer, truth) in engine.search(queries.bytes(), &params).unwrap().iter().zip(&truth) {
            assert_eq!((answer.neighbours.len(), truth.len()), (K, K));
            found += answer.neighbours.iter().filter(|near| near.distance <= truth[K - 1]).count();
            wanted += K;
            let told = answer.explanation.as_ref().unwrap().shared_lists;
            let is_exact = answer
                .filtered
                .is_some_and(|filtered| !matches!(filtered.plan, FilterPlan::Lists | FilterPlan::Post));
            let shared = engine.index().segments()[0].shared_lists().len() as u32;
            assert!(is_exact || told == shared, "{told} of {shared} lists");
        }
        println!("filtered {}: {found} of {wanted}", exact.filter.is_some());
        assert!(found as f64 >= 0.93 * wanted as f64, "{}: {found} of {wanted}", exact.filter.is_some());
    }
}

/// Squared distances of the nearest vectors, ascending.
fn nearest(base: &Base, query: &[u8]) -> Vec<f32> {
    let distance = |row: &[u8]| -> f32 {
        row.iter().zip(query).map(|(a, b)| (f32::from(*a) - f32::from(*b)).powi(2)).sum()
    };
    let mut all: Vec<f32> = base.rows.bytes().chunks(DIM).map(distance).collect();
    all.sort_by(f32::total_cmp);
    all.truncate(K);
    all
}

/// Where bytes may have left out lists that every query searches, no recall is told.
fn check_cut(base: &Base, engine: &Engine) {
    let queries = generated(base.rows.len()).1;
    let params = SearchParams { recall: Some(0.95), max_bytes: Some(1), ..SearchParams::new(K) };
    for answer in engine.search(queries.bytes(), &params).unwrap() {
        if answer.limited_by == Some(Limit::MaxBytes) {
            assert_eq!(answer.promise.unwrap().expected, None);
        }
    }
}

#[test]
fn every_value_is_searched_as_if_there_were_no_others() {
    let base = base(400);
    let dir = tempfile::tempdir().unwrap();
    let ssd = BuildConfig { replicas: ReplicaRule::Soar, codes: Tier::Ssd, ..codes(&dir.path().join("ssd")) };
    let builds = [
        ("tenant", codes(&dir.path().join("memory"))),
        ("number", ssd),
        ("is_odd", config(Metric::L2, &dir.path().join("full"))),
    ];
    for (attribute, (name, config)) in builds.into_iter().enumerate() {
        let base = by(&base, name);
        let built = base.build_watched(&config, Some(&CALIBRATOR), &spandrel_builder::Silent).unwrap();
        verify_index(&config.out, true).unwrap();
        let partition = built.manifest.segments[0].partition.clone().unwrap();
        assert_eq!(partition.attribute, name);
        let (own, shared) = match name {
            "is_odd" => (2, 400),
            _ => (3, 400 + SMALL.iter().sum::<usize>() as u64),
        };
        assert_eq!((partition.own_values, partition.shared_vectors), (own, shared));
        let tiers = match config.code {
            CodeSpec::Full => vec![OpenOptions::default()],
            // Elsewhere copies are left out, of which the calibration knows.
            _ => TIERS.into_iter().filter(|options| options.codes == Some(config.codes)).collect(),
        };
        for options in tiers {
            let engine = open(&config.out, options);
            check_values(&base, &engine, attribute);
            check_all(&base, &engine);
            check_cut(&base, &engine);
        }
    }
}

/// A small tenant lies on few pages, which are read and compared whole.
#[test]
fn a_small_value_is_compared_exactly_on_few_pages() {
    let (base, dir) = (base(400), tempfile::tempdir().unwrap());
    let config = codes(dir.path());
    base.build_watched(&config, Some(&CALIBRATOR), &spandrel_builder::Silent).unwrap();
    let query = Rows::new(DType::U8, DIM, generated(base.rows.len()).1.row(0).to_vec()).unwrap();
    for vectors in [Tier::Ssd, Tier::Memory] {
        let options = OpenOptions { vectors: Some(vectors), ..OpenOptions::default() };
        let engine = open(dir.path(), options);
        for (cell, filter, count) in values_of(&base, 0).into_iter().filter(|&(.., count)| count <= 300) {
            let filter = Some(matches(engine.index(), &filter));
            let params = SearchParams { filter, ..SearchParams::new(K) };
            let answer = engine.search(query.bytes(), &params).unwrap().remove(0);
            assert_eq!(answer.filtered.unwrap().plan, FilterPlan::Exact, "{cell:?} of {count}");
            let pages = count as u64 / engine.index().page_layout().page_records() as u64 + 2;
            assert!(answer.work.read_bytes <= pages * 4096, "{cell:?}: {} bytes", answer.work.read_bytes);
            assert_eq!(answer.promise.unwrap().expected, Some(1.0));
        }
    }
}

#[test]
fn values_may_be_all_small_or_all_large() {
    let dir = tempfile::tempdir().unwrap();
    // Those without a value are the fourth that has lists of its own.
    let all = base(2500);
    let keep = |base: &Base, is_kept: &dyn Fn(usize) -> bool| {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        let known = base.attributes.as_ref().unwrap();
        known.cells.iter().for_each(|cells| *counts.entry(format!("{:?}", cells[0])).or_default() += 1);
        let rows: Vec<usize> = (0..known.cells.len())
            .filter(|&row| is_kept(counts[&format!("{:?}", known.cells[row][0])]))
            .collect();
        let bytes = rows.iter().flat_map(|&row| base.rows.row(row)).copied().collect();
        let cells = rows.iter().map(|&row| known.cells[row].clone()).collect();
        let attributes = Some(CellRows { cells, ..known.clone() });
        let ids = rows.iter().map(|&row| base.id(row)).collect();
        Base { attributes, ..Base::with_ids(Rows::new(DType::U8, DIM, bytes).unwrap(), ids) }
    };
    for (name, base, own) in
        [("small", keep(&all, &|count| count < 2000), 0), ("large", keep(&all, &|count| count >= 2000), 4)]
    {
        let config = codes(&dir.path().join(name));
        let built = base.build_watched(&config, Some(&CALIBRATOR), &spandrel_builder::Silent).unwrap();
        verify_index(&config.out, true).unwrap();
        let partition = built.manifest.segments[0].partition.clone().unwrap();
        assert_eq!((partition.own_values, partition.shared_lists == 0), (own, own > 0), "{name}");
        let engine = open(&config.out, TIERS[3]);
        check_values(&base, &engine, 0);
        check_all(&base, &engine);
    }
}

#[test]
fn bytes_do_not_depend_on_threads_memory_or_interruption() {
    let (base, dir) = (base(400), tempfile::tempdir().unwrap());
    let of = |name: String| BuildConfig { replicas: ReplicaRule::Soar, ..codes(&dir.path().join(name)) };
    let whole = of("whole".into());
    let (done, signs) = build_until(&base, &whole, Moment::Sign(u32::MAX));
    done.unwrap();
    let expected = identity(&whole.out);
    for (threads, memory_bytes) in [(1, 1 << 30), (3, 400 << 20)] {
        let config = BuildConfig { threads, memory_bytes, ..of(threads.to_string()) };
        base.build(&config).unwrap();
        assert_same(&identity(&config.out), &expected, "threads");
    }
    let mut stops = 0;
    let moments = (2..10).map(Moment::Phases);
    let moments = moments.chain((1..signs).step_by(signs as usize / 7).map(Moment::Sign));
    for (number, at) in moments.enumerate() {
        let mut config = of(format!("stopped-{number}"));
        match build_until(&base, &config, at).0 {
            Ok(()) => continue,
            Err(BuildError::Stopped) => stops += 1,
            Err(other) => panic!("stop at {at:?}: {other}"),
        }
        config.resume = true;
        base.build(&config).unwrap();
        assert_same(&identity(&config.out), &expected, &format!("stop at {at:?}"));
    }
    assert!(stops > 10, "{stops} stops of {signs} signs");
}

#[test]
fn another_partition_is_not_taken_for_the_one_that_was_begun() {
    let (base, dir) = (base(400), tempfile::tempdir().unwrap());
    let config = codes(&dir.path().join("index"));
    let resumed = BuildConfig { resume: true, ..config.clone() };
    assert!(matches!(build_until(&base, &config, Moment::Sign(8)).0, Err(BuildError::Stopped)));
    let mut none = base.clone();
    none.attributes.as_mut().unwrap().partition_by = None;
    for other in [&none, &by(&base, "number")] {
        let refused = other.build(&resumed).unwrap_err();
        assert!(matches!(refused, BuildError::Resume { parameter: "--partition-by", .. }), "{refused}");
    }
    let uuid = base.build(&resumed).unwrap().manifest.uuid;
    assert_eq!(base.build(&resumed).unwrap().manifest.uuid, uuid);
    assert!(matches!(none.build(&resumed).unwrap_err(), BuildError::Exists { .. }));
    let other = BuildConfig { replace: true, ..config };
    assert_ne!(none.build(&other).unwrap().manifest.uuid, uuid);
}

#[test]
fn attributes_that_no_partition_follows_are_refused() {
    let (base, dir) = (base(0), tempfile::tempdir().unwrap());
    let config = codes(&dir.path().join("index"));
    for (name, expected) in [
        ("colour", "--partition-by is colour, expected one of tenant, number, is_odd, tags, weight"),
        (
            "tags",
            "--partition-by is tags, which is tags, expected a keyword, a bool or an i64, of which a vector has one value",
        ),
        (
            "weight",
            "--partition-by is weight, which is f64, expected a keyword, a bool or an i64, of which a vector has one value",
        ),
    ] {
        assert_eq!(by(&base, name).build(&config).unwrap_err().to_string(), expected);
    }
    assert!(!config.out.exists());
}
