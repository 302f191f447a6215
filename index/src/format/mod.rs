//! Files of an index, described once, in the module that reads and writes them.
//!
//! One index is one directory of immutable files and one name that says which are in force:
//!
//! ```text
//! CURRENT        "manifest-N <hash>"                        current.rs
//! manifest-N     parameters and the list of sections        manifest.rs
//! heads-N        list centres, resident                     header.rs + rows
//! graph-N        HNSW over the heads, resident (optional)   header.rs + heads::graph
//! directory-N    where each list lies, resident             directory.rs
//! codes-N        the lists                                  lists.rs
//! model-N        how codes are made, resident (not full)    codes::model
//! vectors-N      every vector once, in pages                vectors.rs
//! ids-N          id to position, in pages                   ids.rs
//! build-stats-N.json, LOCK                                  not part of the index's identity
//! ```
//!
//! Every section file starts with the header of `header.rs`; its body starts at [`BODY_AT`]. Integers are
//! little-endian. A version is its own number, not the release's.
#![deny(clippy::indexing_slicing)]

mod checksum;
mod current;
mod directory;
mod error;
mod header;
mod ids;
mod lists;
mod manifest;
mod vectors;
mod versions;

pub use current::{CURRENT, Current, current, publish_manifest};
pub use directory::{Directory, DirectoryEntry, DirectoryShape, list_hash};
pub use error::OpenError;
pub use header::{BODY_AT, HEADER_BYTES, Header, SectionKind};
pub use ids::{ID_PAGE_BYTES, IdBytes, IdPages};
pub use lists::{CodedLayout, CodedList, FullLayout, FullList, ListLayout, StrayReplica};
pub use manifest::{
    BuildRecord, CalibrationPoint, MAIN_COLUMN, Manifest, SEGMENTS_MAX, SearchCell, SearchDefault,
    SectionEntry, SegmentEntry, hash_hex, manifest_name, section_name,
};
pub use vectors::{PageLayout, Record};
pub use versions::{Version, versions};

/// Major version of the format: another one is refused.
pub const MAJOR: u16 = 4;
/// Minor version of the format: up to ours is read.
pub const MINOR: u16 = 0;

/// Direct reads are in whole units of this many bytes.
pub const UNIT_BYTES: usize = 512;

/// `bytes` rounded up to whole units.
pub const fn padded_bytes(bytes: usize) -> usize {
    bytes.div_ceil(UNIT_BYTES) * UNIT_BYTES
}
