//! How a query document was answered: what its tokens searched, and which documents were compared.
use std::cmp::Ordering;

use spandrel_index::{Documents, Index};

use super::params::has_encodings;
use crate::answer::{Answer, Neighbour};
use crate::documents::DocumentTask;
use crate::explain::{
    EXPLAINED_MAX, ExplainedDocument, ExplainedDocuments, ExplainedSearch, Explanation, First, ReadPart,
    Round, SearchedBy, Stop,
};
use crate::params::Rerank;

/// The least estimate of what a search has kept.
fn floor(kept: &[Neighbour]) -> Option<f32> {
    kept.iter().map(|of| of.distance).min_by(f32::total_cmp)
}

impl ExplainedSearch {
    /// Of what a token or an encoding has found, with at most `lists` lists.
    fn of(answer: &Answer, lists: usize) -> ExplainedSearch {
        let (mut told, stop) = match answer.explanation.as_deref() {
            Some(of) => (of.lists.clone(), of.stop),
            None => (First::default(), Stop::default()),
        };
        let left_out = told.items.len().saturating_sub(lists);
        told.items.truncate(lists);
        told.more += left_out as u32; // CAST: at most EXPLAINED_MAX
        ExplainedSearch {
            plan: answer.filtered.map(|filtered| filtered.plan),
            lists: told,
            stop,
            scanned: answer.work.vectors_scanned,
            kept: answer.neighbours.len() as u32, // CAST: at most the vectors of an index, or 1 000
            floor: floor(&answer.neighbours),
            reads: answer.work.reads,
            read_bytes: answer.work.read_bytes,
        }
    }
}

/// What is told before documents are compared: `best` are those chosen, the best by their estimates first, and `stop` says why no other was.
pub(super) fn begun(task: &DocumentTask, index: &Index, best: &[u32], stop: Stop) -> Box<Explanation> {
    let by = match (task.found.is_empty(), has_encodings(index)) {
        (true, _) => SearchedBy::Filter,
        (false, true) => SearchedBy::Encoding,
        (false, false) => SearchedBy::Tokens,
    };
    let lists = (EXPLAINED_MAX / task.found.len().max(1)).max(1);
    let (mut searches, mut compared) = (First::default(), First::default());
    task.found.iter().for_each(|answer| searches.push(ExplainedSearch::of(answer, lists)));
    let floors: Vec<f32> = task.found.iter().map(|answer| floor(&answer.neighbours).unwrap_or(0.0)).collect();
    compared
        .extend(best.iter().map(|&document| estimated(document, &task.found, &floors, index.documents())));
    let mut told = Explanation {
        lists_planned: task
            .found
            .iter()
            .filter_map(|of| Some(of.explanation.as_ref()?.lists_planned))
            .max()
            .unwrap_or(0),
        rerank: Some(Rerank::Count(task.params.compared(index) as u32)), // CAST: fewer than 2^32 documents
        filter: task.explained,
        stop,
        documents: Some(Box::new(ExplainedDocuments { by, searches, compared })),
        ..Explanation::default()
    };
    rounds(&task.found).into_iter().for_each(|round| told.asked(round));
    Box::new(told)
}

/// Rounds of searches that go on side by side: the first of all of them, the second, and so on.
fn rounds(found: &[Answer]) -> Vec<Round> {
    let mut all: Vec<Round> = Vec::new();
    for told in found.iter().filter_map(|answer| answer.explanation.as_deref()) {
        for (at, round) in told.rounds.iter().enumerate() {
            match all.get_mut(at) {
                None => all.push(*round),
                Some(of) => {
                    of.reads += round.reads;
                    of.bytes += round.bytes;
                }
            }
        }
    }
    debug_assert!(all.iter().all(|round| round.part == ReadPart::Lists));
    all
}

/// A document with its estimates; `floors` are those of what was found.
fn estimated(
    document: u32,
    found: &[Answer],
    floors: &[f32],
    documents: Option<&Documents>,
) -> ExplainedDocument {
    let (mut found_by, mut sum) = (0, 0.0);
    for (Answer { neighbours, .. }, floor) in found.iter().zip(floors) {
        // By document, the largest estimate of each first.
        let at = neighbours.partition_point(|of| of.id.cmp(&document.into()) == Ordering::Less);
        match neighbours.get(at).filter(|of| of.id == u64::from(document)) {
            Some(best) => {
                found_by += 1;
                sum += best.distance;
            }
            None => sum += floor,
        }
    }
    ExplainedDocument {
        document,
        id: documents.map_or(document.into(), |documents| documents.id(document)),
        found_by,
        estimate: (found_by > 0).then_some(sum),
        score: None,
    }
}

/// Takes in the scores of the documents that were compared.
pub(super) fn scored(told: &mut Explanation, scores: &[(f64, u32)]) {
    let Some(documents) = &mut told.documents else { return };
    for of in &mut documents.compared.items {
        let found = scores.iter().find(|(_, document)| *document == of.document);
        // CAST: rounded once, as in answers
        of.score = found.map(|&(score, _)| score as f32 + 0.0);
    }
}
