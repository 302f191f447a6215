//! How a server says that it answered a query.
use spandrel_engine::{
    Exact, ExplainedDocument, ExplainedDocuments, ExplainedFilter, ExplainedList, ExplainedSearch,
    ExplainedVector, Explanation, FilterPlan, First, ListFate, PlanCosts, PlanReason, ReadPart, Rerank,
    Round, SearchedBy, StageTimes, Stop,
};
use spandrel_index::Location;
use spandrel_index::attributes::FilterPart;
use spandrel_proto::v1;

/// What a message tells; what a newer server tells beyond that is left out.
pub(super) fn explanation(message: &v1::Explanation) -> Explanation {
    let lists = message.lists.iter().filter_map(list);
    let rounds = message.rounds.iter().filter_map(round);
    Explanation {
        epsilon: message.epsilon,
        lists_planned: message.lists_planned,
        min_head_score: message.min_head_score,
        rerank: message.rerank.map(Rerank::Count).or(message.rerank_errors.map(Rerank::Errors)),
        lists: First { items: lists.collect(), more: message.lists_more },
        shared_lists: message.shared_lists,
        stop: stop(message.stop()),
        compared: First { items: message.compared.iter().map(vector).collect(), more: message.compared_more },
        rounds: rounds.collect(),
        filter: message.filter.as_ref().and_then(filter),
        parts: message.filter.iter().flat_map(|filter| &filter.parts).map(part).collect(),
        documents: message.documents.as_ref().and_then(documents).map(Box::new),
    }
}

/// How a filter was searched; none where only a newer server has the plan.
pub(super) fn plan(plan: v1::FilterPlan) -> Option<FilterPlan> {
    match plan {
        v1::FilterPlan::Unspecified => None,
        v1::FilterPlan::Exact => Some(FilterPlan::Exact),
        v1::FilterPlan::Codes => Some(FilterPlan::Codes),
        v1::FilterPlan::Lists => Some(FilterPlan::Lists),
        v1::FilterPlan::Post => Some(FilterPlan::Post),
    }
}

fn part(message: &v1::FilterPart) -> FilterPart {
    let v1::FilterPart { depth, text, matches } = message;
    FilterPart { depth: *depth as usize, text: text.clone(), matches: *matches } // CAST: widening
}

fn filter(message: &v1::ExplainedFilter) -> Option<ExplainedFilter> {
    let reason = match message.reason() {
        v1::PlanReason::Unspecified => return None,
        v1::PlanReason::Exact => PlanReason::Exact,
        v1::PlanReason::All => PlanReason::All,
        v1::PlanReason::Few => PlanReason::Few,
        v1::PlanReason::Cost => PlanReason::Cost,
        v1::PlanReason::Small => PlanReason::Small,
        v1::PlanReason::Sparse => PlanReason::Sparse,
    };
    let &v1::ExplainedFilter { exact_cost: exact, codes_cost: codes, lists_cost: lists, .. } = message;
    Some(ExplainedFilter { plan: plan(message.plan())?, reason, costs: PlanCosts { exact, codes, lists } })
}

/// Where the time went.
pub(super) fn stages(work: &v1::Work) -> Option<StageTimes> {
    let v1::Stages { probe_us, scan_us, plan_us, wait_us, verify_us, rerank_us } = work.stages?;
    Some(StageTimes { probe_us, scan_us, plan_us, wait_us, verify_us, rerank_us })
}

fn list(message: &v1::ExplainedList) -> Option<ExplainedList> {
    let &v1::ExplainedList { segment, list, head_distance, scanned, .. } = message;
    let fate = match message.fate() {
        v1::ListFate::Unspecified => return None,
        v1::ListFate::Planned => ListFate::Planned,
        v1::ListFate::Needed => ListFate::Needed,
        v1::ListFate::Epsilon => ListFate::Epsilon,
        v1::ListFate::MaxBytes => ListFate::MaxBytes,
        v1::ListFate::Empty => ListFate::Empty,
        v1::ListFate::Damaged => ListFate::Damaged,
        v1::ListFate::Enough => ListFate::Enough,
    };
    Some(ExplainedList { segment: u16::try_from(segment).ok()?, list, head_distance, fate, scanned })
}

fn stop(stop: v1::Stop) -> Stop {
    match stop {
        v1::Stop::Count => Stop::Count,
        v1::Stop::Epsilon => Stop::Epsilon,
        v1::Stop::Neighbours => Stop::Neighbours,
        v1::Stop::MaxLists => Stop::MaxLists,
        v1::Stop::MaxBytes => Stop::MaxBytes,
        v1::Stop::Enough => Stop::Enough,
        v1::Stop::MinHeadScore => Stop::MinHeadScore,
        v1::Stop::All | v1::Stop::Unspecified => Stop::All,
    }
}

fn vector(message: &v1::ExplainedVector) -> ExplainedVector {
    let &v1::ExplainedVector { id, segment, position, burst, beside, estimate, error, distance } = message;
    ExplainedVector {
        location: Location::new(u16::try_from(segment).unwrap_or(u16::MAX), position),
        burst,
        beside,
        estimate,
        error,
        exact: id.zip(distance).map(|(id, distance)| Exact { id, distance }),
    }
}

/// How documents were found; none where only a newer server knows.
fn documents(message: &v1::ExplainedDocuments) -> Option<ExplainedDocuments> {
    let by = match message.by() {
        v1::SearchedBy::Unspecified => return None,
        v1::SearchedBy::Tokens => SearchedBy::Tokens,
        v1::SearchedBy::Encoding => SearchedBy::Encoding,
        v1::SearchedBy::Filter => SearchedBy::Filter,
    };
    let (searches, compared) = (message.searches.iter().map(search), message.compared.iter().map(document));
    Some(ExplainedDocuments {
        by,
        searches: First { items: searches.collect(), more: message.searches_more },
        compared: First { items: compared.collect(), more: message.compared_more },
    })
}

fn search(message: &v1::ExplainedSearch) -> ExplainedSearch {
    let lists = message.lists.iter().filter_map(list);
    ExplainedSearch {
        plan: plan(message.plan()),
        lists: First { items: lists.collect(), more: message.lists_more },
        stop: stop(message.stop()),
        scanned: message.codes,
        kept: message.kept,
        floor: message.floor,
        reads: message.reads,
        read_bytes: message.read_bytes,
    }
}

fn document(message: &v1::ExplainedDocument) -> ExplainedDocument {
    let &v1::ExplainedDocument { id, document, found_by, estimate, score } = message;
    ExplainedDocument { document, id, found_by, estimate, score }
}

fn round(message: &v1::Round) -> Option<Round> {
    let part = match message.part() {
        v1::ReadPart::Unspecified => return None,
        v1::ReadPart::Lists => ReadPart::Lists,
        v1::ReadPart::Vectors => ReadPart::Vectors,
    };
    Some(Round { part, reads: message.reads, bytes: message.bytes })
}
