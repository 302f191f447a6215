//! Tests that hold for every format.
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use spandrel_index::{DIM_MAX, DType, SourceError, VectorSource};
use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_64;

use super::*;
use crate::Rows;

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
fn ids_and_vectors_are_told_apart() {
    let folder = TempDir::new().unwrap();
    let ids = path(&folder, Format::Npy);
    tiny_truth().write(&ids).unwrap();
    assert!(matches!(VectorFile::open(&ids), Err(FileError::Kind { .. })));
    let vectors = path(&folder, Format::Fbin);
    write(&vectors, DType::F32, 3, &[0; 24]);
    assert!(matches!(Truth::open(&vectors), Err(FileError::Kind { .. })));
    assert!(matches!(tiny_truth().write(&vectors), Err(FileError::Kind { .. })));
    assert!(matches!(VectorWriter::create(&vectors, DType::U8, 3), Err(FileError::Kind { .. })));
    assert!(matches!(
        VectorWriter::create(&folder.path().join("x.ibin"), DType::F32, 3),
        Err(FileError::Kind { .. })
    ));
}

#[test]
fn truth_survives_every_format() {
    let folder = TempDir::new().unwrap();
    let truth = tiny_truth();
    for format in [Format::Ibin, Format::Ivecs, Format::Npy] {
        let path = path(&folder, format);
        truth.write(&path).unwrap();
        let distances = truth.distances.clone().filter(|_| format == Format::Ibin);
        assert_eq!(Truth::open(&path).unwrap(), Truth { distances, ..truth.clone() });
    }
    let plain = folder.path().join("plain.ibin");
    let ids_only = Truth { distances: None, ..truth.clone() };
    ids_only.write(&plain).unwrap();
    assert_eq!(Truth::open(&plain).unwrap(), ids_only);
    assert_eq!(truth.ids_of(1), [0, 7, 3]);
    assert_eq!(truth.validate(2, 8), Ok(()));
    assert_eq!(truth.validate(2, 7), Err(TruthError::Id { query: 1, id: 7, rows: 7 }));
    assert_eq!(truth.validate(3, 8), Err(TruthError::Queries { expected: 3, found: 2 }));
    let mut distances = vec![0.0; truth.ids.len()];
    distances[truth.k] = f32::NAN;
    let damaged = Truth { distances: Some(distances), ..truth };
    assert_eq!(damaged.validate(2, 8), Err(TruthError::Distance { query: 1, neighbour: 0 }));
}

#[test]
fn ids_of_64_bits_are_kept_and_negative_ones_refused() {
    let folder = TempDir::new().unwrap();
    let path = path(&folder, Format::Npy);
    let wide = |ids: &[i64]| {
        let mut bytes = npy::write("<i8", ids.len() as u64 / 2, 2);
        bytes.extend(ids.iter().flat_map(|id| id.to_le_bytes()));
        fs::write(&path, bytes).unwrap();
        Truth::open(&path)
    };
    assert_eq!(wide(&[1, 2, 1 << 40, 0]).unwrap().ids, [1, 2, 1 << 40, 0]);
    assert!(matches!(wide(&[1, 2, 3, -1]), Err(FileError::Id { row: 1, offset: 152, found: -1, .. })));
    for (ids, descr) in [([1, 1 << 40], "<i8"), ([1, u64::MAX - 1], "<u8")] {
        let truth = Truth { queries: 1, k: 2, ids: ids.to_vec(), distances: None };
        truth.write(&path).unwrap();
        assert!(String::from_utf8_lossy(&fs::read(&path).unwrap()[..40]).contains(descr));
        assert_eq!(Truth::open(&path).unwrap(), truth);
        for narrow in [Format::Ibin, Format::Ivecs] {
            let refused = truth.write(&self::path(&folder, narrow)).unwrap_err();
            assert!(matches!(refused, FileError::WideId { .. }), "{refused}");
        }
    }
    // Rows of ivecs and arrays of <i4 are signed as well.
    let words = |words: &[i32]| words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>();
    let ivecs = self::path(&folder, Format::Ivecs);
    fs::write(&ivecs, words(&[2, 5, 6, 2, 7, -8])).unwrap();
    assert!(matches!(Truth::open(&ivecs), Err(FileError::Id { row: 1, offset: 20, found: -8, .. })));
    fs::write(&path, [npy::write("<i4", 1, 2), words(&[5, -6])].concat()).unwrap();
    assert!(matches!(Truth::open(&path), Err(FileError::Id { row: 0, offset: 132, found: -6, .. })));
    let large = Truth { queries: 1, k: 1, ids: vec![1 << 31], distances: None };
    assert!(matches!(large.write(&ivecs), Err(FileError::WideId { .. })));
}

#[test]
fn rows_get_the_ids_they_were_given() {
    let mut truth = tiny_truth();
    let ids: Vec<u64> = (0..8).map(|row| (1 << 40) + row).collect();
    truth.name_rows(&ids).unwrap();
    assert_eq!(truth.ids_of(1), [1 << 40, (1 << 40) + 7, (1 << 40) + 3]);
    let short = tiny_truth().name_rows(&ids[..7]);
    assert_eq!(short, Err(TruthError::NoId { query: 1, row: 7, rows: 7 }));
}

/// An array as NumPy saves it, of 3 x 2 elements given row by row.
fn array(descr: &str, fortran: bool, elements: [&[u8]; 6]) -> Vec<u8> {
    let order = if fortran { "True" } else { "False" };
    let text = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': (3, 2), }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend_from_slice(&(text.len() as u16).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
    let places = if fortran { [0, 2, 4, 1, 3, 5] } else { [0, 1, 2, 3, 4, 5] };
    places.iter().for_each(|&place| bytes.extend_from_slice(elements[place]));
    bytes
}

/// Big-endian.
fn reversed<const N: usize>(mut bytes: [u8; N]) -> [u8; N] {
    bytes.reverse();
    bytes
}

#[test]
fn arrays_are_read_in_either_order() {
    let folder = TempDir::new().unwrap();
    let path = path(&folder, Format::Npy);
    let numbers = [1.0_f32, -2.5, 3.0, 4.25, 0.1, 1e30];
    let expected: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
    let (le4, be4) = (numbers.map(f32::to_le_bytes), numbers.map(|x| reversed(x.to_le_bytes())));
    // The nearest single of a double that is not one.
    let doubles = numbers.map(|x| f64::from(x) * (1.0 + 1e-12));
    let (le8, be8) = (doubles.map(f64::to_le_bytes), doubles.map(|x| reversed(x.to_le_bytes())));
    for fortran in [false, true] {
        for (descr, bytes) in [
            ("<f4", array("<f4", fortran, le4.each_ref().map(|x| &x[..]))),
            (">f4", array(">f4", fortran, be4.each_ref().map(|x| &x[..]))),
            ("<f8", array("<f8", fortran, le8.each_ref().map(|x| &x[..]))),
            (">f8", array(">f8", fortran, be8.each_ref().map(|x| &x[..]))),
        ] {
            fs::write(&path, &bytes).unwrap();
            let file = VectorFile::open(&path).unwrap();
            assert_eq!((file.len(), file.dim(), file.dtype()), (3, 2, DType::F32), "{descr} {fortran}");
            for rows in [0..3_usize, 1..3, 2..3, 1..2] {
                let mut out = vec![0; rows.len() * 8];
                file.read_rows(rows.start as u64, &mut out).unwrap();
                assert_eq!(out, expected[rows.start * 8..rows.end * 8], "{descr} {fortran} {rows:?}");
            }
            fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
            assert!(matches!(VectorFile::open(&path), Err(FileError::Size { .. })));
        }
    }
    let ids = [5_i64, 1, 2, 0, 7, 3];
    fs::write(&path, array(">i8", true, ids.map(|x| reversed(x.to_le_bytes())).each_ref().map(|x| &x[..])))
        .unwrap();
    assert_eq!(Truth::open(&path).unwrap().ids, [5, 1, 2, 0, 7, 3]);
}

#[test]
fn names_that_tell_no_format_are_read_as_the_caller_says() {
    let folder = TempDir::new().unwrap();
    let named = path(&folder, Format::U8bin);
    write(&named, DType::U8, 3, &[7; 12]);
    for name in ["x.bin", "x", "x.u8bin.crop_nb_4"] {
        let path = folder.path().join(name);
        fs::copy(&named, &path).unwrap();
        if name != "x.u8bin.crop_nb_4" {
            assert!(matches!(VectorFile::open(&path), Err(FileError::UnknownFormat { .. })), "{name}");
        }
        let from = InFile { format: Some(Format::bin_of(DType::U8)), ..InFile::from(&path) };
        assert_eq!(VectorFile::open_as(from).unwrap().len(), 4);
    }
    // Of ids there is one form with counts alone.
    let truth = folder.path().join("truth.bin");
    tiny_truth().write(OutFile { format: Some(Format::Ibin), ..OutFile::from(&truth) }).unwrap();
    assert_eq!(Truth::open(&truth).unwrap(), tiny_truth());
}

#[test]
fn the_first_rows_of_a_larger_set_are_taken_where_asked_for() {
    let folder = TempDir::new().unwrap();
    let path = path(&folder, Format::U8bin);
    let rows: Vec<u8> = (0..12).collect();
    write(&path, DType::U8, 3, &rows);
    let mut bytes = fs::read(&path).unwrap();
    bytes[..4].copy_from_slice(&1_000_000_000_u32.to_le_bytes());
    bytes.push(99);
    fs::write(&path, &bytes).unwrap();
    let refused = VectorFile::open(&path).unwrap_err().to_string();
    assert!(refused.contains("truncated") && refused.ends_with("which hold 4 whole rows"), "{refused}");
    let from = InFile { truncated: true, ..InFile::from(&path) };
    let file = VectorFile::open_as(from).unwrap();
    assert_eq!(Rows::read(&file).unwrap().bytes(), rows);
    assert_eq!(crate::info(from).unwrap().rows, 4);
    // A file that is too long is not the beginning of another.
    bytes[..4].copy_from_slice(&3_u32.to_le_bytes());
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(VectorFile::open_as(from), Err(FileError::Size { .. })));
    fs::write(&path, &bytes[..9]).unwrap();
    assert!(matches!(VectorFile::open_as(from), Err(FileError::Size { .. })));
}

#[test]
fn files_of_another_kind_are_named() {
    let folder = TempDir::new().unwrap();
    let named = |format: Format, bytes: &[u8]| {
        let path = path(&folder, format);
        fs::write(&path, bytes).unwrap();
        [false, true].map(|truncated| {
            let refused = VectorFile::open_as(InFile { truncated, ..InFile::from(&path) }).unwrap_err();
            assert!(matches!(refused, FileError::Other { .. }), "{refused}");
            refused.to_string()
        })
    };
    let written = |format: Format, dtype: DType| {
        let path = folder.path().join(format!("other.{format}"));
        write(&path, dtype, 300, &vec![1; dtype.row_bytes(300) * 5]);
        fs::read(&path).unwrap()
    };
    let long = |head: &[u8]| [head, &[0; 400]].concat();
    for (format, bytes, words) in [
        (Format::Fbin, long(b"\x1f\x8b\x08\0\0\0\0\0"), "a gzip archive"),
        (Format::Npy, long(b"\x1f\x8b\x08\0\0\0\0\0"), "a gzip archive"),
        (Format::Fvecs, b"\n<!DOCTYPE html><html>not found</html>".to_vec(), "an HTML page"),
        (Format::U8bin, b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>".to_vec(), "an XML"),
        (Format::Fbin, b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n".to_vec(), "Git LFS"),
        (Format::Bvecs, long(b"PK\x03\x04"), "a zip archive"),
        (Format::Fbin, b"0.5,0.25\n1.5,2.5\n".to_vec(), "a text"),
        (Format::Fbin, written(Format::Npy, DType::F32), "an array of NumPy"),
        (Format::Fbin, written(Format::Fvecs, DType::F32), "fvecs or ivecs by its length: rows of 300"),
        (Format::Npy, written(Format::Fvecs, DType::F32), "fvecs or ivecs"),
        (Format::U8bin, written(Format::Bvecs, DType::U8), "bvecs by its length"),
        (Format::Fvecs, written(Format::Fbin, DType::F32), "fbin by its length: 5 rows of 300"),
        (Format::Fbin, written(Format::U8bin, DType::U8), "u8bin or i8bin by its length"),
        (Format::U8bin, written(Format::F16bin, DType::F16), "f16bin by its length"),
    ] {
        for refused in named(format, &bytes) {
            assert!(refused.contains(words), "{format}: {refused}, expected '{words}'");
        }
    }
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
    assert!(matches!(VectorFile::open(folder.path().join("x.txt")), Err(FileError::UnknownFormat { .. })));
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
