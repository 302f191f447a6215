//! Documents as the vectors that lists and codes are made of: encoded from their tokens whenever they are read, and stored nowhere.
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use spandrel_index::documents::{DocumentEncoder, DocumentOffsets, EncodingScratch, EncodingSpec};
use spandrel_index::format::ENCODING_DTYPE;
use spandrel_index::{DType, SourceError, VectorSource};

/// Bytes of tokens that are read at a time.
const PIECE_BYTES: usize = 256 << 10;

/// The encodings of documents, one row each.
pub(crate) struct EncodedDocuments<'a> {
    tokens: &'a dyn VectorSource,
    offsets: &'a DocumentOffsets,
    encoder: DocumentEncoder,
    /// Set to true to stop.
    stop: &'a AtomicBool,
    /// Of those that are reading, each when it is done.
    idle: Mutex<Vec<Scratch>>,
}

#[derive(Default)]
struct Scratch {
    tokens: Vec<u8>,
    encoding: EncodingScratch,
    row: Vec<f32>,
}

impl<'a> EncodedDocuments<'a> {
    /// Of documents that cover the tokens. The encoding is not wider than these.
    pub(crate) fn new(
        tokens: &'a dyn VectorSource,
        offsets: &'a DocumentOffsets,
        spec: EncodingSpec,
        seed: u64,
        stop: &'a AtomicBool,
    ) -> EncodedDocuments<'a> {
        let encoder = DocumentEncoder::new(spec, tokens.dtype(), tokens.dim(), seed);
        EncodedDocuments { tokens, offsets, encoder, stop, idle: Mutex::default() }
    }

    /// Bytes of memory that encoding takes on some threads.
    pub(crate) fn memory_bytes(spec: EncodingSpec, token_dim: usize, threads: usize) -> u64 {
        let each = PIECE_BYTES + DocumentEncoder::scratch_bytes(spec, token_dim) + 4 * spec.dim as usize; // CAST: widening
        // While it is made, its planes and projections are there twice.
        (2 * DocumentEncoder::bytes(spec, token_dim) + threads * each) as u64 // CAST: widening
    }

    /// The encoding of a document, into `scratch.row`. Whether to stop is looked at every few tokens: a document may have millions.
    fn encode(&self, document: usize, scratch: &mut Scratch) -> Result<(), SourceError> {
        let Scratch { tokens, encoding, row } = scratch;
        let (rows, row_bytes) = (self.offsets.rows_of(document), self.tokens.row_bytes());
        let at_once = (PIECE_BYTES / row_bytes).max(1);
        row.resize(self.encoder.dim(), 0.0);
        self.encoder.start(encoding);
        for first in rows.clone().step_by(at_once) {
            let count = at_once.min((rows.end - first) as usize); // CAST: widening
            tokens.resize(count * row_bytes, 0);
            self.tokens.read_rows(first.into(), tokens)?;
            for tokens in tokens.chunks(DocumentEncoder::TOKENS_AT_ONCE * row_bytes) {
                if self.stop.load(Ordering::Relaxed) {
                    return Err(SourceError::Stopped);
                }
                self.encoder.add(tokens, encoding);
            }
        }
        self.encoder.finish_document(encoding, row);
        Ok(())
    }
}

impl VectorSource for EncodedDocuments<'_> {
    fn len(&self) -> u64 {
        self.offsets.documents() as u64 // CAST: usize is 64 bits
    }

    fn dim(&self) -> usize {
        self.encoder.dim()
    }

    fn dtype(&self) -> DType {
        ENCODING_DTYPE
    }

    fn read_rows(&self, first: u64, out: &mut [u8]) -> Result<(), SourceError> {
        let (row_bytes, len) = (self.row_bytes(), self.len());
        let end = first.saturating_add((out.len() / row_bytes) as u64); // CAST: usize is 64 bits
        if end > len {
            return Err(SourceError::Range { name: self.name(), first, end, len });
        }
        let idle = self.idle.lock().ok().and_then(|mut idle| idle.pop());
        let mut scratch = idle.unwrap_or_default();
        for (document, out) in (first as usize..).zip(out.chunks_exact_mut(row_bytes)) {
            // CAST: a document
            self.encode(document, &mut scratch)?;
            for (out, x) in out.as_chunks_mut::<4>().0.iter_mut().zip(&scratch.row) {
                *out = x.to_le_bytes();
            }
        }
        if let Ok(mut idle) = self.idle.lock() {
            idle.push(scratch);
        }
        Ok(())
    }

    fn name(&self) -> String {
        // A row is a document.
        format!("encodings of the documents of {}", self.tokens.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::tests::clustered;

    /// Each row is the encoding of its document, for any number of rows at once and documents of any length.
    #[test]
    fn rows_are_encodings_of_documents() {
        let tokens = clustered(5000, 8);
        let offsets = DocumentOffsets::new(&[0, 3, 4, 4900, 5000], 5000).unwrap();
        let spec = "muvera:R=2,k=2,d=4".parse().unwrap();
        let stop = AtomicBool::new(false);
        let encoded = EncodedDocuments::new(&tokens, &offsets, spec, 5, &stop);
        assert_eq!((encoded.len(), encoded.dim(), encoded.dtype()), (4, 32, DType::F32));
        let mut all = vec![0; 4 * encoded.row_bytes()];
        encoded.read_rows(0, &mut all).unwrap();
        let encoder = DocumentEncoder::new(spec, tokens.dtype(), 8, 5);
        for (document, row) in all.chunks_exact(encoded.row_bytes()).enumerate() {
            let rows = offsets.rows_of(document);
            let mut bytes = vec![0; rows.len() * tokens.row_bytes()];
            tokens.read_rows(rows.start.into(), &mut bytes).unwrap();
            let (mut scratch, mut expected) = (EncodingScratch::default(), vec![0.0; 32]);
            encoder.start(&mut scratch);
            encoder.add(&bytes, &mut scratch);
            encoder.finish_document(&mut scratch, &mut expected);
            let expected: Vec<u8> = expected.iter().flat_map(|x| x.to_le_bytes()).collect();
            assert_eq!(row, expected, "document {document}");
            let mut one = vec![0; encoded.row_bytes()];
            encoded.read_rows(document as u64, &mut one).unwrap();
            assert_eq!(one, row);
        }
        let error = encoded.read_rows(3, &mut all).unwrap_err();
        assert!(matches!(error, SourceError::Range { first: 3, end: 7, len: 4, .. }), "{error:?}");
    }

    /// Tokens whose caller is told to stop while they are read.
    struct StopsWhileRead<'a> {
        tokens: &'a dyn VectorSource,
        stop: &'a AtomicBool,
    }

    impl VectorSource for StopsWhileRead<'_> {
        fn len(&self) -> u64 {
            self.tokens.len()
        }

        fn dim(&self) -> usize {
            self.tokens.dim()
        }

        fn dtype(&self) -> DType {
            self.tokens.dtype()
        }

        fn read_rows(&self, first: u64, out: &mut [u8]) -> Result<(), SourceError> {
            self.stop.store(true, Ordering::Relaxed);
            self.tokens.read_rows(first, out)
        }

        fn name(&self) -> String {
            self.tokens.name()
        }
    }

    /// One document of all tokens was encoded to its end before.
    #[test]
    fn a_long_document_is_given_up_where_it_is() {
        let (tokens, stop) = (clustered(5000, 8), AtomicBool::new(false));
        let offsets = DocumentOffsets::new(&[0, 5000], 5000).unwrap();
        let stops = StopsWhileRead { tokens: &tokens, stop: &stop };
        let spec = "muvera:R=2,k=2,d=4".parse().unwrap();
        let encoded = EncodedDocuments::new(&stops, &offsets, spec, 5, &stop);
        let error = encoded.read_rows(0, &mut vec![0; encoded.row_bytes()]).unwrap_err();
        assert!(matches!(error, SourceError::Stopped), "{error:?}");
        assert!(matches!(crate::BuildError::from(error), crate::BuildError::Stopped));
    }
}
