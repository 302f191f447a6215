//! Clusters each part into lists, one part in memory at a time.
use spandrel_index::format::hash_hex;
use spandrel_io::FileWriter;

use super::records::{RecordLayout, cut_groups, head_rows};
use crate::checkpoint::{Clustered, HEADS, LEAVES, PARTS};
use crate::cluster::{ClusterParams, representative};
use crate::config::Params;
use crate::measured::sample::WANTED_LISTS;
use crate::partition::{Keys, RowKey};
use crate::spill::{Spill, SpillReader, SpillWriter};
use crate::state::BuildState;
use crate::{BuildError, Rows};

pub(crate) fn cluster(state: &BuildState<'_>) -> Result<Clustered, BuildError> {
    let &BuildState { params, context, ref scratch, .. } = state;
    context.progress.phase("cluster", params.vectors, "vectors");
    let keys = state.keys()?;
    let spill = SpillReader::open(&**scratch, PARTS, &state.parted().spill)?;
    let mut leaves = SpillWriter::create(&**scratch, LEAVES, 1, 4, 1 << 20)?;
    let mut heads = HeadWriter { state, file: scratch.create(HEADS)?, made: Made::default() };
    let mut records = Vec::new();
    for part in &cut_groups(&spill, params.part_rows()) {
        context.check_stop()?;
        spill.read(part.group, part.records.clone(), &mut records)?;
        let mut leaf_of = vec![0; part.len() as usize]; // CAST: a part is in memory
        for run in runs(params, keys.as_ref(), &records) {
            context.check_stop()?;
            heads.push(&records, &run, &mut leaf_of)?;
        }
        for leaf in &leaf_of {
            leaves.push(0, &[&leaf.to_le_bytes()])?;
        }
        context.progress.advance(part.len());
    }
    heads.finish(leaves.finish()?)
}

/// Records that are put in lists together, by their numbers: of one value, or of the values that share lists.
struct RecordGroup {
    /// The value, where the build is partitioned.
    value: Option<u32>,
    is_shared: bool,
    picks: Vec<u32>,
}

/// The runs of the records of a part; those of values that share lists are in the order of their places.
fn runs(params: &Params, keys: Option<&Keys>, records: &[u8]) -> Vec<RecordGroup> {
    let layout = RecordLayout::of_parts(params);
    let numbers = 0..(records.len() / layout.bytes) as u32; // CAST: a part has fewer than 2^32 rows
    let Some(keys) = keys else {
        return vec![RecordGroup { value: None, is_shared: false, picks: numbers.collect() }];
    };
    let key = |number: u32| match keys.of(layout.row(layout.record(records, number))) {
        RowKey::Own(value) => (false, value, number),
        RowKey::Shared(place) => (true, place, number),
    };
    let mut sorted: Vec<(bool, u32, u32)> = numbers.map(key).collect();
    sorted.sort_unstable();
    let same = |a: &(bool, u32, u32), b: &(bool, u32, u32)| a.0 == b.0 && (a.0 || a.1 == b.1);
    let run = |run: &[(bool, u32, u32)]| RecordGroup {
        value: Some(run[0].1).filter(|_| !run[0].0),
        is_shared: run[0].0,
        picks: run.iter().map(|&(.., number)| number).collect(),
    };
    sorted.chunk_by(same).map(run).collect()
}

/// What was made so far.
#[derive(Default)]
struct Made {
    centers: Vec<u8>,
    block_ends: Vec<u32>,
    /// Ends of the regions before the last, by blocks.
    region_ends: Vec<u32>,
    heads: u32,
    /// Heads of lists that are no value's own.
    shared: u32,
    /// Runs and vectors that were clustered.
    runs: u64,
    vectors: u64,
    value: Option<u32>,
}

/// Puts rows in lists, and writes their heads.
struct HeadWriter<'a> {
    state: &'a BuildState<'a>,
    file: FileWriter,
    made: Made,
}

impl HeadWriter<'_> {
    fn push(&mut self, records: &[u8], run: &RecordGroup, leaf_of: &mut [u32]) -> Result<(), BuildError> {
        let params = self.state.params;
        let layout = RecordLayout::of_parts(params);
        let picked = run.picks.iter().map(|&pick| layout.record(records, pick));
        let bytes = head_rows(params, self.state.space(), layout, picked);
        let rows = Rows { dtype: params.head_dtype(), dim: params.head_dim(), bytes: &bytes };
        if run.is_shared { self.share(rows, run, leaf_of) } else { self.cluster(rows, run, leaf_of) }
    }

    /// Lists of rows that lie together.
    fn cluster(&mut self, rows: Rows<'_>, run: &RecordGroup, leaf_of: &mut [u32]) -> Result<(), BuildError> {
        let (params, context, made) = (self.state.params, self.state.context, &mut self.made);
        let count = run.picks.len() as u64; // CAST: widening
        let is_wanted = params.query_sample.is_some() && run.value == Some(0);
        let times = if is_wanted { WANTED_LISTS as usize } else { 1 }; // CAST: usize is 64 bits
        let mut clustering = ClusterParams::new(times * lists_of(params, made.vectors, count));
        clustering.heads = params.heads;
        clustering.seed = params.seed_of(2, made.runs);
        (made.runs, made.vectors) = (made.runs + 1, made.vectors + count);
        let clustering = crate::cluster::cluster(rows, &clustering, context.pool, context.stop)?;
        if made.value != run.value && made.heads > 0 {
            made.region_ends.push(made.block_ends.len() as u32); // CAST: fewer than heads
        }
        made.value = run.value;
        self.file.append(&clustering.heads)?;
        for block in &clustering.blocks {
            made.block_ends.push(made.heads + block.heads.end);
            made.centers.extend_from_slice(&block.center);
        }
        for (&pick, leaf) in run.picks.iter().zip(&clustering.leaf_of_row) {
            leaf_of[pick as usize] = made.heads + leaf;
        }
        made.heads += clustering.count;
        Ok(())
    }

    /// Lists of rows in the order they come.
    fn share(&mut self, rows: Rows<'_>, run: &RecordGroup, leaf_of: &mut [u32]) -> Result<(), BuildError> {
        let (params, made) = (self.state.params, &mut self.made);
        let list = params.shared_list_rows() as usize; // CAST: usize is 64 bits
        for (picks, bytes) in run.picks.chunks(list).zip(rows.bytes.chunks(list * rows.row_bytes())) {
            self.file.append(&representative(Rows { bytes, ..rows }, params.heads))?;
            picks.iter().for_each(|&pick| leaf_of[pick as usize] = made.heads);
            (made.heads, made.shared) = (made.heads + 1, made.shared + 1);
        }
        Ok(())
    }

    fn finish(self, leaves: Spill) -> Result<Clustered, BuildError> {
        let HeadWriter { mut file, mut made, .. } = self;
        if !made.block_ends.is_empty() {
            made.region_ends.push(made.block_ends.len() as u32); // CAST: fewer than heads
        }
        file.append(&made.centers)?;
        let ends = made.block_ends.iter().chain(&made.region_ends);
        ends.copied().try_for_each(|end| file.append(&end.to_le_bytes()))?;
        let written = file.finish()?;
        Ok(Clustered {
            heads: made.heads,
            filed: made.heads - made.shared,
            blocks: made.block_ends.len() as u32, // CAST: fewer than heads, here and below
            regions: made.region_ends.len() as u32,
            heads_bytes: written.bytes,
            heads_hash: hash_hex(written.hash),
            leaves,
        })
    }
}

/// Lists of `vectors` vectors: their share of all, at least one.
fn lists_of(params: &Params, vectors_before: u64, vectors: u64) -> usize {
    let share = |vectors: u64| u128::from(params.lists) * u128::from(vectors) / u128::from(params.vectors);
    let lists = share(vectors_before + vectors) - share(vectors_before);
    (lists as usize).max(1) // CAST: at most the lists of the whole index
}
