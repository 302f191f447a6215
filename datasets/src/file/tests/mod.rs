//! Tests that hold for every format.
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use spandrel_index::{DIM_MAX, DType, SourceError, VectorSource};
use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_64;

use super::*;
use crate::Rows;

mod ids;
mod inputs;

const VECTOR_FORMATS: [(Format, DType); 10] = [
    (Format::Fbin, DType::F32),
    (Format::F16bin, DType::F16),
    (Format::I8bin, DType::I8),
    (Format::U8bin, DType::U8),
    (Format::Fvecs, DType::F32),
    (Format::Bvecs, DType::U8),
    (Format::Npy, DType::F32),
    (Format::Npy, DType::F16),
    (Format::Npy, DType::U8),
    (Format::Npy, DType::I8),
];

fn path(folder: &TempDir, format: Format) -> PathBuf {
    folder.path().join(format!("x.{format}"))
}

fn write(path: &Path, dtype: DType, dim: usize, bytes: &[u8]) {
    let mut writer = VectorWriter::create(path, dtype, dim).unwrap();
    writer.write_rows(bytes).unwrap();
    writer.finish().unwrap();
}

fn tiny_rows(dtype: DType) -> Vec<u8> {
    (0..dtype.row_bytes(3) * 4).map(|i| (i * 37 % 120) as u8).collect()
}

fn tiny_truth() -> Truth {
    let distances = Some(vec![0.5, 1.5, 2.0, 0.0, 1.0, 9.0]);
    Truth { queries: 2, k: 3, ids: vec![5, 1, 2, 0, 7, 3], distances }
}

fn entries(folder: &TempDir) -> usize {
    fs::read_dir(folder.path()).unwrap().count()
}

#[test]
fn written_bytes_are_golden() {
    let folder = TempDir::new().unwrap();
    let mut hashes: Vec<(String, u64)> = Vec::new();
    for (format, dtype) in VECTOR_FORMATS {
        let path = path(&folder, format);
        write(&path, dtype, 3, &tiny_rows(dtype));
        hashes.push((format!("{format} {dtype}"), xxh3_64(&fs::read(&path).unwrap())));
    }
    for format in [Format::Ibin, Format::Ivecs, Format::Npy] {
        let path = path(&folder, format);
        tiny_truth().write(&path).unwrap();
        hashes.push((format!("{format} truth"), xxh3_64(&fs::read(&path).unwrap())));
    }
    let shown: Vec<String> = hashes.iter().map(|(name, hash)| format!("{name} {hash:016x}")).collect();
    assert_eq!(shown, GOLDEN);
}

const GOLDEN: [&str; 13] = [
    "fbin f32 8a40ce99b163a9c0",
    "f16bin f16 cb97091d05020aba",
    "i8bin i8 e9ad2ab5ecef2346",
    "u8bin u8 e9ad2ab5ecef2346",
    "fvecs f32 28818553681769e0",
    "bvecs u8 b979f19de935add4",
    "npy f32 87657157acaa6632",
    "npy f16 4c3120e7ca764b08",
    "npy u8 b2818261f8a5aa6a",
    "npy i8 78a392c5ca42e8c8",
    "ibin truth fb271cb7350df786",
    "ivecs truth 99a1d51da363f8a0",
    "npy truth f3d29b5d62dbb305",
];

#[test]
fn counts_are_where_the_formats_say() {
    let folder = TempDir::new().unwrap();
    let rows: Vec<u8> = (0..12).collect();
    for (format, expected) in [
        (Format::U8bin, vec![4, 0, 0, 0, 3, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
        (
            Format::Bvecs,
            vec![3, 0, 0, 0, 0, 1, 2, 3, 0, 0, 0, 3, 4, 5, 3, 0, 0, 0, 6, 7, 8, 3, 0, 0, 0, 9, 10, 11],
        ),
    ] {
        let path = path(&folder, format);
        write(&path, DType::U8, 3, &rows);
        assert_eq!(fs::read(&path).unwrap(), expected);
    }
}

#[test]
fn every_truncation_is_refused() {
    let folder = TempDir::new().unwrap();
    for (format, dtype) in VECTOR_FORMATS {
        let path = path(&folder, format);
        write(&path, dtype, 3, &tiny_rows(dtype));
        let whole = fs::read(&path).unwrap();
        let row_end = whole.len() - if matches!(format, Format::Fvecs | Format::Bvecs) { 1 } else { 0 };
        for len in 0..row_end {
            fs::write(&path, &whole[..len]).unwrap();
            let rows = VectorFile::open(&path).map(|f| f.len());
            // A vecs file cut between rows is a shorter file.
            let shorter =
                matches!(format, Format::Fvecs | Format::Bvecs) && len > 0 && len % (whole.len() / 4) == 0;
            if shorter {
                assert_eq!(rows.unwrap(), (len / (whole.len() / 4)) as u64);
                continue;
            }
            assert!(
                // A part may be as long as rows of another type would be.
                matches!(
                    rows,
                    Err(FileError::Size { .. } | FileError::Header { .. } | FileError::Other { .. })
                ),
                "{format} {len}: {rows:?}"
            );
        }
        fs::write(&path, [whole.as_slice(), &[0]].concat()).unwrap();
        let error = VectorFile::open(&path).unwrap_err();
        assert!(matches!(error, FileError::Size { .. }), "{error}");
    }
    for format in [Format::Ibin, Format::Ivecs, Format::Npy] {
        let path = path(&folder, format);
        tiny_truth().write(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        for len in 0..whole.len() {
            // Without all its distances a truth file is one without distances, without its last row a shorter one.
            if (format == Format::Ibin && len == 8 + 24) || (format == Format::Ivecs && len == 16) {
                continue;
            }
            fs::write(&path, &whole[..len]).unwrap();
            let error = Truth::open(&path).unwrap_err();
            // As above.
            let refused =
                matches!(error, FileError::Size { .. } | FileError::Header { .. } | FileError::Other { .. });
            assert!(refused, "{error}");
        }
    }
}

#[test]
fn hostile_counts_are_refused_before_memory_is_taken() {
    let folder = TempDir::new().unwrap();
    let words = |words: &[u32]| words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>();
    for format in [Format::Fbin, Format::F16bin, Format::I8bin, Format::U8bin, Format::Ibin] {
        let path = path(&folder, format);
        for (rows, width) in [(u32::MAX, u32::MAX), (u32::MAX, 128), (1, u32::MAX), (0, 4), (4, 0), (0, 0)] {
            fs::write(&path, words(&[rows, width, 7, 7])).unwrap();
            let errors = [VectorFile::open(&path).err(), Truth::open(&path).err()];
            for error in errors.into_iter().map(Option::unwrap) {
                assert!(matches!(error, FileError::Size { .. } | FileError::Header { .. }), "{error}");
            }
        }
    }
    for format in [Format::Fvecs, Format::Bvecs, Format::Ivecs] {
        let path = path(&folder, format);
        for width in [u32::MAX, 0, i32::MAX as u32, DIM_MAX as u32, i32::MIN as u32] {
            fs::write(&path, words(&[width, 1, 1])).unwrap();
            assert!(VectorFile::open(&path).is_err() && Truth::open(&path).is_err());
        }
    }
    let path = path(&folder, Format::Npy);
    for (rows, width) in [(u64::MAX, 4), (u64::MAX, 16_384), (0, 4), (4, 0), (1, 16_385)] {
        fs::write(&path, npy::write("|u1", rows, width)).unwrap();
        assert!(matches!(VectorFile::open(&path), Err(FileError::Size { .. } | FileError::Header { .. })));
    }
}

#[test]
fn rows_of_another_length_are_found_while_reading() {
    let folder = TempDir::new().unwrap();
    let path = path(&folder, Format::Bvecs);
    write(&path, DType::U8, 3, &[7; 12]);
    let mut bytes = fs::read(&path).unwrap();
    bytes[14] = 2;
    fs::write(&path, &bytes).unwrap();
    let file = VectorFile::open(&path).unwrap();
    file.read_rows(0, &mut [0; 6]).unwrap();
    let Err(SourceError::Read { offset: 14, source, .. }) = file.read_rows(1, &mut [0; 6]) else {
        panic!("row 2 has another length")
    };
    assert!(source.to_string().ends_with("row 2 at offset 14: expected 3 elements, found 2"), "{source}");

    let path = folder.path().join("t.ivecs");
    tiny_truth().write(&path).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[16] = 9;
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(Truth::open(&path), Err(FileError::RowDim { row: 1, expected: 3, found: 9, .. })));
}

#[test]
fn an_unfinished_file_leaves_the_old_one() {
    let folder = TempDir::new().unwrap();
    let path = path(&folder, Format::U8bin);
    write(&path, DType::U8, 3, &[1; 6]);
    let before = fs::read(&path).unwrap();
    let mut writer = VectorWriter::create(&path, DType::U8, 3).unwrap();
    writer.write_rows(&[2; 9]).unwrap();
    assert_eq!((entries(&folder), writer.rows()), (2, 3));
    drop(writer);
    assert!(matches!(
        VectorWriter::create(&path, DType::U8, 3).unwrap().finish(),
        Err(FileError::NoRows { .. })
    ));
    assert_eq!((entries(&folder), fs::read(&path).unwrap()), (1, before));
    write(&path, DType::U8, 3, &[2; 9]);
    assert_eq!((entries(&folder), VectorFile::open(&path).unwrap().len()), (1, 3));
}

#[test]
fn bad_rows_and_dims_are_refused() {
    let folder = TempDir::new().unwrap();
    let path = path(&folder, Format::U8bin);
    for dim in [0, DIM_MAX + 1] {
        assert!(matches!(VectorWriter::create(&path, DType::U8, dim), Err(FileError::Dim { .. })));
    }
    let mut writer = VectorWriter::create(&path, DType::U8, 3).unwrap();
    assert!(matches!(writer.write_rows(&[0; 4]), Err(FileError::PartialRow { row_bytes: 3, .. })));
    assert!(matches!(VectorFile::open(folder.path().join("none.u8bin")), Err(FileError::Io(_))));
    let other = folder.path().join("x.txt");
    assert!(matches!(VectorFile::open(&other), Err(FileError::Io(_))));
    fs::write(&other, "1 2 3").unwrap();
    assert!(matches!(VectorFile::open(&other), Err(FileError::UnknownFormat { .. })));
}

#[test]
fn rows_past_the_end_are_refused() {
    let folder = TempDir::new().unwrap();
    for format in [Format::U8bin, Format::Bvecs] {
        let path = path(&folder, format);
        write(&path, DType::U8, 2, &[1, 2, 3, 4]);
        let file = VectorFile::open(&path).unwrap();
        assert!(matches!(file.read_rows(1, &mut [0; 4]), Err(SourceError::Range { end: 3, len: 2, .. })));
        file.read_rows(2, &mut []).unwrap();
        fs::write(&path, [1, 2]).unwrap();
        assert!(matches!(file.read_rows(0, &mut [0; 4]), Err(SourceError::Read { .. })));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn vectors_survive_every_format(
        which in 0..VECTOR_FORMATS.len(),
        dim in 1_usize..40,
        count in 1_usize..30,
        seed in any::<u8>(),
        first in 0_usize..30,
    ) {
        let (format, dtype) = VECTOR_FORMATS[which];
        let folder = TempDir::new().unwrap();
        let path = path(&folder, format);
        let row_bytes = dtype.row_bytes(dim);
        let bytes: Vec<u8> = (0..row_bytes * count).map(|i| (i as u8).wrapping_mul(31) ^ seed).collect();
        let mut writer = VectorWriter::create(&path, dtype, dim).unwrap();
        for part in bytes.chunks(row_bytes * 7) {
            writer.write_rows(part).unwrap();
        }
        prop_assert_eq!(writer.finish().unwrap(), count as u64);
        let file = VectorFile::open(&path).unwrap();
        prop_assert_eq!((file.len(), file.dim(), file.dtype()), (count as u64, dim, dtype));
        let read = Rows::read(&file).unwrap();
        prop_assert_eq!(read.bytes(), bytes.as_slice());
        let first = first % count;
        let mut tail = vec![0; bytes.len() - first * row_bytes];
        file.read_rows(first as u64, &mut tail).unwrap();
        prop_assert_eq!(&tail, &bytes[first * row_bytes..]);
    }

    #[test]
    fn no_header_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), which in 0..Format::ALL.len()) {
        let folder = TempDir::new().unwrap();
        let path = path(&folder, Format::ALL[which]);
        fs::write(&path, &bytes).unwrap();
        let _ = VectorFile::open(&path);
        let _ = Truth::open(&path);
    }

    #[test]
    fn no_npy_text_panics(text in "[{}'\":,() a-z0-9<|]{0,60}") {
        let _ = npy::parse(text.as_bytes());
    }
}

#[test]
fn a_file_of_an_index_is_not_written_over() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["CURRENT", "vectors-1"] {
        std::fs::write(dir.path().join(name), b"whole").unwrap();
        let refused = crate::write_file(&dir.path().join(name), b"other").unwrap_err();
        assert!(refused.to_string().contains("a file of an index"), "{refused}");
        assert_eq!(std::fs::read(dir.path().join(name)).unwrap(), b"whole");
    }
    crate::write_file(&dir.path().join("answers"), b"new").unwrap();
}
