//! What the steps of a search cost beside each other, in codes scanned in memory, one after the other.
//!
//! Measured on SIFT descriptors and sentence embeddings; `docs/decisions/013-filters.md` has the figures and the command.

/// A page of a file, read and checked.
pub(crate) const CODES_PER_PAGE: f64 = 6000.0;
/// A vector in memory, compared.
pub(crate) const CODES_PER_VECTOR: f64 = 100.0;
/// A vector in memory, compared among others in the order of positions, which are asked for ahead.
pub(crate) const CODES_PER_MATCH: f64 = 50.0;
/// A block of sixteen codes that is scanned alone.
pub(crate) const CODES_PER_BLOCK: f64 = 80.0;
/// The distance to a head that is computed alone.
pub(crate) const CODES_PER_HEAD: f64 = 20.0;
/// A list that is looked at, besides its codes.
pub(crate) const CODES_PER_LIST: f64 = 30.0;
/// Where matches lie together, most of what lies between them included: a page, read among its neighbours.
pub(crate) const CODES_PER_NEXT_PAGE: f64 = 1700.0;
/// As before, a vector in memory, compared after the one before it.
pub(crate) const CODES_PER_NEXT_VECTOR: f64 = 15.0;
/// As before, a block of sixteen codes.
pub(crate) const CODES_PER_NEXT_BLOCK: f64 = 25.0;
/// The distance to a head, after that to the one before it.
pub(crate) const CODES_PER_NEXT_HEAD: f64 = 4.0;
