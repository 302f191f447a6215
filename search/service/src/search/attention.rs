//! How much of the attention mass answers hold: their queries are compared with every vector.
use std::sync::Arc;

use bytes::Bytes;
use spandrel_engine::{ATTENTION_SCALE_MAX, Answer, Course, Distances, ExactSearch};
use spandrel_index::format::VectorsOf;
use spandrel_index::{Index, Metric};

use super::handed::Handed;
use crate::admission::Load;
use crate::ask::Ask;
use crate::call::Call;
use crate::ledger::Room;
use crate::refusal::Refusal;
use crate::served::Served;

const FIELD: &str = "options.attention_scale";

/// Refuses a mass that is not told: of what is no sum over all vectors, or of estimates.
pub(super) fn check(ask: &Ask, index: &Index) -> Result<(), Refusal> {
    let Some(scale) = ask.attention_scale else { return Ok(()) };
    if !(scale > 0.0 && scale <= ATTENTION_SCALE_MAX) {
        let expected = format!("more than 0 and at most {ATTENTION_SCALE_MAX:e}");
        return Err(Refusal::field(FIELD, format!("{scale}, expected {expected}")));
    }
    let found = index.metric();
    if found != Metric::InnerProduct {
        return Err(Refusal::field(FIELD, format!("the index compares by {found}, expected ip")));
    }
    let others = [
        ("filter", ask.filter.is_some()),
        ("column_queries", ask.params.compare_by == VectorsOf::Column),
        ("distances of estimates", ask.params.distances == Distances::Any),
    ];
    match others.into_iter().find(|&(_, is_set)| is_set) {
        Some((what, _)) => {
            Err(Refusal::field(FIELD, format!("not taken with {what}; leave one of them out")))
        }
        None => Ok(()),
    }
}

/// Queries on their way past every vector.
pub(super) struct Attention<'a> {
    search: Arc<ExactSearch>,
    /// For its queries and for what is kept of each piece.
    _rooms: [Room<'a>; 2],
}

impl<'a> Attention<'a> {
    /// Makes queries ready, if their mass is asked for.
    pub(super) fn of(
        scale: Option<f64>,
        served: &Served,
        rows: &Bytes,
        call: Call<'a>,
    ) -> Result<Option<Attention<'a>>, Refusal> {
        let Some(scale) = scale else { return Ok(None) };
        let count = rows.len() / served.index().row_bytes();
        let queries = call.entry.room(count.saturating_mul(ExactSearch::query_bytes(1)), FIELD)?;
        let search = ExactSearch::new(served.index(), rows.clone(), 1, Vec::new())?.with_mass(scale);
        let pieces = call.entry.room(search.pieces().saturating_mul(size_of::<f32>()), FIELD)?;
        Ok(Some(Attention { search: Arc::new(search), _rooms: [queries, pieces] }))
    }

    /// What it is to the engine: its pieces are like queries.
    pub(super) fn load(&self, served: &Served) -> Load {
        Load::of(served.engine(), self.search.pieces(), Course::Nearest)
    }

    /// The mass that each answer holds. Damaged pages are counted in all of them.
    pub(super) async fn masses(
        self,
        served: &Served,
        answers: &mut [Answer],
        call: Call<'_>,
    ) -> Result<Vec<f64>, Refusal> {
        Handed::exact(served, &self.search, call)?.answer().await?;
        let missing = u32::try_from(self.search.missing_pages()).unwrap_or(u32::MAX);
        let of_query = |(number, answer): (usize, &mut Answer)| {
            answer.missing.pages = answer.missing.pages.saturating_add(missing);
            self.search.mass_of(number, &answer.neighbours).unwrap_or(f64::NAN)
        };
        Ok(answers.iter_mut().enumerate().map(of_query).collect())
    }
}
