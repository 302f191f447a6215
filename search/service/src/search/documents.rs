//! Queries that are documents.
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use spandrel_engine::{
    Answer, Course, DocumentParams, EXPLAINED_MAX, ExplainedList, Explanation, Neighbour, QueryError,
    TOKENS_KEPT, vector_queries,
};
use spandrel_index::documents::{DocumentEncoder, DocumentOffsets};
use spandrel_index::format::VectorsOf;
use spandrel_index::{Documents, Index};

use super::contents::{Contents, Wanted};
use super::handed::Handed;
use super::let_in::{check_rows, filtered, let_in_as};
use super::local::{AnswersOf, Local};
use crate::admission::{DocumentQueries, Load};
use crate::ask::{Ask, Fit, Form, Found, Queries, Target, offsets};
use crate::call::Call;
use crate::filters::Compiled;
use crate::refusal::Refusal;
use crate::served::Served;
use crate::turns::Turns;

/// Query documents of a call that the engine has at once, at most.
const DOCUMENTS_AT_ONCE: usize = 32;
/// What a token keeps for its document until these are compared.
const TOKEN_BYTES: usize = TOKENS_KEPT as usize * size_of::<Neighbour>();
/// What it keeps besides where it is explained.
const TOLD_BYTES: usize = size_of::<Explanation>() + EXPLAINED_MAX * size_of::<ExplainedList>();

impl Local {
    /// Answers query documents.
    pub(super) async fn documents<'a>(
        &self,
        served: &Arc<Served>,
        ask: Ask,
        call: Call<'a>,
    ) -> Result<Found<'a>, Refusal> {
        let params = ask.document_params(served.index(), &self.limits)?;
        let Ask { target, form, params: of_ask, filter, attributes, with_vectors, with_work, .. } = ask;
        let Target::Documents { numbers, dim, offsets: given } = target else {
            unreachable!("asked of documents alone")
        };
        let wanted = Wanted {
            vectors: with_vectors.then_some("options.with_vectors"),
            of: VectorsOf::Column,
            field: "options.with_attributes",
            names: attributes.as_deref(),
        };
        let contents = Contents::of(served, wanted, self.limits.message_bytes)?;
        let asked =
            filter.map(|filter| served.filters.ask(filter, served.index(), params.explain)).transpose()?;
        let to = served.index().query_shape();
        let fit = Fit { form: form.of_tokens(), to, limits: &self.limits };
        let tokens = numbers.count(dim, fit)?;
        // Before anything is done with numbers.
        let offsets = offsets(&given, tokens, form, &self.limits)?;
        let Queries { rows, _room: _rows_room, .. } = numbers.rows(dim, fit, call).await?;
        let count = offsets.documents();
        let room =
            self.answer_room(served, &of_ask, AnswersOf { count, with_vectors: false, with_work }, call)?;
        let told = |error| unusable(error, &offsets, form);
        // Tokens are the column of an index of documents.
        let mut turns = Turns::until(call.deadline);
        check_rows(served, &rows, VectorsOf::Column, told, &mut turns).await?;
        let compared = params.compared(served.index());
        let all = DocumentQueries {
            asked: count,
            vectors: vector_queries(served.index(), count, tokens),
            course: Course::Nearest,
            compared: count.saturating_mul(compared),
        };
        let load = Load::of_documents(served.engine(), all);
        let let_in = asked.map(|asked| let_in_as(served, asked, load, call)).transpose()?;
        let filter = filtered(served, let_in, params.explain, call).await?;
        let (filter, told) = filter.map_or((None, None), |found| (Some(found.compiled), found.told));
        let load = match &filter {
            None => load,
            Some(filter) => {
                let held = usize::try_from(served.index().items()).unwrap_or(usize::MAX);
                let matching = usize::try_from(filter.matches.count()).unwrap_or(held);
                let compared = count.saturating_mul(compared.min(matching));
                // Tokens search nothing where all documents that match are compared.
                let filtered = match params.token_course(served.index(), &filter.matches) {
                    Some(course) => DocumentQueries { course, compared, ..all },
                    None => DocumentQueries { vectors: 0, compared, ..all },
                };
                Load::of_documents(served.engine(), filtered)
            }
        };
        served.admit(load, call.deadline)?;
        let asked = Tokens { rows, offsets, form };
        let answers = self.compared(served, &asked, params, filter, call).await?;
        Ok(Found { filter: told, ..self.found(served, answers, contents, room, call).await? })
    }

    /// Has query documents answered: some at a time, within what their tokens may keep.
    async fn compared(
        &self,
        served: &Arc<Served>,
        Tokens { rows, offsets, form }: &Tokens,
        params: DocumentParams,
        filter: Option<Arc<Compiled>>,
        call: Call<'_>,
    ) -> Result<Vec<Answer>, Refusal> {
        let row_bytes = served.index().query_shape().row_bytes();
        let tokens_max = self.limits.document_vectors_max as usize; // CAST: widening
        let mut answers = Vec::with_capacity(offsets.documents());
        while answers.len() < offsets.documents() {
            let documents = at_once(offsets, answers.len(), tokens_max);
            // CAST: widening, here and below
            let tokens: usize = documents.clone().map(|document| offsets.rows_of(document).len()).sum();
            let of_token = TOKEN_BYTES + if params.explain { TOLD_BYTES } else { 0 };
            let kept = tokens.saturating_mul(of_token).saturating_add(encoding_bytes(served.index()));
            let _kept = call.entry.room(kept, form.of_tokens().field())?;
            let rows_of = |document| {
                let Range { start, end } = offsets.rows_of(document);
                rows.slice(start as usize * row_bytes..end as usize * row_bytes)
            };
            let documents = documents.map(rows_of).collect();
            for handed in Handed::documents(served, documents, params, filter.clone(), call).await? {
                answers.push(handed.answer().await?);
            }
        }
        Ok(answers)
    }
}

/// Query documents of a call.
struct Tokens {
    /// The tokens of all, back to back.
    rows: Bytes,
    offsets: DocumentOffsets,
    form: Form,
}

/// What encoding a query document takes, one at a time, where encodings are searched.
fn encoding_bytes(index: &Index) -> usize {
    let encoder = index.documents().and_then(Documents::encoder);
    encoder.map_or(0, |encoder| DocumentEncoder::scratch_bytes(encoder.spec(), index.query_shape().dim))
}

/// A vector of a query document that has no product with others: which of which document.
fn unusable(error: QueryError, offsets: &DocumentOffsets, form: Form) -> Refusal {
    let field = form.of_tokens().field();
    let error = if let QueryError::Column(error) = error { *error } else { error };
    let QueryError::Unusable { query: row, found } = error else {
        return Refusal::field(field, error.to_string());
    };
    let document = offsets.document_of(row as u32); // CAST: rows of documents have 32 bits
    let vector = row - offsets.rows_of(document).start as usize; // CAST: widening
    match form.is_one() {
        true => Refusal::field(field, format!("vector {vector}: {found}")),
        false => Refusal::field(field, format!("document {document}, vector {vector}: {found}")),
    }
}

/// The documents from `first` on that the engine gets at once: one at least, and others as far as all have at most `tokens_max` tokens.
fn at_once(offsets: &DocumentOffsets, first: usize, tokens_max: usize) -> Range<usize> {
    let last = offsets.documents().min(first + DOCUMENTS_AT_ONCE);
    let start = offsets.rows_of(first).start;
    let fits = |&end: &usize| (offsets.rows_of(end - 1).end - start) as usize <= tokens_max; // CAST: widening
    first..(first + 1..=last).take_while(fits).last().unwrap_or(first + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_documents_go_at_once_as_their_tokens_allow() {
        let offsets = DocumentOffsets::new(&[0, 3, 5, 15, 16], 16).unwrap();
        assert_eq!(at_once(&offsets, 0, 5), 0..2);
        assert_eq!(at_once(&offsets, 2, 5), 2..3, "one in any case");
        assert_eq!(at_once(&offsets, 2, 11), 2..4);
        let many = DocumentOffsets::new(&(0..=100).collect::<Vec<u64>>(), 100).unwrap();
        assert_eq!(at_once(&many, 90, 1000), 90..100);
        assert_eq!(at_once(&many, 0, 1000), 0..32);
    }
}
