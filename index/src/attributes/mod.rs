//! What is known of the vectors beside them, by position: one section for each attribute of the schema.
//!
//! ```text
//! body     = postings | blocks | nulls | places | dictionary | foot           blocks, places: forward.rs; of numbers: frames.rs
//! posting  = positions of a value (posting.rs) | sum: u32                     values with one position have none
//! block    = values of some positions | sum: u32
//! nulls    = positions without a value, as in a posting | sum: u32
//! places   = of blocks | sum: u32
//! dictionary = values, how many positions each has, where these are (dictionary.rs) | sum: u32
//! foot     = type | 7 sizes and places (foot.rs) | sum: u32
//! ```
//! Each sum is a crc32c seeded with the segment's uuid, the attribute's number, the part, and the number of the value or
//! block (seal.rs): a piece in another's place is found like a damaged one.
//!
//! Keywords, tags and bools have a dictionary and postings; what a position has is found in the forward array. Numbers have
//! no postings: their frames are both. Dictionary and places are read when an index is opened; postings and blocks where they
//! are asked for.
#![deny(clippy::indexing_slicing)]

mod cache;
mod cells;
mod check;
mod compile;
mod containers;
mod counted;
mod dictionary;
mod foot;
mod forward;
mod frames;
mod limits;
mod malformed;
mod order;
mod parts;
mod positions;
mod posting;
mod postings;
mod ranges;
mod seal;
mod set;
mod slices;
mod stored;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod union;
mod varint;
mod window;
mod writer;

pub(crate) use cache::{CACHE_BYTES, PostingCache};
pub use cells::{CellPiece, NoNumber, NullsAt};
pub(crate) use check::check;
pub use compile::compile;
pub use limits::{CompileError, CompileLimits};
pub(crate) use order::each_value;
pub use parts::{FilterPart, PartsError, parts};
pub(crate) use stored::Opened;
pub use stored::{StoredAttribute, ValueCount};
pub use writer::{AttributeSpec, DictionaryWriter, ForwardWriter, NumberWriter, PostingWriter};
