//! Hashes of attributes: of all rows, or of a few.
use std::ops::ControlFlow;

use spandrel_filter::Cell;
use spandrel_index::AttributeSource;
use spandrel_index::format::hash_hex;
use xxhash_rust::xxh3::Xxh3;

use super::scan::scan_rows;
use crate::progress::Context;
use crate::{Attributes, BuildError, Input};

/// Rows that [`glance`] looks at.
const GLANCE_ROWS: u64 = 1024;

/// Adds up rows.
pub(super) struct RowHash {
    hash: Box<Xxh3>,
    row: Vec<u8>,
}

impl RowHash {
    pub(super) fn new() -> RowHash {
        RowHash { hash: Box::new(Xxh3::new()), row: Vec::new() }
    }

    pub(super) fn add(&mut self, row: u64, cells: &[Cell]) {
        self.row.clear();
        self.row.extend_from_slice(&row.to_le_bytes());
        let mut texts = 0_u64;
        for cell in cells {
            match cell.key() {
                Some(key) => self.row.extend_from_slice(&key.to_le_bytes()),
                None => {
                    cell.texts().for_each(|text| {
                        texts += 1;
                        self.row.extend_from_slice(&(text.len() as u64).to_le_bytes());
                        self.row.extend_from_slice(text.as_bytes());
                    });
                }
            }
            // What ends one cell begins no other.
            self.row.extend_from_slice(&u64::MAX.to_le_bytes());
            self.row.extend_from_slice(&texts.to_le_bytes());
        }
        self.hash.update(&self.row);
    }

    pub(super) fn finish(self) -> String {
        hash_hex(self.hash.digest128())
    }
}

/// The hash of all rows, where there are attributes.
pub(crate) fn hash_attributes(input: Input<'_>, context: Context<'_>) -> Result<Option<String>, BuildError> {
    let Some(Attributes { source, .. }) = input.attributes else { return Ok(None) };
    context.progress.phase("check attributes", source.len(), "rows");
    let mut hash = RowHash::new();
    scan_rows(source, source.len(), context, &mut |row, cells| {
        hash.add(row, cells);
        Ok(())
    })?;
    Ok(Some(hash.finish()))
}

/// The hash of the first rows: quick, and tells most other attributes. All rows are compared when they are gathered, and when a
/// build goes on after that.
pub(crate) fn glance(source: &dyn AttributeSource) -> Result<String, BuildError> {
    let (mut hash, mut rows) = (RowHash::new(), 0);
    source.scan(&mut |row, cells| {
        hash.add(row, cells);
        rows += 1;
        if rows < GLANCE_ROWS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(hash.finish())
}
