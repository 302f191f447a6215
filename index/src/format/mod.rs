//! Files of an index, described once, in the module that reads and writes them.
//!
//! One index is one directory of immutable files and one name that says which are in force:
//!
//! ```text
//! CURRENT        "manifest-N <hash>"                        current.rs
//! APPROVED       the same, of what servers start with       approved.rs (once a version was approved)
//! manifest-N     parameters and the list of sections        manifest.rs
//! heads-N        list centres, resident                     header.rs + rows
//! graph-N        HNSW over the heads, resident (optional)   header.rs + heads::graph
//! directory-N    where each list lies, resident             directory.rs
//! codes-N        the lists                                  lists.rs
//! model-N        how codes are made, resident (not full)    codes::model
//! vectors-N      every vector once, in pages                vectors.rs (not there where a column is compared in their place)
//! vectors.C-N    those of column C, at the same positions   vectors.rs, column.rs
//! documents-N    which vectors are one document, resident   documents.rs (if there are documents)
//! vectors.tokens-N  in such an index the vectors, in the order of the input, in place of vectors-N
//! ids-N          id to position, in pages                   ids.rs
//! attributes.A-N values of attribute A, positions of each   attributes/ (dictionary resident)
//! recall-N       recall by work, resident (if calibrated)   recall.rs
//! build-stats-N.json, LOCK                                  not part of the index's identity
//! ```
//!
//! An index is one or more segments, each with sections of its own; `recall-N` is the whole index's. A segment without heads, graph and model uses those of an
//! earlier one, which its entry in the manifest names. Sections are found by kind and column, those of attributes by the attribute's
//! name; those above are of the column of vectors that are searched, named "".
//!
//! What is not used is zero, and is refused if it is not: words, padding after headers, and on a deep verification the ends of
//! lists and pages. What comes next has its room:
//!
//! ```text
//! kind or place                       holds                                   a reader that does not know it
//! radii, or the directory's spare     how far a list reaches                  ignores the section; a word in use is a
//!   word                                                                      minor version, which it refuses
//! tombstones                          vectors that are no longer there        refuses the index, since answers would hold them
//! codes of another column             further codes at the same positions     ignores them
//! ```
//!
//! Whether it ignores or refuses is written with each section ([`SectionEntry::required`]), not known to the reader. These
//! names are taken: no section of another meaning may have them.
//!
//! Every section file starts with the header of `header.rs`; its body starts at [`BODY_AT`]. Integers are
//! little-endian. A version is its own number, not the release's.
#![deny(clippy::indexing_slicing)]

mod approved;
mod checksum;
mod column;
mod current;
mod defaults;
mod directory;
mod documents;
mod embedding;
mod entries;
mod error;
mod fields;
mod header;
mod ids;
mod lists;
mod manifest;
mod names;
mod partition;
mod query_sample;
mod range_recall;
mod recall;
mod vectors;
mod versions;

pub use approved::{APPROVED, approve, approved, put_in_force};
pub(crate) use checksum::{CRC_BYTES, checksum_seed};
pub use column::{ColumnEntry, VectorsOf, column_name, column_uuid};
pub use current::{CURRENT, Current};
pub use defaults::SearchDefault;
pub(crate) use directory::DirectoryShape;
pub use directory::{Directory, DirectoryEntry, list_hash, list_hash_while};
pub use documents::{DocumentsEntry, ENCODING_DTYPE, EncodingEntry, TOKENS_COLUMN, offsets_bytes};
pub use embedding::{EmbeddingEntry, EmbeddingVersionError};
pub use entries::{AttributeEntry, MAIN_COLUMN, SectionEntry, SegmentEntry};
pub use error::OpenError;
pub use header::{BODY_AT, HEADER_BYTES, Header, SectionKind};
pub use ids::{ID_PAGE_BYTES, IdBytes, IdPages};
pub use lists::{CodedLayout, CodedList, FullEntries, FullLayout, FullList, ListLayout, StrayReplica};
pub use manifest::{BuildRecord, Manifest, publish_manifest};
pub use names::{attribute_name, hash_hex, manifest_name, section_name};
pub use partition::PartitionEntry;
pub use query_sample::{QueryCodeForm, QueryCodeRecord, QuerySampleRecord};
pub use range_recall::{RangeCurve, RangePoint};
pub(crate) use recall::RECALL_BYTES_MAX;
pub use recall::{RecallCurve, RecallCurves, RecallPoint, RecallSource, STOP_WEIGHTS};
pub use vectors::{PageLayout, Record};
pub use versions::{Version, current, versions};

/// Major version of the format: another one is refused.
pub const MAJOR: u16 = 4;
/// Minor version of the format: up to ours is read.
pub const MINOR: u16 = 0;

/// Direct reads are in whole units of this many bytes.
pub const UNIT_BYTES: usize = 512;

/// `bytes` rounded up to whole units.
pub(crate) const fn padded_bytes(bytes: usize) -> usize {
    bytes.div_ceil(UNIT_BYTES) * UNIT_BYTES
}
