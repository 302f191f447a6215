//! Archives as NumPy writes them, and others.
use std::path::PathBuf;

use super::crc::Crc32;
use super::*;

/// An entry to be written, and what its headers say of it.
#[derive(Clone)]
struct Written {
    name: &'static str,
    bytes: Vec<u8>,
    method: u16,
    flags: u16,
    /// Bytes that the directory says it takes in the file and has.
    lengths: Option<(u32, u32)>,
    crc: Option<u32>,
    /// The name at the entry itself.
    own_name: Option<&'static str>,
    at: Option<u32>,
}

impl Written {
    fn of(name: &'static str, bytes: Vec<u8>) -> Written {
        Written { name, bytes, method: 0, flags: 0, lengths: None, crc: None, own_name: None, at: None }
    }
}

fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend_from_slice(&(text.len() as u16).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
    bytes.extend_from_slice(data);
    bytes
}

fn floats(shape: &str, values: &[f32]) -> Vec<u8> {
    npy("<f4", shape, &values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>())
}

fn doubles(shape: &str, values: &[f64]) -> Vec<u8> {
    npy("<f8", shape, &values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>())
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = Crc32::default();
    crc.add(bytes);
    crc.finish()
}

/// A zip archive, with the extra field of eight-byte lengths at each entry that NumPy writes.
fn archive(entries: &[Written]) -> Vec<u8> {
    let (mut out, mut listed) = (Vec::new(), Vec::new());
    for entry in entries {
        let at = entry.at.unwrap_or(out.len() as u32);
        let own_name = entry.own_name.unwrap_or(entry.name);
        let sum = entry.crc.unwrap_or_else(|| crc(&entry.bytes));
        let (stored, bytes) = entry.lengths.unwrap_or((entry.bytes.len() as u32, entry.bytes.len() as u32));
        let push = |out: &mut Vec<u8>, fields: &[&[u8]]| fields.iter().for_each(|f| out.extend_from_slice(f));
        let common = [45_u16, entry.flags, entry.method, 0, 0x21].map(u16::to_le_bytes).concat();
        push(&mut out, &[b"PK\x03\x04", &common, &sum.to_le_bytes(), &[0xff; 8]]);
        push(&mut out, &[&(own_name.len() as u16).to_le_bytes(), &20_u16.to_le_bytes(), own_name.as_bytes()]);
        push(&mut out, &[&[1, 0, 16, 0], &[0; 16], &entry.bytes]);
        push(&mut listed, &[b"PK\x01\x02", &[45, 3], &common, &sum.to_le_bytes()]);
        push(&mut listed, &[&stored.to_le_bytes(), &bytes.to_le_bytes()]);
        push(&mut listed, &[&(entry.name.len() as u16).to_le_bytes(), &[0; 12]]);
        push(&mut listed, &[&at.to_le_bytes(), entry.name.as_bytes()]);
    }
    let (at, count) = (out.len() as u32, entries.len() as u16);
    out.extend_from_slice(&listed);
    out.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    [count, count].iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
    [listed.len() as u32, at].iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
    out.extend_from_slice(&[0, 0]);
    out
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn file(&self, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join("arrays.npz");
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// The field that is refused.
    fn refused(&self, bytes: &[u8]) -> &'static str {
        match NpzFile::open(self.file(bytes)).unwrap_err() {
            FileError::Header { field, .. } => field,
            FileError::Size { .. } => "size",
            e => panic!("{e}"),
        }
    }
}

fn two() -> Vec<Written> {
    let values: Vec<f64> = (0..40_000).map(f64::from).collect();
    vec![
        Written::of("W0.npy", floats("(2, 3)", &[1.0, -2.0, 3.5, 0.0, 5.0, -6.25])),
        Written::of("center.npy", doubles("(40000,)", &values)),
    ]
}

#[test]
fn arrays_are_read_by_name() {
    let folder = Folder::new();
    let file = NpzFile::open(folder.file(&archive(&two()))).unwrap();
    let shape = |name: &str, sizes: &[usize]| ArrayShape { name: name.to_owned(), sizes: sizes.to_vec() };
    assert_eq!(file.arrays(), [shape("W0", &[2, 3]), shape("center", &[40_000])]);
    assert_eq!(file.read("W0").unwrap(), [1.0, -2.0, 3.5, 0.0, 5.0, -6.25]);
    let long = file.read("center").unwrap();
    assert!(long.len() == 40_000 && long.iter().zip(0..).all(|(&x, at)| x == f64::from(at)));
    assert!(file.read("W1").unwrap_err().to_string().contains("no array W1"));
    let other = Folder::new();
    let mut changed = two();
    changed.swap(0, 1);
    assert_ne!(NpzFile::open(other.file(&archive(&changed))).unwrap().hash(), file.hash());
}

#[test]
fn what_is_not_stored_as_it_is_is_refused() {
    let folder = Folder::new();
    let with = |change: &dyn Fn(&mut Written)| {
        let mut entries = two();
        change(&mut entries[1]);
        folder.refused(&archive(&entries))
    };
    assert_eq!(with(&|entry| entry.method = 8), "zip compression");
    assert_eq!(with(&|entry| entry.flags = 1), "zip encryption");
    assert_eq!(with(&|entry| entry.name = "center.txt"), "zip name");
    assert_eq!(with(&|entry| entry.name = "W0.npy"), "zip name");
    assert_eq!(with(&|entry| entry.own_name = Some("centre.npy")), "zip entry");
    assert_eq!(with(&|entry| entry.at = Some(7)), "zip entry");
    assert_eq!(with(&|entry| entry.at = Some(u32::MAX)), "zip entry");
    let short = |bytes: &Vec<u8>, less: u32| bytes.len() as u32 - less;
    assert_eq!(with(&|entry| entry.lengths = Some((u32::MAX, u32::MAX))), "zip lengths");
    assert_eq!(
        with(&|entry| entry.lengths = Some((short(&entry.bytes, 8), short(&entry.bytes, 0)))),
        "zip lengths"
    );
    assert_eq!(with(&|entry| entry.lengths = Some((short(&entry.bytes, 8), short(&entry.bytes, 8)))), "size");
    assert_eq!(with(&|entry| entry.bytes = npy("<f2", "(2,)", &[0; 4])), "npy element type");
    assert_eq!(with(&|entry| entry.bytes = npy("<i8", "(2,)", &[0; 16])), "npy element type");
    assert_eq!(with(&|entry| entry.bytes = npy("<f4", "(9, 9)", &[0; 4])), "size");
    assert_eq!(with(&|entry| entry.bytes = b"\x93NUMPY".to_vec()), "npy preamble");
    let many: Vec<Written> = (0..65).map(|_| two().remove(0)).collect();
    assert_eq!(folder.refused(&archive(&many)), "zip directory");
}

#[test]
fn archives_that_are_cut_or_of_another_kind_are_refused() {
    let folder = Folder::new();
    let whole = archive(&two());
    for end in [0, 3, 21, 200, whole.len() - 23, whole.len() - 1] {
        assert_eq!(folder.refused(&whole[..end]), "zip end", "{end} bytes");
    }
    assert_eq!(folder.refused(&floats("(2,)", &[1.0, 2.0])), "zip end");
    let end = whole.len() - 22;
    let with = |at: usize, bytes: &[u8]| {
        let mut bad = whole.clone();
        bad[end + at..][..bytes.len()].copy_from_slice(bytes);
        folder.refused(&bad)
    };
    assert_eq!(with(4, &[1, 0]), "zip parts");
    assert_eq!(with(8, &[3, 0]), "zip parts");
    assert_eq!(with(8, &[3, 0, 3, 0]), "zip entry");
    assert_eq!(with(8, &[1, 0, 1, 0]), "zip directory");
    assert_eq!(with(12, &[0, 0, 0, 0]), "zip directory");
    assert_eq!(with(16, &[0xff; 4]), "zip directory");
    // A comment that holds the end of an archive.
    let mut commented = whole.clone();
    commented[end + 20..].copy_from_slice(&22_u16.to_le_bytes());
    commented.extend_from_slice(&whole[end..]);
    assert_eq!(folder.refused(&commented), "zip directory");
}

#[test]
fn values_that_changed_are_noticed() {
    let folder = Folder::new();
    let mut entries = two();
    entries[0].crc = Some(7);
    let file = NpzFile::open(folder.file(&archive(&entries))).unwrap();
    assert!(file.read("W0").unwrap_err().to_string().contains("crc-32"));
    assert!(file.read("center").is_ok());
    let whole = archive(&two());
    let path = folder.file(&whole);
    let file = NpzFile::open(&path).unwrap();
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    std::fs::write(&path, &changed).unwrap();
    assert!(file.read("center").unwrap_err().to_string().contains("crc-32"));
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(file.read("center").unwrap_err().to_string().contains("reading"));
}

/// Any single byte: an error or other values, and never more than the file holds.
#[test]
fn damage_is_an_error_or_another_array() {
    let folder = Folder::new();
    let entries = [
        Written::of("W0.npy", floats("(2, 3)", &[1.0; 6])),
        Written::of("b.npy", doubles("(2,)", &[1.0; 2])),
    ];
    let whole = archive(&entries);
    let path = folder.file(&whole);
    for at in 0..whole.len() {
        for flip in [1, 0x80, 0xff] {
            let mut bad = whole.clone();
            bad[at] ^= flip;
            std::fs::write(&path, &bad).unwrap();
            let Ok(file) = NpzFile::open(&path) else { continue };
            for array in file.arrays() {
                let read = file.read(&array.name);
                assert!(
                    read.is_err() || read.unwrap().len() == array.sizes.iter().product::<usize>(),
                    "{at}"
                );
            }
        }
    }
}
