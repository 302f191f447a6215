//! Codes by matrices of a file, and versions of the model that vectors come from.
use serde_json::Value;

use crate::support::{run, spandrel, text};

const DIM: usize = 8;
const BITS: usize = 32;

/// An npy file of `<f4`.
fn npy(sizes: [usize; 2], values: impl Fn(usize) -> f32) -> Vec<u8> {
    let shape = format!("({}, {})", sizes[0], sizes[1]);
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend_from_slice(&(header.len() as u16).to_le_bytes());
    bytes.extend_from_slice(header.as_bytes());
    (0..sizes[0] * sizes[1]).for_each(|at| bytes.extend_from_slice(&values(at).to_le_bytes()));
    bytes
}

/// The CRC-32 of zip archives, bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    let of_bit = |sum: u32, _| if sum & 1 == 1 { 0xedb8_8320 ^ (sum >> 1) } else { sum >> 1 };
    !bytes.iter().fold(u32::MAX, |sum, &byte| (0..8).fold(sum ^ u32::from(byte), of_bit))
}

/// An archive of such files, stored as they are.
fn npz(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let (mut out, mut listed) = (Vec::new(), Vec::new());
    for (name, bytes) in files {
        let lengths = [crc(bytes), bytes.len() as u32, bytes.len() as u32].map(u32::to_le_bytes).concat();
        let name_bytes = (name.len() as u16).to_le_bytes();
        let at = out.len() as u32;
        out.extend_from_slice(
            &[b"PK\x03\x04\x14\0\0\0\0\0\0\0!\0", &lengths[..], &name_bytes, &[0, 0]].concat(),
        );
        out.extend_from_slice(&[name.as_bytes(), bytes].concat());
        listed.extend_from_slice(
            &[b"PK\x01\x02\x14\x03\x14\0\0\0\0\0\0\0!\0", &lengths[..], &name_bytes].concat(),
        );
        listed.extend_from_slice(&[&[0; 12], &at.to_le_bytes()[..], name.as_bytes()].concat());
    }
    let (at, count) = (out.len() as u32, (files.len() as u16).to_le_bytes());
    let end =
        [b"PK\x05\x06\0\0\0\0", &count[..], &count, &(listed.len() as u32).to_le_bytes(), &at.to_le_bytes()];
    [out, listed, end.concat(), vec![0, 0]].concat()
}

fn matrices(codes: usize) -> Vec<u8> {
    let value = |at: usize| ((at * 7919) % 211) as f32 / 105.0 - 1.0;
    let names: Vec<(String, [usize; 2])> = (0..codes)
        .map(|at| (format!("W{at}.npy"), [BITS, DIM]))
        .chain((1..codes).map(|at| (format!("R{}.npy", at - 1), [DIM, BITS])))
        .collect();
    let files: Vec<(&str, Vec<u8>)> = names
        .iter()
        .zip(1..)
        .map(|((name, sizes), seed)| (name.as_str(), npy(*sizes, |at| value(at + 31 * seed))))
        .collect();
    npz(&files)
}

#[test]
fn matrices_of_a_file_make_codes_and_versions_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (base, queries, index, file) = (path("b.fbin"), path("q.fbin"), path("index"), path("m.npz"));
    let size = ["--vectors", "2000", "--dim", "8", "--out", &base, "--queries", "50"];
    run(&[&["data", "generate", "embedding"], &size[..], &["--queries-out", &queries]].concat());
    std::fs::write(&file, matrices(2)).unwrap();
    let shape = ["--metric", "cosine", "--code", "bits:32x2+symmetric", "--binariser", &file];
    let build = [&["build", "--base", &base, "--out", &index][..], &shape].concat();
    let versions = ["--embedding-version", "model-2", "--compatible-version", "model-1,model-0"];
    let plan: Value =
        serde_json::from_str(&run(&[&["plan", "--base", &base, "--format", "json"][..], &shape].concat()))
            .unwrap();
    assert_eq!(plan["code"], "bits:32x2+symmetric");
    run(&[&build[..], &versions].concat());
    let told: Value = serde_json::from_str(&run(&["inspect", &index, "--format", "json"])).unwrap();
    assert_eq!(told["build"]["binariser"].as_str().unwrap().len(), 32, "{told}");
    let expected = serde_json::json!({ "version": "model-2", "compatible": ["model-1", "model-0"] });
    assert_eq!(told["embedding"], expected);
    let told = run(&["inspect", &index]);
    assert!(
        told.contains("vectors of version model-2, which answer queries of model-1, model-0 too"),
        "{told}"
    );
    assert!(told.contains("2 x 32 bits for 8 dimensions, queries likewise"), "{told}");

    let query = ["query", "--index", &index, "--queries", &queries, "--k", "3"];
    let plain = run(&query);
    for version in ["model-2", "model-0"] {
        assert!(run(&[&query[..], &["--embedding-version", version]].concat()) == plain, "{version}");
    }
    let bench = ["bench", "--index", &index, "--queries", &queries, "--truth", "none"];
    let two = [&query[..], &["--index", &index]].concat();
    for command in [&query[..], &bench, &two] {
        let refused = spandrel(&[command, &["--embedding-version", "model-3"]].concat());
        let words = text(&refused.stderr).to_owned();
        assert_eq!(refused.status.code(), Some(1), "{words}");
        let expected = "embedding version \"model-3\", expected model-2, model-1, model-0";
        assert!(words.contains(expected) && words.contains("ask with a version that is listed"), "{words}");
    }

    let refused = |change: &dyn Fn(), words: &str| {
        change();
        let output = spandrel(&[&build[..], &["--replace"]].concat());
        let told = text(&output.stderr).to_owned();
        assert!(!output.status.success() && told.contains(words), "{told}");
    };
    refused(
        &|| std::fs::write(&file, matrices(3)).unwrap(),
        "array W2, expected none but W0, W1, R0, center",
    );
    refused(&|| std::fs::write(&file, matrices(1)).unwrap(), "no array W1, expected one of shape 32 x 8");
    refused(&|| std::fs::write(&file, &matrices(2)[..900]).unwrap(), "zip end");
    refused(&|| std::fs::write(&file, npy([2, 2], |_| 1.0)).unwrap(), "zip end");
}
