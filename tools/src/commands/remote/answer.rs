//! Answers as calls bring them.
use spandrel_client::item_status;
use spandrel_engine::{Answer, Filtered, Limit, Missing, Neighbour, Promise, UnionAnswer, Work};
use spandrel_proto::v1;
use spandrel_proto::v1::search_stream_response::Result as ItemResult;
use tonic::Status;

use super::attributes::cells;
use super::explained::{explanation, plan, stages};

pub(crate) fn work_of(work: &v1::Work) -> Work {
    Work {
        lists: work.lists,
        reads: work.reads,
        pages: work.pages,
        rounds: work.rounds,
        read_bytes: work.read_bytes,
        vectors_scanned: work.codes,
        candidates: work.candidates,
        cache_hits: work.cache_hits,
        reranked: work.reranked,
        documents: work.documents,
        head_distances: work.head_distances,
    }
}

pub(crate) fn neighbours(ids: &[u64], distances: &[f32], estimated: &[bool]) -> Vec<Neighbour> {
    let estimated = estimated.iter().copied().chain(std::iter::repeat(false));
    let all = ids.iter().zip(distances).zip(estimated);
    all.map(|((&id, &distance), estimated)| Neighbour { id, distance, estimated }).collect()
}

pub(crate) fn missing_of(missing: v1::Missing) -> Missing {
    let v1::Missing { lists, pages } = missing;
    Missing { lists, pages }
}

/// The answer to one query.
pub(crate) fn answer(response: &v1::SearchResponse) -> Answer {
    Answer {
        neighbours: neighbours(&response.ids, &response.distances, &response.estimated),
        cells: cells(&response.attributes, 0..response.ids.len()),
        work: response.work.as_ref().map(work_of).unwrap_or_default(),
        taken: None,
        latency_us: 0.0,
        stages: response.explanation.as_ref().and(response.work.as_ref()).and_then(stages),
        explanation: response.explanation.as_ref().map(|message| Box::new(explanation(message))),
        missing: response.missing.map(missing_of).unwrap_or_default(),
        limited_by: limit(response.limited_by),
        filtered: response.filtered.and_then(filtered_of),
        promise: response.promise.map(promise_of),
    }
}

/// What a filter came to; none where only a newer server has the plan.
fn filtered_of(filtered: v1::Filtered) -> Option<Filtered> {
    let v1::Filtered { matches, widened, .. } = filtered;
    Some(Filtered { matches, plan: plan(filtered.plan())?, widened })
}

fn promise_of(promise: v1::Promise) -> Promise {
    Promise { target: promise.target, expected: promise.expected_recall }
}

/// The limit of a code; one that a newer server has is taken for none.
pub(crate) fn limit(code: i32) -> Option<Limit> {
    match v1::Limit::try_from(code) {
        Ok(v1::Limit::MaxLists) => Some(Limit::MaxLists),
        Ok(v1::Limit::MaxBytes) => Some(Limit::MaxBytes),
        Ok(v1::Limit::MaxResults) => Some(Limit::MaxResults),
        Ok(v1::Limit::MinHeadScore) => Some(Limit::MinHeadScore),
        Ok(v1::Limit::Unspecified) | Err(_) => None,
    }
}

/// The answer to one query, with the indexes of its neighbours where there are several.
pub(super) fn united(response: &v1::SearchResponse) -> UnionAnswer {
    UnionAnswer {
        answer: answer(response),
        indexes: response.indexes.clone(),
        // Where they were in the answers of their indexes is not told.
        places: Vec::new(),
        explained: response.explained.iter().map(explained).collect(),
        unlike: response.unlike,
    }
}

/// How an index answered that is one of several.
fn explained(message: &v1::ExplainedIndex) -> Answer {
    Answer {
        work: message.work.as_ref().map(work_of).unwrap_or_default(),
        stages: message.work.as_ref().and_then(stages),
        explanation: message.explanation.as_ref().map(|message| Box::new(explanation(message))),
        ..Answer::default()
    }
}

/// The answers to many queries, as [`united`].
pub(super) fn all_united(response: &v1::SearchBatchResponse) -> Vec<UnionAnswer> {
    let (mut indexes, several) = (response.indexes.iter().copied(), response.versions.len());
    let all = answers(response).into_iter().enumerate().map(|(number, answer)| UnionAnswer {
        indexes: indexes.by_ref().take(answer.neighbours.len()).collect(),
        places: Vec::new(),
        explained: response.explained.iter().skip(number * several).take(several).map(explained).collect(),
        unlike: response.unlike.get(number).copied().unwrap_or_default(),
        answer,
    });
    all.collect()
}

/// What an item of a stream says, as `of` reads it.
pub(crate) fn item<T>(
    result: Option<ItemResult>,
    of: impl FnOnce(&v1::SearchResponse) -> T,
) -> Result<T, Status> {
    match result {
        Some(ItemResult::Answer(response)) => Ok(of(&response)),
        Some(ItemResult::Status(item)) => Err(item_status(item)),
        None => Err(Status::internal("an item of a stream without answer or status")),
    }
}

/// The answers to many queries.
pub(crate) fn answers(response: &v1::SearchBatchResponse) -> Vec<Answer> {
    let mut first = 0;
    let mut all = Vec::with_capacity(response.counts.len());
    for (number, &count) in response.counts.iter().enumerate() {
        let end = first + count as usize; // CAST: widening
        let part = first..end;
        let explained = response.explanations.get(number);
        all.push(Answer {
            neighbours: neighbours(
                response.ids.get(part.clone()).unwrap_or_default(),
                response.distances.get(part.clone()).unwrap_or_default(),
                response.estimated.get(part.clone()).unwrap_or_default(),
            ),
            cells: cells(&response.attributes, part),
            work: response.work.get(number).map(work_of).unwrap_or_default(),
            taken: None,
            latency_us: 0.0,
            stages: explained.and(response.work.get(number)).and_then(stages),
            explanation: explained.map(|message| Box::new(explanation(message))),
            missing: response.missing.get(number).copied().map(missing_of).unwrap_or_default(),
            limited_by: response.limited_by.get(number).copied().and_then(limit),
            filtered: response.filtered.get(number).copied().and_then(filtered_of),
            promise: response.promises.get(number).copied().map(promise_of),
        });
        first = end;
    }
    all
}
