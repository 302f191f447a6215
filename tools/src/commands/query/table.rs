//! Answers as the rows of a file.
use std::path::Path;

use spandrel_datasets::{AnswerWriter, FileError, Format, OutFile, Truth};
use spandrel_engine::Answer;

/// Answers as rows of `k`, padded.
pub(super) struct Table {
    pub(super) k: usize,
    ids: Vec<u64>,
    distances: Vec<f32>,
}

impl Table {
    pub(super) fn new(k: usize) -> Table {
        Table { k, ids: Vec::new(), distances: Vec::new() }
    }

    pub(super) fn push(&mut self, answer: &Answer) {
        for at in 0..self.k {
            let found = answer.neighbours.get(at);
            self.ids.push(found.map_or(Truth::NONE, |n| n.id));
            self.distances.push(found.map_or(f32::INFINITY, |n| n.distance));
        }
    }

    /// Writes them as an npy, or as an ibin.
    pub(super) fn write(self, path: &Path, format: Format) -> Result<(), FileError> {
        let queries = (self.ids.len() / self.k) as u64; // CAST: widening
        let mut out = AnswerWriter::create(OutFile { path, format: Some(format) }, queries, self.k)?;
        out.ids(self.ids.into_iter())?;
        if out.keeps_distances() {
            out.distances(self.distances.into_iter())?;
        }
        out.finish()
    }
}
