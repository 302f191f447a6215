//! Searching the indexes that this server has open.
use std::sync::Arc;

use spandrel_engine::{
    Answer, Course, FetchRequest, FetchState, Fetched as EngineFetched, QueryPlan, RangeRequest, SearchParams,
};
use spandrel_index::format::VectorsOf;

use super::contents::{Contents, Wanted};
use super::given::Given;
use super::let_in::{Came, filtered, let_in};
use super::ranges::Ranges;
use super::ranging::Ranging;
use super::searcher::Searcher;
use crate::admission::{Admitted, Load};
use crate::ask::{Ask, AskFetch, AskWithin, Fetched, Form, Found, check_version, column};
use crate::call::Call;
use crate::ledger::Room;
use crate::limits::Limits;
use crate::refusal::Refusal;
use crate::registry::Registry;
use crate::served::Served;
use crate::stopping::StopFlag;

/// The indexes of this server.
pub(crate) struct Local {
    pub(crate) registry: Arc<Registry>,
    pub(crate) limits: Limits,
}

/// Bytes of an answer besides those of its neighbours, and of its work, each query's.
const ANSWER_REST: usize = 192;
const WORK_BYTES: usize = 256;
/// Bytes of an explanation at most: 256 lists, vectors and rounds of 24, 48 and 20 bytes, the filter's text of 4 096, its 100 parts of
/// 128, and what is told once. Of a query document 256 searches and documents of 56 and 36 bytes in place of the vectors.
const EXPLANATION_BYTES: usize = 54 << 10;
/// Bytes of a neighbour: an id, a distance, whether that is an estimate.
const NEIGHBOUR_BYTES: usize = 10 + 4 + 1;

#[tonic::async_trait]
impl Searcher for Local {
    async fn search<'a>(&self, ask: Ask, call: Call<'a>) -> Result<Found<'a>, Refusal> {
        if !ask.indexes.is_empty() {
            return self.united(ask, call).await;
        }
        self.search_in(self.registry.get(&ask.index)?, ask, None, call).await
    }

    async fn within(&self, ask: AskWithin, call: Call<'_>) -> Result<Ranges, Refusal> {
        ask.check(&self.limits)?;
        if !ask.indexes.is_empty() {
            return self.united_within(ask, call).await;
        }
        self.ranging(self.registry.get(&ask.index)?, ask, None, call).await.map(Ranges::of_one)
    }

    async fn fetch<'a>(&self, ask: AskFetch, call: Call<'a>) -> Result<Fetched<'a>, Refusal> {
        let AskFetch { index, ids, column: name, attributes } = ask;
        let served = self.registry.get(&index)?;
        let of = match column(&name, "column", served.index())? {
            // Documents have no others.
            _ if served.index().documents().is_some() => VectorsOf::Column,
            of => of,
        };
        let names = attributes.as_deref();
        let wanted = Wanted { vectors: Some("ids"), of, field: "with_attributes", names };
        let contents = Contents::of(&served, wanted, self.limits.message_bytes)?;
        let limit = self.limits.batch_max as usize; // CAST: widening
        match ids.len() {
            0 => return Err(Refusal::field("ids", "none given")),
            found if found > limit => return Err(Refusal::limit("ids", found, limit)),
            _ => {}
        }
        let mut room = call
            .entry
            .room(ids.len() * (served.index().shape_of(of).row_bytes() + 3) + ANSWER_REST, "ids")?;
        // A document has as many vectors as it has tokens.
        let vectors = contents.vectors_of(&served, &ids, call.deadline).await?;
        let pieces = FetchRequest::pieces(vectors.max(ids.len()));
        served.admit(Load::of(served.engine(), pieces, Course::Nearest), call.deadline)?;
        let (fetched, more) = contents.fetch(&served, ids, call).await?;
        more.into_iter().for_each(|more| room.join(more));
        tell_damage(&served, &fetched);
        let EngineFetched { rows, row_counts, cells, states } = fetched;
        let (rows, attributes) = (contents.rows_of(&served, rows, &row_counts), contents.attributes);
        Ok(Fetched { rows, attributes, cells, states, version: served.version(), room })
    }
}

/// What answers are to carry.
pub(super) struct AnswersOf {
    /// Queries that they answer.
    pub(super) count: usize,
    pub(super) with_vectors: bool,
    pub(super) with_work: bool,
}

impl Local {
    /// Begins a search within a radius of one index; `leave` is there where it was let in with others.
    pub(super) async fn ranging(
        &self,
        served: Arc<Served>,
        ask: AskWithin,
        leave: Option<Admitted>,
        call: Call<'_>,
    ) -> Result<Ranging, Refusal> {
        let AskWithin { target, mut params, filter, embedding_version, .. } = ask;
        check_version(served.index(), "embedding_version", embedding_version.as_deref())?;
        QueryPlan::within(&params, served.index())?;
        let asked = filter.map(|filter| served.filters.ask(filter, served.index(), false)).transpose()?;
        let given = self.given(&served, target, Form::One, call).await?;
        let came = Came { count: 1, rows: given.rows(), column: None };
        let let_in = let_in(&served, asked, came, leave, call).await?;
        let query = match given {
            Given::Rows(queries) => queries.rows,
            Given::Ids(ids) => self.rows_of(&served, ids, VectorsOf::Main, Form::One, call).await?.rows,
        };
        let filter = filtered(&served, let_in, false, call).await?.map(|filter| filter.compiled);
        params.filter = filter.as_ref().map(|filter| Arc::clone(&filter.matches));
        // Its parts go in one at a time.
        let Admitted { effort } = match leave {
            Some(leave) => leave,
            None => served.admit(Load::of(served.engine(), 1, Course::Within), call.deadline)?,
        };
        if effort < 1.0 {
            params.completeness *= effort;
            served.metrics.degraded.inc();
        }
        let (waiting, completeness) = (StopFlag::default(), params.completeness);
        let (deadline, stop) = (Some(call.deadline), Some(waiting.share()));
        let search = served.engine().range(RangeRequest { query, params, deadline, stop })?;
        Ok(Ranging { served, search, completeness, filter, _waiting: waiting })
    }

    /// Room for answers to queries with these parameters. What can never be answered is not told to come back.
    pub(super) fn answer_room<'a>(
        &self,
        served: &Served,
        params: &SearchParams,
        of: AnswersOf,
        call: Call<'a>,
    ) -> Result<Room<'a>, Refusal> {
        let AnswersOf { count, with_vectors, with_work } = of;
        let of_vector = served.index().shape_of(params.compare_by).row_bytes();
        let vector_bytes = if with_vectors { of_vector } else { 0 };
        let neighbours = params.k.saturating_mul(NEIGHBOUR_BYTES + vector_bytes);
        let explained = if params.explain { EXPLANATION_BYTES } else { 0 };
        if params.explain {
            self.check_explanations(count)?;
        }
        let rest = ANSWER_REST + explained + if with_work { WORK_BYTES } else { 0 };
        call.entry.room(count.saturating_mul(neighbours.saturating_add(rest)), "k")
    }

    /// Refuses more explanations than a message holds.
    pub(super) fn check_explanations(&self, count: usize) -> Result<(), Refusal> {
        let (bytes, limit) = (count.saturating_mul(EXPLANATION_BYTES), self.limits.message_bytes);
        if bytes > limit {
            let message = format!("up to {bytes} bytes of explanations, the server's limit is {limit}");
            return Err(Refusal::field("options.explain", message));
        }
        Ok(())
    }

    /// Answers with what is wanted of their neighbours, counted.
    pub(super) async fn found<'a>(
        &self,
        served: &Served,
        mut answers: Vec<Answer>,
        contents: Contents,
        mut room: Room<'a>,
        call: Call<'a>,
    ) -> Result<Found<'a>, Refusal> {
        let mut vectors = None;
        if !contents.are_none() {
            let (rows, more) = contents.hand_out(served, &mut answers, call).await?;
            vectors = rows;
            more.into_iter().for_each(|more| room.join(more));
        }
        served.metrics.answered(&answers, call.arrival);
        if answers.iter().any(|answer| answer.missing.parts() > 0) {
            served.log_damage();
        }
        Ok(Found {
            answers,
            vectors,
            version: served.version(),
            held: served.index().vectors(),
            arrival: call.arrival,
            attributes: contents.attributes,
            filter: None,
            lowered: None,
            united: None,
            attention: Vec::new(),
            room,
        })
    }
}

/// Refuses a column that the index does not have.
pub(super) fn named_column(name: &str, served: &Served) -> Result<(), Refusal> {
    const FIELD: &str = "column_queries.column";
    match column(name, FIELD, served.index())? {
        VectorsOf::Main => Err(Refusal::field(FIELD, "not set")),
        VectorsOf::Column => Ok(()),
    }
}

/// Logs damage that a fetch met.
pub(super) fn tell_damage(served: &Served, fetched: &EngineFetched) {
    if fetched.states.contains(&FetchState::Damaged) {
        served.log_damage();
    }
}
