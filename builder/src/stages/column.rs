//! Writes the vectors of a column in the order of positions: rows are sorted into groups of positions, then each group is written.
use spandrel_index::VectorSource;
use spandrel_index::format::{PageLayout, SectionKind, column_uuid};

use super::documents::tokens;
use super::hashes::{chunk_hash, chunk_rows, input_hash};
use super::pages::{PageWriter, PagesOf};
use super::positions::Positions;
use super::section::{Layouts, SectionOf, SectionShape, finish_section};
use crate::BuildError;
use crate::checkpoint::{COLUMN_ROWS, Section};
use crate::column::ColumnParams;
use crate::phase_memory::{column_group_rows, column_groups};
use crate::spill::{Spill, SpillReader, SpillWriter};
use crate::state::BuildState;

pub(crate) fn column(state: &BuildState<'_>) -> Result<Section, BuildError> {
    let (Some(column), Some(input)) = (&state.params.column, state.input.column) else {
        unreachable!("the phase is of builds with a column")
    };
    let id_bytes = Layouts::new(state.params, state.checked()).id_bytes;
    let pages = PageLayout::new(column.row_bytes(), column.metric, id_bytes);
    if state.params.documents.is_some() {
        return tokens(state, (column, pages), input.vectors);
    }
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
        let &BuildState { params, context, .. } = self.state;
        context.progress.phase("sort column", params.vectors, "vectors");
        let groups = column_groups(params.vectors, self.pages);
        let group_rows = column_group_rows(self.pages);
        let memory = self.state.plan.column_buffers;
        let scratch = &*self.state.scratch;
        // CAST: usize is 64 bits
        let mut spill =
            SpillWriter::create(scratch, COLUMN_ROWS, groups as usize, self.column.record_bytes(), memory)?;
        let mut positions = Positions::open(self.state)?;
        let (mut rows, mut hashes) = (Vec::new(), Vec::new());
        let step = chunk_rows(self.column.row_bytes());
        for first in (0..params.vectors).step_by(step as usize) {
            context.check_stop()?;
            let count = step.min(params.vectors - first) as usize; // CAST: usize is 64 bits
            rows.resize(count * self.column.row_bytes(), 0);
            self.source.read_rows(first, &mut rows)?;
            hashes.push(chunk_hash(&rows, &[]));
            for (row, vector) in (first..).zip(rows.chunks_exact(self.column.row_bytes())) {
                let position = positions.of(row)?;
                let id = positions.id(row);
                let group = (u64::from(position) / group_rows) as usize; // CAST: below `groups`
                spill.push(group, &[&position.to_le_bytes(), &id.to_le_bytes(), vector])?;
            }
            context.progress.advance(count as u64); // CAST: widening
        }
        positions.finish()?;
        if Some(input_hash(hashes)) != self.state.checked().column_hash {
            return Err(BuildError::Changed { name: self.source.name() });
        }
        spill.finish()
    }

    /// Writes the groups, page by page.
    fn write(&self, spill: &Spill) -> Result<Section, BuildError> {
        let &Sorting { column, pages: layout, .. } = self;
        let &BuildState { params, context, .. } = self.state;
        let target = self.state.target();
        context.progress.phase("write column", params.vectors, "vectors");
        let uuid = column_uuid(target.uuid, &column.name);
        let of = PagesOf { layout, metric: column.metric, dtype: column.dtype, uuid };
        let mut pages = PageWriter::new(of, target.create_column(&column.name)?);
        let spill = SpillReader::open(&*self.state.scratch, COLUMN_ROWS, spill)?;
        let (mut records, mut first) = (Vec::new(), 0);
        for group in 0..spill.groups() {
            context.check_stop()?;
            spill.read(group, 0..spill.records(group), &mut records)?;
            self.write_group(&records, first, &mut pages)?;
            first += spill.records(group);
            context.progress.advance(spill.records(group));
        }
        let shape = SectionShape {
            kind: SectionKind::Vectors,
            unit_bytes: layout.page_bytes() as u32, // CAST: a page is 4 KiB or one record, padded
            count: params.vectors,
            of: SectionOf::Column(column),
        };
        finish_section(params, target, shape, pages.finish()?)
    }

    /// Writes the records of a group, whose positions are all of those from `first` on.
    fn write_group(&self, records: &[u8], first: u64, pages: &mut PageWriter) -> Result<(), BuildError> {
        fn of_record(record: &[u8]) -> Option<(u32, u64, &[u8])> {
            let (position, rest) = record.split_first_chunk()?;
            let (id, vector) = rest.split_first_chunk()?;
            Some((u32::from_le_bytes(*position), u64::from_le_bytes(*id), vector))
        }
        let mut order: Vec<_> =
            records.chunks_exact(self.column.record_bytes()).filter_map(of_record).collect();
        order.sort_unstable_by_key(|&(position, ..)| position);
        for ((position, id, vector), expected) in order.into_iter().zip(first..) {
            // Two rows have one position only if their ids are not those that were checked.
            if u64::from(position) != expected {
                return Err(BuildError::Changed { name: self.state.input.vectors.name() });
            }
            pages.push(vector, id)?;
        }
        Ok(())
    }
}
