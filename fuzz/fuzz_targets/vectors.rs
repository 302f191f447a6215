//! Files of vectors, ids, truths, offsets and arrays. The first byte says which format the rest is.
#![no_main]
use libfuzzer_sys::fuzz_target;
use spandrel_datasets::{
    Array, Format, IdFile, InFile, NpzFile, RangeTruth, Rows, Truth, VectorFile, contents, read_documents,
};
use spandrel_fuzz::file;
use spandrel_index::VectorSource as _;

fuzz_target!(|input: &[u8]| {
    let Some((&which, bytes)) = input.split_first() else { return };
    let formats = Format::ALL.len();
    let which = usize::from(which) % (formats + 2);
    let ending = match which.checked_sub(formats) {
        None => Format::ALL[which].to_string(),
        Some(0) => "npz".to_owned(),
        Some(_) => "range".to_owned(),
    };
    let path = file(&ending, bytes);
    let cut = InFile { path: &path, format: None, truncated: true };
    for file in [VectorFile::open(&path), VectorFile::open_as(cut)].into_iter().flatten() {
        if let Ok(rows) = Rows::read(&file) {
            assert_eq!(rows.len(), file.len());
        }
    }
    if let Ok(ids) = IdFile::open(&path) {
        drop(ids.read_ids(0, &mut vec![0; ids.len().min(1000) as usize]));
    }
    if let Ok(truth) = Truth::open(&path) {
        assert_eq!(truth.ids.len(), truth.queries * truth.k);
    }
    if let Ok(truth) = RangeTruth::open(&path) {
        let results: usize = (0..truth.queries()).map(|query| truth.of(query).0.len()).sum();
        assert_eq!(results, truth.results());
    }
    drop(Array::read(&path));
    drop(NpzFile::open(&path));
    drop(read_documents(&path, 20));
    drop(contents((&*path).into()));
});
