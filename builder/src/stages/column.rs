//! Writes the vectors of a column in the order of positions: rows are sorted into groups of positions, then each group is written.
use rayon::prelude::*;
use spandrel_index::format::{
    BODY_AT, Header, PageLayout, Record, SectionKind, column_name, column_uuid, hash_hex,
};
use spandrel_index::{Metric, VectorSource, check_vector, inverse_norm};
use spandrel_io::FileWriter;
use xxhash_rust::xxh3::Xxh3;

use super::hashes::{chunk_hash, input_hash};
use super::positions::Positions;
use super::section::Layouts;
use crate::checkpoint::{COLUMN_ROWS, Section};
use crate::column::ColumnParams;
use crate::phase_memory::{CHUNK_BYTES, column_group_rows, column_groups};
use crate::progress::Context;
use crate::spill::{Spill, SpillReader, SpillWriter};
use crate::state::BuildState;
use crate::{BuildError, Column, Input};

/// Rows that are read at once.
fn chunk_rows(source: &dyn VectorSource) -> u64 {
    (CHUNK_BYTES / source.row_bytes()).max(1) as u64 // CAST: widening
}

/// Checks the values of all rows of the column, where there is one: their hash.
pub(crate) fn hash_column(input: Input<'_>, context: Context<'_>) -> Result<Option<String>, BuildError> {
    let Some(Column { vectors, metric, .. }) = input.column else { return Ok(None) };
    context.progress.phase("check column", vectors.len(), "vectors");
    let (rows_max, dtype, row_bytes) = (chunk_rows(vectors), vectors.dtype(), vectors.row_bytes());
    let check = |rows: &mut Vec<u8>, chunk: u64| -> Result<u128, BuildError> {
        context.check_stop()?;
        let (first, end) = (chunk * rows_max, ((chunk + 1) * rows_max).min(vectors.len()));
        rows.resize((end - first) as usize * row_bytes, 0); // CAST: a chunk is small
        vectors.read_rows(first, rows)?;
        // Bytes are always finite; their lengths matter to two of the metrics.
        if !(dtype.is_integer() && metric == Metric::L2) {
            for (row, vector) in (first..).zip(rows.chunks_exact(row_bytes)) {
                check_vector(metric, dtype, vector).map_err(|found| BuildError::Value {
                    name: vectors.name(),
                    row,
                    found,
                })?;
            }
        }
        context.progress.advance(end - first);
        Ok(chunk_hash(rows, &[]))
    };
    let chunks = 0..vectors.len().div_ceil(rows_max);
    let hashes: Result<Vec<u128>, BuildError> =
        context.pool.install(|| chunks.into_par_iter().map_init(Vec::new, check).collect());
    Ok(Some(input_hash(hashes?)))
}

/// A hash of a few rows from all over a column: enough to tell another file, and quick.
pub(crate) fn glance_column(source: &dyn VectorSource) -> Result<String, BuildError> {
    const ROWS: u64 = 256;
    let count = ROWS.min(source.len());
    let (mut hash, mut row) = (Xxh3::new(), vec![0; source.row_bytes()]);
    for at in 0..count {
        source.read_rows((source.len() - 1) * at / (count - 1).max(1), &mut row)?;
        hash.update(&row);
    }
    Ok(hash_hex(hash.digest128()))
}

pub(crate) fn column(state: &BuildState<'_>) -> Result<Section, BuildError> {
    let (Some(column), Some(input)) = (&state.params.column, state.input.column) else {
        unreachable!("the phase is of builds with a column")
    };
    let id_bytes = Layouts::new(state.params, state.checked()).id_bytes;
    let pages = PageLayout::new(column.row_bytes(), column.metric, id_bytes);
    let sorting = Sorting { state, column, source: input.vectors, pages };
    let spill = sorting.sort()?;
    sorting.write(&spill)
}

/// A column on its way to the order of positions.
struct Sorting<'a> {
    state: &'a BuildState<'a>,
    column: &'a ColumnParams,
    source: &'a dyn VectorSource,
    pages: PageLayout,
}

impl Sorting<'_> {
    /// Sorts rows into groups of positions.
    fn sort(&self) -> Result<Spill, BuildError> {
        let &BuildState { params, input, context, .. } = self.state;
        context.progress.phase("sort column", params.vectors, "vectors");
        let groups = column_groups(params.vectors, self.pages);
        let group_rows = column_group_rows(self.pages);
        let memory = self.state.plan.column_buffers;
        let scratch = &*self.state.scratch;
        // CAST: usize is 64 bits
        let mut spill =
            SpillWriter::create(scratch, COLUMN_ROWS, groups as usize, self.column.record_bytes(), memory)?;
        let mut positions = Positions::open(self.state)?;
        let (mut rows, mut ids, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
        let step = chunk_rows(self.source);
        for first in (0..params.vectors).step_by(step as usize) {
            context.check_stop()?;
            let count = step.min(params.vectors - first) as usize; // CAST: a chunk is small
            rows.resize(count * self.column.row_bytes(), 0);
            self.source.read_rows(first, &mut rows)?;
            hashes.push(chunk_hash(&rows, &[]));
            ids.clear();
            ids.extend(first..first + count as u64); // CAST: widening
            if let Some(source) = input.ids {
                source.read_ids(first, &mut ids)?;
            }
            for ((row, id), vector) in (first..).zip(&ids).zip(rows.chunks_exact(self.column.row_bytes())) {
                let position = positions.of(row)?;
                let group = (u64::from(position) / group_rows) as usize; // CAST: below `groups`
                spill.push(group, &[&position.to_le_bytes(), &id.to_le_bytes(), vector])?;
            }
            context.progress.advance(count as u64); // CAST: widening
        }
        if Some(input_hash(hashes)) != self.state.checked().column_hash {
            return Err(BuildError::Changed { name: self.source.name() });
        }
        spill.finish()
    }

    /// Writes the groups, page by page.
    fn write(&self, spill: &Spill) -> Result<Section, BuildError> {
        let &BuildState { params, context, .. } = self.state;
        let (target, name) = (self.state.target(), &self.column.name);
        context.progress.phase("write column", params.vectors, "vectors");
        let file = column_name(name, target.version);
        let mut writer = target.store.create(&file)?.with_head(BODY_AT)?;
        let spill = SpillReader::open(&*self.state.scratch, COLUMN_ROWS, spill)?;
        let uuid = column_uuid(target.uuid, name);
        let mut pages = Pages { layout: self.pages, uuid, number: 0, page: Vec::new() };
        let mut records = Vec::new();
        for group in 0..spill.groups() {
            context.check_stop()?;
            spill.read(group, 0..spill.records(group), &mut records)?;
            self.write_group(&records, &mut pages, &mut writer)?;
            context.progress.advance(spill.records(group));
        }
        let header = Header {
            kind: SectionKind::Vectors,
            dtype: self.column.dtype,
            metric: self.column.metric,
            family: 0,
            dim: self.column.dim as u32,                // CAST: at most DIM_MAX
            unit_bytes: self.pages.page_bytes() as u32, // CAST: pages are small
            count: params.vectors,
            uuid,
            body_bytes: writer.bytes(),
        };
        let written = writer.finish_with_head(&header.to_bytes())?;
        Ok(Section {
            kind: SectionKind::Vectors.name().to_owned(),
            column: name.clone(),
            file,
            bytes: written.bytes,
            hash: hash_hex(written.hash),
        })
    }

    /// Writes the records of a group, which are all of its positions.
    fn write_group(
        &self,
        records: &[u8],
        pages: &mut Pages,
        writer: &mut FileWriter,
    ) -> Result<(), BuildError> {
        fn of_record(record: &[u8]) -> Option<(u32, u64, &[u8])> {
            let (position, rest) = record.split_first_chunk()?;
            let (id, vector) = rest.split_first_chunk()?;
            Some((u32::from_le_bytes(*position), u64::from_le_bytes(*id), vector))
        }
        let mut order: Vec<_> =
            records.chunks_exact(self.column.record_bytes()).filter_map(of_record).collect();
        order.sort_unstable_by_key(|&(position, ..)| position);
        for (_, id, vector) in order {
            let norm =
                (self.column.metric == Metric::Cosine).then(|| inverse_norm(self.column.dtype, vector));
            pages.push(Record { vector, id, inverse_norm: norm }, writer)?;
        }
        pages.finish(writer)
    }
}

/// Pages being filled.
struct Pages {
    layout: PageLayout,
    uuid: u128,
    number: u64,
    page: Vec<u8>,
}

impl Pages {
    fn push(&mut self, record: Record<'_>, writer: &mut FileWriter) -> Result<(), BuildError> {
        self.layout.write_record(record, &mut self.page);
        let records = self.page.len() / self.layout.record_bytes();
        if records == self.layout.page_records() { self.finish(writer) } else { Ok(()) }
    }

    /// Writes the page that was begun, if there is one. Groups but the last end with a page.
    fn finish(&mut self, writer: &mut FileWriter) -> Result<(), BuildError> {
        if self.page.is_empty() {
            return Ok(());
        }
        self.layout.finish_page(self.uuid, self.number, &mut self.page);
        writer.append(&self.page)?;
        self.page.clear();
        self.number += 1;
        Ok(())
    }
}
