//! How a query document was answered, for people and for programs.
use serde_json::{Value, json};
use spandrel_engine::{
    Answer, ExplainedDocument, ExplainedDocuments, ExplainedSearch, Explanation, First, Rerank,
};

use super::explained_parts::{json_list, more};
use crate::figures::{Align, TextTable, short, units};

/// What is told of a query document besides, as JSON.
pub(super) fn json(told: &ExplainedDocuments) -> Value {
    let search = |of: &ExplainedSearch| {
        json!({
            "plan": of.plan.map(|plan| plan.name()),
            "stop": of.stop.name(),
            "lists": of.lists.items.iter().map(json_list).collect::<Vec<_>>(),
            "lists_more": of.lists.more,
            "codes": of.scanned,
            "kept": of.kept,
            "floor": of.floor.map(short),
            "reads": of.reads,
            "read_bytes": of.read_bytes,
        })
    };
    let document = |of: &ExplainedDocument| {
        json!({
            "id": of.id,
            "document": of.document,
            "found_by": of.found_by,
            "estimate": of.estimate.map(short),
            "score": of.score.map(short),
        })
    };
    json!({
        "by": told.by.name(),
        "searches": told.searches.items.iter().map(search).collect::<Vec<_>>(),
        "searches_more": told.searches.more,
        "compared": told.compared.items.iter().map(document).collect::<Vec<_>>(),
        "compared_more": told.compared.more,
    })
}

/// What searched, and where it stopped, in two lines.
pub(super) fn head(
    query: u64,
    told: &ExplainedDocuments,
    explanation: &Explanation,
    answer: &Answer,
) -> String {
    let searches = told.searches.items.len() + told.searches.more as usize; // CAST: widening
    let count = match explanation.rerank {
        Some(Rerank::Count(count)) => count,
        _ => 0,
    };
    format!(
        "query {query}: {searches} searches by {}, at most {} lists planned for each, at most {count} documents compared\n\
         {} codes, {} documents found; {} documents of {} vectors compared, stopped by {}\n",
        told.by.name(),
        explanation.lists_planned,
        units::count(answer.work.vectors_scanned),
        answer.work.candidates,
        answer.work.documents,
        units::count(answer.work.reranked.into()),
        explanation.stop,
    )
}

/// The searches with their lists, and the documents.
pub(super) fn tables(told: &ExplainedDocuments) -> String {
    let mut text = String::new();
    if !told.searches.items.is_empty() {
        text += &searches_table(&told.searches);
        text += &lists_table(&told.searches);
    }
    text + &documents_table(&told.compared)
}

/// A cell; `-` where there is nothing to say.
fn or_none<T: ToString>(value: Option<T>) -> String {
    value.map_or("-".to_owned(), |value| value.to_string())
}

fn searches_table(searches: &First<ExplainedSearch>) -> String {
    let mut table = TextTable::new();
    for head in ["search", "lists", "codes", "kept", "floor", "reads", "bytes"] {
        table.column(head, Align::Right);
    }
    table.column("plan", Align::Left);
    table.column("stop", Align::Left);
    for (number, of) in searches.items.iter().enumerate() {
        let cells = [
            number.to_string(),
            (of.lists.items.len() + of.lists.more as usize).to_string(), // CAST: widening
            of.scanned.to_string(),
            of.kept.to_string(),
            or_none(of.floor),
            of.reads.to_string(),
            of.read_bytes.to_string(),
            or_none(of.plan),
            of.stop.to_string(),
        ];
        table.row(cells.map(Some).to_vec());
    }
    format!("{table}{}", more(searches.more))
}

fn lists_table(searches: &First<ExplainedSearch>) -> String {
    let mut table = TextTable::new();
    for head in ["search", "list", "head distance", "scanned"] {
        table.column(head, Align::Right);
    }
    table.column("fate", Align::Left);
    for (number, of) in searches.items.iter().enumerate() {
        for list in &of.lists.items {
            let cells = [
                number.to_string(),
                list.list.to_string(),
                list.head_distance.to_string(),
                list.scanned.to_string(),
                list.fate.to_string(),
            ];
            table.row(cells.map(Some).to_vec());
        }
    }
    format!("{table}{}", more(searches.items.iter().map(|of| of.lists.more).sum()))
}

fn documents_table(documents: &First<ExplainedDocument>) -> String {
    let mut table = TextTable::new();
    for head in ["id", "found by", "estimate", "MaxSim"] {
        table.column(head, Align::Right);
    }
    for of in &documents.items {
        let score = of.score.map_or("damaged".to_owned(), |score| score.to_string());
        table.row(
            [of.id.to_string(), of.found_by.to_string(), or_none(of.estimate), score].map(Some).to_vec(),
        );
    }
    format!("{table}{}", more(documents.more))
}

#[cfg(test)]
mod tests {
    use super::*;
    use spandrel_engine::{SearchedBy, Stop};

    #[test]
    fn a_query_document_is_told_search_by_search() {
        let search = ExplainedSearch {
            plan: None,
            lists: First::default(),
            stop: Stop::Count,
            scanned: 12,
            kept: 3,
            floor: Some(-1.5),
            reads: 0,
            read_bytes: 0,
        };
        let document = ExplainedDocument { document: 4, id: 40, found_by: 0, estimate: None, score: None };
        let told = ExplainedDocuments {
            by: SearchedBy::Tokens,
            searches: First { items: vec![search], more: 2 },
            compared: First { items: vec![document], more: 0 },
        };
        let explanation = Explanation { rerank: Some(Rerank::Count(60)), ..Explanation::default() };
        let head = head(7, &told, &explanation, &Answer::default());
        assert!(
            head.starts_with("query 7: 3 searches by tokens, at most 0 lists planned for each, at most 60"),
            "{head}"
        );
        let tables = tables(&told);
        assert!(
            tables.contains("-1.5") && tables.contains("and 2 more") && tables.contains("damaged"),
            "{tables}"
        );
        let json = json(&told);
        assert_eq!((&json["searches"][0]["kept"], &json["searches_more"]), (&3.into(), &2.into()));
        assert!(json["compared"][0]["score"].is_null() && json["compared"][0]["id"] == 40, "{json}");
    }
}
