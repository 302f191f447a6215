//! Answers as the rows of a file.
use std::path::Path;

use spandrel_datasets::{AnswerWriter, FileError, Format, OutFile, Truth};
use spandrel_engine::Neighbour;

use crate::Advised;

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

    pub(super) fn push(&mut self, neighbours: &[Neighbour]) -> Result<(), Advised> {
        for at in 0..self.k {
            let found = neighbours.get(at);
            if let Some(n) = found.filter(|n| n.id == Truth::NONE) {
                let message = format!("id {} stands for no neighbour in files of answers", n.id);
                return Err(Advised::new(message, "print the answers instead"));
            }
            self.ids.push(found.map_or(Truth::NONE, |n| n.id));
            self.distances.push(found.map_or(f32::INFINITY, |n| n.distance));
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_stands_for_none_is_refused() {
        let of = |id| [Neighbour { id, distance: 1.0, estimated: false }];
        let mut table = Table::new(2);
        table.push(&of(Truth::NONE - 1)).unwrap();
        assert_eq!(table.ids, [Truth::NONE - 1, Truth::NONE]);
        assert!(table.push(&of(Truth::NONE)).unwrap_err().to_string().contains("stands for no neighbour"));
    }
}
