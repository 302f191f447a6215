//! Where a vector lies in an index of one or more segments.
use std::fmt;

/// A vector's place in an index: its segment, and its position there.
///
/// Ordered by segment, then by position. Within a segment, neighbouring positions lie on neighbouring pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Location(u64);

impl Location {
    /// The vector at `position` (0-based) of segment number `segment` (0-based, in the order of the manifest).
    pub const fn new(segment: u16, position: u32) -> Location {
        // CAST: widenings, which `From` cannot do in a constant
        Location((segment as u64) << 32 | position as u64)
    }

    /// Both numbers in one, which ascends as locations do.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The location of these [`Location::bits`].
    pub const fn of_bits(bits: u64) -> Location {
        Location(bits)
    }

    /// Number of its segment.
    pub const fn segment(self) -> u16 {
        (self.0 >> 32) as u16 // CAST: the upper half holds 16 bits
    }

    /// Position in its segment.
    pub const fn position(self) -> u32 {
        self.0 as u32 // CAST: keeps the low 32 bits, the position
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "position {} of segment {}", self.position(), self.segment())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_keep_both_numbers_and_are_ordered_by_segment_first() {
        let ascending = [(0, 0), (0, u32::MAX), (1, 0), (1, 7), (u16::MAX, 0), (u16::MAX, u32::MAX)];
        let locations = ascending.map(|(segment, position)| Location::new(segment, position));
        assert!(locations.is_sorted_by(|a, b| a < b));
        for (location, numbers) in locations.into_iter().zip(ascending) {
            assert_eq!((location.segment(), location.position()), numbers);
            assert_eq!(Location::of_bits(location.bits()), location);
        }
        assert_eq!(Location::new(2, 5).to_string(), "position 5 of segment 2");
    }
}
