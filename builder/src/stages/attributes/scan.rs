//! One pass over the rows of a source, with progress and looks at the wish to stop.
use std::ops::ControlFlow;

use spandrel_filter::Cell;
use spandrel_index::AttributeSource;

use crate::BuildError;
use crate::progress::Context;

/// Rows between two looks at the wish to stop.
const ROWS_BETWEEN: u64 = 1 << 14;

/// What is done with a row and its cells.
pub(super) type EachRow<'a> = dyn FnMut(u64, &[Cell]) -> Result<(), BuildError> + 'a;

/// Hands each of `count` rows to `each` until that fails. Every row is a step of the progress.
pub(super) fn scan_rows(
    source: &dyn AttributeSource,
    count: u64,
    context: Context<'_>,
    each: &mut EachRow<'_>,
) -> Result<(), BuildError> {
    let (mut done, mut ended) = (0, Ok(()));
    source.scan(&mut |row, cells| {
        ended = each(row, cells);
        if row - done >= ROWS_BETWEEN && ended.is_ok() {
            context.progress.advance(row - done);
            done = row;
            ended = context.check_stop();
        }
        if ended.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    ended?;
    context.progress.advance(count - done);
    Ok(())
}
