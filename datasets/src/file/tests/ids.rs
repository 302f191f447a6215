//! Files of ids and of neighbours.
use super::*;

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
