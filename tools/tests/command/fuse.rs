//! Answers of several searches, fused.
use std::fs;

use crate::support::{run, spandrel, text};

/// A file of ids, and distances that do not matter.
fn ibin(path: &str, k: u32, ids: &[u32]) {
    let head = [ids.len() as u32 / k, k];
    let bytes = head.iter().chain(ids).flat_map(|x| x.to_le_bytes());
    fs::write(path, bytes.chain(ids.iter().flat_map(|_| 9.5_f32.to_le_bytes())).collect::<Vec<u8>>())
        .unwrap();
}

/// An array of ids of 64 bits, one row.
fn npy(path: &str, ids: &[u64]) {
    let text = format!("{{'descr': '<u8', 'fortran_order': False, 'shape': (1, {}), }}", ids.len());
    let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    bytes.extend(format!("{text:<117}\n").bytes());
    bytes.extend(ids.iter().flat_map(|id| id.to_le_bytes()));
    fs::write(path, bytes).unwrap();
}

#[test]
fn answers_are_fused_by_their_ranks() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (a, b, out) = (path("a.ibin"), path("b.ibin"), path("f.ibin"));
    // Two queries. By hand, with k = 60: in the first 5 and 7 have 1/61 + 1/62 each, in the second 4 has 2/61.
    ibin(&a, 2, &[7, 5, 4, u32::MAX]);
    ibin(&b, 3, &[5, 7, 9, 4, 8, 2]);
    let said = run(&["fuse", &a, &b, "--out", &out]);
    assert!(said.contains("3 of each of 2 queries, fused from 2 files"), "{said}");
    let read = fs::read(&out).unwrap();
    let words: Vec<[u8; 4]> = read.as_chunks::<4>().0.to_vec();
    let ids: Vec<u32> = words[..8].iter().map(|&word| u32::from_le_bytes(word)).collect();
    assert_eq!(ids, [2, 3, 5, 7, 9, 4, 8, 2]);
    let scores: Vec<f64> = words[8..].iter().map(|&word| f32::from_le_bytes(word).into()).collect();
    let by_hand =
        [1.0 / 61.0 + 1.0 / 62.0, 1.0 / 61.0 + 1.0 / 62.0, 1.0 / 63.0, 2.0 / 61.0, 1.0 / 62.0, 1.0 / 63.0];
    assert!(scores.iter().zip(by_hand).all(|(a, b)| (a - b).abs() < 1e-8), "{scores:?}");
    // With a weight of 0 the first file says nothing.
    run(&["fuse", &a, &b, "--out", &out, "--weights", "0,2", "--k", "0", "--depth", "1"]);
    assert_eq!(fs::read(&out).unwrap()[8..16], [5_u32.to_le_bytes(), 4_u32.to_le_bytes()].concat());
}

#[test]
fn ids_of_64_bits_go_to_npy_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (a, b, out) = (path("a.npy"), path("b.ibin"), path("f.npy"));
    npy(&a, &[1 << 40, 6]);
    ibin(&b, 2, &[6, 3]);
    run(&["fuse", &a, &b, "--out", &out]);
    let read = fs::read(&out).unwrap();
    assert_eq!(read[128..], [6_u64.to_le_bytes(), (1_u64 << 40).to_le_bytes()].concat());
    let refused = spandrel(&["fuse", &a, &b, "--out", &path("f.ibin")]);
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    assert!(said.contains("id 1099511627776 does not fit") && said.contains("write an .npy file"), "{said}");
}

#[test]
fn what_cannot_be_fused_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (a, b, out) = (path("a.ibin"), path("b.ibin"), path("f.ibin"));
    ibin(&a, 2, &[7, 5, 4, 1]);
    ibin(&b, 2, &[7, 5]);
    let none = path("none.ibin");
    let cases: [(&[&str], i32, &str); 6] = [
        (&[&a, &b], 1, "file 2 has answers to 1 queries, the first file to 2"),
        (&[&a, &a, "--weights", "1"], 2, "1 weights for 2 files"),
        (&[&a, "--weights", "-1"], 2, "unexpected argument"),
        (&[&a, "--weights=-1"], 2, "weight -1 of file 1"),
        (&[&a, "--k", "nan"], 2, "k is NaN"),
        (&[&a, &none], 1, "none.ibin"),
    ];
    for (flags, code, says) in cases {
        let refused = spandrel(&[&["fuse", "--out", &out], flags].concat());
        assert!(text(&refused.stderr).contains(says), "{flags:?}: {}", text(&refused.stderr));
        assert_eq!(refused.status.code(), Some(code), "{flags:?}");
    }
    let vectors = spandrel(&["fuse", &a, "--out", &path("f.fbin")]);
    assert!(text(&vectors.stderr).contains("expected one ending in .ibin"), "{}", text(&vectors.stderr));
    assert!(!folder.path().join("f.ibin").exists());
}
