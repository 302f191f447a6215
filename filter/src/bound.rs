//! Filters whose attributes are numbers and whose values are typed.
use crate::cell::Cell;

/// A filter bound to a schema, in normal form: no AND in an AND, no OR in an OR, no NOT of a NOT. Parts are sorted, each
/// once. Comparisons of one attribute are merged where one predicate can say the same. Caches use it as key.
///
/// An AND of nothing matches every row, an OR of nothing none; both stand only at the top.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bound {
    /// A predicate on one attribute.
    Attribute {
        /// Its number in the schema.
        attribute: usize,
        /// What is asked of it.
        predicate: Predicate,
    },
    /// Rows with one of these ids, sorted, each once.
    Ids(Vec<u64>),
    /// All rows but these.
    Not(Box<Bound>),
    /// Rows that match all of these.
    And(Vec<Bound>),
    /// Rows that match any of these.
    Or(Vec<Bound>),
}

/// What is asked of one attribute. A null matches [`Predicate::Null`] alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Predicate {
    /// It is null.
    Null,
    /// Keyword, or bool as `true` and `false`: one of these values. Sorted, each once, at least one.
    Values(Vec<String>),
    /// Numbers: the key ([`order`](crate::order)) is in one of these ranges. Sorted, with gaps between them, at least one.
    Ranges(Vec<KeyRange>),
    /// Tags: one of these at least. Sorted, each once, at least one; a single tag is asked for in this way.
    AnyTag(Vec<String>),
    /// Tags: all of these. Sorted, each once, at least two.
    AllTags(Vec<String>),
}

/// Keys from `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyRange {
    /// Least key, included.
    pub first: u64,
    /// Greatest key, included.
    pub last: u64,
}

impl KeyRange {
    /// Whether a key is in it.
    pub fn contains(self, key: u64) -> bool {
        (self.first..=self.last).contains(&key)
    }
}

/// A row that a filter looks at.
pub trait Row {
    /// Id that the user gave the vector.
    fn id(&self) -> u64;

    /// What it has in the attribute with this number.
    fn cell(&self, attribute: usize) -> &Cell;
}

impl Bound {
    /// Bytes of memory that it holds, itself apart.
    pub fn memory_bytes(&self) -> usize {
        match self {
            Bound::Attribute { predicate, .. } => predicate.memory_bytes(),
            Bound::Ids(ids) => size_of_val(&ids[..]),
            Bound::Not(inner) => size_of::<Bound>() + inner.memory_bytes(),
            Bound::And(parts) | Bound::Or(parts) => {
                size_of_val(&parts[..]) + parts.iter().map(Bound::memory_bytes).sum::<usize>()
            }
        }
    }

    /// Whether a row matches.
    pub fn matches(&self, row: &dyn Row) -> bool {
        match self {
            Bound::Attribute { attribute, predicate } => predicate.matches(row.cell(*attribute)),
            Bound::Ids(ids) => ids.binary_search(&row.id()).is_ok(),
            Bound::Not(inner) => !inner.matches(row),
            Bound::And(parts) => parts.iter().all(|part| part.matches(row)),
            Bound::Or(parts) => parts.iter().any(|part| part.matches(row)),
        }
    }
}

impl Predicate {
    fn memory_bytes(&self) -> usize {
        match self {
            Predicate::Null => 0,
            Predicate::Ranges(ranges) => size_of_val(&ranges[..]),
            Predicate::Values(texts) | Predicate::AnyTag(texts) | Predicate::AllTags(texts) => {
                size_of_val(&texts[..]) + texts.iter().map(String::len).sum::<usize>()
            }
        }
    }

    /// Whether a cell matches.
    pub fn matches(&self, cell: &Cell) -> bool {
        let is_among =
            |values: &[String], text: &str| values.binary_search_by(|v| v.as_str().cmp(text)).is_ok();
        match self {
            Predicate::Null => matches!(cell, Cell::Null),
            Predicate::Values(values) | Predicate::AnyTag(values) => {
                cell.texts().any(|text| is_among(values, text))
            }
            Predicate::AllTags(tags) => cell.texts().filter(|tag| is_among(tags, tag)).count() == tags.len(),
            Predicate::Ranges(ranges) => cell.key().is_some_and(|key| {
                let after = ranges.partition_point(|range| range.first <= key);
                after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|range| range.contains(key))
            }),
        }
    }
}
