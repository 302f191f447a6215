//! How a query was answered, for people and for programs.
use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};
use spandrel_engine::{
    Answer, ExplainedFilter, ExplainedList, ExplainedVector, Explanation, First, PlanCosts, Rerank, Round,
};
use spandrel_index::attributes::FilterPart;

use super::explained_documents;
use super::explained_parts::{json_list, more};
use crate::figures::{Align, STAGES, TextTable, short, units};

/// The explanation of an answer as JSON; none where it has none.
pub(super) fn json(answer: &Answer) -> Option<Value> {
    let told = answer.explanation.as_deref()?;
    // Without id and distance where its page is damaged.
    let vector = |of: &ExplainedVector| {
        json!({
            "id": of.exact.map(|exact| exact.id),
            "segment": of.location.segment(),
            "position": of.location.position(),
            "burst": of.burst,
            "beside": of.beside,
            "estimate": short(of.estimate),
            "error": short(of.error),
            "distance": of.exact.map(|exact| short(exact.distance)),
        })
    };
    let part = |of: &FilterPart| json!({ "depth": of.depth, "text": of.text, "matches": of.matches });
    let round = |of: &Round| json!({ "part": of.part.name(), "reads": of.reads, "bytes": of.bytes });
    let times = answer.stages.unwrap_or_default();
    let times_us: BTreeMap<&str, f64> =
        STAGES.into_iter().map(|(name, of)| (name, short(of(&times)))).collect();
    let filter = told.filter.map(|ExplainedFilter { plan, reason, costs }| {
        let PlanCosts { exact, codes, lists } = costs;
        json!({
            "parts": told.parts.iter().map(part).collect::<Vec<_>>(),
            "plan": plan.name(),
            "reason": reason.name(),
            "costs": { "exact": exact.round(), "codes": codes.map(f64::round), "lists": lists.round() },
        })
    });
    Some(json!({
        "filter": filter,
        "epsilon": told.epsilon.map(short),
        "lists_planned": told.lists_planned,
        "min_head_score": told.min_head_score.map(short),
        "rerank": if let Some(Rerank::Count(count)) = told.rerank { Some(count) } else { None },
        "rerank_errors": if let Some(Rerank::Errors(errors)) = told.rerank { Some(short(errors)) } else { None },
        "shared_lists": told.shared_lists,
        "stop": told.stop.name(),
        "lists": told.lists.items.iter().map(json_list).collect::<Vec<_>>(),
        "lists_more": told.lists.more,
        "codes": answer.work.vectors_scanned,
        "candidates": answer.work.candidates,
        "compared": told.compared.items.iter().map(vector).collect::<Vec<_>>(),
        "compared_more": told.compared.more,
        "reranked": answer.work.reranked,
        "cache_hits": answer.work.cache_hits,
        "rounds": told.rounds.iter().map(round).collect::<Vec<_>>(),
        "times_us": times_us,
        "documents": told.documents.as_deref().map(explained_documents::json),
    }))
}

/// The same in lines that begin with `#`.
pub(super) fn text(query: u64, answer: &Answer) -> Option<String> {
    let told = answer.explanation.as_deref()?;
    let Explanation { filter, parts, lists, shared_lists, compared, rounds, documents, .. } = told;
    let mut text = match documents {
        Some(documents) => explained_documents::head(query, documents, told, answer),
        None => head(query, told, answer),
    };
    if *shared_lists > 0 {
        let lists = units::count((*shared_lists).into());
        text += &format!("{lists} lists scanned besides, which small values of the partition share\n");
    }
    if let Some(filter) = filter {
        text += &filter_text(filter, parts);
    }
    for (number, Round { part, reads, bytes }) in (1..).zip(rounds) {
        let (part, bytes) = (part.name(), units::count(*bytes));
        // Writing to a string does not fail, here and below.
        let _ = writeln!(text, "round {number}: {reads} reads of {part}, {bytes} bytes");
    }
    let times = answer.stages.unwrap_or_default();
    let stages = STAGES.map(|(name, of)| format!("{name} {:.0}", of(&times)));
    let _ = writeln!(text, "us: {}", stages.join(", "));
    if let Some(documents) = documents {
        text += &explained_documents::tables(documents);
    } else {
        text += &lists_table(lists);
    }
    if !compared.items.is_empty() {
        text += &compared_table(compared);
    }
    Some(text.lines().map(|line| format!("# {line}").trim_end().to_owned() + "\n").collect())
}

/// What was planned, and where the search stopped, in two lines.
fn head(query: u64, told: &Explanation, answer: &Answer) -> String {
    let Explanation { epsilon, lists_planned, min_head_score, rerank, lists, stop, .. } = told;
    let searched = lists.items.iter().filter(|list| list.scanned > 0).count();
    let first = if lists.more > 0 { "the first " } else { "" };
    let epsilon = epsilon.map(|epsilon| format!(", epsilon {epsilon}")).unwrap_or_default();
    let score = min_head_score.map(|least| format!(", heads of at least {least}")).unwrap_or_default();
    let rerank = match rerank {
        Some(Rerank::Count(count)) => format!(", the {count} likeliest compared"),
        Some(Rerank::Errors(errors)) => format!(", compared within {errors} errors"),
        None => String::new(),
    };
    format!(
        "query {query}: at most {lists_planned} lists planned{epsilon}{score}{rerank}\n\
         {searched} of {first}{} lists searched, stopped by {stop}; {} codes, {} candidates, {} compared\n",
        lists.items.len(),
        units::count(answer.work.vectors_scanned),
        answer.work.candidates,
        // Also those that match a filter and are all compared, which are not told one by one.
        units::count(answer.work.reranked.into()),
    )
}

/// The parts of a filter with their matches, and why its plan was chosen.
fn filter_text(filter: &ExplainedFilter, parts: &[FilterPart]) -> String {
    let ExplainedFilter { plan, reason, costs: PlanCosts { exact, codes, lists } } = filter;
    let cost = |cost: f64| units::count(cost.round() as u64); // CAST: not negative
    let codes = codes.map(|codes| format!(", codes {}", cost(codes))).unwrap_or_default();
    let costs = format!("exact {}{codes}, lists {}", cost(*exact), cost(*lists));
    let mut text = format!("filter plan {plan}, chosen {}; expected to cost {costs} codes\n", reason.words());
    for FilterPart { depth, text: condition, matches } in parts {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{:depth$}{condition}: {} match",
            "",
            units::count(*matches),
            depth = 2 + 2 * depth
        );
    }
    text
}

fn lists_table(lists: &First<ExplainedList>) -> String {
    let mut table = TextTable::new();
    for head in ["segment", "list", "head distance", "scanned"] {
        table.column(head, Align::Right);
    }
    table.column("fate", Align::Left);
    for ExplainedList { segment, list, head_distance, fate, scanned } in &lists.items {
        let cells = [
            segment.to_string(),
            list.to_string(),
            head_distance.to_string(),
            scanned.to_string(),
            fate.to_string(),
        ];
        table.row(cells.map(Some).to_vec());
    }
    format!("{table}{}", more(lists.more))
}

fn compared_table(compared: &First<ExplainedVector>) -> String {
    let mut table = TextTable::new();
    for head in ["burst", "id", "estimate", "error", "distance"] {
        table.column(head, Align::Right);
    }
    table.column("", Align::Left);
    for ExplainedVector { burst, beside, estimate, error, exact, .. } in &compared.items {
        let cells = [
            burst.to_string(),
            exact.map_or("?".to_owned(), |exact| exact.id.to_string()),
            estimate.to_string(),
            error.to_string(),
            exact.map_or("damaged".to_owned(), |exact| exact.distance.to_string()),
            if *beside { "in a page read for another" } else { "" }.to_owned(),
        ];
        table.row(cells.map(Some).to_vec());
    }
    format!("{table}{}", more(compared.more))
}

#[cfg(test)]
mod tests {
    use super::*;
    use spandrel_engine::{FilterPlan, ListFate, PlanReason, Stop};

    #[test]
    fn an_explanation_is_told_in_remarks() {
        let list =
            ExplainedList { segment: 0, list: 7, head_distance: 1.1, fate: ListFate::Planned, scanned: 40 };
        let explanation = Explanation {
            lists_planned: 6,
            lists: First { items: vec![list], more: 3 },
            stop: Stop::Count,
            ..Explanation::default()
        };
        let answer = Answer { explanation: Some(Box::new(explanation)), ..Answer::default() };
        let text = text(9, &answer).unwrap();
        assert!(text.lines().all(|line| line.starts_with('#')), "{text}");
        assert!(
            text.contains("query 9: at most 6 lists planned") && text.contains("stopped by count"),
            "{text}"
        );
        assert!(text.contains("1 of the first 1 lists searched") && text.contains("and 3 more"), "{text}");
        assert!(!text.contains("filter"), "{text}");
        let parts = [("and", 3), ("price < 3", 40)].map(|(text, matches)| FilterPart {
            depth: usize::from(matches > 3),
            text: text.to_owned(),
            matches,
        });
        let costs = PlanCosts { exact: 1999.6, codes: None, lists: 12.0 };
        let filter = ExplainedFilter { plan: FilterPlan::Lists, reason: PlanReason::Cost, costs };
        let told = filter_text(&filter, &parts);
        assert_eq!(
            told,
            "filter plan lists, chosen by cost; expected to cost exact 2 000, lists 12 codes\n  and: 3 match\n    \
             price < 3: 40 match\n"
        );
        assert_eq!(json(&answer).unwrap()["lists"][0]["head_distance"], 1.1);
        assert!(json(&Answer::default()).is_none());
    }
}
