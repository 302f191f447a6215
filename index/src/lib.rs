//! What an index is: its vocabulary, its arithmetic, its files and the heads that stay in memory.
//!
//! Promises: a file is believed only after its hash and every field's range have been checked; integer
//! distances are exact; every kernel variant agrees with the scalar reference.
//! It does not know how lists were formed (`builder`) or how a query is answered (`engine`).
#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
compile_error!("Spandrel runs on Linux on x86-64 and aarch64 only");

mod array_source;
mod attribute_source;
pub mod attributes;
mod bitmap;
pub mod codes;
pub mod documents;
mod dtype;
mod elements;
pub mod format;
mod head_space;
pub mod heads;
pub mod kernels;
mod list_radius;
mod location;
mod matches;
pub mod math;
mod metric;
mod open;
pub mod order;
mod segment_matches;
mod smallest;
mod source;
mod spread;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod tier;
mod usable;
mod verify;

pub use array_source::{ArrayShape, ArraySource, ArraySourceError};
pub use attribute_source::{AttributeSource, AttributeSourceError};
pub use dtype::{DIM_MAX, DType};
pub use elements::{decode, decode_into, encode};
pub use head_space::{HeadSpace, for_each_element, inverse_norm, norm_squared};
pub use heads::{HeadIndex, HeadIndexKind, HeadQuery, Heads, HnswGraph, HnswParams};
pub use list_radius::list_radius;
pub use location::Location;
pub use matches::Matches;
pub use metric::{Metric, RadiusError};
pub use open::{
    CodeRange, Documents, IdFinder, Index, Memory, OpenOptions, ResidentCodes, ResidentIds, ResidentVectors,
    Segment, Stored, StoredVectors, VectorsShape, read_recall,
};
pub use segment_matches::{SegmentMatches, Within};
pub use smallest::{KSmallest, Wanted};
pub use source::{SourceError, VectorSource};
pub use spread::{Outliers, Spread};
pub use tier::Tier;
pub use usable::{NORM_SQUARED_MAX, Unusable, check_vector, check_vectors};
pub use verify::{VerifyError, VerifyProgress, VerifyReport, verify, verify_open};

/// The versions of the index in a folder, oldest first; [`Index::open_version`] opens one.
///
/// # Errors
/// As [`format::versions`].
pub fn versions(folder: &std::path::Path) -> Result<Vec<format::Version>, format::OpenError> {
    format::versions(&spandrel_io::FolderStore::new(folder))
}
