use proptest::prelude::*;

use super::super::testing::{build, clustered, found};
use super::super::{HeadIndex, HeadQuery, Heads, HnswParams};
use super::*;
use crate::DType;

/// 200 rows, of which 150 and 151 equal the first.
fn sample_rows() -> Vec<u8> {
    let mut rows = clustered(DType::U8, 3, 200, 1);
    rows.copy_within(..3, 450);
    rows.copy_within(..3, 453);
    rows
}

fn sample() -> (Heads, HnswGraph) {
    let heads = Heads::from_rows(DType::U8, 3, &sample_rows()).unwrap();
    let graph = build(&heads, &HnswParams { m: 4, ef_construction: 20, seed: 0 }, 1);
    assert_eq!((graph.upper.len(), graph.copies.len()), (2, 2));
    (heads, graph)
}

fn with_word(bytes: &[u8], at: usize, word: u32) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
    bytes
}

#[test]
fn opens_as_it_was_saved() {
    let (heads, graph) = sample();
    let bytes = graph.to_bytes();
    assert_eq!(bytes.len() as u64, graph.saved_bytes());
    let opened = HnswGraph::from_bytes(&bytes, 200).unwrap();
    assert_eq!(opened.to_bytes(), bytes);
    let (built, opened) = (HeadIndex::Graph(graph), HeadIndex::Graph(opened));
    for row in clustered(DType::U8, 3, 20, 2).chunks(3) {
        let query = HeadQuery { row, k: 10, ef: 20 };
        assert_eq!(found(&built, &heads, &query), found(&opened, &heads, &query));
    }
    for count in [0, 1, 2] {
        let heads = Heads::from_rows(DType::U8, 1, &vec![3; count]).unwrap();
        let bytes = build(&heads, &HnswParams::default(), 1).to_bytes();
        assert_eq!(HnswGraph::from_bytes(&bytes, heads.count()).unwrap().to_bytes(), bytes);
    }
}

#[test]
fn the_layout_is_the_one_documented() {
    let heads = Heads::from_rows(DType::U8, 1, &[10, 20, 10]).unwrap();
    let graph = build(&heads, &HnswParams { m: 2, ef_construction: 9, seed: 0 }, 1);
    let words = |words: &[u32]| words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>();
    let mut expected = words(&[3, 2, graph.entry, 1]);
    let none = [NONE; 3];
    expected.extend(words(&[&[1], &none[..], &[0], &none, &[NONE], &none, &[0, 2]].concat()));
    assert_eq!(graph.to_bytes(), expected);
}

#[test]
fn each_damage_has_its_error() {
    let (_, graph) = sample();
    let bytes = graph.to_bytes();
    let refuse = |bytes: &[u8]| HnswGraph::from_bytes(bytes, 200).unwrap_err();
    for len in 0..bytes.len() {
        assert!(matches!(refuse(&bytes[..len]), GraphError::Length { .. }), "{len} bytes");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    let expected = bytes.len() as u64;
    assert_eq!(refuse(&longer), GraphError::Length { found: expected + 1, expected });
    assert_eq!(refuse(&with_word(&bytes, 0, 7)), GraphError::Heads { found: 7, expected: 200 });
    let field = |at: usize, word: u32| match refuse(&with_word(&bytes, at, word)) {
        GraphError::Field { field, offset, .. } => (field, offset),
        other => panic!("{other}"),
    };
    assert_eq!(field(4, 1), ("links per node", 4));
    assert_eq!(field(4, 4 | 33 << 16), ("level count", 6));
    assert_eq!(field(8, 200), ("entry", 8));
    assert_eq!(field(8, (graph.entry + 1) % 200), ("entry", 8));
    assert_eq!(field(12, 200), ("copy count", 12));
    assert_eq!(field(16, 201), ("nodes of a layer", 16));
    assert_eq!(field(20, 50), ("nodes of a layer", 20));
    assert_eq!(field(20, 0), ("nodes of a layer", 20));
    // Counts 49 and 12: ranks from 24 on, upper links from 220 and 1004, base links from 1196, copies from 7596.
    let node = |at: usize, word: u32| match refuse(&with_word(&bytes, at, word)) {
        GraphError::Node { part, offset, limit, .. } => (part, offset, limit),
        other => panic!("{other}"),
    };
    assert_eq!(node(28, 200), ("rank", 28, 200));
    assert_eq!(node(28, NONE), ("rank", 28, 200));
    assert_eq!(node(220, 49), ("upper link", 220, 49));
    assert_eq!(node(1004, 12), ("upper link", 1004, 12));
    assert_eq!(node(1196, 200), ("base link", 1196, 200));
    let gap = with_word(&with_word(&bytes, 1196, NONE), 1200, 5);
    assert_eq!(refuse(&gap), GraphError::Gap { part: "base link", offset: 1200, found: 5 });
    assert_eq!(node(7600, 200), ("copy", 7600, 200));
    assert_eq!(refuse(&with_word(&bytes, 7608, 149)), GraphError::Order { copy: 1, copies: 2 });
}

proptest! {
    #[test]
    fn damaged_bytes_never_panic(damage in prop::collection::vec((0usize..8192, any::<u8>()), 1..6), k in 1usize..300) {
        let (heads, graph) = sample();
        let mut bytes = graph.to_bytes();
        for (at, byte) in damage {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        if let Ok(opened) = HnswGraph::from_bytes(&bytes, heads.count()) {
            let all = found(&HeadIndex::Graph(opened), &heads, &HeadQuery { row: &[1, 2, 3], k, ef: 10 });
            prop_assert!(all.len() <= k);
        }
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), head_count in 0u32..4) {
        let mut bytes = bytes;
        for fixed in [&head_count.to_le_bytes()[..], &[2, 0, 0, 0], &[0; 8]].concat().iter().zip(0..bytes.len() / 2 * 2) {
            bytes[fixed.1] = *fixed.0;
        }
        let _ = HnswGraph::from_bytes(&bytes, head_count);
    }
}
