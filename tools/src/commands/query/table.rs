//! Answers as the rows of a file.
use std::path::Path;

use spandrel_datasets::{Format, OutFile, Truth};
use spandrel_engine::Answer;

use crate::{Advised, write_file};

/// Answers as rows of `k`, padded.
pub(super) struct Table {
    pub(super) k: usize,
    ids: Vec<Option<u64>>,
    distances: Vec<f32>,
}

impl Table {
    pub(super) fn new(k: usize) -> Table {
        Table { k, ids: Vec::new(), distances: Vec::new() }
    }

    pub(super) fn push(&mut self, answer: &Answer) {
        for at in 0..self.k {
            let found = answer.neighbours.get(at);
            self.ids.push(found.map(|n| n.id));
            self.distances.push(found.map_or(f32::INFINITY, |n| n.distance));
        }
    }

    /// Writes them as an npy, or as an ibin. `index` is what was searched, for messages.
    pub(super) fn write(self, as_npy: bool, path: &Path, index: &str) -> anyhow::Result<()> {
        let queries = self.ids.len() / self.k;
        if as_npy {
            return Ok(write_file(path, &npy(&self.ids, queries, self.k)?)?);
        }
        let mut ids = Vec::with_capacity(self.ids.len());
        for id in self.ids {
            let narrow = u32::try_from(id.unwrap_or(u32::MAX.into())).map_err(|_| {
                let message = format!("an id of {index} does not fit 32 bits");
                Advised::new(message, "write the answers as .npy")
            })?;
            ids.push(narrow.into());
        }
        Truth { queries, k: self.k, ids, distances: Some(self.distances) }
            .write(OutFile { path, format: Some(Format::Ibin) })?;
        Ok(())
    }
}

/// Ids as an array of int64 in NumPy's format, version 1.
fn npy(ids: &[Option<u64>], rows: usize, columns: usize) -> anyhow::Result<Vec<u8>> {
    const HEADER_BYTES: usize = 128;
    const PREFIX: &[u8; 8] = b"\x93NUMPY\x01\x00";
    let mut text = format!("{{'descr': '<i8', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    let text_bytes = HEADER_BYTES - PREFIX.len() - 2;
    text = format!("{text:<width$}\n", width = text_bytes - 1);
    let mut bytes = Vec::with_capacity(HEADER_BYTES + ids.len() * 8);
    bytes.extend_from_slice(PREFIX);
    bytes.extend_from_slice(&(text_bytes as u16).to_le_bytes()); // CAST: 118
    bytes.extend_from_slice(text.as_bytes());
    for id in ids {
        let signed = match id {
            None => -1,
            Some(id) => i64::try_from(*id).map_err(|_| {
                Advised::new(
                    format!("id {id} does not fit a signed 64-bit number"),
                    "print the answers instead",
                )
            })?,
        };
        bytes.extend_from_slice(&signed.to_le_bytes());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_padded() {
        let bytes = npy(&[Some(3), None], 1, 2).unwrap();
        assert_eq!(bytes.len(), 128 + 16);
        assert_eq!(bytes[127], b'\n');
        assert_eq!(&bytes[8..10], &[118, 0]);
        assert_eq!(&bytes[128..], [3_i64.to_le_bytes(), (-1_i64).to_le_bytes()].concat());
        assert!(npy(&[Some(u64::MAX)], 1, 1).is_err());
        assert!(npy(&[], usize::MAX, usize::MAX).unwrap().len() == 128);
    }
}
