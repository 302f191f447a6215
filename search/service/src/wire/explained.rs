//! How a query was answered, as a message.
use spandrel_engine::{
    Answer, ExplainedDocument, ExplainedDocuments, ExplainedFilter, ExplainedList, ExplainedSearch,
    ExplainedVector, FilterPlan, ListFate, PlanCosts, PlanReason, ReadPart, Rerank, Round, SearchedBy, Stop,
};
use spandrel_index::attributes::FilterPart;
use spandrel_proto::v1;

use crate::ask::FilterTold;

/// How `answer` was found, where that was asked for; `told` is of its filter.
pub(super) fn explanation(answer: &Answer, told: Option<&FilterTold>) -> Option<v1::Explanation> {
    let of = answer.explanation.as_deref()?;
    let matches = answer.filtered.map(|filtered| filtered.matches);
    Some(v1::Explanation {
        epsilon: of.epsilon,
        lists_planned: of.lists_planned,
        min_head_score: of.min_head_score,
        rerank: if let Some(Rerank::Count(count)) = of.rerank { Some(count) } else { None },
        rerank_errors: if let Some(Rerank::Errors(errors)) = of.rerank { Some(errors) } else { None },
        lists: of.lists.items.iter().map(list).collect(),
        lists_more: of.lists.more,
        shared_lists: of.shared_lists,
        stop: wire_stop(of.stop) as i32, // CAST: the enum's code
        compared: of.compared.items.iter().map(vector).collect(),
        compared_more: of.compared.more,
        rounds: of.rounds.iter().map(round).collect(),
        filter: of.filter.as_ref().map(|of| v1::ExplainedFilter {
            text: told.map(|told| told.text.to_string()).unwrap_or_default(),
            matches: matches.unwrap_or_default(),
            parts: told.iter().flat_map(|told| &told.parts).map(part).collect(),
            ..filter(of)
        }),
        documents: of.documents.as_deref().map(documents),
    })
}

fn part(of: &FilterPart) -> v1::FilterPart {
    let FilterPart { depth, text, matches } = of;
    v1::FilterPart { depth: *depth as u32, text: text.clone(), matches: *matches } // CAST: at most 100
}

fn filter(of: &ExplainedFilter) -> v1::ExplainedFilter {
    let &ExplainedFilter { plan, reason, costs: PlanCosts { exact, codes, lists } } = of;
    let reason = match reason {
        // No request names one.
        PlanReason::Asked => v1::PlanReason::Unspecified,
        PlanReason::Exact => v1::PlanReason::Exact,
        PlanReason::All => v1::PlanReason::All,
        PlanReason::Few => v1::PlanReason::Few,
        PlanReason::Cost => v1::PlanReason::Cost,
        PlanReason::Small => v1::PlanReason::Small,
        PlanReason::Sparse => v1::PlanReason::Sparse,
    };
    v1::ExplainedFilter {
        plan: wire_plan(plan) as i32, // CAST: the enum's code, as below
        reason: reason as i32,
        exact_cost: exact,
        codes_cost: codes,
        lists_cost: lists,
        ..Default::default()
    }
}

pub(super) fn wire_plan(plan: FilterPlan) -> v1::FilterPlan {
    match plan {
        FilterPlan::Exact => v1::FilterPlan::Exact,
        FilterPlan::Codes => v1::FilterPlan::Codes,
        FilterPlan::Lists => v1::FilterPlan::Lists,
        FilterPlan::Post => v1::FilterPlan::Post,
    }
}

fn list(of: &ExplainedList) -> v1::ExplainedList {
    let &ExplainedList { segment, list, head_distance, fate, scanned } = of;
    let fate = match fate {
        ListFate::Planned => v1::ListFate::Planned,
        ListFate::Needed => v1::ListFate::Needed,
        ListFate::Epsilon => v1::ListFate::Epsilon,
        ListFate::MaxBytes => v1::ListFate::MaxBytes,
        ListFate::Empty => v1::ListFate::Empty,
        ListFate::Damaged => v1::ListFate::Damaged,
        ListFate::Enough => v1::ListFate::Enough,
    };
    // CAST: the enum's code
    v1::ExplainedList { segment: segment.into(), list, head_distance, fate: fate as i32, scanned }
}

fn wire_stop(stop: Stop) -> v1::Stop {
    match stop {
        Stop::Count => v1::Stop::Count,
        Stop::Epsilon => v1::Stop::Epsilon,
        Stop::Neighbours => v1::Stop::Neighbours,
        Stop::MaxLists => v1::Stop::MaxLists,
        Stop::MaxBytes => v1::Stop::MaxBytes,
        Stop::Enough => v1::Stop::Enough,
        Stop::MinHeadScore => v1::Stop::MinHeadScore,
        Stop::All => v1::Stop::All,
    }
}

fn vector(of: &ExplainedVector) -> v1::ExplainedVector {
    let &ExplainedVector { location, burst, beside, estimate, error, exact } = of;
    v1::ExplainedVector {
        id: exact.map(|exact| exact.id),
        segment: location.segment().into(),
        position: location.position(),
        burst,
        beside,
        estimate,
        error,
        distance: exact.map(|exact| exact.distance),
    }
}

/// How documents were found.
fn documents(of: &ExplainedDocuments) -> v1::ExplainedDocuments {
    let ExplainedDocuments { by, searches, compared } = of;
    let by = match by {
        SearchedBy::Tokens => v1::SearchedBy::Tokens,
        SearchedBy::Encoding => v1::SearchedBy::Encoding,
        SearchedBy::Filter => v1::SearchedBy::Filter,
    };
    v1::ExplainedDocuments {
        by: by as i32, // CAST: the enum's code
        searches: searches.items.iter().map(search).collect(),
        searches_more: searches.more,
        compared: compared.items.iter().map(document).collect(),
        compared_more: compared.more,
    }
}

fn search(of: &ExplainedSearch) -> v1::ExplainedSearch {
    let ExplainedSearch { plan, lists, stop, scanned, kept, floor, reads, read_bytes } = of;
    v1::ExplainedSearch {
        lists: lists.items.iter().map(list).collect(),
        lists_more: lists.more,
        stop: wire_stop(*stop) as i32, // CAST: the enum's code, as below
        plan: plan.map_or(v1::FilterPlan::Unspecified, wire_plan) as i32,
        codes: *scanned,
        kept: *kept,
        floor: *floor,
        reads: *reads,
        read_bytes: *read_bytes,
    }
}

fn document(of: &ExplainedDocument) -> v1::ExplainedDocument {
    let &ExplainedDocument { document, id, found_by, estimate, score } = of;
    v1::ExplainedDocument { id, document, found_by, estimate, score }
}

fn round(of: &Round) -> v1::Round {
    let &Round { part, reads, bytes } = of;
    let part = match part {
        ReadPart::Lists => v1::ReadPart::Lists,
        ReadPart::Vectors => v1::ReadPart::Vectors,
    };
    v1::Round { part: part as i32, reads, bytes } // CAST: the enum's code
}
