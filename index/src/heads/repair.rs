//! Makes every node reachable from the entry point on layer 0.
//!
//! Pruning may leave a node without a way to it. A breadth-first tree from the entry point marks what can
//! be reached; each node outside it is linked from a near node inside, in a free place or in place of a
//! link that is no edge of the tree, so that nothing reached before is lost.
use super::links::{Links, NONE};
use super::{HeadQuery, Heads, HnswGraph, Scratch};

/// Candidates looked at for a place near the node.
const NEAR: usize = 64;

/// Connects `nodes`, ascending.
pub(super) fn connect(heads: &Heads, graph: &mut HnswGraph, nodes: &[u32]) {
    if nodes.is_empty() {
        return;
    }
    let mut tree = Tree { parents: vec![NONE; heads.len()], order: Vec::with_capacity(nodes.len()) };
    tree.grow(&graph.base, graph.entry, graph.entry);
    let mut scratch = Scratch::new();
    let mut near = Vec::new();
    for &lost in nodes {
        if tree.holds(lost) {
            continue;
        }
        let query = HeadQuery { row: heads.row(lost), k: NEAR, ef: NEAR };
        graph.search(heads, &query, &mut scratch, &mut near);
        let candidates = near.iter().map(|&(_, head)| head).filter(|&head| tree.holds(head));
        // Far along the list, nodes without children in the tree are never short: each of those has a place.
        let found = candidates.chain(tree.order.iter().rev().copied()).find_map(|host| {
            let links = with_link(&graph.base, &tree, host, lost)?;
            Some((host, links))
        });
        if let Some((host, links)) = found {
            graph.base.set(host, &links);
            tree.grow(&graph.base, lost, host);
        }
    }
}

/// The links of `host` with one to `lost` among them; none when all its places hold tree edges.
fn with_link(base: &Links, tree: &Tree, host: u32, lost: u32) -> Option<Vec<u32>> {
    let mut links = base.of(host).to_vec();
    if links.len() < base.stride() {
        links.push(lost);
        return Some(links);
    }
    let at = links.iter().rposition(|&l| tree.parents[l as usize] != host)?;
    links[at] = lost;
    Some(links)
}

/// What can be reached, as a tree.
struct Tree {
    /// The node each was first reached from, the root from itself; `NONE` where not reached.
    parents: Vec<u32>,
    /// The nodes in the order they were reached.
    order: Vec<u32>,
}

impl Tree {
    fn holds(&self, node: u32) -> bool {
        self.parents[node as usize] != NONE
    }

    /// Adds `node` below `parent`, and everything that can be reached from it.
    fn grow(&mut self, base: &Links, node: u32, parent: u32) {
        let mut at = self.order.len();
        self.parents[node as usize] = parent;
        self.order.push(node);
        while let Some(&node) = self.order.get(at) {
            at += 1;
            for &link in base.of(node) {
                if !self.holds(link) {
                    self.parents[link as usize] = node;
                    self.order.push(link);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;

    #[test]
    fn lost_nodes_are_linked_and_none_is_lost_instead() {
        // Two cliques and three nodes without any link, all places of the first clique taken.
        let values: Vec<u8> = (0..13).map(|i| i * 3).collect();
        let heads = Heads::from_rows(DType::U8, 1, &values).unwrap();
        let mut base = Links::new(13, 4);
        for clique in [0..5u32, 5..10] {
            for node in clique.clone() {
                let others: Vec<u32> = clique.clone().filter(|&o| o != node).collect();
                base.set(node, &others);
            }
        }
        let mut graph = HnswGraph {
            m: 2,
            count: 13,
            entry: 0,
            ranked: Vec::new(),
            upper: Vec::new(),
            base,
            copies: Vec::new(),
        };
        let nodes: Vec<u32> = (0..13).collect();
        connect(&heads, &mut graph, &nodes);
        let mut tree = Tree { parents: vec![NONE; 13], order: Vec::new() };
        tree.grow(&graph.base, 0, 0);
        assert_eq!(tree.order.len(), 13);
        assert!(tree.parents.iter().all(|&p| p != NONE));
    }
}
