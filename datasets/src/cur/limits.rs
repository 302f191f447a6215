//! How much is learned from.
/// Most items of a matrix of scores.
pub const ITEMS_MAX: usize = 1 << 24;
/// Most anchor queries or anchor items, of which there are fewer: time grows with its cube.
pub const SIDE_MAX: usize = 2048;
/// Fewest anchor queries that something is learned from.
pub const ANCHOR_QUERIES_MIN: usize = 16;
