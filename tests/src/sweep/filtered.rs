//! Searches among random vectors against brute force.
use std::sync::Arc;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use spandrel_engine::{Answer, Engine, FilterPlan, Rerank, SearchError, SearchParams};
use spandrel_index::codes::CodeSpec;
use spandrel_index::{Location, Matches, Tier};

use super::findings::Fault;
use super::within::Asked;

/// What matches, as the index and as brute force see it.
struct Chosen<'a> {
    asked: &'a Asked<'a>,
    matches: Arc<Matches>,
    /// Rows that match, ascending.
    rows: Vec<usize>,
}

/// Searches among a random share of the vectors, in every plan: what was found wrong. The ids of the index are in memory.
pub(super) fn search(
    asked: &Asked<'_>,
    engine: &Engine,
    k: usize,
    rng: &mut ChaCha8Rng,
) -> Result<Vec<(Fault, String)>, SearchError> {
    let index = engine.index();
    let share = [0.0, 0.002, 0.05, 0.3, 0.9, 1.0][rng.random_range(0..6)];
    let matches = Arc::new(Matches::of(index, |_| rng.random_bool(share)));
    let id = |location: Location| {
        let ids = index.segments()[usize::from(location.segment())].ids.resident.as_ref();
        ids.map_or(u64::MAX, |ids| ids.id(location.position()))
    };
    let row = |id: u64| asked.ids.iter().position(|&of_row| of_row == id);
    let mut rows: Vec<usize> = matches.iter().filter_map(|location| row(id(location))).collect();
    rows.sort_unstable();
    let some = Chosen { asked, matches, rows };
    let mut faults = Vec::new();
    let has_codes = index.code() != CodeSpec::Full && index.codes_tier() == Tier::Memory;
    let plans = FilterPlan::ALL.into_iter().filter(|&plan| plan != FilterPlan::Codes || has_codes);
    let filter = Some(Arc::clone(&some.matches));
    for filter_plan in plans.map(Some).chain([None]) {
        let usual = SearchParams { filter: filter.clone(), filter_plan, ..SearchParams::new(k) };
        let all = SearchParams {
            max_lists: Some(u32::MAX),
            rerank: Some(Rerank::Count(u32::MAX)),
            ..usual.clone()
        };
        for (params, is_exact) in [(usual, filter_plan == Some(FilterPlan::Exact)), (all, true)] {
            let query = asked.queries.row(asked.query);
            for answer in engine.search(query, &params)? {
                let what = format!("of {} vectors by {filter_plan:?}", some.rows.len());
                faults.extend(
                    some.faults(&answer, k, is_exact).map(|(fault, told)| (fault, format!("{what}: {told}"))),
                );
            }
        }
    }
    Ok(faults)
}

impl Chosen<'_> {
    /// What is wrong with an answer, which has no nearer vector left out if it `is_exact`.
    fn faults(&self, answer: &Answer, k: usize, is_exact: bool) -> impl Iterator<Item = (Fault, String)> {
        let Asked { truth, query, ids, .. } = *self.asked;
        let wanted = k.min(self.rows.len());
        let found: Vec<usize> = answer
            .neighbours
            .iter()
            .filter_map(|neighbour| self.rows.iter().copied().find(|&row| ids[row] == neighbour.id))
            .collect();
        let count = answer.neighbours.len();
        let few = (count != wanted).then(|| (Fault::TooFew, format!("{count} of {wanted}")));
        let no_match = (found.len() < count).then(|| (Fault::NoSuchId, format!("{:?}", answer.neighbours)));
        let told = answer.filtered.map(|filtered| filtered.matches);
        let miscounted = (told != Some(self.rows.len() as u64))
            .then(|| (Fault::WrongLimit, format!("{told:?} matches are told of")));
        let recall = truth.recall_among(query, &found, (&self.rows, wanted));
        let missed = (is_exact && recall < 1.0).then(|| (Fault::NotExact, format!("recall {recall:.3}")));
        [few, no_match, miscounted, missed].into_iter().flatten()
    }
}
