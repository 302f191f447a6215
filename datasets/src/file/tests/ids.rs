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
    assert!(matches!(wide(&[1, 2, 3, -2]), Err(FileError::Id { row: 1, offset: 152, found: -2, .. })));
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

#[test]
fn a_query_may_have_fewer_neighbours() {
    let folder = TempDir::new().unwrap();
    let truth = |ids: [u64; 6]| Truth {
        queries: 3,
        k: 2,
        ids: ids.to_vec(),
        distances: Some(vec![0.5, f32::INFINITY, f32::INFINITY, f32::INFINITY, 0.0, 1.0]),
    };
    let none = Truth::NONE;
    let short = truth([4, none, none, none, 5, 0]);
    let wide = truth([1 << 40, none, none, none, 5, 0]);
    for format in [Format::Ibin, Format::Ivecs, Format::Npy] {
        let path = path(&folder, format);
        short.write(&path).unwrap();
        let distances = short.distances.clone().filter(|_| format == Format::Ibin);
        assert_eq!(Truth::open(&path).unwrap(), Truth { distances, ..short.clone() });
        // -1 in every form: all bits of an id.
        let ids: Vec<u8> = [4_i32, -1, -1, -1, 5, 0].iter().flat_map(|id| id.to_le_bytes()).collect();
        let bytes = fs::read(&path).unwrap();
        let holds = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
        assert!(holds(&ids[..8]) && holds(&ids[8..16]), "{format}");
    }
    let path = path(&folder, Format::Npy);
    for wide in [wide, truth([u64::MAX - 1, none, none, none, 5, 0])] {
        wide.write(&path).unwrap();
        assert_eq!(Truth::open(&path).unwrap(), Truth { distances: None, ..wide });
    }
    assert_eq!([0, 1, 2].map(|query| short.ids_of(query).to_vec()), [vec![4], vec![], vec![5, 0]]);
    assert_eq!(short.validate(3, 6), Err(TruthError::Fewer { query: 0, found: 1, k: 2 }));
    assert_eq!(short.validate_filtered(3, 6), Ok(()));
    assert_eq!(short.validate_filtered(3, 5), Err(TruthError::Id { query: 2, id: 5, rows: 5 }));
    assert_eq!(short.validate_filtered(2, 6), Err(TruthError::Queries { expected: 2, found: 3 }));
    let mut named = short;
    named.name_rows(&[9, 8, 7, 6, 5, 4]).unwrap();
    assert_eq!(named.ids, [5, none, none, none, 4, 9]);
}

#[test]
fn nothing_but_missing_ones_follows_a_missing_neighbour() {
    let folder = TempDir::new().unwrap();
    let path = path(&folder, Format::Ibin);
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    fs::write(&path, words(&[2, 3, 5, u32::MAX, 7, 1, 2, 3])).unwrap();
    let refused = Truth::open(&path).unwrap_err();
    assert!(matches!(refused, FileError::AfterLast { row: 0, offset: 16, found: 7, .. }), "{refused}");
    // As an id it has the bits of a missing neighbour.
    let largest = Truth { queries: 1, k: 1, ids: vec![u32::MAX.into()], distances: None };
    assert!(matches!(largest.write(&path), Err(FileError::WideId { .. })));
    let npy = self::path(&folder, Format::Npy);
    largest.write(&npy).unwrap();
    assert_eq!(Truth::open(&npy).unwrap(), largest);
}
