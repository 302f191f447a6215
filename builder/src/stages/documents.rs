//! Documents: their tokens in the order of the input, and which document is at each position.
use spandrel_index::VectorSource;
use spandrel_index::format::{PageLayout, SectionKind, column_uuid, hash_hex, offsets_bytes};
use xxhash_rust::xxh3::Xxh3;

use super::hashes::{chunk_hash, chunk_rows, input_hash};
use super::pages::{PageWriter, PagesOf};
use super::positions::Positions;
use super::section::{SectionOf, SectionShape, finish_section};
use crate::BuildError;
use crate::checkpoint::Section;
use crate::column::ColumnParams;
use crate::documents::read_ids;
use crate::state::BuildState;

/// Numbers that are written at a time, and tokens that are placed between two looks at whether to stop.
const PIECE_NUMBERS: usize = 1 << 18;

/// Writes the rows of the input page by page, in their order: the tokens of a document are one range of pages.
pub(super) fn tokens(
    state: &BuildState<'_>,
    (column, layout): (&ColumnParams, PageLayout),
    source: &dyn VectorSource,
) -> Result<Section, BuildError> {
    let (params, context, target) = (state.params, state.context, state.target());
    let all = params.documents.as_ref().map_or(0, |documents| documents.tokens);
    context.progress.phase("write documents", all, "vectors");
    let uuid = column_uuid(target.uuid, &column.name);
    let of = PagesOf { layout, metric: column.metric, dtype: column.dtype, uuid };
    let mut pages = PageWriter::new(of, target.create_column(&column.name)?);
    let (mut rows, mut hashes) = (Vec::new(), Vec::new());
    let step = chunk_rows(column.row_bytes());
    for first in (0..all).step_by(step as usize) {
        // CAST: usize is 64 bits
        context.check_stop()?;
        let count = step.min(all - first) as usize; // CAST: usize is 64 bits
        rows.resize(count * column.row_bytes(), 0);
        source.read_rows(first, &mut rows)?;
        hashes.push(chunk_hash(&rows, &[]));
        for (row, vector) in (first..).zip(rows.chunks_exact(column.row_bytes())) {
            pages.push(vector, row)?;
        }
        context.progress.advance(count as u64); // CAST: widening
    }
    if Some(input_hash(hashes)) != state.checked().column_hash {
        return Err(BuildError::Changed { name: source.name() });
    }
    let shape = SectionShape {
        kind: SectionKind::Vectors,
        unit_bytes: layout.page_bytes() as u32, // CAST: a page is 4 KiB or one record, padded
        count: all,
        of: SectionOf::Column(column),
    };
    finish_section(params, target, shape, pages.finish()?)
}

/// Writes which rows are each document, and the document of the vector at each position.
pub(crate) fn documents(state: &BuildState<'_>) -> Result<Section, BuildError> {
    let (params, context, target) = (state.params, state.context, state.target());
    let (Some(offsets), Some(of)) = (state.input.documents, &params.documents) else {
        unreachable!("the phase is of builds with documents")
    };
    context.progress.phase("find documents", params.vectors, "vectors");
    let mut positions = Positions::open(state)?;
    let mut of_positions = vec![0_u32; params.vectors as usize]; // CAST: usize is 64 bits
    // Rows of the input, or documents where these are what is searched.
    let is_encoded = state.input.document_encoding.is_some();
    let rows_of = |document: usize| {
        if is_encoded { document as u32..document as u32 + 1 } else { offsets.rows_of(document) }
    }; // CAST: fewer than 2^32
    for document in 0..offsets.documents() {
        for row in rows_of(document) {
            if (row as usize).is_multiple_of(PIECE_NUMBERS) {
                context.check_stop()?;
                context.progress.advance((PIECE_NUMBERS as u64).min(params.vectors - u64::from(row))); // CAST: widening
            }
            let position = positions.of(row.into())?;
            of_positions[position as usize] = document as u32; // CAST: fewer than the rows
        }
    }
    positions.finish()?;
    let mut writer = target.create(SectionKind::Documents)?;
    writer.append(&offsets_bytes(offsets))?;
    let mut piece = Vec::new();
    for numbers in of_positions.chunks(PIECE_NUMBERS) {
        piece.clear();
        piece.extend(numbers.iter().flat_map(|document| document.to_le_bytes()));
        writer.append(&piece)?;
    }
    if let Some(ids) = state.input.document_ids() {
        let mut hash = Xxh3::new();
        read_ids(ids, of.count, |_, bytes| {
            hash.update(bytes);
            Ok(writer.append(bytes)?)
        })?;
        if Some(hash_hex(hash.digest128())) != of.ids_hash {
            return Err(BuildError::Changed { name: "--ids".to_owned() });
        }
    }
    let shape = SectionShape {
        kind: SectionKind::Documents,
        unit_bytes: 0,
        count: params.vectors,
        of: SectionOf::Main,
    };
    finish_section(params, target, shape, writer)
}
