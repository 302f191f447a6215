//! Whether a truth is that of an index and its queries: a few of its neighbours are compared again.
//!
//! Catches ids of another kind (row numbers where the index has ids of its own), another metric, another base and other
//! queries. A truth in the same order is taken with any distances where vectors have one length, as unit vectors have: all
//! metrics give one order then.
use std::collections::HashMap;

use spandrel_datasets::{Rows, Truth};
use spandrel_engine::{Answer, Neighbour};
use spandrel_filter::{Cell, Row};
use spandrel_index::{Metric, VectorSource as _, decode};

use super::filter::Asked;
use crate::{Advised, Session};

/// Queries looked at, spread over all.
const QUERIES: usize = 16;
/// Nearest neighbours of each.
const NEIGHBOURS: usize = 10;
/// By how much, in units of the vectors' lengths, distances may differ that are the same: vectors may have been rounded.
const TOLERANCE: f64 = 2e-3;
/// Share of neighbours whose distance has to fit.
const FITTING_MIN: f64 = 0.9;
/// Share of pairs of successive neighbours that may be in the wrong order.
const DISORDER_MAX: f64 = 0.1;

/// By how much, as a share of the longest, lengths may differ that are one: lengths of descriptors rounded to bytes differ by
/// three times that, and 2 % of their nearest by one metric are not by another.
const LENGTH_TOLERANCE: f64 = 1e-3;

/// What to do about a truth of other filters.
const OTHER_FILTERS: &str = "compute the truth by these filters with `spandrel data truth --filters`";

/// Neighbours of a truth that are looked at.
pub(super) struct Sample<'a> {
    truth: &'a Truth,
    queries: Vec<usize>,
    width: usize,
}

/// What an index holds under an id.
pub(super) struct Stored {
    pub(super) id: u64,
    pub(super) vector: Vec<u8>,
    /// Of all attributes; not needed where queries have no filters.
    pub(super) cells: Vec<Cell>,
}

/// What is there of the ids of a sample, in the same parts.
pub(super) type Held = Vec<Vec<Option<Stored>>>;

impl Row for Stored {
    fn id(&self) -> u64 {
        self.id
    }

    fn cell(&self, attribute: usize) -> &Cell {
        self.cells.get(attribute).unwrap_or(&Cell::Null)
    }
}

/// Vectors compared under one metric.
struct Compared {
    /// The metric's distance, as the index gives it.
    distance: f64,
    /// What the truth says, in another form of the same distance if it is written in one.
    fits: bool,
    /// How much distances may differ that are the same.
    tolerance: f64,
}

impl<'a> Sample<'a> {
    /// Chooses neighbours.
    pub(super) fn of(truth: &'a Truth) -> Sample<'a> {
        let count = QUERIES.min(truth.queries);
        let queries = (0..count).map(|number| number * truth.queries / count.max(1)).collect();
        Sample { truth, queries, width: NEIGHBOURS.min(truth.k) }
    }

    /// The ids whose vectors [`Sample::check`] needs, in parts for each query; the last part is the largest id of all.
    pub(super) fn ids(&self) -> Vec<Vec<u64>> {
        let nearest = |&query: &usize| self.truth.ids_of(query).iter().copied().take(self.width).collect();
        let mut parts: Vec<Vec<u64>> = self.queries.iter().map(nearest).collect();
        parts.extend(self.truth.ids.iter().filter(|&&id| id != Truth::NONE).max().map(|&id| vec![id]));
        parts
    }

    /// Refuses a truth that does not fit the queries or their filters, if they have some. `found` holds what is there of
    /// [`Sample::ids`], `None` where the index has no such id.
    pub(super) fn check(
        &self,
        metric: Metric,
        queries: &Rows,
        filters: Option<&Asked>,
        found: &[Vec<Option<Stored>>],
    ) -> Result<(), Advised> {
        let mut pairs = Vec::new();
        for (ids, vectors) in self.ids().iter().zip(found) {
            check_held(ids.iter().zip(vectors.iter().map(Option::is_some)), 1)?;
        }
        for (&query, held) in self.queries.iter().zip(found) {
            let is_stray = |held: &&Stored| filters.is_some_and(|asked| !asked.bound(query).matches(*held));
            if let Some(Stored { id, .. }) = held.iter().flatten().find(is_stray) {
                let message =
                    format!("the truth names vector {id} for query {query}, which does not match its filter");
                return Err(Advised::new(message, OTHER_FILTERS));
            }
            let row = decode(queries.dtype(), queries.row(query));
            let vectors: Vec<Vec<f32>> =
                held.iter().flatten().map(|held| decode(queries.dtype(), &held.vector)).collect();
            pairs.push((query, row, vectors));
        }
        let compared = |metric| -> Vec<Vec<Compared>> {
            let of_query = |(query, row, vectors): &(usize, Vec<f32>, Vec<Vec<f32>>)| {
                let all = vectors.iter().enumerate();
                all.map(|(column, vector)| compare(metric, row, vector, self.known(*query, column))).collect()
            };
            pairs.iter().map(of_query).collect()
        };
        let own = compared(metric);
        if fitting(&own) >= FITTING_MIN {
            return Ok(());
        }
        let disorder = disorder(metric, &own);
        let other =
            Metric::ALL.into_iter().filter(|&m| m != metric).find(|&m| fitting(&compared(m)) >= FITTING_MIN);
        match other {
            Some(other)
                if disorder > 0.0 || !have_one_length(pairs.iter().flat_map(|(_, _, vectors)| vectors)) =>
            {
                let message = format!("the truth has distances of {other}, the index compares by {metric}");
                let help = format!("compute it with `spandrel data truth --metric {metric}`");
                Err(Advised::new(message, help))
            }
            None if disorder > DISORDER_MAX => {
                let message = format!(
                    "the truth does not fit: of its neighbours compared again, {:.0} % are nearer by {metric} than those \
                     before them",
                    100.0 * disorder
                );
                let help = "give the truth of these queries, this base and this metric; if it names row numbers and the \
                            index was built with --ids, give the same --ids here";
                Err(Advised::new(message, help))
            }
            _ => Ok(()),
        }
    }

    /// Of what two indexes hold, the nearer to the query where both have an id and match its filter: that is what their union gives.
    pub(super) fn nearer(
        &self,
        metric: Metric,
        queries: &Rows,
        filters: Option<&Asked>,
        [one, other]: [Held; 2],
    ) -> Held {
        let mut numbers = self.queries.iter();
        let each = one.into_iter().zip(other).map(|(one, other)| {
            // The last part is no query's.
            let query = numbers.next().copied();
            let row = query.map(|query| decode(queries.dtype(), queries.row(query)));
            let filter = query.zip(filters).map(|(query, asked)| asked.bound(query));
            let matches = |held: &Stored| filter.as_ref().is_none_or(|filter| filter.matches(held));
            let of = |held: &Stored| {
                let vector = decode(queries.dtype(), &held.vector);
                row.as_ref().map_or(0.0, |row| sign(metric) * compare(metric, row, &vector, None).distance)
            };
            let nearer = |pair| match pair {
                (Some(a), Some(b)) => match (matches(&a), matches(&b)) {
                    (true, false) => Some(a),
                    (false, true) => Some(b),
                    _ => Some(if of(&b) < of(&a) { b } else { a }),
                },
                (a, b) => a.or(b),
            };
            one.into_iter().zip(other).map(nearer).collect()
        });
        each.collect()
    }

    fn known(&self, query: usize, column: usize) -> Option<f64> {
        let distances = self.truth.distances.as_ref()?;
        Some(distances[query * self.truth.k + column].into())
    }
}

/// Refuses a truth that names an id which none of some indexes holds.
pub(super) fn check_held<'a>(
    mut ids: impl Iterator<Item = (&'a u64, bool)>,
    indexes: usize,
) -> Result<(), Advised> {
    let Some((id, _)) = ids.find(|(_, is_held)| !is_held) else { return Ok(()) };
    Err(match indexes {
        1 => Advised::new(
            format!("the truth names {id}, which the index does not hold"),
            "give the truth of the base that was indexed; if it names row numbers and the index was built with --ids, give the \
             same --ids here",
        ),
        _ => Advised::new(
            format!("the truth names {id}, which none of the {indexes} indexes holds"),
            "a truth of several indexes names ids of the whole: build each part with its ids in the whole (--ids), and \
             compute the truth over the whole base",
        ),
    })
}

/// Refuses a truth of other filters by how many neighbours it has of a query whose filter matches `matches` vectors.
pub(super) fn check_count(truth: &Truth, query: usize, matches: u64) -> Result<(), Advised> {
    let (found, wanted) = (truth.ids_of(query).len() as u64, matches.min(truth.k as u64)); // CAST: widening
    if found == wanted {
        return Ok(());
    }
    let message =
        format!("the truth has {found} neighbours of query {query}, whose filter matches {matches} vectors");
    Err(Advised::new(message, OTHER_FILTERS))
}

/// Queries to which an answer is nearer than the truth says that any is, as one of other filters or of a part of the base says. 0
/// where the truth has distances in another form than the index.
pub(super) fn nearer_than_truth<'a>(
    metric: Metric,
    answers: impl Iterator<Item = (usize, &'a Answer)>,
    truth: &Truth,
    k: usize,
) -> usize {
    let Some(distances) = &truth.distances else { return 0 };
    let mut nearer = 0;
    for (query, answer) in answers {
        let ids = truth.ids_of(query);
        let known = &distances[query * truth.k..][..ids.len()];
        let Some(&last) = known.get(k.min(known.len()).wrapping_sub(1)) else { continue };
        let slack = TOLERANCE as f32 * last.abs().max(1.0); // CAST: a small number
        let known: HashMap<u64, f32> = ids.iter().copied().zip(known.iter().copied()).collect();
        let mut is_nearer = false;
        for Neighbour { id, distance, .. } in answer.neighbours.iter().filter(|found| !found.estimated) {
            match known.get(id) {
                Some(known) if (known - distance).abs() > slack => return 0,
                Some(_) => {}
                None => {
                    is_nearer |= metric.score_of_distance(*distance) < metric.score_of_distance(last) - slack
                }
            }
        }
        nearer += usize::from(is_nearer);
    }
    nearer
}

/// Says so where answers are nearer than the truth.
pub(super) fn note_nearer(nearer: usize, session: &Session) {
    if nearer > 0 {
        session.note(&format!(
            "warning: to {nearer} queries an answer is nearer than the truth says that any is; is it of all of this base, and of these \
             filters?"
        ));
    }
}

/// Whether all vectors are of the same length.
fn have_one_length<'a>(vectors: impl Iterator<Item = &'a Vec<f32>>) -> bool {
    let length = |vector: &Vec<f32>| vector.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    let (least, most) = vectors.map(length).fold((f64::INFINITY, 0.0_f64), |(a, b), x| (a.min(x), b.max(x)));
    most - least <= LENGTH_TOLERANCE * most
}

fn compare(metric: Metric, query: &[f32], vector: &[f32], known: Option<f64>) -> Compared {
    let sum = |term: fn(f64, f64) -> f64| -> f64 {
        query.iter().zip(vector).map(|(&a, &b)| term(a.into(), b.into())).sum()
    };
    let product = sum(|a, b| a * b);
    let squares = (sum(|a, _| a * a), sum(|_, b| b * b));
    let lengths = (squares.0 * squares.1).sqrt();
    // Forms in which distances are written, and what rounding the vectors may change.
    let (distance, others, unit) = match metric {
        Metric::L2 => {
            let squared = sum(|a, b| (a - b) * (a - b));
            (squared, [known.map(|known| known * known); 2], squares.0 + squares.1)
        }
        Metric::InnerProduct => (product, [known.map(|x| -x), known.map(|x| 1.0 - x)], lengths),
        Metric::Cosine => {
            let cosine = product / lengths.max(f64::MIN_POSITIVE);
            (1.0 - cosine, [known.map(|x| 1.0 - x), known.map(|x| 1.0 + x)], 1.0)
        }
    };
    let tolerance = TOLERANCE * unit;
    let fits = [known, others[0], others[1]].iter().flatten().any(|x| (x - distance).abs() <= tolerance);
    Compared { distance, fits, tolerance }
}

/// Share of neighbours whose distance is the truth's.
fn fitting(compared: &[Vec<Compared>]) -> f64 {
    let all: Vec<&Compared> = compared.iter().flatten().collect();
    all.iter().filter(|c| c.fits).count() as f64 / all.len().max(1) as f64
}

/// What makes a nearer vector's distance the smaller.
fn sign(metric: Metric) -> f64 {
    if metric == Metric::InnerProduct { -1.0 } else { 1.0 }
}

/// Share of neighbours that are nearer than the one before them.
fn disorder(metric: Metric, compared: &[Vec<Compared>]) -> f64 {
    let sign = sign(metric);
    let steps: Vec<bool> = compared
        .iter()
        .flat_map(|row| row.windows(2))
        .map(|pair| sign * (pair[0].distance - pair[1].distance) > pair[0].tolerance + pair[1].tolerance)
        .collect();
    steps.iter().filter(|&&wrong| wrong).count() as f64 / steps.len().max(1) as f64
}

#[cfg(test)]
mod tests;
