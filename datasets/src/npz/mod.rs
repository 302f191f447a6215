//! An npz file of NumPy: a zip archive of npy files, stored as they are (`numpy.savez`).
//!
//! Arrays of `<f4` and `<f8` in C order are read. Promises: no length in the file sizes anything before it was checked against the file's
//! own; every value is checked by the CRC-32 of its array. Files that are compressed, encrypted or in parts are refused by name.
#![deny(clippy::indexing_slicing)]
mod crc;
mod directory;
#[cfg(test)]
mod tests;

use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use fs_err::File;
use spandrel_index::{ArrayShape, ArraySource, ArraySourceError};
use xxhash_rust::xxh3::Xxh3;

use crate::file::{FileError, Floats, NpyArray};
use crc::Crc32;
use directory::Entry;

/// What names of arrays end with in the archive.
const ENDING: &str = ".npy";
/// Bytes read at a time.
const CHUNK_BYTES: usize = 1 << 16;

/// An npz file that was read once, for its hash.
#[derive(Debug)]
pub struct NpzFile {
    path: PathBuf,
    file: File,
    hash: u128,
    shapes: Vec<ArrayShape>,
    /// In the order of `shapes`.
    arrays: Vec<StoredArray>,
}

/// Where an array lies.
#[derive(Debug)]
struct StoredArray {
    entry: Entry,
    npy: NpyArray,
}

impl NpzFile {
    /// Opens a file: reads the headers of all of its arrays, and takes the hash of the whole.
    ///
    /// # Errors
    /// [`FileError`] for a file that is no zip archive of npy files that are stored as they are, or whose lengths do not agree.
    pub fn open(path: impl AsRef<Path>) -> Result<NpzFile, FileError> {
        let path = path.as_ref();
        let file = File::open(path)?;
        let entries = directory::read(path, &file)?;
        let hash = hash(&file)?;
        let (mut shapes, mut arrays): (Vec<ArrayShape>, Vec<StoredArray>) = (Vec::new(), Vec::new());
        for entry in entries {
            let Some(name) = entry.name.strip_suffix(ENDING) else {
                let expected = format!("a name that ends with {ENDING}");
                return Err(entry.refuse(path, "zip name", expected, entry.name.clone()));
            };
            if shapes.iter().any(|shape| shape.name == name) {
                return Err(entry.refuse(path, "zip name", "each name once".to_owned(), entry.name.clone()));
            }
            let npy = NpyArray::open(path, &file, entry.data_at..entry.data_at + entry.bytes, Floats::Both)?;
            shapes.push(ArrayShape { name: name.to_owned(), sizes: npy.sizes.clone() });
            arrays.push(StoredArray { entry, npy });
        }
        Ok(NpzFile { path: path.to_owned(), file, hash, shapes, arrays })
    }

    fn read_array(&self, array: &StoredArray) -> Result<Vec<f64>, FileError> {
        let StoredArray { entry, npy } = array;
        let (mut crc, mut values) = (Crc32::default(), Vec::with_capacity(npy.values));
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut at = entry.data_at;
        let end = entry.data_at + entry.bytes;
        while at < end {
            // The header first; what follows is whole values.
            let until = if at < npy.data_at { npy.data_at } else { end };
            let bytes = (until - at).min(CHUNK_BYTES as u64) as usize; // CAST: widening, and at most a chunk
            let chunk = chunk.get_mut(..bytes).unwrap_or_default();
            self.file.file().read_exact_at(chunk, at).map_err(|source| FileError::Read {
                path: self.path.clone(),
                offset: at,
                bytes,
                source,
            })?;
            crc.add(chunk);
            if at >= npy.data_at {
                npy.push_values(chunk, &mut values);
            }
            at += bytes as u64; // CAST: widening
        }
        let found = crc.finish();
        if found == entry.crc {
            return Ok(values);
        }
        Err(entry.refuse(
            &self.path,
            "zip crc-32",
            format!("{:08x}, that of the bytes of {}", entry.crc, entry.name),
            format!("{found:08x}"),
        ))
    }
}

impl ArraySource for NpzFile {
    fn arrays(&self) -> &[ArrayShape] {
        &self.shapes
    }

    fn read(&self, name: &str) -> Result<Vec<f64>, ArraySourceError> {
        let found = self.shapes.iter().zip(&self.arrays).find(|(shape, _)| shape.name == name);
        let Some((_, array)) = found else {
            let missing = format!("{}: no array {name}", self.path.display());
            return Err(ArraySourceError::new(io::Error::new(io::ErrorKind::NotFound, missing)));
        };
        self.read_array(array).map_err(ArraySourceError::new)
    }

    fn hash(&self) -> u128 {
        self.hash
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

/// The hash of a whole file.
fn hash(mut file: &File) -> Result<u128, FileError> {
    let (mut hash, mut chunk) = (Xxh3::new(), vec![0; CHUNK_BYTES]);
    loop {
        let bytes = file.read(&mut chunk)?;
        if bytes == 0 {
            return Ok(hash.digest128());
        }
        hash.update(chunk.get(..bytes).unwrap_or_default());
    }
}
