//! Comparisons of numbers as ranges of keys. They are exact also where the two sides have different types.
use crate::attribute::AttributeType;
use crate::bound::KeyRange;
use crate::expression::Comparison;
use crate::order::{key_of_f64, key_of_i64};

/// Where a value lies among the keys of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The greatest key that is at most the value. None where every key is greater.
    below: Option<u64>,
    /// The least key that is at least the value. None where every key is less.
    above: Option<u64>,
}

/// 2^63.
const I64_END: f64 = 9_223_372_036_854_775_808.0;

/// All keys of a type of numbers.
pub(super) fn all_keys(kind: AttributeType) -> KeyRange {
    match kind {
        AttributeType::F64 => KeyRange { first: key_of_f64(f64::MIN), last: key_of_f64(f64::MAX) },
        _ => KeyRange { first: 0, last: u64::MAX },
    }
}

impl Place {
    fn exact(key: u64) -> Place {
        Place { below: Some(key), above: Some(key) }
    }

    /// The place of a whole number (of a count of microseconds).
    pub(super) fn of_i64(kind: AttributeType, value: i64) -> Place {
        if kind != AttributeType::F64 {
            return Place::exact(key_of_i64(value));
        }
        let near = value as f64; // CAST: rounded to nearest; compared with the value below
        // CAST: a rounded i64 is within the range of an i128
        match (near as i128).cmp(&i128::from(value)) {
            std::cmp::Ordering::Equal => Place::exact(key_of_f64(near)),
            std::cmp::Ordering::Less => {
                Place { below: Some(key_of_f64(near)), above: Some(key_of_f64(near.next_up())) }
            }
            std::cmp::Ordering::Greater => {
                Place { below: Some(key_of_f64(near.next_down())), above: Some(key_of_f64(near)) }
            }
        }
    }

    /// The place of a finite number.
    pub(super) fn of_f64(kind: AttributeType, value: f64) -> Place {
        if kind == AttributeType::F64 {
            return Place::exact(key_of_f64(value));
        }
        if value >= I64_END {
            return Place { below: Some(u64::MAX), above: None };
        }
        if value < -I64_END {
            return Place { below: None, above: Some(0) };
        }
        // CAST: whole and in range
        Place { below: Some(key_of_i64(value.floor() as i64)), above: Some(key_of_i64(value.ceil() as i64)) }
    }

    fn exact_key(self) -> Option<u64> {
        self.below.filter(|_| self.below == self.above)
    }
}

/// The keys from `low` to `high`, both included. None where that is none.
pub(super) fn between(low: Place, high: Place) -> Vec<KeyRange> {
    closed(low.above, high.below)
}

/// The keys in a relation to a value.
pub(super) fn compared(kind: AttributeType, comparison: Comparison, place: Place) -> Vec<KeyRange> {
    let all = all_keys(kind);
    let (first, last) = (Some(all.first), Some(all.last));
    let exact = place.exact_key();
    let before =
        || if exact.is_some() { place.below.and_then(|key| key.checked_sub(1)) } else { place.below };
    let after = || if exact.is_some() { place.above.and_then(|key| key.checked_add(1)) } else { place.above };
    match comparison {
        Comparison::Equal => closed(exact, exact),
        Comparison::NotEqual => {
            let mut ranges = closed(first, before());
            ranges.extend(closed(after(), last));
            merged(ranges)
        }
        Comparison::Less => closed(first, before()),
        Comparison::AtMost => closed(first, place.below),
        Comparison::Greater => closed(after(), last),
        Comparison::AtLeast => closed(place.above, last),
    }
}

fn closed(first: Option<u64>, last: Option<u64>) -> Vec<KeyRange> {
    match (first, last) {
        (Some(first), Some(last)) if first <= last => vec![KeyRange { first, last }],
        _ => Vec::new(),
    }
}

/// Ranges sorted, those that touch made one.
pub(super) fn merged(mut ranges: Vec<KeyRange>) -> Vec<KeyRange> {
    ranges.sort_unstable();
    let mut out: Vec<KeyRange> = Vec::new();
    for range in ranges {
        match out.last_mut() {
            Some(open) if range.first <= open.last.saturating_add(1) => open.last = open.last.max(range.last),
            _ => out.push(range),
        }
    }
    out
}

/// The keys of `all` that are in none of these ranges, which are sorted and without overlaps.
pub(super) fn complement(all: KeyRange, ranges: &[KeyRange]) -> Vec<KeyRange> {
    let mut out = Vec::new();
    let mut next = Some(all.first);
    for range in ranges {
        out.extend(closed(next, range.first.checked_sub(1)));
        next = range.last.checked_add(1);
    }
    out.extend(closed(next, Some(all.last)));
    out
}
