//! The tree of clusters: from all rows down to one leaf a list.
use std::collections::BinaryHeap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::ThreadPool;
use rayon::prelude::*;
use spandrel_index::kernels::BlockKernel;

use super::flat::{self, CHUNK_ROWS, FlatParams, PricedCentres};
use super::head_kind::HeadMaker;
use super::order::chain;
use super::refine::refine;
use super::split::Cutter;
use super::{BLOCK_HEADS, Block, ClusterParams, Clustering, HeadKind, Stopped};
use crate::rows::{MeanSums, Rows};

/// Most heads in a block.
const BLOCK_HEADS_MAX: usize = BLOCK_HEADS + BLOCK_HEADS / 2;
/// Deepest level: below it, where only a few outliers part at each level, leaves are halved instead.
const DEPTH_MAX: usize = 40;

/// Clusters rows into lists by a tree of balanced k-means (SPANN, Chen et al. 2021).
///
/// A node is cut into at most `branching` children, leaves are shared out among them by their sizes, and
/// children are put in an order in which neighbours are near. Equal rows always share a leaf, so there are
/// `lists` leaves when there are that many distinct rows, else one per distinct row; no leaf is empty.
/// Two leaves can have equal heads when [`HeadKind::Means`] are rounded to integers: filing then takes the first,
/// and a list that ends up without rows is the caller's to drop.
///
/// Memory: 12 bytes a row beside the rows, and a few megabytes for each thread.
///
/// # Errors
/// [`Stopped`] once `stop` is true.
///
/// # Panics
/// When there is no row, `lists` is 0 or `branching` below 2.
pub fn cluster(
    rows: Rows<'_>,
    params: &ClusterParams,
    pool: &ThreadPool,
    stop: &AtomicBool,
) -> Result<Clustering, Stopped> {
    assert!(!rows.is_empty() && params.lists > 0 && params.branching >= 2);
    let kernel = BlockKernel::new(rows.dtype, rows.dim);
    let grower = Grower { rows, params, kernel, stop };
    let mut clustering = pool.install(|| {
        let len = u32::try_from(rows.len()).expect("a part has fewer than 2^32 rows");
        let mut order: Vec<u32> = (0..len).collect();
        let leaves = params.lists.min(rows.len());
        let root = Node { picks: &mut order, start: 0, leaves, depth: 0, before: None };
        let mut grown = grower.grow(root)?;
        grower.split_to_count(&mut order, &mut grown.leaves)?;
        grower.finish(&order, &grown)
    })?;
    // Heads that are vectors come out as good without: a mean that moves a little is nearest to the same row.
    let refinements = if params.heads == HeadKind::Means { params.refinements } else { 0 };
    for _ in 0..refinements {
        refine(rows, params, &mut clustering, pool, stop)?;
    }
    Ok(clustering)
}

struct Grower<'a> {
    rows: Rows<'a>,
    params: &'a ClusterParams,
    kernel: BlockKernel,
    stop: &'a AtomicBool,
}

/// A set of rows to be cut into leaves.
struct Node<'n> {
    /// The rows, reordered in place so that every leaf is one run.
    picks: &'n mut [u32],
    /// Where `picks` lies in the order of all rows.
    start: usize,
    /// Leaves wanted, at most one for each row.
    leaves: usize,
    /// Nodes above.
    depth: usize,
    /// The centre of the node before, next to which the first child should lie.
    before: Option<Vec<u8>>,
}

/// Runs of the order of all rows.
struct Grown {
    leaves: Vec<Range<usize>>,
    blocks: Vec<GrownBlock>,
}

struct GrownBlock {
    rows: Range<usize>,
    leaves: usize,
}

impl Grown {
    fn leaf(rows: Range<usize>) -> Grown {
        Grown { blocks: vec![GrownBlock { rows: rows.clone(), leaves: 1 }], leaves: vec![rows] }
    }

    /// Appends what follows, joining blocks while they stay small.
    fn append(&mut self, next: Grown) {
        self.leaves.extend(next.leaves);
        for block in next.blocks {
            match self.blocks.last_mut() {
                Some(last) if last.leaves + block.leaves <= BLOCK_HEADS_MAX => {
                    last.rows.end = block.rows.end;
                    last.leaves += block.leaves;
                }
                _ => self.blocks.push(block),
            }
        }
    }
}

impl Grower<'_> {
    fn check_stop(&self) -> Result<(), Stopped> {
        if self.stop.load(Ordering::Relaxed) { Err(Stopped) } else { Ok(()) }
    }

    fn grow(&self, node: Node<'_>) -> Result<Grown, Stopped> {
        self.check_stop()?;
        let run = node.start..node.start + node.picks.len();
        if node.leaves == 1 || node.depth == DEPTH_MAX {
            return Ok(Grown::leaf(run));
        }
        let centres = self.train(&node);
        if centres.len() < 2 {
            // Identical rows, or a sample of such; the count is made up for afterwards.
            return Ok(Grown::leaf(run));
        }
        let centres = self.reorder(centres, node.before.as_deref());
        let sizes = self.partition(node.picks, &centres)?;
        let children = self.children(node, &centres, &sizes);
        if children.len() < 2 {
            return Ok(Grown::leaf(run));
        }
        let grown: Vec<Result<Grown, Stopped>> =
            children.into_par_iter().map(|child| self.grow(child)).collect();
        let mut whole = Grown { leaves: Vec::new(), blocks: Vec::new() };
        for grown in grown {
            whole.append(grown?);
        }
        Ok(whole)
    }

    /// Centres of a node's children, from a sample of its rows.
    fn train(&self, node: &Node<'_>) -> PricedCentres {
        let centres = fan_out(node.leaves, self.params.branching);
        let mut rng = ChaCha8Rng::seed_from_u64(mix(self.params.seed, node.start as u64, node.leaves as u64));
        let mut sample = Vec::new();
        let sample_rows = centres * self.params.sample_per_centre;
        if sample_rows < node.picks.len() {
            let drawn = flat::pick_distinct(node.picks.len(), sample_rows, &mut rng);
            let picks: Vec<u32> = drawn.into_iter().map(|at| node.picks[at as usize]).collect();
            self.rows.gather(&picks, &mut sample);
        } else {
            self.rows.gather(node.picks, &mut sample);
        }
        let ClusterParams { balance, rounds, price_steps, price_damping, .. } = *self.params;
        let params = FlatParams { centres, balance, rounds, price_steps, price_damping };
        flat::train(&self.kernel, self.rows.with_bytes(&sample), params, &mut rng)
    }

    /// The same centres as a chain of near neighbours.
    fn reorder(&self, centres: PricedCentres, before: Option<&[u8]>) -> PricedCentres {
        let rows = self.rows.with_bytes(&centres.bytes);
        let order = chain(rows, before);
        let mut bytes = Vec::new();
        rows.gather(&order, &mut bytes);
        let prices = order.iter().map(|&at| centres.prices[at as usize]).collect();
        PricedCentres::new(&self.kernel, bytes, prices)
    }

    /// Assigns the picks and sorts them by centre; returns how many each centre has.
    fn partition(&self, picks: &mut [u32], centres: &PricedCentres) -> Result<Vec<usize>, Stopped> {
        let mut owner = vec![0_u32; picks.len()];
        let chunks = picks.par_chunks(CHUNK_ROWS).zip(owner.par_chunks_mut(CHUNK_ROWS));
        chunks.try_for_each_init(
            || (Vec::new(), Vec::new()),
            |(gathered, scores), (picks, owner)| {
                self.check_stop()?;
                self.rows.gather(picks, gathered);
                centres.assign(&self.kernel, gathered, scores, owner);
                Ok(())
            },
        )?;
        let mut sizes = vec![0_usize; centres.len()];
        for &owner in &owner {
            sizes[owner as usize] += 1;
        }
        let mut next: Vec<usize> = Vec::with_capacity(sizes.len());
        let mut start = 0;
        for &size in &sizes {
            next.push(start);
            start += size;
        }
        let before = picks.to_vec();
        for (pick, owner) in before.into_iter().zip(owner) {
            let slot = &mut next[owner as usize];
            picks[*slot] = pick;
            *slot += 1;
        }
        Ok(sizes)
    }

    /// The children that have rows, with their share of the leaves.
    fn children<'n>(&self, node: Node<'n>, centres: &PricedCentres, sizes: &[usize]) -> Vec<Node<'n>> {
        let shares = share_out(node.leaves, sizes);
        let mut rest = node.picks;
        let mut start = node.start;
        let mut before = node.before;
        let mut children = Vec::with_capacity(sizes.len());
        for (at, (&size, leaves)) in sizes.iter().zip(shares).enumerate() {
            if size == 0 {
                continue;
            }
            let (picks, after) = rest.split_at_mut(size);
            let centre = self.rows.with_bytes(&centres.bytes).row(at).to_vec();
            children.push(Node {
                picks,
                start,
                leaves,
                depth: node.depth + 1,
                before: before.replace(centre),
            });
            rest = after;
            start += size;
        }
        children
    }

    /// Cuts the largest leaves in two until there are `wanted` of them or none can be cut.
    fn split_to_count(&self, order: &mut [u32], leaves: &mut Vec<Range<usize>>) -> Result<(), Stopped> {
        let wanted = self.params.lists.min(self.rows.len());
        if leaves.len() >= wanted {
            return Ok(());
        }
        let mut largest: BinaryHeap<(usize, usize)> =
            leaves.iter().map(|run| (run.len(), run.start)).collect();
        let mut whole = Vec::new();
        let mut cutter = Cutter::new(self.rows, self.params.cut_rounds);
        while whole.len() + largest.len() < wanted {
            let Some((len, start)) = largest.pop() else { break };
            self.check_stop()?;
            match cutter.cut_distinct(&mut order[start..start + len]) {
                Some(at) => {
                    largest.push((at, start));
                    largest.push((len - at, start + at));
                }
                None => whole.push((len, start)),
            }
        }
        whole.extend(largest);
        *leaves = whole.into_iter().map(|(len, start)| start..start + len).collect();
        leaves.sort_unstable_by_key(|run| run.start);
        Ok(())
    }

    /// Heads, blocks and the leaf of each row.
    fn finish(&self, order: &[u32], grown: &Grown) -> Result<Clustering, Stopped> {
        let row_bytes = self.rows.row_bytes();
        let mut heads = vec![0; grown.leaves.len() * row_bytes];
        heads.par_chunks_mut(row_bytes).zip(&grown.leaves).try_for_each_init(
            || HeadMaker::new(self.rows, self.params.heads),
            |maker, (head, leaf)| {
                self.check_stop()?;
                maker.write_head(&order[leaf.clone()], head);
                Ok(())
            },
        )?;
        let mut leaf_of_row = vec![0; self.rows.len()];
        for (leaf, run) in grown.leaves.iter().enumerate() {
            for &pick in &order[run.clone()] {
                leaf_of_row[pick as usize] = leaf as u32; // CAST: fewer leaves than rows
            }
        }
        let blocks = self.blocks(grown, &heads);
        let count = u32::try_from(grown.leaves.len()).expect("fewer leaves than rows");
        Ok(Clustering { heads, count, blocks, leaf_of_row })
    }

    fn blocks(&self, grown: &Grown, heads: &[u8]) -> Vec<Block> {
        let head_rows = self.rows.with_bytes(heads);
        let mut sums = MeanSums::new(self.rows.dtype, self.rows.dim);
        let mut blocks = Vec::with_capacity(grown.blocks.len());
        let mut first = 0_u32;
        for block in &grown.blocks {
            let inside = grown.leaves[first as usize..].iter().take_while(|leaf| leaf.start < block.rows.end);
            let heads = first..first + inside.count() as u32; // CAST: fewer leaves than rows
            sums.clear();
            heads.clone().for_each(|head| sums.add(head_rows.row(head as usize)));
            let mut center = vec![0; self.rows.row_bytes()];
            sums.write_mean(&mut center);
            first = heads.end;
            blocks.push(Block { heads, center });
        }
        blocks
    }
}

/// Children of a node with `leaves` leaves to come: the same at every level, at most `branching`.
fn fan_out(leaves: usize, branching: usize) -> usize {
    let mut levels = 1_u32;
    while branching.saturating_pow(levels) < leaves {
        levels += 1;
    }
    let mut fan = 2_usize;
    while fan.saturating_pow(levels) < leaves {
        fan += 1;
    }
    fan.min(leaves)
}

/// Shares leaves out among children by size: at least one for each that has rows, at most its rows.
fn share_out(leaves: usize, sizes: &[usize]) -> Vec<usize> {
    let mut shares: Vec<usize> = sizes.iter().map(|&size| usize::from(size > 0)).collect();
    let mut shared: usize = shares.iter().sum();
    // The largest mean size is cut next, which ends as near to equal leaves as whole numbers go. Whole
    // parts of the exact quota first, so that the heap sees few steps.
    let total: usize = sizes.iter().sum();
    for (share, &size) in shares.iter_mut().zip(sizes) {
        let quota = (size as u128 * leaves as u128 / total.max(1) as u128) as usize; // CAST: at most `leaves`
        let more = quota.min(size).saturating_sub(*share).min(leaves.saturating_sub(shared));
        *share += more;
        shared += more;
    }
    while shared < leaves {
        let fullest = (0..sizes.len())
            .filter(|&at| shares[at] < sizes[at])
            .max_by(|&a, &b| (sizes[a] * shares[b]).cmp(&(sizes[b] * shares[a])).then(b.cmp(&a)));
        let Some(at) = fullest else { break };
        shares[at] += 1;
        shared += 1;
    }
    shares
}

/// One seed from three numbers (splitmix64's finisher after each).
fn mix(a: u64, b: u64, c: u64) -> u64 {
    [a, b, c].into_iter().fold(0, |state: u64, x| {
        let mut z = state.wrapping_add(x).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

#[cfg(test)]
mod tests;
