//! AND, OR and NOT of bound filters in normal form.
use super::number::{complement, merged};
use crate::bound::{Bound, KeyRange, Predicate};
use crate::expression::single_or;

/// The keys of all types of numbers.
const EVERY_KEY: KeyRange = KeyRange { first: 0, last: u64::MAX };

/// Matches no row.
fn nothing() -> Bound {
    Bound::Or(Vec::new())
}

/// Matches every row.
fn everything() -> Bound {
    Bound::And(Vec::new())
}

/// A predicate of one attribute. Its values are sorted, each once.
pub(super) fn attribute(attribute: usize, predicate: Predicate) -> Bound {
    let predicate = sorted(predicate);
    let is_empty = match &predicate {
        Predicate::Null => false,
        Predicate::Values(values) | Predicate::AnyTag(values) | Predicate::AllTags(values) => {
            values.is_empty()
        }
        Predicate::Ranges(ranges) => ranges.is_empty(),
    };
    match predicate {
        _ if is_empty => nothing(),
        Predicate::AllTags(tags) if tags.len() == 1 => {
            Bound::Attribute { attribute, predicate: Predicate::AnyTag(tags) }
        }
        predicate => Bound::Attribute { attribute, predicate },
    }
}

pub(super) fn ids(mut ids: Vec<u64>) -> Bound {
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() { nothing() } else { Bound::Ids(ids) }
}

pub(super) fn not(inner: Bound) -> Bound {
    match inner {
        Bound::Not(inner) => *inner,
        inner if inner == nothing() => everything(),
        inner if inner == everything() => nothing(),
        inner => Bound::Not(Box::new(inner)),
    }
}

pub(super) fn and(parts: Vec<Bound>) -> Bound {
    let mut flat = Vec::with_capacity(parts.len());
    for part in parts {
        match part {
            Bound::And(inner) => flat.extend(inner),
            part => flat.push(part),
        }
    }
    for part in &mut flat {
        let Bound::Attribute { predicate, .. } = part else { continue };
        match predicate {
            // One tag is one of all tags as well.
            Predicate::AnyTag(tags) if tags.len() == 1 => {
                *predicate = Predicate::AllTags(std::mem::take(tags));
            }
            // The keys that do not match are collected and complemented once: an AND of thousands of `!=` stays linear.
            Predicate::Ranges(ranges) => *ranges = complement(EVERY_KEY, ranges),
            _ => {}
        }
    }
    let draw = |into: &mut Predicate, from: Predicate| {
        let mut rest = None;
        match (into, from) {
            (Predicate::Ranges(into), Predicate::Ranges(from)) => into.extend(from),
            (Predicate::Values(into), Predicate::Values(from)) => {
                into.retain(|v| from.binary_search(v).is_ok())
            }
            (Predicate::AllTags(into), Predicate::AllTags(from)) => into.extend(from),
            (_, from) => rest = Some(from),
        }
        rest
    };
    let parts = drawn_together(flat, draw, |predicate| match predicate {
        Predicate::Ranges(outside) => Predicate::Ranges(complement(EVERY_KEY, &merged(outside))),
        predicate => predicate,
    });
    if parts.contains(&nothing()) {
        return nothing();
    }
    single_or(parts, Bound::And)
}

pub(super) fn or(parts: Vec<Bound>) -> Bound {
    let mut flat = Vec::with_capacity(parts.len());
    for part in parts {
        match part {
            Bound::Or(inner) => flat.extend(inner),
            part => flat.push(part),
        }
    }
    let draw = |into: &mut Predicate, from: Predicate| {
        let mut rest = None;
        match (into, from) {
            (Predicate::Ranges(into), Predicate::Ranges(from)) => into.extend(from),
            (Predicate::Values(into), Predicate::Values(from)) => into.extend(from),
            (Predicate::AnyTag(into), Predicate::AnyTag(from)) => into.extend(from),
            (_, from) => rest = Some(from),
        }
        rest
    };
    let parts = drawn_together(flat, draw, |predicate| predicate);
    if parts.contains(&everything()) {
        return everything();
    }
    single_or(parts, Bound::Or)
}

/// Parts sorted, each once. Parts of one attribute are made one where `draw` can; it gives back the second where it cannot.
/// `finish` is applied to what was drawn.
fn drawn_together(
    mut parts: Vec<Bound>,
    draw: impl Fn(&mut Predicate, Predicate) -> Option<Predicate>,
    finish: impl Fn(Predicate) -> Predicate,
) -> Vec<Bound> {
    parts.sort_unstable();
    let mut drawn: Vec<Bound> = Vec::with_capacity(parts.len());
    for part in parts {
        let rest = match (drawn.last_mut(), part) {
            (
                Some(Bound::Attribute { attribute, predicate: into }),
                Bound::Attribute { attribute: same, predicate },
            ) if *attribute == same => {
                draw(into, predicate).map(|predicate| Bound::Attribute { attribute: same, predicate })
            }
            (_, part) => Some(part),
        };
        drawn.extend(rest);
    }
    let whole = drawn.into_iter().map(|part| match part {
        Bound::Attribute { attribute: number, predicate } => attribute(number, finish(predicate)),
        part => part,
    });
    let mut whole: Vec<Bound> = whole.collect();
    whole.sort_unstable();
    whole.dedup();
    whole
}

/// A predicate with its values sorted, each once.
fn sorted(mut predicate: Predicate) -> Predicate {
    match &mut predicate {
        Predicate::Null => {}
        Predicate::Values(values) | Predicate::AnyTag(values) | Predicate::AllTags(values) => {
            values.sort_unstable();
            values.dedup();
        }
        Predicate::Ranges(ranges) => *ranges = merged(std::mem::take(ranges)),
    }
    predicate
}
