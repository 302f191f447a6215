//! Writes the section of each attribute out of its runs.
use spandrel_filter::AttributeType;
use spandrel_index::attributes::{AttributeSpec, NumberWriter, PostingWriter};
use spandrel_index::format::SectionKind;
use spandrel_io::{FileWriter, Store};

use super::forward::ForwardSorter;
use super::merge;
use crate::BuildError;
use crate::checkpoint::{ATTRIBUTE_ENTRIES, ATTRIBUTE_RUNS, Section};
use crate::spill::{SpillReader, SpillWriter, buffer_records_min};
use crate::stages::section::{SectionOf, SectionShape, finish_section};
use crate::state::BuildState;

pub(crate) fn attributes(state: &BuildState<'_>) -> Result<Vec<Section>, BuildError> {
    let &BuildState { params, context, ref scratch, .. } = state;
    let (target, gathered) = (state.target(), state.gathered());
    let spill = SpillReader::open(&**scratch, ATTRIBUTE_RUNS, &gathered.spill)?;
    context.progress.phase("attributes", params.attributes.len() as u64, "attributes");
    let mut sections = Vec::new();
    for (number, attribute) in (0..).zip(&params.attributes) {
        context.check_stop()?;
        let of_it = gathered.runs.iter().enumerate().filter(|&(_, &run)| run == number);
        let runs: Vec<usize> = of_it.map(|(run, _)| run).collect();
        let spec = AttributeSpec { uuid: target.uuid, attribute: number, kind: attribute.kind };
        let file = target.create_attribute(number)?;
        let writing = Writing { state, spill: &spill, runs, spec };
        let file = match attribute.kind {
            AttributeType::I64 | AttributeType::F64 | AttributeType::Timestamp => writing.numbers(file)?,
            AttributeType::Keyword | AttributeType::Tags | AttributeType::Bool => writing.texts(file)?,
        };
        let (kind, count) = (SectionKind::Attributes, params.items());
        let shape = SectionShape { kind, unit_bytes: 0, count, of: SectionOf::Attribute(number) };
        sections.push(finish_section(params, target, shape, file)?);
        context.progress.advance(1);
    }
    Ok(sections)
}

/// One attribute while it is written.
struct Writing<'a> {
    state: &'a BuildState<'a>,
    spill: &'a SpillReader,
    runs: Vec<usize>,
    spec: AttributeSpec,
}

impl Writing<'_> {
    fn numbers(&self, file: FileWriter) -> Result<FileWriter, BuildError> {
        let (mut writer, mut next) = (NumberWriter::new(file, self.spec), 0);
        let positions = self.state.params.items() as u32; // CAST: checked to be u32
        merge::numbers(self.spill, &self.runs, |position, key| {
            (next..position).try_for_each(|_| writer.write(None))?;
            writer.write(Some(key))?;
            next = position + 1;
            self.look_up(position)
        })?;
        (next..positions).try_for_each(|_| writer.write(None))?;
        Ok(writer.finish()?)
    }

    fn texts(&self, file: FileWriter) -> Result<FileWriter, BuildError> {
        let scratch: &dyn Store = &*self.state.scratch;
        let mut forward = ForwardSorter::create(scratch, self.state.params.items())?;
        let mut entries = SpillWriter::create(scratch, ATTRIBUTE_ENTRIES, 1, 1, 0)?;
        let (mut writer, mut entry) = (PostingWriter::new(file, self.spec), Vec::new());
        let mut number = 0_u32;
        merge::texts(self.spill, &self.runs, |text, positions| {
            entry.clear();
            writer.write(text, positions, &mut entry)?;
            entries.push(0, &[&entry])?;
            positions.iter().try_for_each(|position| forward.push(position, number))?;
            number = number.checked_add(1).ok_or_else(|| BuildError::Parameter {
                parameter: "--attributes",
                found: format!("more than {} values of one attribute", u32::MAX),
                expected: "fewer".into(),
            })?;
            self.look_up(number)
        })?;
        let (entries, forward) = (entries.finish()?, forward.finish()?);
        let (mut writer, mut position) = (writer.finish(), 0_u32);
        forward.each(scratch, |values| {
            position = position.wrapping_add(1);
            self.look_up(position)?;
            Ok(writer.write(values)?)
        })?;
        let mut writer = writer.finish()?;
        let entries = SpillReader::open(scratch, ATTRIBUTE_ENTRIES, &entries)?;
        let (all, step, mut bytes) = (entries.records(0), buffer_records_min(1) as u64, Vec::new());
        for from in (0..all).step_by(step as usize) {
            entries.read(0, from..(from + step).min(all), &mut bytes)?;
            writer.append(&bytes)?;
        }
        Ok(writer.finish()?)
    }

    /// Gives up where that is wanted, which is looked for at a few of many steps.
    fn look_up(&self, step: u32) -> Result<(), BuildError> {
        if step.is_multiple_of(1 << 12) { self.state.context.check_stop() } else { Ok(()) }
    }
}
