//! Which neighbours a node keeps, and how a batch of new nodes is linked in.
use rayon::prelude::*;

use super::Heads;
use super::beam::{key_of, node_of, score_of};
use super::links::{Layer, Links};

/// Keeps at most `cap` of the candidates by the heuristic of Malkov and Yashunin (algorithm 4): nearest
/// first, a candidate is kept when it is nearer to the node than to every one kept before it.
///
/// `candidates` ascend and carry their distance to the node.
pub(super) fn select(heads: &Heads, layer: Layer<'_>, candidates: &[u64], cap: usize) -> Vec<u64> {
    let mut kept: Vec<u64> = Vec::with_capacity(cap);
    for &candidate in candidates {
        if kept.len() == cap {
            break;
        }
        let row = heads.row(layer.head(node_of(candidate)));
        let to_node = score_of(candidate);
        let covered =
            kept.iter().any(|&k| heads.kernel().score(row, heads.row(layer.head(node_of(k)))) <= to_node);
        if !covered {
            kept.push(candidate);
        }
    }
    kept
}

/// A node of a batch with the neighbours chosen for it in one layer.
pub(super) struct NewNode<'a> {
    pub(super) node: u32,
    pub(super) chosen: &'a [u64],
}

/// Links a batch into one layer: each new node to its chosen neighbours, and these back to it; a node
/// whose places overflow keeps the best by [`select`].
///
/// What a node's links become depends on the batch alone, so the result is the same for any pool.
pub(super) fn link_batch(heads: &Heads, links: &mut Links, names: Option<&[u32]>, batch: &[NewNode<'_>]) {
    let mut back: Vec<(u32, u64)> = Vec::new();
    for new in batch {
        let chosen: Vec<u32> = new.chosen.iter().map(|&key| node_of(key)).collect();
        links.set(new.node, &chosen);
        back.extend(new.chosen.iter().map(|&key| (node_of(key), key_of(score_of(key), new.node))));
    }
    back.par_sort_unstable();
    let targets: Vec<&[(u32, u64)]> = back.chunk_by(|a, b| a.0 == b.0).collect();
    let layer = Layer { links, names };
    let relinked: Vec<Vec<u32>> =
        targets.par_iter().with_min_len(16).map(|t| relink(heads, layer, t)).collect();
    for (target, list) in targets.iter().zip(&relinked) {
        links.set(target[0].0, list);
    }
}

/// The links of a node once `incoming` (its number and the keys of new nodes) are among them.
fn relink(heads: &Heads, layer: Layer<'_>, incoming: &[(u32, u64)]) -> Vec<u32> {
    let node = incoming[0].0;
    let mut list = layer.links.of(node).to_vec();
    let old_count = list.len();
    let fresh: Vec<u64> = incoming.iter().map(|i| i.1).filter(|&k| !list.contains(&node_of(k))).collect();
    list.extend(fresh.iter().map(|&k| node_of(k)));
    if list.len() <= layer.links.stride() {
        return list;
    }
    let names: Vec<u32> = list[..old_count].iter().map(|&n| layer.head(n)).collect();
    let mut scores = vec![0.0; old_count];
    heads.kernel().score_picks(heads.row(layer.head(node)), heads.rows(), &names, &mut scores);
    let mut candidates = fresh;
    candidates.extend(list[..old_count].iter().zip(&scores).map(|(&n, &s)| key_of(s, n)));
    candidates.sort_unstable();
    select(heads, layer, &candidates, layer.links.stride()).into_iter().map(node_of).collect()
}
