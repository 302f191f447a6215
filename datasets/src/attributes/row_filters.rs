//! Which rows match filters. One scan gathers what they ask for, then each is computed by operations on bitmaps.
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use spandrel_filter::{Bound, Cell, KeyRange, Predicate};
use spandrel_index::{AttributeSource, AttributeSourceError, SegmentMatches, SourceError};

use super::filters::BoundFilters;
use super::row_ids::BaseRows;
use crate::watch::{Stopped, Watch};

/// Ids of vectors read at once.
const IDS_AT_ONCE: u64 = 1 << 16;
/// Rows between two looks at the stop flag.
const ROWS_A_STEP: u64 = 1 << 14;

/// Filters of queries, and what they ask of the rows: for each value that a filter names its rows, and for each attribute
/// whose numbers are compared the numbers of all rows.
#[derive(Debug)]
pub struct RowFilters {
    rows: u64,
    filters: BoundFilters,
    attributes: HashMap<usize, Held>,
    /// The rows of ids that filters name.
    ids: HashMap<u64, u32>,
}

/// What is held of an attribute.
#[derive(Debug)]
enum Held {
    /// A dictionary: the rows of each value named, ascending.
    Texts { present: Bits, rows_of: HashMap<String, Vec<u32>> },
    /// Numbers: the key of each row that has one, ascending.
    Keys { present: Bits, keys: Vec<(u64, u32)> },
}

/// Why the rows that match could not be found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RowFiltersError {
    /// Attributes could not be read.
    #[error(transparent)]
    Attributes(#[from] AttributeSourceError),
    /// Ids could not be read.
    #[error(transparent)]
    Ids(#[from] SourceError),
    /// Rows are numbered with 32 bits.
    #[error("filters over {rows} rows, expected at most 4294967295")]
    Rows {
        /// Rows there are.
        rows: u64,
    },
    /// The stop flag was set.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl RowFilters {
    /// Gathers what filters, bound to the schema of the attributes, ask for. Progress counts rows.
    ///
    /// # Errors
    /// Attributes or ids that cannot be read, more rows than 32 bits number, the stop flag.
    pub fn read(
        attributes: &dyn AttributeSource,
        filters: BoundFilters,
        base: BaseRows<'_>,
        watch: Watch<'_>,
    ) -> Result<RowFilters, RowFiltersError> {
        if base.rows > u32::MAX.into() {
            return Err(RowFiltersError::Rows { rows: base.rows });
        }
        let mut asked = Asked::default();
        filters.distinct.iter().for_each(|filter| asked.ask(filter, base.rows));
        let mut held = asked.attributes;
        let mut stopped = Ok(());
        attributes.scan(&mut |row, cells| {
            if row % ROWS_A_STEP == 0 {
                (watch.progress)(row, base.rows);
            }
            if watch.stop.load(Ordering::Relaxed) {
                stopped = Err(Stopped);
                return ControlFlow::Break(());
            }
            for (&attribute, held) in &mut held {
                held.take(row as u32, &cells[attribute]); // CAST: checked above
            }
            ControlFlow::Continue(())
        })?;
        stopped?;
        (watch.progress)(base.rows, base.rows);
        for held in held.values_mut() {
            if let Held::Keys { keys, .. } = held {
                keys.sort_unstable();
            }
        }
        let ids = rows_of_ids(&asked.ids, base, watch)?;
        Ok(RowFilters { rows: base.rows, filters, attributes: held, ids })
    }

    /// Rows that filters choose from.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Queries that have a filter.
    pub fn queries(&self) -> usize {
        self.filters.of_query.len()
    }

    /// Different filters.
    pub fn distinct(&self) -> usize {
        self.filters.distinct.len()
    }

    /// The number of a query's filter. Queries with equal filters have one.
    pub(crate) fn number(&self, query: usize) -> usize {
        self.filters.of_query[query]
    }

    /// The rows that match a filter.
    pub(crate) fn matches(&self, number: usize) -> SegmentMatches {
        let Bits(words) = self.bits(&self.filters.distinct[number]);
        SegmentMatches::from_words(words, self.rows)
    }

    fn bits(&self, filter: &Bound) -> Bits {
        match filter {
            Bound::Attribute { attribute, predicate } => self.attribute_bits(*attribute, predicate),
            Bound::Ids(ids) => Bits::of(self.rows, ids.iter().filter_map(|id| self.ids.get(id).copied())),
            Bound::Not(inner) => self.bits(inner).negated(self.rows),
            Bound::And(parts) => {
                let all = Bits::none(self.rows).negated(self.rows);
                parts.iter().fold(all, |bits, part| bits.and(&self.bits(part)))
            }
            Bound::Or(parts) => {
                parts.iter().fold(Bits::none(self.rows), |bits, part| bits.or(&self.bits(part)))
            }
        }
    }

    fn attribute_bits(&self, attribute: usize, predicate: &Predicate) -> Bits {
        let held = &self.attributes[&attribute];
        match (predicate, held) {
            (Predicate::Null, Held::Texts { present, .. } | Held::Keys { present, .. }) => {
                present.clone().negated(self.rows)
            }
            (Predicate::Values(values) | Predicate::AnyTag(values), Held::Texts { rows_of, .. }) => {
                Bits::of(self.rows, values.iter().flat_map(|value| rows_of[value].iter().copied()))
            }
            (Predicate::AllTags(tags), Held::Texts { rows_of, .. }) => {
                let rows = |tag: &String| Bits::of(self.rows, rows_of[tag].iter().copied());
                tags.iter()
                    .map(rows)
                    .reduce(|bits, other| bits.and(&other))
                    .unwrap_or_else(|| Bits::none(self.rows))
            }
            (Predicate::Ranges(ranges), Held::Keys { keys, .. }) => {
                let rows = |range: &KeyRange| {
                    let from = keys.partition_point(|&(key, _)| key < range.first);
                    let to = keys.partition_point(|&(key, _)| key <= range.last);
                    keys[from..to].iter().map(|&(_, row)| row)
                };
                Bits::of(self.rows, ranges.iter().flat_map(rows))
            }
            (Predicate::Values(_) | Predicate::AnyTag(_) | Predicate::AllTags(_), Held::Keys { .. })
            | (Predicate::Ranges(_), Held::Texts { .. }) => {
                unreachable!("a predicate of the attribute's type")
            }
        }
    }
}

/// What filters ask for.
#[derive(Default)]
struct Asked {
    attributes: HashMap<usize, Held>,
    ids: HashSet<u64>,
}

impl Asked {
    fn ask(&mut self, filter: &Bound, rows: u64) {
        match filter {
            Bound::Attribute { attribute, predicate } => self.ask_attribute(*attribute, predicate, rows),
            Bound::Ids(ids) => self.ids.extend(ids),
            Bound::Not(inner) => self.ask(inner, rows),
            Bound::And(parts) | Bound::Or(parts) => parts.iter().for_each(|part| self.ask(part, rows)),
        }
    }

    fn ask_attribute(&mut self, attribute: usize, predicate: &Predicate, rows: u64) {
        let texts = || Held::Texts { present: Bits::none(rows), rows_of: HashMap::new() };
        match predicate {
            // Numbers that are only asked whether they are there may be held as texts, of which none is named.
            Predicate::Null => {
                self.attributes.entry(attribute).or_insert_with(texts);
            }
            Predicate::Ranges(_) => {
                let held = self.attributes.entry(attribute).or_insert_with(texts);
                if !matches!(held, Held::Keys { .. }) {
                    *held = Held::Keys { present: Bits::none(rows), keys: Vec::new() };
                }
            }
            Predicate::Values(values) | Predicate::AnyTag(values) | Predicate::AllTags(values) => {
                let held = self.attributes.entry(attribute).or_insert_with(texts);
                if let Held::Texts { rows_of, .. } = held {
                    rows_of.extend(values.iter().map(|value| (value.clone(), Vec::new())));
                }
            }
        }
    }
}

impl Held {
    fn take(&mut self, row: u32, cell: &Cell) {
        if matches!(cell, Cell::Null) {
            return;
        }
        match self {
            Held::Texts { present, rows_of } => {
                present.set(row);
                if rows_of.is_empty() {
                    return;
                }
                for text in cell.texts() {
                    if let Some(rows) = rows_of.get_mut(text) {
                        rows.push(row);
                    }
                }
            }
            Held::Keys { present, keys } => {
                present.set(row);
                keys.extend(cell.key().map(|key| (key, row)));
            }
        }
    }
}

fn rows_of_ids(
    ids: &HashSet<u64>,
    base: BaseRows<'_>,
    watch: Watch<'_>,
) -> Result<HashMap<u64, u32>, RowFiltersError> {
    let mut found = HashMap::new();
    let Some(file) = base.ids else {
        // CAST: rows have 32 bits
        found.extend(ids.iter().filter(|&&id| id < base.rows).map(|&id| (id, id as u32)));
        return Ok(found);
    };
    let mut chunk = Vec::new();
    let mut first = 0;
    while !ids.is_empty() && first < base.rows {
        if watch.stop.load(Ordering::Relaxed) {
            return Err(Stopped.into());
        }
        chunk.resize(IDS_AT_ONCE.min(base.rows - first) as usize, 0); // CAST: at most a chunk
        file.read_ids(first, &mut chunk)?;
        for (row, &id) in (first..).zip(&chunk) {
            if ids.contains(&id) {
                found.insert(id, row as u32); // CAST: rows have 32 bits
            }
        }
        first += chunk.len() as u64; // CAST: widening
    }
    Ok(found)
}

/// A bit for each row; those beyond the last are 0.
#[derive(Debug, Clone)]
struct Bits(Vec<u64>);

impl Bits {
    fn none(rows: u64) -> Bits {
        Bits(vec![0; rows.div_ceil(64) as usize]) // CAST: at most 2^26
    }

    fn of(rows: u64, set: impl Iterator<Item = u32>) -> Bits {
        let mut bits = Bits::none(rows);
        set.for_each(|row| bits.set(row));
        bits
    }

    fn set(&mut self, row: u32) {
        self.0[row as usize / 64] |= 1 << (row % 64);
    }

    fn negated(mut self, rows: u64) -> Bits {
        self.0.iter_mut().for_each(|word| *word = !*word);
        let beyond = rows % 64;
        if let Some(last) = self.0.last_mut().filter(|_| beyond > 0) {
            *last &= (1 << beyond) - 1;
        }
        self
    }

    fn and(mut self, other: &Bits) -> Bits {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word &= other);
        self
    }

    fn or(mut self, other: &Bits) -> Bits {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word |= other);
        self
    }
}

#[cfg(test)]
mod tests;
