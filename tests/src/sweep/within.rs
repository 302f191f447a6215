//! Searches within a radius against brute force.
use bytes::Bytes;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use spandrel_datasets::Rows;
use spandrel_engine::{Engine, Limit, Neighbour, RangeParams, RangeRequest, SearchError};
use spandrel_index::Metric;

use super::exact::{Exact, Truth};
use super::findings::Fault;

/// A query with what is known of it.
pub(super) struct Asked<'a> {
    pub(super) metric: Metric,
    pub(super) queries: &'a Rows,
    pub(super) query: usize,
    pub(super) truth: &'a Truth,
    /// Rows of the base, and the id of each.
    pub(super) ids: &'a [u64],
}

/// What searches found wrong, and the share that one for a share found, less that share.
#[derive(Default)]
pub(super) struct Told {
    pub(super) faults: Vec<(Fault, String)>,
    pub(super) rise: Option<f64>,
}

impl Asked<'_> {
    /// Searches within the distance of a vector at random: all, the best, and a share.
    pub(super) fn search(&self, engine: &Engine, rng: &mut ChaCha8Rng) -> Result<Told, SearchError> {
        let exact = |row: usize| self.truth.exact(self.query, row);
        let radius = exact(rng.random_range(0..self.ids.len())).distance as f32;
        if self.metric.check_radius(radius).is_err() {
            // A distance of zero that rounding makes a little less.
            return Ok(Told::default());
        }
        // Single precision may put those next to the radius on either side of it.
        let sure: Vec<u64> = self.rows(|exact| self.is_within(exact, radius, -1.0));
        let likely: Vec<u64> = self.rows(|exact| self.is_within(exact, radius, 1.0));
        let mut told = Told::default();

        let all = self.found(engine, RangeParams::new(radius))?;
        self.compare(&all.0, radius, &likely, &mut told);
        let ids: Vec<u64> = sorted(all.0.iter().map(|n| n.id).collect());
        if let Some(missing) = sure.iter().find(|id| ids.binary_search(id).is_err()) {
            let what = format!("within {radius}: {missing} is missing, {} of {}", ids.len(), sure.len());
            told.faults.push((Fault::NotExact, what));
        }
        if all.1.is_some() {
            told.faults.push((Fault::WrongLimit, format!("within {radius}: {:?}", all.1)));
        }

        let most = rng.random_range(1..=ids.len().max(1));
        let best = self.found(engine, RangeParams { max_results: Some(most), ..RangeParams::new(radius) })?;
        self.compare(&best.0, radius, &likely, &mut told);
        let is_limited = best.1 == Some(Limit::MaxResults);
        if best.0.len() != most.min(ids.len()) || is_limited != (most < ids.len()) {
            let what = format!("{most} of {} within {radius}: {} by {:?}", ids.len(), best.0.len(), best.1);
            told.faults.push((Fault::TooFew, what));
        }

        let share = [0.5, 0.8, 0.95][rng.random_range(0..3)];
        let some = self.found(engine, RangeParams { completeness: share, ..RangeParams::new(radius) })?;
        self.compare(&some.0, radius, &likely, &mut told);
        if !ids.is_empty() {
            let found = some.0.len() as f64 / ids.len() as f64; // CAST: exact
            told.rise = Some(found - f64::from(share));
        }
        Ok(told)
    }

    /// The ids of rows by their distances, ascending.
    fn rows(&self, is_wanted: impl Fn(Exact) -> bool) -> Vec<u64> {
        let wanted = |row: &usize| is_wanted(self.truth.exact(self.query, *row));
        sorted((0..self.ids.len()).filter(wanted).map(|row| self.ids[row]).collect())
    }

    /// Whether a distance is within the radius with some times of its slack more.
    fn is_within(&self, Exact { distance, slack }: Exact, radius: f32, slacks: f64) -> bool {
        let more = slacks * (slack + f64::from(f32::EPSILON) * f64::from(radius).abs());
        match self.metric {
            Metric::InnerProduct => distance >= f64::from(radius) - more,
            Metric::L2 | Metric::Cosine => distance <= f64::from(radius) + more,
        }
    }

    /// What a search found, part by part, and the limit that it names.
    fn found(
        &self,
        engine: &Engine,
        params: RangeParams,
    ) -> Result<(Vec<Neighbour>, Option<Limit>), SearchError> {
        let query = Bytes::copy_from_slice(self.queries.row(self.query));
        let mut search = engine.range(RangeRequest { query, params, deadline: None, stop: None })?;
        let mut found = Vec::new();
        while let Some(part) = search.next(engine)? {
            found.extend(part);
        }
        Ok((found, search.summary().answer.limited_by))
    }

    /// Notes what is no vector within the radius, and what is there twice.
    fn compare(&self, found: &[Neighbour], radius: f32, likely: &[u64], told: &mut Told) {
        let ids = sorted(found.iter().map(|n| n.id).collect());
        if ids.windows(2).any(|pair| pair[0] == pair[1]) {
            told.faults.push((Fault::Repeated, format!("within {radius}")));
        }
        if let Some(wrong) = found.iter().find(|n| likely.binary_search(&n.id).is_err()) {
            told.faults.push((Fault::WrongDistance, format!("within {radius}: {wrong:?} is not")));
        }
    }
}

fn sorted(mut ids: Vec<u64>) -> Vec<u64> {
    ids.sort_unstable();
    ids
}
