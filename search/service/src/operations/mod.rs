//! Work that takes as long as reading an index: it goes on whether or not somebody waits, and can be looked at, watched and
//! given up. The last 100 are kept, in memory alone.
mod kept;
mod operation;

pub(crate) use self::kept::Operations;
pub(crate) use self::operation::{Kind, Opened, Operation, Outcome, State, Verified};
