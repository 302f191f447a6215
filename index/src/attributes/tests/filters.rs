//! Filters over attributes, compared with what rows say one by one.
use super::*;

/// A row of the test's attributes.
struct TestRow<'a> {
    made: &'a TestIndex,
    row: usize,
}

impl Row for TestRow<'_> {
    fn id(&self) -> u64 {
        self.made.ids[self.row]
    }

    fn cell(&self, attribute: usize) -> &Cell {
        &self.made.attributes[attribute].cells[self.row]
    }
}

pub(super) fn term(made: &TestIndex, rng: &mut ChaCha8Rng) -> Filter {
    let number = rng.random_range(0..7);
    let Some(attribute) = made.attributes.get(number) else {
        let mut ids: Vec<u64> = made.ids.iter().copied().step_by(rng.random_range(5..90)).collect();
        ids.extend((0..rng.random_range(0..300)).map(|_| rng.random_range(0..1_000_003_u64)));
        return Filter::Ids(ids);
    };
    let (name, kind) = (attribute.attribute.name.clone(), attribute.attribute.kind);
    let value = |rng: &mut ChaCha8Rng| match &attribute.cells[rng.random_range(0..COUNT)] {
        Cell::Keyword(text) => Value::Text(text.clone()),
        Cell::Tags(tags) => Value::Text(tags.iter().next().unwrap().into()),
        Cell::Bool(value) => Value::Bool(*value),
        Cell::I64(value) | Cell::Timestamp(value) => Value::I64(*value),
        Cell::F64(value) => Value::F64(*value),
        Cell::Null => match kind {
            AttributeType::Keyword | AttributeType::Tags => Value::Text("not there".into()),
            AttributeType::Bool => Value::Bool(true),
            AttributeType::F64 => Value::F64(0.25),
            AttributeType::I64 | AttributeType::Timestamp => Value::I64(7),
        },
    };
    if rng.random_bool(0.1) {
        return Filter::IsNull { name };
    }
    if kind == AttributeType::Tags {
        let text = |rng: &mut ChaCha8Rng| match value(rng) {
            Value::Text(text) => text,
            _ => unreachable!("tags are texts"),
        };
        let tags = (0..rng.random_range(0..5)).map(|_| text(rng)).collect();
        let mode = if rng.random() { TagMode::Any } else { TagMode::All };
        return Filter::Contains { name, tags, mode };
    }
    // Texts and truths have no order: the first two relations.
    let most = if kind.is_number() { Comparison::ALL.len() } else { 2 };
    match rng.random_range(0..3) {
        0 => {
            let comparison = Comparison::ALL[rng.random_range(0..most)];
            Filter::Compare { name, comparison, value: value(rng) }
        }
        1 if kind.is_number() => Filter::Between { name, low: value(rng), high: value(rng) },
        _ => {
            let values = (0..rng.random_range(0..40)).map(|_| value(rng)).collect();
            Filter::In { name, values, negated: rng.random() }
        }
    }
}

pub(super) fn filter(made: &TestIndex, depth: u32, rng: &mut ChaCha8Rng) -> Filter {
    let parts = |rng: &mut ChaCha8Rng| {
        (0..rng.random_range(1..5)).map(|_| filter(made, depth - 1, rng)).collect::<Vec<_>>()
    };
    match rng.random_range(0..4) {
        _ if depth == 0 => term(made, rng),
        0 => Filter::And(parts(rng)),
        1 => Filter::Or(parts(rng)),
        2 => Filter::Not(Box::new(filter(made, depth - 1, rng))),
        _ => term(made, rng),
    }
}

pub(super) fn limits(stop: &AtomicBool) -> CompileLimits<'_> {
    CompileLimits { memory_bytes: 16 << 20, deadline: None, stop }
}

#[test]
fn filters_match_what_rows_say_one_by_one() {
    let stop = AtomicBool::new(false);
    for resident in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let made = write(dir.path(), attributes(resident));
        let index = Index::open(dir.path()).unwrap();
        let rows = rows_by_position(&made, &index);
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let (mut none, mut all, mut some) = (0, 0, 0);
        for turn in 0..400 {
            let filter = filter(&made, turn % 5, &mut rng);
            let bound = filter.bind(index.schema()).unwrap();
            let found = compile(&index, &bound, limits(&stop)).unwrap();
            let matching =
                |&position: &u32| bound.matches(&TestRow { made: &made, row: rows[position as usize] });
            let expected: Vec<Location> =
                (0..COUNT as u32).filter(matching).map(|position| Location::new(0, position)).collect();
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{filter:?}");
            assert_eq!(found.count(), expected.len() as u64);
            none += usize::from(expected.is_empty());
            all += usize::from(expected.len() == COUNT);
            some += usize::from(!expected.is_empty() && expected.len() < COUNT);
        }
        assert!(none > 5 && all > 5 && some > 250, "{none} {some} {all}");
    }
}

#[test]
fn compiling_ends_at_its_limits() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), attributes(false));
    let index = Index::open(dir.path()).unwrap();
    let text = |value: &str| Value::Text(value.into());
    let values = (0..300).map(|i| text(&format!("value {i}"))).collect();
    let filter = Filter::In { name: "keyword".into(), values, negated: false };
    let bound = filter.bind(index.schema()).unwrap();
    let stop = AtomicBool::new(true);
    assert!(matches!(compile(&index, &bound, limits(&stop)), Err(CompileError::Stopped)));
    let go = AtomicBool::new(false);
    let past = CompileLimits { deadline: Some(Instant::now() - Duration::from_secs(1)), ..limits(&go) };
    assert!(matches!(compile(&index, &bound, past), Err(CompileError::Deadline)));
    let small = CompileLimits { memory_bytes: 1000, ..limits(&go) };
    let refused = compile(&index, &bound, small).unwrap_err();
    assert!(matches!(refused, CompileError::Memory { allowed: 1000, needed } if needed > 1000), "{refused}");
    let other = Bound::Attribute { attribute: 6, predicate: spandrel_filter::Predicate::Null };
    let refused = compile(&index, &other, limits(&go)).unwrap_err();
    assert!(matches!(refused, CompileError::Schema { attribute: 6, attributes: 6 }), "{refused}");
    assert!(compile(&index, &bound, limits(&go)).unwrap().count() > 4000);
}
