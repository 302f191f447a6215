//! Reads the attribute that a build is partitioned by, before there are positions: where each row belongs.
use super::collector::{Collector, Texts};
use super::hash::RowHash;
use super::merge;
use super::scan::scan_rows;
use crate::checkpoint::{PARTITION_RUNS, Partitioned};
use crate::partition::KeyBuilder;
use crate::spill::{SpillReader, SpillWriter};
use crate::state::BuildState;
use crate::{Attributes, BuildError};

pub(crate) fn partition(state: &BuildState<'_>) -> Result<Partitioned, BuildError> {
    let &BuildState { params, input, context, ref scratch, .. } = state;
    let (Some(Attributes { source, .. }), Some(by)) = (input.attributes, &params.partition) else {
        unreachable!("the phase is of builds that are partitioned")
    };
    context.progress.phase("partition", params.vectors, "rows");
    let mut spill = SpillWriter::create(&**scratch, PARTITION_RUNS, 0, 1, 0)?;
    let mut values = Collector::Texts(Texts::default());
    let mut hash = RowHash::new();
    scan_rows(source, params.vectors, context, &mut |row, cells| {
        hash.add(row, cells);
        if let Collector::Texts(texts) = &mut values {
            let (cell, row) = (&cells[by.attribute], row as u32); // CAST: at most 2^32 vectors
            match cell.key() {
                // Digits in the order of numbers.
                Some(key) => texts.push(&format!("{key:016x}"), row),
                None => cell.texts().for_each(|text| texts.push(text, row)),
            }
        }
        // CAST: widening
        if values.memory_bytes() as u64 > state.plan.run_bytes {
            values.flush(&mut spill)?;
        }
        Ok(())
    })?;
    if Some(hash.finish()) != state.checked().attributes_hash {
        return Err(BuildError::Changed { name: source.name() });
    }
    values.flush(&mut spill)?;
    let spill = SpillReader::open(&**scratch, PARTITION_RUNS, &spill.finish()?)?;
    let mut keys = KeyBuilder::new(params.vectors);
    let (runs, mut values) = ((0..spill.groups()).collect::<Vec<_>>(), 0_u32);
    merge::texts(&spill, &runs, |_, rows| {
        keys.push(rows);
        values = values.wrapping_add(1);
        if values.is_multiple_of(1 << 12) { context.check_stop() } else { Ok(()) }
    })?;
    keys.finish(&**scratch)
}
