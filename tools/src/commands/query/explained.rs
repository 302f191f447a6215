//! How a query was answered, for people and for programs.
use std::fmt::Write as _;

use serde::Serialize;
use spandrel_engine::{Answer, Explanation, Rerank, StageTimes};

use crate::figures::{Align, TextTable, units};

/// The explanation of an answer as JSON.
#[derive(Serialize)]
pub(super) struct Explained {
    epsilon: Option<f32>,
    lists_planned: u32,
    rerank: Option<u32>,
    rerank_errors: Option<f32>,
    /// Why no further list was searched.
    stop: &'static str,
    lists: Vec<List>,
    /// Lists after these.
    lists_more: u32,
    codes: u64,
    candidates: u32,
    compared: Vec<Vector>,
    /// Vectors compared after these.
    compared_more: u32,
    cache_hits: u32,
    rounds: Vec<Round>,
    times_us: Times,
}

#[derive(Serialize)]
struct List {
    segment: u16,
    list: u32,
    head_distance: f32,
    fate: &'static str,
    scanned: u32,
}

#[derive(Serialize)]
struct Vector {
    /// None where its page is damaged.
    id: Option<u64>,
    segment: u16,
    position: u32,
    burst: u32,
    beside: bool,
    estimate: f32,
    error: f32,
    distance: Option<f32>,
}

#[derive(Serialize)]
struct Round {
    part: &'static str,
    reads: u32,
    bytes: u64,
}

#[derive(Serialize)]
struct Times {
    probe: f32,
    scan: f32,
    plan: f32,
    wait: f32,
    verify: f32,
    rerank: f32,
}

impl Explained {
    /// That of an answer; none where it has none.
    pub(super) fn of(answer: &Answer) -> Option<Explained> {
        let Explanation { epsilon, lists_planned, rerank, lists, stop, compared, rounds } =
            answer.explanation.as_deref()?;
        let (of_lists, of_compared) = (&lists.items, &compared.items);
        let StageTimes { probe_us, scan_us, plan_us, wait_us, verify_us, rerank_us } =
            answer.stages.unwrap_or_default();
        Some(Explained {
            epsilon: *epsilon,
            lists_planned: *lists_planned,
            rerank: if let Some(Rerank::Count(count)) = rerank { Some(*count) } else { None },
            rerank_errors: if let Some(Rerank::Errors(errors)) = rerank { Some(*errors) } else { None },
            stop: stop.name(),
            lists: of_lists
                .iter()
                .map(|of| List {
                    segment: of.segment,
                    list: of.list,
                    head_distance: of.head_distance,
                    fate: of.fate.name(),
                    scanned: of.scanned,
                })
                .collect(),
            lists_more: lists.more,
            codes: answer.work.vectors_scanned,
            candidates: answer.work.candidates,
            compared: of_compared
                .iter()
                .map(|of| Vector {
                    id: of.exact.map(|exact| exact.id),
                    segment: of.location.segment(),
                    position: of.location.position(),
                    burst: of.burst,
                    beside: of.beside,
                    estimate: of.estimate,
                    error: of.error,
                    distance: of.exact.map(|exact| exact.distance),
                })
                .collect(),
            compared_more: compared.more,
            cache_hits: answer.work.cache_hits,
            rounds: rounds
                .iter()
                .map(|of| Round { part: of.part.name(), reads: of.reads, bytes: of.bytes })
                .collect(),
            times_us: Times {
                probe: probe_us,
                scan: scan_us,
                plan: plan_us,
                wait: wait_us,
                verify: verify_us,
                rerank: rerank_us,
            },
        })
    }

    /// Lines that begin with `#`.
    pub(super) fn text(&self, query: u64) -> String {
        let searched = self.lists.iter().filter(|list| list.scanned > 0).count();
        let epsilon = self.epsilon.map(|epsilon| format!(", epsilon {epsilon}")).unwrap_or_default();
        let rerank = match (self.rerank, self.rerank_errors) {
            (Some(count), _) => format!(", the {count} likeliest compared"),
            (None, Some(errors)) => format!(", compared within {errors} errors"),
            (None, None) => String::new(),
        };
        let mut text = format!(
            "query {query}: at most {} lists planned{epsilon}{rerank}\n\
             {searched} of {} lists searched, stopped by {}; {} codes, {} candidates, {} compared\n",
            self.lists_planned,
            self.lists.len(),
            self.stop,
            units::count(self.codes),
            self.candidates,
            self.compared.len() + self.compared_more as usize, // CAST: widening
        );
        for (number, round) in self.rounds.iter().enumerate() {
            let Round { part, reads, bytes } = round;
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "round {}: {reads} reads of {part}, {} bytes",
                number + 1,
                units::count(*bytes)
            );
        }
        let Times { probe, scan, plan, wait, verify, rerank } = self.times_us;
        let _ = writeln!(
            text,
            "us: probe {probe:.0}, scan {scan:.0}, plan {plan:.0}, wait {wait:.0}, verify {verify:.0}, rerank {rerank:.0}"
        );
        text += &self.lists_table();
        if !self.compared.is_empty() {
            text += &self.compared_table();
        }
        text.lines().map(|line| format!("# {line}").trim_end().to_owned() + "\n").collect()
    }

    fn lists_table(&self) -> String {
        let mut table = TextTable::new();
        for head in ["segment", "list", "head distance", "scanned"] {
            table.column(head, Align::Right);
        }
        table.column("fate", Align::Left);
        for List { segment, list, head_distance, fate, scanned } in &self.lists {
            let numbers =
                [segment.to_string(), list.to_string(), head_distance.to_string(), scanned.to_string()];
            table.row(numbers.into_iter().chain([(*fate).to_owned()]).map(Some).collect());
        }
        format!("{table}{}", more(self.lists_more))
    }

    fn compared_table(&self) -> String {
        let mut table = TextTable::new();
        for head in ["burst", "id", "estimate", "error", "distance"] {
            table.column(head, Align::Right);
        }
        table.column("", Align::Left);
        for Vector { id, burst, beside, estimate, error, distance, .. } in &self.compared {
            let id = id.map_or("?".to_owned(), |id| id.to_string());
            let distance = distance.map_or("damaged".to_owned(), |distance| distance.to_string());
            let beside = if *beside { "in a page read for another" } else { "" };
            let cells =
                [burst.to_string(), id, estimate.to_string(), error.to_string(), distance, beside.to_owned()];
            table.row(cells.map(Some).to_vec());
        }
        format!("{table}{}", more(self.compared_more))
    }
}

fn more(more: u32) -> String {
    if more > 0 { format!("and {more} more\n") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spandrel_engine::{ExplainedList, First, ListFate, Stop};

    #[test]
    fn an_explanation_is_told_in_remarks() {
        let list =
            ExplainedList { segment: 0, list: 7, head_distance: 1.5, fate: ListFate::Planned, scanned: 40 };
        let explanation = Explanation {
            lists_planned: 6,
            lists: First { items: vec![list], more: 3 },
            stop: Stop::Count,
            ..Explanation::default()
        };
        let answer = Answer { explanation: Some(Box::new(explanation)), ..Answer::default() };
        let text = Explained::of(&answer).unwrap().text(9);
        assert!(text.lines().all(|line| line.starts_with('#')), "{text}");
        assert!(
            text.contains("query 9: at most 6 lists planned") && text.contains("stopped by count"),
            "{text}"
        );
        assert!(text.contains("and 3 more"), "{text}");
        assert!(Explained::of(&Answer::default()).is_none());
    }
}
