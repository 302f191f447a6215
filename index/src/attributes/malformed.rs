//! What is wrong with a piece of a section under a sum that holds.
/// What was found, and what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) found: String,
    pub(super) expected: String,
}

impl Malformed {
    pub(super) fn new(found: impl ToString, expected: impl ToString) -> Malformed {
        Malformed { found: found.to_string(), expected: expected.to_string() }
    }
}

/// What a posting must agree with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    /// Positions in it.
    pub(super) cardinality: u64,
    /// Positions there are in the segment.
    pub(super) positions: u64,
}

impl Expected {
    /// The position after one that must be in the segment.
    pub(super) fn next(self, position: u32) -> Result<u64, Malformed> {
        let Expected { positions, .. } = self;
        if u64::from(position) < positions {
            return Ok(u64::from(position) + 1);
        }
        Err(Malformed::new(format!("position {position}"), format!("positions below {positions}")))
    }

    /// After the last of `count` positions.
    pub(super) fn all(self, count: u64) -> Result<(), Malformed> {
        if count == self.cardinality {
            return Ok(());
        }
        Err(Malformed::new(format!("{count} positions"), self.cardinality))
    }
}
