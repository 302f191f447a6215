//! Which rows belong to which document.
use std::ops::{Range, RangeInclusive};

/// Which rows belong to which document: document `i` is the rows from offset `i` up to offset `i + 1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentOffsets {
    offsets: Vec<u32>,
    /// Fewest and most rows of a document.
    rows: RangeInclusive<u32>,
}

/// Why numbers are not the offsets of documents.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentOffsetsError {
    /// Offsets of no document.
    #[error("{found} offsets, expected one for each document and one more, 2 or more")]
    TooFew {
        /// Offsets there are.
        found: usize,
    },
    /// The first document does not start at the first row.
    #[error("the first offset is {found}, expected 0, since documents cover all rows")]
    First {
        /// The first offset.
        found: u64,
    },
    /// A document ends before it starts.
    #[error("document {document} starts at row {start} and ends at row {end}, expected offsets that ascend")]
    Descending {
        /// Number of the document.
        document: usize,
        /// Row that the document starts at.
        start: u64,
        /// The offset after it.
        end: u64,
    },
    /// A document has no vector. Leave it out.
    #[error(
        "document {document} has no vectors (offsets {document} and the next are both {offset}), expected 1 or more; leave it out"
    )]
    Empty {
        /// Number of the document.
        document: usize,
        /// Its offset, and the next.
        offset: u64,
    },
    /// The offsets are those of other vectors.
    #[error("the last offset is {found}, expected {rows}, since documents cover all rows of the vectors")]
    Rows {
        /// The last offset.
        found: u64,
        /// Rows of the input.
        rows: u64,
    },
    /// Row numbers have 32 bits.
    #[error("documents of {rows} vectors in all, expected at most 4294967295")]
    TooMany {
        /// Rows of the input.
        rows: u64,
    },
}

impl DocumentOffsets {
    /// Checks offsets, one for each document and one more, against the number of rows that they are of.
    ///
    /// # Errors
    /// [`DocumentOffsetsError`]: offsets that do not ascend from 0 to `rows`.
    pub fn new(offsets: &[u64], rows: u64) -> Result<DocumentOffsets, DocumentOffsetsError> {
        let (Some(&first), Some(&last)) = (offsets.first(), offsets.get(1..).and_then(<[u64]>::last)) else {
            return Err(DocumentOffsetsError::TooFew { found: offsets.len() });
        };
        if first != 0 {
            return Err(DocumentOffsetsError::First { found: first });
        }
        for (document, (&start, &end)) in offsets.iter().zip(&offsets[1..]).enumerate() {
            if end < start {
                return Err(DocumentOffsetsError::Descending { document, start, end });
            }
            if end == start {
                return Err(DocumentOffsetsError::Empty { document, offset: start });
            }
        }
        if last != rows {
            return Err(DocumentOffsetsError::Rows { found: last, rows });
        }
        let narrow = |&offset: &u64| u32::try_from(offset);
        let offsets = offsets.iter().map(narrow).collect::<Result<Vec<u32>, _>>();
        offsets.map(DocumentOffsets::of).map_err(|_| DocumentOffsetsError::TooMany { rows })
    }

    /// Of offsets that ascend from 0, two or more.
    fn of(offsets: Vec<u32>) -> DocumentOffsets {
        let (min, max) = offsets.windows(2).fold((u32::MAX, 0), |(min, max), pair| {
            let rows = pair[1] - pair[0];
            (min.min(rows), max.max(rows))
        });
        DocumentOffsets { offsets, rows: min..=max }
    }

    /// Number of documents, 1 or more.
    pub fn documents(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Number of rows of all documents.
    pub fn rows(&self) -> u64 {
        self.offsets.last().copied().unwrap_or_default().into()
    }

    /// Rows of a document.
    ///
    /// # Panics
    /// When there is no such document.
    pub fn rows_of(&self, document: usize) -> Range<u32> {
        self.offsets[document]..self.offsets[document + 1]
    }

    /// The document that a row belongs to.
    pub fn document_of(&self, row: u32) -> usize {
        self.offsets.partition_point(|&offset| offset <= row) - 1
    }

    /// Some of the documents, 1 or more, as if there were no others.
    ///
    /// # Panics
    /// When there are no such documents, or none at all.
    pub fn part(&self, documents: Range<usize>) -> DocumentOffsets {
        assert!(!documents.is_empty(), "a part has documents");
        let first = self.offsets[documents.start];
        let part = &self.offsets[documents.start..=documents.end];
        DocumentOffsets::of(part.iter().map(|offset| offset - first).collect())
    }

    /// Most rows of a document.
    pub fn rows_max(&self) -> u32 {
        *self.rows.end()
    }

    /// Fewest rows of a document.
    pub fn rows_min(&self) -> u32 {
        *self.rows.start()
    }

    /// The offsets: one for each document, and the number of rows.
    pub fn offsets(&self) -> &[u32] {
        &self.offsets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_cover_the_rows_in_order() {
        let offsets = DocumentOffsets::new(&[0, 2, 3, 7], 7).unwrap();
        assert_eq!((offsets.documents(), offsets.rows()), (3, 7));
        assert_eq!((offsets.rows_min(), offsets.rows_max()), (1, 4));
        assert_eq!((offsets.rows_of(0), offsets.rows_of(2)), (0..2, 3..7));
        let part = offsets.part(1..3);
        assert_eq!((part.offsets(), part.rows_min(), part.rows_max()), (&[0, 1, 5][..], 1, 4));
        assert_eq!(offsets.part(0..1).rows_min(), 2);
        assert_eq!([0, 1, 2, 3, 6].map(|row| offsets.document_of(row)), [0, 0, 1, 2, 2]);
    }

    #[test]
    fn other_numbers_are_refused() {
        let error = |offsets: &[u64], rows| DocumentOffsets::new(offsets, rows).unwrap_err();
        assert_eq!(error(&[], 0), DocumentOffsetsError::TooFew { found: 0 });
        assert_eq!(error(&[0], 0), DocumentOffsetsError::TooFew { found: 1 });
        assert_eq!(error(&[1, 3], 3), DocumentOffsetsError::First { found: 1 });
        assert_eq!(
            error(&[0, 3, 2, 5], 5),
            DocumentOffsetsError::Descending { document: 1, start: 3, end: 2 }
        );
        assert_eq!(error(&[0, 3, 3, 5], 5), DocumentOffsetsError::Empty { document: 1, offset: 3 });
        assert_eq!(error(&[0, 3, 5], 6), DocumentOffsetsError::Rows { found: 5, rows: 6 });
        assert_eq!(error(&[0, 1 << 32], 1 << 32), DocumentOffsetsError::TooMany { rows: 1 << 32 });
    }
}
