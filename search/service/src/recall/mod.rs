//! Recall of the queries that are answered, measured: some are kept, and compared with every vector when search threads have
//! nothing else to do, within a share of their time.
mod comparing;
mod kept;
mod tally;
mod task;

pub(crate) use self::comparing::Recall;
pub(crate) use self::kept::Answered;
pub(crate) use self::tally::Measured;
pub(crate) use self::task::{Budget, measure};
