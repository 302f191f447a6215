//! Memory that is kept from one query to the next.

/// Elements that a buffer keeps room for.
const KEPT: usize = 4096;

/// Empties a buffer, and gives back what an unusually large query took and others do not need.
pub(crate) fn clear<T>(buffer: &mut Vec<T>) {
    buffer.clear();
    buffer.shrink_to(KEPT);
}
