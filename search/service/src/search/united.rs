//! Several indexes that are searched as one.
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use spandrel_engine::{Answer, Course, Duplicates, UnionAnswer, check_union, union};
use spandrel_index::format::VectorsOf;
use spandrel_index::{DType, Index, Metric, VectorsShape};

use super::local::{Local, named_column};
use crate::admission::{Admitted, Load};
use crate::ask::{Ask, AskColumn, Effort, Fit, Form, Found, Numbers, Queries, Rows, Target, United, check};
use crate::call::Call;
use crate::ledger::Room;
use crate::refusal::Refusal;
use crate::served::Served;
use crate::turns::PIECE;

/// Indexes that a request may name.
const INDEXES_MAX: usize = 16;

/// What is told of ids, which several indexes may have.
const NO_VECTORS: &str = "ids are of one index; send vectors";

/// Searches that go on side by side.
type Searching<'a, T> = Pin<Box<dyn Future<Output = Result<T, Refusal>> + Send + 'a>>;

/// How answers are put together.
#[derive(Clone, Copy)]
struct Terms {
    metric: Metric,
    k: usize,
    duplicates: Duplicates,
    deadline: Instant,
}

impl Local {
    /// Answers queries from several indexes as one. They are let in together; each is searched as if it were asked alone, bounded and
    /// counted by itself.
    pub(super) async fn united<'a>(&self, mut ask: Ask, call: Call<'a>) -> Result<Found<'a>, Refusal> {
        refuse(&ask)?;
        let served = self.each(&ask.indexes)?;
        self.check_each(&ask, &served)?;
        let Some(first) = served.first() else { return Err(Refusal::field("indexes", "none given")) };
        let metric = first.index().shape_of(ask.params.compare_by).metric;
        let terms = Terms { metric, k: ask.params.k, duplicates: ask.duplicates, deadline: call.deadline };
        // Once for all: each gets these bytes.
        let shape = first.index().shape_of(VectorsOf::Main);
        let (target, count, _room) = self.shared(ask.target, ask.form, shape, call).await?;
        ask.target = target;
        if ask.params.explain {
            self.check_explanations(count.saturating_mul(served.len()))?;
        }
        let mut _column_room = None;
        if let Some(AskColumn { name, target }) = ask.column.take() {
            let shape = first.index().shape_of(VectorsOf::Column);
            let (target, _, room) = self.shared(target, ask.form.of_column(), shape, call).await?;
            (ask.column, _column_room) = (Some(AskColumn { name, target }), room);
        }
        let leave = let_in(&served, count, Course::Nearest, call.deadline)?;
        if let Some(filter) = ask.filter.take() {
            ask.filter = Some(first.filters.parsed(filter, call.deadline).await?);
        }
        let names = std::mem::take(&mut ask.indexes);
        let searches = served.into_iter().map(|served| -> Searching<'_, Found<'a>> {
            Box::pin(self.search_in(served, ask.clone(), Some(leave), call))
        });
        let found = side_by_side(searches.collect()).await?;
        merge(found, &names, terms, call).await
    }

    /// Refuses what indexes that do not fit each other, or one of them, would refuse, before anything is done with what came.
    fn check_each(&self, ask: &Ask, served: &[Arc<Served>]) -> Result<(), Refusal> {
        for served in served {
            check(&ask.params, served.index(), &self.limits)?;
            check_version_of(served, "options.embedding_version", ask.embedding_version.as_deref())?;
            if let Some(AskColumn { name, .. }) = &ask.column {
                named_column(name, served)?;
            }
        }
        let has_attributes = ask.filter.is_some() || ask.attributes.is_some();
        check_alike(served, ask.params.compare_by, has_attributes)
    }

    /// Vectors as rows of all indexes, whose bytes copies share; how many there are.
    pub(super) async fn shared<'a>(
        &self,
        target: Target,
        form: Form,
        to: VectorsShape,
        call: Call<'a>,
    ) -> Result<(Target, usize, Option<Room<'a>>), Refusal> {
        let Target::Vectors { numbers, dim } = target else {
            return Err(Refusal::field(form.field(), NO_VECTORS));
        };
        let Queries { rows, count, _room } =
            numbers.rows(dim, Fit { form, to, limits: &self.limits }, call).await?;
        let numbers = Numbers::Raw { data: rows, dtype: to.dtype };
        Ok((Target::Vectors { numbers, dim: 0 }, count, _room))
    }

    /// The indexes that are named.
    pub(super) fn each(&self, names: &[String]) -> Result<Vec<Arc<Served>>, Refusal> {
        if names.len() > INDEXES_MAX {
            return Err(Refusal::limit("indexes", names.len(), INDEXES_MAX));
        }
        let mut served = Vec::with_capacity(names.len());
        for (at, name) in names.iter().enumerate() {
            if name.is_empty() {
                return Err(Refusal::field("indexes", "an empty name"));
            }
            if names[..at].contains(name) {
                return Err(Refusal::field("indexes", format!("{name:?} is named twice")));
            }
            let one = self.registry.get(name)?;
            if one.index().documents().is_some() {
                let message =
                    format!("{name:?} is an index of documents, which is searched alone; name it as index");
                return Err(Refusal::field("indexes", message));
            }
            served.push(one);
        }
        Ok(served)
    }
}

/// Refuses indexes that do not fit each other.
pub(super) fn check_alike(
    served: &[Arc<Served>],
    compare_by: VectorsOf,
    has_attributes: bool,
) -> Result<(), Refusal> {
    let indexes: Vec<Arc<Index>> = served.iter().map(|served| Arc::clone(served.index())).collect();
    check_union(&indexes, compare_by, has_attributes).map_err(|error| {
        let named = (1..).zip(served).map(|(number, of)| format!("index {number}: {}", of.config.name));
        Refusal::field("indexes", format!("{error} ({})", named.collect::<Vec<_>>().join(", ")))
    })
}

/// Refuses queries of a version that one of several indexes does not list.
pub(super) fn check_version_of(
    served: &Served,
    field: &'static str,
    asked: Option<&str>,
) -> Result<(), Refusal> {
    let answers = served.index().manifest().answers_version(asked);
    answers.map_err(|error| Refusal::field(field, format!("index {}: {error}", served.config.name)))
}

/// Lets in `count` queries of all indexes at once: each would meet the others in the queue, and a request that can never be in time would
/// be told to come back.
pub(super) fn let_in(
    served: &[Arc<Served>],
    count: usize,
    course: Course,
    deadline: Instant,
) -> Result<Admitted, Refusal> {
    let loads = served.iter().map(|served| Load::of(served.engine(), count, course));
    let (Some(load), Some(first)) = (Load::together(loads), served.first()) else {
        return Err(Refusal::field("indexes", "none given"));
    };
    first.admission.admit(load, deadline).inspect_err(|refusal| {
        if matches!(refusal, Refusal::Overloaded { .. }) {
            // CAST: widening
            served.iter().for_each(|served| _ = served.metrics.refused.inc_by(count as u64));
        }
    })
}

/// Refuses what is of one index alone.
fn refuse(ask: &Ask) -> Result<(), Refusal> {
    let is_by_id = |target: &Target| matches!(target, Target::Ids(_));
    let by_id_in_column = ask.column.as_ref().is_some_and(|AskColumn { target, .. }| is_by_id(target));
    let alone = [
        (ask.form.field(), is_by_id(&ask.target), NO_VECTORS),
        (
            ask.form.field(),
            matches!(ask.target, Target::Documents { .. }),
            "documents are searched in one index; name it as index",
        ),
        ("column_queries.vectors", by_id_in_column, NO_VECTORS),
        (
            "options.attention_scale",
            ask.attention_scale.is_some(),
            "taken with one index alone; name it as index",
        ),
        (
            "options.min_head_score",
            ask.params.min_head_score.is_some(),
            "taken with one index alone; name it as index",
        ),
    ];
    match alone.into_iter().find(|&(_, is_set, _)| is_set) {
        Some((field, _, message)) => Err(Refusal::field(field, message)),
        None => Ok(()),
    }
}

/// Waits for all; the first that is refused ends the others.
async fn side_by_side<T>(searches: Vec<Searching<'_, T>>) -> Result<Vec<T>, Refusal> {
    let mut under_way: Vec<_> = searches.into_iter().map(Some).collect();
    let mut found: Vec<Option<T>> = under_way.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (search, found) in under_way.iter_mut().zip(&mut found) {
            let Some(Poll::Ready(result)) = search.as_mut().map(|search| search.as_mut().poll(context))
            else {
                continue;
            };
            *search = None;
            match result {
                Ok(answer) => *found = Some(answer),
                Err(refusal) => return Poll::Ready(Err(refusal)),
            }
        }
        if under_way.iter().any(Option::is_some) { Poll::Pending } else { Poll::Ready(Ok(())) }
    })
    .await?;
    Ok(found.into_iter().flatten().collect())
}

/// What several indexes found, as if one had.
async fn merge<'a>(
    mut found: Vec<Found<'a>>,
    names: &[String],
    terms: Terms,
    call: Call<'a>,
) -> Result<Found<'a>, Refusal> {
    let queries = found.iter().map(|found| found.answers.len()).min().unwrap_or_default();
    let efforts = (0..queries).map(|number| effort(&found, number)).collect();
    let versions = names.iter().cloned().zip(found.iter().map(|found| found.version.clone())).collect();
    let held: Vec<u64> = found.iter().map(|found| found.held).collect();
    let filters = found.iter_mut().map(|found| found.filter.take()).collect();
    let rows: Option<Vec<Rows>> = found.iter_mut().map(|found| found.vectors.take()).collect();
    // Beside those of each index, which are held until all are merged.
    let vectors_room = match &rows {
        Some(rows) => {
            Some(call.entry.room(Vectors::bytes_most(rows, queries, terms.k), "options.with_vectors")?)
        }
        None => None,
    };
    let parts: Vec<Vec<Answer>> = found.iter_mut().map(|found| std::mem::take(&mut found.answers)).collect();
    let neighbours: usize = parts.iter().flatten().map(|answer| answer.neighbours.len()).sum();
    let (merged, vectors) = match neighbours > PIECE {
        false => answers(parts, rows, queries, terms)?,
        true => {
            let merging = tokio::task::spawn_blocking(move || answers(parts, rows, queries, terms));
            merging.await.map_err(Refusal::broken("merging answers"))??
        }
    };
    let mut rest = found.into_iter();
    let Some(mut whole) = rest.next() else { return Err(Refusal::field("indexes", "none given")) };
    rest.for_each(|part| whole.room.join(part.room));
    vectors_room.into_iter().for_each(|room| whole.room.join(room));
    let mut united = United { versions, efforts, filters, ..United::default() };
    let mut answers = Vec::with_capacity(queries);
    for of in merged {
        united.unlike.push(of.unlike);
        united.indexes.push(of.indexes);
        united.explained.push(of.explained);
        answers.push(of.answer);
    }
    let all = held.iter().sum();
    united.held = held;
    Ok(Found { answers, vectors, held: all, lowered: None, united: Some(united), ..whole })
}

/// The answers to each of `queries` queries together, and the vectors of their neighbours: of each the row that its own index gave, where
/// `rows` has those of all neighbours of each index back to back.
fn answers(
    parts: Vec<Vec<Answer>>,
    rows: Option<Vec<Rows>>,
    queries: usize,
    terms: Terms,
) -> Result<(Vec<UnionAnswer>, Option<Rows>), Refusal> {
    let Terms { metric, k, duplicates, deadline } = terms;
    let mut parts: Vec<_> = parts.into_iter().map(Vec::into_iter).collect();
    let mut merged = Vec::with_capacity(queries);
    let mut vectors = rows.map(|rows| Vectors::of(rows, queries, k));
    for _ in 0..queries {
        if Instant::now() >= deadline {
            return Err(Refusal::Deadline);
        }
        let of_query: Vec<Answer> = parts.iter_mut().filter_map(Iterator::next).collect();
        let counts: Vec<usize> = of_query.iter().map(|answer| answer.neighbours.len()).collect();
        let answer = union(of_query, metric, k, duplicates);
        if let Some(vectors) = &mut vectors {
            vectors.take(&answer, &counts);
        }
        merged.push(answer);
    }
    Ok((merged, vectors.map(|vectors| vectors.merged)))
}

/// Vectors of neighbours, as several indexes gave them.
struct Vectors {
    /// Of each index the rows of its neighbours, query by query.
    parts: Vec<Rows>,
    /// Bytes of each that queries before took.
    taken: Vec<usize>,
    merged: Rows,
}

impl Vectors {
    /// Bytes of the vectors of `k` neighbours for each query, or of all that there are.
    fn bytes_most(parts: &[Rows], queries: usize, k: usize) -> usize {
        let row_bytes = parts.first().map_or(0, |first| first.dtype.bytes() * first.dim);
        let all = parts.iter().map(|part| part.data.len()).sum();
        queries.saturating_mul(k).saturating_mul(row_bytes).min(all)
    }

    fn of(parts: Vec<Rows>, queries: usize, k: usize) -> Vectors {
        let data = Vec::with_capacity(Vectors::bytes_most(&parts, queries, k));
        let taken = vec![0; parts.len()];
        // An index without neighbours tells no other type and dimension than the others.
        let first = parts.first();
        let (dtype, dim) = first.map_or((DType::F32, 0), |first| (first.dtype, first.dim));
        Vectors { parts, taken, merged: Rows { dtype, dim, data, offsets: None } }
    }

    /// Takes the vectors of the neighbours of a query, of which each index gave a number.
    fn take(&mut self, answer: &UnionAnswer, counts: &[usize]) {
        let row_bytes = self.merged.dtype.bytes() * self.merged.dim;
        for (&index, &place) in answer.indexes.iter().zip(&answer.places) {
            let (index, place) = (index as usize, place as usize); // CAST: widening
            let start = self.taken[index] + place * row_bytes;
            self.merged.data.extend_from_slice(&self.parts[index].data[start..start + row_bytes]);
        }
        for (taken, count) in self.taken.iter_mut().zip(counts) {
            *taken += count * row_bytes;
        }
    }
}

/// How thoroughly a query was searched in the indexes where that was less than asked for, together.
fn effort(found: &[Found<'_>], number: usize) -> Option<Effort> {
    let lowered = found.iter().filter_map(|found| found.effort(number));
    lowered.reduce(|a, b| Effort {
        asked_lists: a.asked_lists + b.asked_lists,
        searched_lists: a.searched_lists + b.searched_lists,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn one_that_is_refused_ends_the_others() {
        let held = Arc::new(());
        let waits = |held: Arc<()>| -> Searching<'static, u32> {
            Box::pin(async move {
                std::future::pending::<()>().await;
                drop(held);
                Ok(1)
            })
        };
        let refused: Searching<'static, u32> = Box::pin(async {
            tokio::task::yield_now().await;
            Err(Refusal::Deadline)
        });
        let ended = side_by_side(vec![waits(Arc::clone(&held)), refused, waits(Arc::clone(&held))]).await;
        assert!(matches!(ended, Err(Refusal::Deadline)));
        assert_eq!(Arc::strong_count(&held), 1);
        let one = |number| -> Searching<'static, u32> {
            Box::pin(async move {
                for _ in 0..10 - number {
                    tokio::task::yield_now().await;
                }
                Ok(number)
            })
        };
        assert_eq!(side_by_side(vec![one(1), one(7), one(3)]).await.unwrap(), [1, 7, 3]);
    }

    #[test]
    fn answers_are_not_merged_past_the_deadline() {
        let terms =
            Terms { metric: Metric::L2, k: 1, duplicates: Duplicates::Best, deadline: Instant::now() };
        let parts = || vec![vec![Answer::default(); 2]; 3];
        assert!(matches!(answers(parts(), None, 2, terms), Err(Refusal::Deadline)));
        let later = Terms { deadline: Instant::now() + Duration::from_secs(60), ..terms };
        assert_eq!(answers(parts(), None, 2, later).unwrap().0.len(), 2);
    }
}
