//! Queries that are documents: what of a request goes with them.
use spandrel_engine::{Distances, DocumentParams, Rerank};
use spandrel_index::Index;
use spandrel_index::documents::DocumentOffsets;

use super::Ask;
use super::form::Form;
use crate::limits::Limits;
use crate::refusal::Refusal;

impl Ask {
    /// What is asked of documents. Refuses what does not go with them, and what is over the server's limits.
    pub(crate) fn document_params(&self, index: &Index, limits: &Limits) -> Result<DocumentParams, Refusal> {
        if index.documents().is_none() {
            let message = "documents, and the index has none; send vectors as floats, raw or ids";
            return Err(Refusal::field(self.form.field(), message));
        }
        let params = &self.params;
        let others = [
            ("column_queries", self.column.is_some()),
            ("options.recall", params.recall.is_some()),
            ("options.epsilon", params.epsilon.is_some()),
            ("options.min_head_score", params.min_head_score.is_some()),
            ("options.attention_scale", self.attention_scale.is_some()),
            ("options.rerank_errors", matches!(params.rerank, Some(Rerank::Errors(_)))),
            ("options.distances", params.distances == Distances::Any),
        ];
        if let Some((field, _)) = others.into_iter().find(|&(_, is_set)| is_set) {
            return Err(Refusal::field(field, "not taken with documents; leave it out"));
        }
        let rerank = if let Some(Rerank::Count(count)) = params.rerank { Some(count) } else { None };
        if rerank == Some(0) {
            return Err(Refusal::field("options.rerank", "rerank is 0, expected at least 1"));
        }
        let asked = DocumentParams {
            k: params.k,
            max_lists: params.max_lists,
            tokens: None,
            rerank,
            max_bytes: params.max_bytes,
            times: false,
            explain: params.explain,
        };
        let asked = within(asked, index, limits);
        let compared = asked.compared(index);
        let field =
            if rerank.is_some_and(|count| count as usize >= params.k) { "options.rerank" } else { "k" };
        let lists = asked.lists(index);
        // CAST: widening
        for (field, found, limit) in [
            ("k", params.k, limits.k_max),
            (field, compared, limits.documents_max),
            ("options.max_lists", lists as usize, limits.lists_max),
        ] {
            if found > limit as usize {
                return Err(Refusal::limit(field, found, limit as usize));
            }
        }
        asked.check(index)?;
        Ok(asked)
    }
}

/// The same, with no more than the server's limits of what the caller named no number of.
fn within(asked: DocumentParams, index: &Index, limits: &Limits) -> DocumentParams {
    let lists = asked.lists(index).min(limits.lists_max);
    let compared = asked.compared(index).min(limits.documents_max as usize) as u32; // CAST: a limit of 32 bits
    DocumentParams {
        max_lists: asked.max_lists.or((lists < asked.lists(index)).then_some(lists)),
        rerank: asked.rerank.or(((compared as usize) < asked.compared(index)).then_some(compared)), // CAST: widening
        ..asked
    }
}

/// Which of `rows` vectors are a document, if their numbers are within the limits.
pub(crate) fn offsets(
    given: &[u32],
    rows: usize,
    form: Form,
    limits: &Limits,
) -> Result<DocumentOffsets, Refusal> {
    let field = if form.is_one() { "query.documents.offsets" } else { "queries.documents.offsets" };
    let documents_max = if form.is_one() { 1 } else { limits.batch_max as usize }; // CAST: widening
    if given.len() > documents_max + 1 {
        return Err(match form.is_one() {
            true => Refusal::field(
                field,
                format!("{} documents, expected one; send many with SearchBatch", given.len() - 1),
            ),
            false => Refusal::limit(field, given.len() - 1, documents_max),
        });
    }
    // CAST: widening
    let whole = [0, rows as u64];
    let all: Vec<u64> = given.iter().map(|&offset| offset.into()).collect();
    let all = if given.is_empty() { &whole[..] } else { &all };
    let offsets = DocumentOffsets::new(all, rows as u64).map_err(|e| Refusal::field(field, e.to_string()))?;
    match offsets.rows_max() {
        found if found > limits.document_vectors_max => {
            let message = format!(
                "a document of {found} vectors, the server's limit is {}",
                limits.document_vectors_max
            );
            Err(Refusal::field(field, message))
        }
        _ => Ok(offsets),
    }
}
