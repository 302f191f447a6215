//! Searching the indexes that this server has open.
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use spandrel_engine::{
    Course, FetchRequest, FetchState, Fetched as EngineFetched, ParamsError, QueryPlan, RangeRequest, Rerank,
    SearchParams,
};
use spandrel_index::format::VectorsOf;

use super::contents::Contents;
use super::handed::Handed;
use super::let_in::{filtered, let_in};
use super::ranging::Ranging;
use super::searcher::Searcher;
use crate::admission::{Admitted, Load};
use crate::ask::{
    Ask, AskColumn, AskFetch, AskWithin, Fetched, Form, Found, Queries, Target, check, check_version, column,
    lists_cap, lowered, tell_cap,
};
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
/// 128, and what is told once.
const EXPLANATION_BYTES: usize = 42 << 10;
/// Bytes of a neighbour: an id, a distance, whether that is an estimate.
const NEIGHBOUR_BYTES: usize = 10 + 4 + 1;

/// What is searched for, as far as it can be told without reading.
enum Given<'a> {
    Rows(Queries<'a>),
    Ids(Vec<u64>),
}

impl Given<'_> {
    /// What came with the request.
    fn rows(&self) -> Option<&Bytes> {
        match self {
            Given::Rows(queries) => Some(&queries.rows),
            Given::Ids(_) => None,
        }
    }

    fn count(&self) -> usize {
        match self {
            Given::Rows(queries) => queries.count,
            Given::Ids(ids) => ids.len(),
        }
    }
}

#[tonic::async_trait]
impl Searcher for Local {
    async fn search<'a>(&self, ask: Ask, call: Call<'a>) -> Result<Found<'a>, Refusal> {
        if !ask.indexes.is_empty() {
            return self.united(ask, call).await;
        }
        self.search_in(self.registry.get(&ask.index)?, ask, (None, call)).await
    }

    async fn within(&self, ask: AskWithin, call: Call<'_>) -> Result<Ranging, Refusal> {
        ask.check(&self.limits)?;
        let served = self.registry.get(&ask.index)?;
        let AskWithin { target, mut params, filter, embedding_version, .. } = ask;
        check_version(served.index(), "embedding_version", embedding_version.as_deref())?;
        QueryPlan::within(&params, served.index())?;
        let asked = filter.map(|filter| served.filters.ask(filter, served.index(), false)).transpose()?;
        let given = self.given(&served, target, Form::One, call).await?;
        let rows = given.rows().map(|rows| (rows, VectorsOf::Main));
        let let_in = let_in(&served, asked, ([rows, None], 1), (None, call)).await?;
        let query = match given {
            Given::Rows(queries) => queries.rows,
            Given::Ids(ids) => self.rows_of(&served, (ids, VectorsOf::Main), Form::One, call).await?.rows,
        };
        let filter = filtered(&served, let_in, false, call).await?.map(|filter| filter.compiled);
        params.filter = filter.as_ref().map(|filter| Arc::clone(&filter.matches));
        // Its parts go in one at a time.
        let Admitted { effort } =
            served.admit(Load::of(served.engine(), 1, Course::Within), call.deadline)?;
        if effort < 1.0 {
            params.completeness *= effort;
            served.metrics.degraded.inc();
        }
        let (waiting, completeness) = (StopFlag::default(), params.completeness);
        let (deadline, stop) = (Some(call.deadline), Some(waiting.share()));
        let search = served.engine().range(RangeRequest { query, params, deadline, stop })?;
        Ok(Ranging { served, search, completeness, filter, _waiting: waiting })
    }

    async fn fetch<'a>(&self, ask: AskFetch, call: Call<'a>) -> Result<Fetched<'a>, Refusal> {
        let AskFetch { index, ids, column: name, attributes } = ask;
        let served = self.registry.get(&index)?;
        let of = match column(&name, "column", served.index())? {
            // Documents have no others.
            _ if served.index().documents().is_some() => VectorsOf::Column,
            of => of,
        };
        let contents = Contents::of(&served, (Some("ids"), of), ("with_attributes", attributes.as_deref()))?;
        let limit = self.limits.batch as usize; // CAST: widening
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
        let (fetched, more) = contents.fetch(&served, ids, (self.limits.message_bytes, call)).await?;
        more.into_iter().for_each(|more| room.join(more));
        tell_damage(&served, &fetched);
        let EngineFetched { rows, row_counts, cells, states } = fetched;
        let (rows, attributes) = (contents.rows_of(&served, rows, &row_counts), contents.attributes);
        Ok(Fetched { rows, attributes, cells, states, version: served.version(), room })
    }
}

impl Local {
    /// Answers queries from one index; `leave` is there where they were let in with those of others.
    pub(super) async fn search_in<'a>(
        &self,
        served: Arc<Served>,
        ask: Ask,
        (leave, call): (Option<Admitted>, Call<'a>),
    ) -> Result<Found<'a>, Refusal> {
        check_version(served.index(), "options.embedding_version", ask.embedding_version.as_deref())?;
        if matches!(ask.target, Target::Documents { .. }) {
            return self.documents(&served, ask, call).await;
        }
        if served.index().documents().is_some() {
            let message =
                "the index holds documents of many vectors; send a document of vectors (Vectors.documents)";
            return Err(Refusal::field(ask.form.field(), message));
        }
        check(&ask.params, served.index(), &self.limits)?;
        let Ask {
            target,
            column: of_column,
            form,
            mut params,
            filter,
            attributes,
            with_vectors,
            with_work,
            ..
        } = ask;
        let cap = lists_cap(&params, served.index(), &self.limits);
        params.max_lists = cap.or(params.max_lists);
        if params.min_head_score.is_some() && filter.is_some() {
            return Err(ParamsError::HeadScoreFilter.into());
        }
        if let Some(AskColumn { name, .. }) = &of_column {
            named_column(name, &served)?;
            params.rerank = params.rerank.or(Some(self.column_count(&params)?));
        }
        let compare_by = params.compare_by;
        let vectors = with_vectors.then_some("options.with_vectors");
        let attributes = ("options.with_attributes", attributes.as_deref());
        let contents = Contents::of(&served, (vectors, compare_by), attributes)?;
        let asked = filter.map(|f| served.filters.ask(f, served.index(), params.explain)).transpose()?;
        let given = self.given(&served, target, form, call).await?;
        // What lies in the index is found better than what does not.
        let is_own = matches!(given, Given::Ids(_));
        let is_fetched = is_own || matches!(of_column, Some(AskColumn { target: Target::Ids(_), .. }));
        // Before anything is read for them.
        if asked.is_some() || is_own || of_column.is_some() {
            QueryPlan::of(&params, served.index())?;
        }
        let count = given.count();
        let mut room = self.answer_room(&served, (&params, count), (with_vectors, with_work), call)?;
        // What comes with the request is refused before a filter is compiled for it.
        let (column, of_column) = match of_column {
            Some(AskColumn { target: target @ Target::Vectors { .. }, .. }) => {
                (Some(self.column_rows(&served, target, (form, count), call).await?), None)
            }
            of_ids => (None, of_ids),
        };
        let rows = given.rows().map(|rows| (rows, VectorsOf::Main));
        let of_column_rows = column.as_ref().map(|of| (&of.rows, VectorsOf::Column));
        let let_in = let_in(&served, asked, ([rows, of_column_rows], count), (leave, call)).await?;
        let Queries { rows, _room: _rows_room, .. } = match given {
            Given::Rows(queries) => queries,
            Given::Ids(ids) => self.rows_of(&served, (ids, VectorsOf::Main), form, call).await?,
        };
        let column = match of_column {
            Some(of) => Some(self.column_rows(&served, of.target, (form, count), call).await?),
            None => column,
        };
        // Of vectors that come by their ids the time counts from when they are there, as of those that come with the request.
        let call = if is_fetched { Call { arrival: Instant::now(), ..call } } else { call };
        let filter = filtered(&served, let_in, params.explain, call).await?;
        params.filter = filter.as_ref().map(|filter| Arc::clone(&filter.compiled.matches));
        // What is measured is measured of vectors that are searched.
        let is_measured = !is_own && compare_by == VectorsOf::Main;
        if let Some(recall) = served.recall.as_ref().filter(|_| is_measured) {
            params.misses = recall.misses(call.entry.caller(), &params);
        }
        // Without a filter they are as any other, and handing them in makes their plan.
        let plan = match params.filter {
            Some(_) => QueryPlan::of(&params, served.index())?.filter_plan(),
            None => None,
        };
        let load = Load::of(served.engine(), count, plan.into());
        let load = if leave.is_some() { load.let_in_before() } else { load };
        params.effort = leave.map_or(served.admit(load, call.deadline)?, |leave| leave).effort;
        let lowered = lowered(&params, served.index())?;
        let is_kept = is_measured && lowered.is_none() && params.filter.is_none();
        let (k, misses) = (params.k, params.misses);
        let compiled = filter.as_ref().map(|filter| Arc::clone(&filter.compiled));
        let handed = Handed::queries(
            &served,
            (rows.clone(), column.as_ref().map(|of| of.rows.clone())),
            params,
            compiled,
            call,
        )
        .await?;
        let mut answers = handed.answer().await?;
        tell_cap(&mut answers, cap);
        if let Some(recall) = served.recall.as_ref().filter(|_| is_kept) {
            recall.reservoir.see(call.entry.caller(), (&rows, &answers), k, misses);
        }
        let mut vectors = None;
        if !contents.are_none() {
            let bounds = (self.limits.message_bytes, call);
            let (rows, more) = contents.hand_out(&served, &mut answers, bounds).await?;
            vectors = rows;
            more.into_iter().for_each(|more| room.join(more));
        }
        served.metrics.answered(&answers, call.arrival);
        if answers.iter().any(|answer| answer.missing.parts() > 0) {
            served.log_damage();
        }
        let found = Found {
            answers,
            vectors,
            version: served.version(),
            held: served.index().vectors(),
            arrival: call.arrival,
            attributes: contents.attributes,
            filter: filter.and_then(|filter| filter.told),
            lowered,
            united: None,
            room,
        };
        let is_lowered = |&number: &usize| found.effort(number).is_some();
        served.metrics.degraded.inc_by((0..found.answers.len()).filter(is_lowered).count() as u64); // CAST: widening
        Ok(found)
    }

    /// What is searched for, if it fits the index and the limits.
    async fn given<'a>(
        &self,
        served: &Served,
        target: Target,
        form: Form,
        call: Call<'a>,
    ) -> Result<Given<'a>, Refusal> {
        match target {
            Target::Vectors { numbers, dim } => {
                let to = (served.index().shape_of(VectorsOf::Main), &self.limits);
                Ok(Given::Rows(numbers.rows(dim, form, to, call).await?))
            }
            Target::Ids(ids) => {
                form.check(ids.len(), &self.limits)?;
                Ok(Given::Ids(ids))
            }
            Target::Documents { .. } => Err(no_documents(form)),
        }
    }

    /// Room for the answers to `count` queries. What can never be answered is not told to come back.
    pub(super) fn answer_room<'a>(
        &self,
        served: &Served,
        (params, count): (&SearchParams, usize),
        (with_vectors, with_work): (bool, bool),
        call: Call<'a>,
    ) -> Result<Room<'a>, Refusal> {
        let of_vector = served.index().shape_of(params.compare_by).row_bytes();
        let vector_bytes = if with_vectors { of_vector } else { 0 };
        let neighbours = params.k.saturating_mul(NEIGHBOUR_BYTES + vector_bytes);
        let explained = if params.explain { EXPLANATION_BYTES } else { 0 };
        let (bytes, limit) = (count.saturating_mul(explained), self.limits.message_bytes);
        if bytes > limit {
            let message = format!("up to {bytes} bytes of explanations, the server's limit is {limit}");
            return Err(Refusal::field("options.explain", message));
        }
        let rest = ANSWER_REST + explained + if with_work { WORK_BYTES } else { 0 };
        call.entry.room(count.saturating_mul(neighbours.saturating_add(rest)), "k")
    }

    /// Candidates that are compared in a column where a query names no number: within the server's limit.
    fn column_count(&self, params: &SearchParams) -> Result<Rerank, Refusal> {
        let count = u32::try_from(params.column_candidates()?).unwrap_or(u32::MAX);
        Ok(Rerank::Count(count.min(self.limits.rerank)))
    }

    /// The vectors that `count` queries have in the column.
    async fn column_rows<'a>(
        &self,
        served: &Served,
        target: Target,
        (form, count): (Form, usize),
        call: Call<'a>,
    ) -> Result<Queries<'a>, Refusal> {
        let form = form.of_column();
        let queries = match target {
            Target::Vectors { numbers, dim } => {
                let to = (served.index().shape_of(VectorsOf::Column), &self.limits);
                numbers.rows(dim, form, to, call).await?
            }
            Target::Ids(ids) => {
                form.check(ids.len(), &self.limits)?;
                self.rows_of(served, (ids, VectorsOf::Column), form, call).await?
            }
            Target::Documents { .. } => return Err(no_documents(form)),
        };
        if queries.count == count {
            return Ok(queries);
        }
        let message = format!("{} vectors for {count} queries, expected one for each", queries.count);
        Err(Refusal::field(form.field(), message))
    }

    /// The index's own vectors as queries, whose number was checked.
    async fn rows_of<'a>(
        &self,
        served: &Served,
        (ids, of): (Vec<u64>, VectorsOf),
        form: Form,
        call: Call<'a>,
    ) -> Result<Queries<'a>, Refusal> {
        served.admit(
            Load::of(served.engine(), FetchRequest::pieces(ids.len()), Course::Nearest),
            call.deadline,
        )?;
        let room = call.entry.hold(ids.len().saturating_mul(served.index().shape_of(of).row_bytes()))?;
        let (count, asked) = (ids.len(), ids.clone());
        let contents = Contents::vectors(form.field(), of);
        let (fetched, _) = contents.fetch(served, ids, (self.limits.message_bytes, call)).await?;
        tell_damage(served, &fetched);
        let EngineFetched { rows, states, .. } = fetched;
        for (id, state) in asked.into_iter().zip(states) {
            match state {
                FetchState::Found => {}
                FetchState::Damaged => {
                    return Err(Refusal::Damaged(format!("the vector {id} cannot be read")));
                }
                FetchState::Absent => return Err(Refusal::NoVector { id }),
            }
        }
        Ok(Queries { rows: rows.into(), count, _room: Some(room) })
    }
}

/// Refuses documents where vectors are wanted.
fn no_documents(form: Form) -> Refusal {
    Refusal::field(form.field(), "documents, expected vectors; set floats, raw or ids")
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
fn tell_damage(served: &Served, fetched: &EngineFetched) {
    if fetched.states.contains(&FetchState::Damaged) {
        served.log_damage();
    }
}
