//! Queries of vectors: what came with a request, what has to be read for them, and their answers.
use std::sync::Arc;
use std::time::Instant;

use spandrel_engine::{
    Course, FetchRequest, FetchState, Fetched as EngineFetched, ParamsError, QueryPlan, Request, Rerank,
    SearchParams,
};
use spandrel_index::format::VectorsOf;

use super::attention::{self, Attention};
use super::contents::{Contents, Wanted};
use super::given::Given;
use super::handed::Handed;
use super::let_in::{Came, filtered, let_in};
use super::local::{AnswersOf, Local, named_column, tell_damage};
use crate::admission::{Admitted, Load};
use crate::ask::{
    Ask, AskColumn, Fit, Form, Found, Queries, Target, check, check_version, lists_cap, lowered, tell_cap,
};
use crate::call::Call;
use crate::filters;
use crate::ledger::Room;
use crate::recall::Answered;
use crate::refusal::Refusal;
use crate::served::Served;

/// Queries that are about to be let in.
struct Ready<'a> {
    queries: Queries<'a>,
    column: Option<Queries<'a>>,
    params: SearchParams,
    /// Most lists, where the server's limit bounds what the query itself leaves open.
    cap: Option<u32>,
    filter: Option<filters::Found>,
    contents: Contents,
    room: Room<'a>,
    /// Whether they lie in the index.
    is_own: bool,
    /// What inner products are multiplied with, where the attention mass is asked for.
    attention_scale: Option<f64>,
    call: Call<'a>,
}

impl Local {
    /// Answers queries from one index; `leave` is there where they were let in with those of others.
    pub(super) async fn search_in<'a>(
        &self,
        served: Arc<Served>,
        ask: Ask,
        leave: Option<Admitted>,
        call: Call<'a>,
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
        attention::check(&ask, served.index())?;
        let ready = self.ready(&served, ask, leave, call).await?;
        self.answered(&served, ready, leave).await
    }

    /// Makes queries ready. What comes with the request is refused before anything is read or compiled for it.
    async fn ready<'a>(
        &self,
        served: &Arc<Served>,
        ask: Ask,
        leave: Option<Admitted>,
        call: Call<'a>,
    ) -> Result<Ready<'a>, Refusal> {
        let Ask {
            target,
            column: of_column,
            form,
            mut params,
            filter,
            attributes,
            with_vectors,
            with_work,
            attention_scale,
            ..
        } = ask;
        let cap = lists_cap(&params, served.index(), &self.limits);
        params.max_lists = cap.or(params.max_lists);
        if params.min_head_score.is_some() && filter.is_some() {
            return Err(ParamsError::HeadScoreFilter.into());
        }
        if let Some(AskColumn { name, .. }) = &of_column {
            named_column(name, served)?;
            params.rerank = params.rerank.or(Some(self.column_count(&params)?));
        }
        let wanted = Wanted {
            vectors: with_vectors.then_some("options.with_vectors"),
            of: params.compare_by,
            field: "options.with_attributes",
            names: attributes.as_deref(),
        };
        let contents = Contents::of(served, wanted, self.limits.message_bytes)?;
        let asked = filter.map(|f| served.filters.ask(f, served.index(), params.explain)).transpose()?;
        let given = self.given(served, target, form, call).await?;
        let is_own = matches!(given, Given::Ids(_));
        let is_fetched = is_own || matches!(of_column, Some(AskColumn { target: Target::Ids(_), .. }));
        if asked.is_some() || is_own || of_column.is_some() {
            QueryPlan::of(&params, served.index())?;
        }
        let count = given.count();
        let room = self.answer_room(served, &params, AnswersOf { count, with_vectors, with_work }, call)?;
        let (column, of_column) = match of_column {
            Some(AskColumn { target: target @ Target::Vectors { .. }, .. }) => {
                (Some(self.column_rows(served, target, form, count, call).await?), None)
            }
            of_ids => (None, of_ids),
        };
        let came = Came { count, rows: given.rows(), column: column.as_ref().map(|of| &of.rows) };
        let let_in = let_in(served, asked, came, leave, call).await?;
        let queries = match given {
            Given::Rows(queries) => queries,
            Given::Ids(ids) => self.rows_of(served, ids, VectorsOf::Main, form, call).await?,
        };
        let column = match of_column {
            Some(of) => Some(self.column_rows(served, of.target, form, count, call).await?),
            None => column,
        };
        // Of vectors that come by their ids the time counts from when they are there, as of those that come with the request.
        let call = if is_fetched { Call { arrival: Instant::now(), ..call } } else { call };
        let filter = filtered(served, let_in, params.explain, call).await?;
        params.filter = filter.as_ref().map(|filter| Arc::clone(&filter.compiled.matches));
        Ok(Ready { queries, column, params, cap, filter, contents, room, is_own, attention_scale, call })
    }

    /// Lets queries in, and has them answered.
    async fn answered<'a>(
        &self,
        served: &Arc<Served>,
        ready: Ready<'a>,
        leave: Option<Admitted>,
    ) -> Result<Found<'a>, Refusal> {
        let Ready { queries, column, mut params, cap, filter, contents, room, is_own, attention_scale, call } =
            ready;
        // What is measured is measured of vectors that are searched; what lies in the index is found better than what does not.
        let is_measured = !is_own && params.compare_by == VectorsOf::Main;
        if let Some(recall) = served.recall.as_ref().filter(|_| is_measured) {
            params.misses = recall.misses(call.entry.caller(), &params);
        }
        // Without a filter they are as any other, and handing them in makes their plan.
        let plan = match params.filter {
            Some(_) => QueryPlan::of(&params, served.index())?.filter_plan(),
            None => None,
        };
        let load = Load::of(served.engine(), queries.count, plan.into());
        let attention = Attention::of(attention_scale, served, &queries.rows, call)?;
        let with_mass = attention.as_ref().map(|attention| attention.load(served));
        let load = Load::together([Some(load), with_mass].into_iter().flatten()).unwrap_or(load);
        let load = if leave.is_some() { load.let_in_before() } else { load };
        params.effort = leave.map_or(served.admit(load, call.deadline)?, |leave| leave).effort;
        let lowered = lowered(&params, served.index())?;
        let is_kept =
            is_measured && lowered.is_none() && params.filter.is_none() && params.max_bytes.is_none();
        let (k, misses) = (params.k, params.misses);
        let compiled = filter.as_ref().map(|filter| Arc::clone(&filter.compiled));
        let request = Request {
            queries: queries.rows.clone(),
            column_queries: column.as_ref().map(|of| of.rows.clone()),
            params,
            deadline: Some(call.deadline),
            stop: None,
        };
        let mut answers = Handed::queries(served, request, compiled).await?.answer().await?;
        tell_cap(&mut answers, cap);
        if let Some(recall) = served.recall.as_ref().filter(|_| is_kept) {
            let answered = Answered { rows: &queries.rows, answers: &answers, k, misses };
            recall.reservoir.see(call.entry.caller(), answered);
        }
        let attention = match attention {
            Some(attention) => attention.masses(served, &mut answers, call).await?,
            None => Vec::new(),
        };
        let found = self.found(served, answers, contents, room, call).await?;
        let found = Found { attention, filter: filter.and_then(|filter| filter.told), lowered, ..found };
        let is_lowered = |&number: &usize| found.effort(number).is_some();
        served.metrics.degraded.inc_by((0..found.answers.len()).filter(is_lowered).count() as u64); // CAST: widening
        Ok(found)
    }

    /// What is searched for, if it fits the index and the limits.
    pub(super) async fn given<'a>(
        &self,
        served: &Served,
        target: Target,
        form: Form,
        call: Call<'a>,
    ) -> Result<Given<'a>, Refusal> {
        match target {
            Target::Vectors { numbers, dim } => {
                let fit = Fit { form, to: served.index().shape_of(VectorsOf::Main), limits: &self.limits };
                Ok(Given::Rows(numbers.rows(dim, fit, call).await?))
            }
            Target::Ids(ids) => {
                form.check(ids.len(), &self.limits)?;
                Ok(Given::Ids(ids))
            }
            Target::Documents { .. } => Err(no_documents(form)),
        }
    }

    /// Candidates that are compared in a column where a query names no number: within the server's limit.
    fn column_count(&self, params: &SearchParams) -> Result<Rerank, Refusal> {
        let count = u32::try_from(params.column_candidates()?).unwrap_or(u32::MAX);
        Ok(Rerank::Count(count.min(self.limits.rerank_max)))
    }

    /// The vectors that `count` queries have in the column.
    async fn column_rows<'a>(
        &self,
        served: &Served,
        target: Target,
        form: Form,
        count: usize,
        call: Call<'a>,
    ) -> Result<Queries<'a>, Refusal> {
        let form = form.of_column();
        let queries = match target {
            Target::Vectors { numbers, dim } => {
                let fit = Fit { form, to: served.index().shape_of(VectorsOf::Column), limits: &self.limits };
                numbers.rows(dim, fit, call).await?
            }
            Target::Ids(ids) => {
                form.check(ids.len(), &self.limits)?;
                self.rows_of(served, ids, VectorsOf::Column, form, call).await?
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
    pub(super) async fn rows_of<'a>(
        &self,
        served: &Served,
        ids: Vec<u64>,
        of: VectorsOf,
        form: Form,
        call: Call<'a>,
    ) -> Result<Queries<'a>, Refusal> {
        served.admit(
            Load::of(served.engine(), FetchRequest::pieces(ids.len()), Course::Nearest),
            call.deadline,
        )?;
        let room = call.entry.hold(ids.len().saturating_mul(served.index().shape_of(of).row_bytes()))?;
        let (count, asked) = (ids.len(), ids.clone());
        let field = form.field();
        let wanted = Wanted { vectors: Some(field), of, field, names: None };
        let contents = Contents::of(served, wanted, self.limits.message_bytes)?;
        let (fetched, _) = contents.fetch(served, ids, call).await?;
        tell_damage(served, &fetched);
        let EngineFetched { rows, states, .. } = fetched;
        for (id, state) in asked.into_iter().zip(states) {
            match state {
                FetchState::Found => {}
                FetchState::Damaged => {
                    return Err(Refusal::DamagedVector { id });
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
