//! Files as others write them: arrays in any order, names that tell nothing, parts of larger sets, other kinds of files.
use super::*;

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

/// Whoever had packed a file was told to say by a flag what it holds.
#[test]
fn files_of_another_kind_are_named_where_their_names_tell_no_format() {
    let folder = TempDir::new().unwrap();
    let long = |head: &[u8]| [head, &[0; 400]].concat();
    for (name, bytes, words) in [
        ("base.fbin.gz", long(b"\x1f\x8b\x08"), "a gzip archive: unpack it"),
        ("base.fbin.bz2", long(b"BZh9"), "a bzip2 archive: unpack it"),
        ("base.npz", long(b"PK\x03\x04"), "a zip archive: unpack it"),
        ("base.parquet", long(b"PAR1"), "a Parquet file"),
        ("base", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n".to_vec(), "Git LFS"),
        ("download", b"<!DOCTYPE html><html>not found</html>".to_vec(), "an HTML page"),
        ("base.csv", b"0.5,0.25\n1.5,2.5\n".to_vec(), "a text"),
        ("base.bin", long(b"\x93NUMPY\x01\x00"), "the extension npy"),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let refused = VectorFile::open(&path).unwrap_err();
        assert!(matches!(refused, FileError::Unnamed { .. }), "{name}: {refused}");
        assert!(refused.to_string().contains(words), "{name}: {refused}");
        // Of ids there is one form with counts alone, which a name that tells nothing is taken for.
        let refused = Truth::open(&path).unwrap_err().to_string();
        assert!(refused.contains(words), "{name}: {refused}");
    }
    let path = folder.path().join("base.bin");
    fs::write(&path, [1, 0, 0, 0, 2, 0, 0, 0, 7, 9]).unwrap();
    assert!(matches!(VectorFile::open(&path), Err(FileError::UnknownFormat { .. })));
}
