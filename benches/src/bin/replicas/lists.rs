//! Lists filed in memory.
use std::sync::Mutex;

use rayon::ThreadPool;
use rayon::prelude::*;
use spandrel_builder::Rows;
use spandrel_builder::cluster::{ClusterParams, Clustering, representative, split};
use spandrel_builder::filing::{
    FiledRow, Filer, FilerScratch, FilingParams, FilingWidth, HeadBlocks, ReplicaRule, RuleScratch,
};

/// Bytes of the id beside every vector.
const ID_BYTES: usize = 4;
/// Lists begin and end at multiples of this.
const SECTOR_BYTES: usize = 512;

/// Which lists hold each vector, and how long lists are.
pub(crate) struct Lists {
    /// First copy of each vector in `copies`, one more than there are vectors.
    first: Vec<u32>,
    /// The lists of each vector, its primary first.
    copies: Vec<u32>,
    lengths: Vec<u32>,
    record_bytes: usize,
}

impl Lists {
    fn new(base: Rows<'_>, clustering: &Clustering, mut filed: Vec<FiledRow>, cap: Option<usize>) -> Lists {
        if let Some(cap) = cap {
            filed = drop_over_cap(filed, clustering.count as usize, cap);
        }
        let mut lengths = vec![0_u32; clustering.count as usize];
        let mut first = vec![0_u32; base.len() + 1];
        for filed in &filed {
            lengths[filed.head as usize] += 1;
            first[filed.row as usize + 1] += 1;
        }
        for at in 0..base.len() {
            first[at + 1] += first[at];
        }
        let mut next = first.clone();
        let mut copies = vec![0_u32; filed.len()];
        for filed in &filed {
            let slot = &mut next[filed.row as usize];
            copies[*slot as usize] = filed.head;
            *slot += 1;
        }
        Lists { first, copies, lengths, record_bytes: base.row_bytes() + ID_BYTES }
    }

    /// The lists that hold a vector.
    pub(crate) fn of(&self, row: u32) -> &[u32] {
        &self.copies[self.first[row as usize] as usize..self.first[row as usize + 1] as usize]
    }

    /// Vectors in a list.
    pub(crate) fn length(&self, list: u32) -> usize {
        self.lengths[list as usize] as usize
    }

    /// Bytes read for a list.
    pub(crate) fn read_bytes(&self, list: u32) -> usize {
        (self.length(list) * self.record_bytes).next_multiple_of(SECTOR_BYTES)
    }

    /// Bytes of all lists.
    pub(crate) fn bytes(&self) -> usize {
        (0..self.lengths.len() as u32).map(|list| self.read_bytes(list)).sum()
    }

    /// Copies of all vectors.
    pub(crate) fn records(&self) -> usize {
        self.copies.len()
    }

    /// Vectors in the longest list.
    pub(crate) fn longest(&self) -> u32 {
        self.lengths.iter().copied().max().unwrap_or(0)
    }

    /// Cuts lists of more than `cap_of_mean` times the mean, where each vector has one copy; returns the number of lists cut. The first
    /// piece of a list keeps its number, others come after all lists. Blocks stay as they are.
    pub(crate) fn cut(
        &mut self,
        base: Rows<'_>,
        clustering: &mut Clustering,
        cap_of_mean: f64,
        params: &ClusterParams,
    ) -> usize {
        let cap = (cap_of_mean * self.records() as f64 / self.lengths.len() as f64).ceil() as usize; // CAST: a few vectors
        let mut members: Vec<Vec<u32>> = vec![Vec::new(); self.lengths.len()];
        (0..).zip(&self.copies).for_each(|(row, &list)| members[list as usize].push(row));
        let mut cut = 0;
        for (list, members) in members.iter().enumerate().filter(|(_, members)| members.len() > cap) {
            let mut rows = Vec::new();
            base.gather(members, &mut rows);
            let rows = Rows { bytes: &rows, ..base };
            for (piece, picks) in
                split(rows, members.len().div_ceil(cap), params.cut_rounds).iter().enumerate()
            {
                let mut bytes = Vec::new();
                rows.gather(picks, &mut bytes);
                let head = representative(Rows { bytes: &bytes, ..base }, params.heads);
                let number = if piece == 0 { list } else { self.lengths.len() };
                if piece == 0 {
                    clustering.heads[list * base.row_bytes()..(list + 1) * base.row_bytes()]
                        .copy_from_slice(&head);
                } else {
                    clustering.heads.extend(head);
                    self.lengths.push(0);
                }
                self.lengths[number] = picks.len() as u32; // CAST: of rows in memory, here and below
                picks.iter().for_each(|&at| self.copies[members[at as usize] as usize] = number as u32);
            }
            cut += 1;
        }
        clustering.count = self.lengths.len() as u32; // CAST: fewer than rows
        cut
    }

    /// The share of vectors filed under the nearest of all heads, and the mean excess of the distance.
    pub(crate) fn true_primaries(
        &self,
        base: Rows<'_>,
        clustering: &Clustering,
        pool: &ThreadPool,
    ) -> (f64, f64) {
        // Every block around every block: the same arithmetic, without the choice of candidates.
        let every = clustering.blocks.len();
        let params = FilingParams { rule: ReplicaRule::None, copies_max: 1, nearest: 1 };
        let width = FilingWidth { around: every, probed: every };
        let sample: Vec<u32> = (0..base.len() as u32).step_by(20).collect();
        let mut rows = Vec::new();
        base.gather(&sample, &mut rows);
        let rows = Rows { bytes: &rows, ..base };
        let blocks = Blocks::of(clustering);
        let filer = Filer::new(blocks.rows(base), params, width, pool);
        let mut exact = Vec::new();
        filer.file_block(0, rows, &mut FilerScratch::default(), &mut exact);
        let kernel = spandrel_index::kernels::PairKernel::new(
            spandrel_index::kernels::Operation::SquaredL2,
            base.dtype,
            base.dim,
        );
        let (mut same, mut found, mut least) = (0_usize, 0.0, 0.0);
        for (&row, exact) in sample.iter().zip(&exact) {
            let own = self.of(row)[0];
            same += usize::from(own == exact.head);
            found +=
                f64::from(kernel.score(base.row(row as usize), blocks.rows(base).heads.row(own as usize)));
            least += f64::from(exact.distance);
        }
        (same as f64 / sample.len() as f64, found / least - 1.0)
    }
}

/// The blocks of a clustering as filing wants them.
struct Blocks<'a> {
    heads: &'a [u8],
    ends: Vec<u32>,
    /// All blocks are one region.
    regions: [u32; 1],
    centers: Vec<u8>,
}

impl Blocks<'_> {
    fn of(clustering: &Clustering) -> Blocks<'_> {
        let ends: Vec<u32> = clustering.blocks.iter().map(|block| block.heads.end).collect();
        let regions = [ends.len() as u32]; // CAST: fewer than heads
        let centers = clustering.blocks.iter().flat_map(|block| block.center.iter().copied()).collect();
        Blocks { heads: &clustering.heads, ends, regions, centers }
    }

    fn rows<'b>(&'b self, base: Rows<'_>) -> HeadBlocks<'b> {
        let rows = |bytes| Rows { bytes, dtype: base.dtype, dim: base.dim };
        HeadBlocks {
            heads: rows(self.heads),
            ends: &self.ends,
            centers: rows(&self.centers),
            regions: &self.regions,
        }
    }
}

/// A rule and the most copies of a vector under it.
pub(crate) type Filing = (ReplicaRule, usize);

/// Finds every vector's nearest heads once and files it under each rule.
pub(crate) fn file_all(
    base: Rows<'_>,
    clustering: &Clustering,
    filings: &[Filing],
    (nearest, width): (usize, FilingWidth),
    cap: Option<usize>,
    pool: &ThreadPool,
) -> Vec<Lists> {
    let blocks = Blocks::of(clustering);
    let params = FilingParams { rule: ReplicaRule::Soar, copies_max: 2, nearest };
    let filer = Filer::new(blocks.rows(base), params, width, pool);
    let mut block_of_leaf = vec![0_usize; clustering.count as usize];
    for (at, block) in clustering.blocks.iter().enumerate() {
        block.heads.clone().for_each(|head| block_of_leaf[head as usize] = at);
    }
    let mut members: Vec<Vec<u32>> = vec![Vec::new(); clustering.blocks.len()];
    for (row, &leaf) in clustering.leaf_of_row.iter().enumerate() {
        members[block_of_leaf[leaf as usize]].push(row as u32);
    }
    let all: Vec<Mutex<Vec<FiledRow>>> = filings.iter().map(|_| Mutex::default()).collect();
    pool.install(|| {
        members.par_iter().enumerate().for_each_init(
            || (FilerScratch::default(), RuleScratch::default()),
            |(scratch, rule_scratch), (block, members)| {
                let (mut bytes, mut chosen) = (Vec::new(), Vec::new());
                base.gather(members, &mut bytes);
                let mut filed = vec![Vec::new(); filings.len()];
                filer.visit_block(block, Rows { bytes: &bytes, ..base }, scratch, |row, nearest| {
                    for (filed, &(rule, copies_max)) in filed.iter_mut().zip(filings) {
                        nearest.choose(rule, copies_max, rule_scratch, &mut chosen);
                        filed.extend(chosen.iter().map(|&place| nearest.filed(members[row as usize], place)));
                    }
                });
                for (all, filed) in all.iter().zip(filed) {
                    all.lock().expect("no thread panicked").extend_from_slice(&filed);
                }
            },
        );
    });
    let filed = all.into_iter().map(|filed| filed.into_inner().expect("no thread panicked"));
    filed.map(|filed| Lists::new(base, clustering, filed, cap)).collect()
}

/// Drops the farthest replicas of lists with more than `cap` records; primaries stay.
fn drop_over_cap(mut filed: Vec<FiledRow>, lists: usize, cap: usize) -> Vec<FiledRow> {
    filed.par_sort_unstable_by(|a, b| {
        let key = |f: &FiledRow| (f.head, !f.primary);
        key(a).cmp(&key(b)).then(a.distance.total_cmp(&b.distance)).then(a.row.cmp(&b.row))
    });
    let mut lengths = vec![0_usize; lists];
    filed.retain(|filed| {
        let length = &mut lengths[filed.head as usize];
        let keep = filed.primary || *length < cap;
        *length += usize::from(keep);
        keep
    });
    filed.par_sort_by_key(|filed| (filed.row, !filed.primary));
    filed
}
