//! Encodings of documents, made of their tokens once more: they are stored nowhere, and lists and codes are made of them.
use super::error::VerifyError;
use super::records::PageReader;
use super::watch::Watch;
use crate::Segment;
use crate::documents::{DocumentEncoder, EncodingScratch};
use crate::format::VectorsOf;
use crate::open::Documents;

/// Encodes the documents of a segment.
pub(super) struct Encodings<'a> {
    documents: &'a Documents,
    encoder: &'a DocumentEncoder,
    pages: PageReader<'a>,
    scratch: EncodingScratch,
    tokens: Vec<u8>,
    row: Vec<f32>,
}

impl<'a> Encodings<'a> {
    /// None where tokens or other vectors are searched.
    pub(super) fn of(segment: &'a Segment) -> Option<Encodings<'a>> {
        let documents = segment.documents()?;
        Some(Encodings {
            documents,
            encoder: documents.encoder()?,
            pages: PageReader::new(segment, VectorsOf::Column),
            scratch: EncodingScratch::default(),
            tokens: Vec::new(),
            row: Vec::new(),
        })
    }

    /// The encoding of the document at a position of the lists, as a row of the index.
    pub(super) fn at(
        &mut self,
        position: u32,
        watch: &mut Watch<'_>,
    ) -> Result<impl Iterator<Item = u8> + '_, VerifyError> {
        let Encodings { documents, encoder, pages, scratch, tokens, row } = self;
        // Opening checked that positions have documents.
        let document = documents.of_positions().get(position as usize).copied().unwrap_or_default(); // CAST: widening
        encoder.start(scratch);
        let rows = documents.offsets().rows_of(document as usize); // CAST: widening
        for first in rows.clone().step_by(DocumentEncoder::TOKENS_AT_ONCE) {
            tokens.clear();
            for token in (first..rows.end).take(DocumentEncoder::TOKENS_AT_ONCE) {
                tokens.extend_from_slice(pages.record(token, watch)?.vector);
            }
            watch.step(0)?;
            encoder.add(tokens, scratch);
        }
        row.resize(encoder.dim(), 0.0);
        encoder.finish_document(scratch, row);
        Ok(row.iter().flat_map(|x| x.to_le_bytes()))
    }
}
