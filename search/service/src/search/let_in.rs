//! Filters that are let in before anything is done to compile them.
use std::sync::Arc;

use bytes::Bytes;
use spandrel_engine::{Course, QueryError};
use spandrel_index::format::VectorsOf;

use crate::admission::{Admitted, Load};
use crate::call::Call;
use crate::filters::{AskedFilter, Compiled, Found, Waiting};
use crate::refusal::Refusal;
use crate::served::Served;
use crate::turns::{PIECE, Turns};

/// A filter that was let in.
pub(super) struct LetIn {
    asked: AskedFilter,
    /// Where it is to be compiled.
    waiting: Option<Waiting>,
    /// Where it was compiled already: it stays.
    _known: Option<Arc<Compiled>>,
}

/// Queries as far as they came with their request; others are in the index.
pub(super) struct Came<'r> {
    pub(super) count: usize,
    pub(super) rows: Option<&'r Bytes>,
    /// Their rows in the column.
    pub(super) column: Option<&'r Bytes>,
}

/// Lets in queries with a filter, before anything is done to compile it; `leave` is there where they were let in with others.
pub(super) async fn let_in(
    served: &Served,
    asked: Option<AskedFilter>,
    came: Came<'_>,
    leave: Option<Admitted>,
    call: Call<'_>,
) -> Result<Option<LetIn>, Refusal> {
    let Some(asked) = asked else { return Ok(None) };
    if served.filters.kept(&asked).is_none() {
        // Queries that the engine would refuse are refused before their filter is compiled.
        let mut turns = Turns::until(call.deadline);
        for (rows, of) in [(came.rows, VectorsOf::Main), (came.column, VectorsOf::Column)] {
            if let Some(rows) = rows {
                check_rows(served, rows, of, Refusal::from, &mut turns).await?;
            }
        }
    }
    let load = Load::of(served.engine(), came.count, Course::Nearest);
    let load = if leave.is_some() { load.let_in_before() } else { load };
    let_in_as(served, asked, load, call).map(Some)
}

/// As [`let_in`], of queries that were checked and are a load as they are known without a filter.
pub(super) fn let_in_as(
    served: &Served,
    asked: AskedFilter,
    load: Load,
    call: Call<'_>,
) -> Result<LetIn, Refusal> {
    let known = served.filters.kept(&asked);
    if known.is_some() {
        return Ok(LetIn { asked, waiting: None, _known: known });
    }
    served.admit(Load { filter: served.filters.delay(&asked), ..load }, call.deadline)?;
    Ok(LetIn { asked, waiting: Some(served.filters.wait()), _known: None })
}

/// Refuses rows that the engine would refuse, as `told` tells it.
pub(super) async fn check_rows(
    served: &Served,
    rows: &Bytes,
    of: VectorsOf,
    told: impl Fn(QueryError) -> Refusal,
    turns: &mut Turns,
) -> Result<(), Refusal> {
    let shape = served.index().shape_of(of);
    let rows_of_piece = (PIECE / shape.dim).max(1);
    let pieces = rows.chunks(rows_of_piece * shape.row_bytes());
    for (first, piece) in (0..).step_by(rows_of_piece).zip(pieces) {
        turns.take(rows_of_piece * shape.dim).await?;
        let checked = match of {
            VectorsOf::Main => served.engine().check(piece),
            VectorsOf::Column => served.engine().check_column(piece),
        };
        checked.map_err(|error| told(error.after(first)))?;
    }
    Ok(())
}

/// What a filter matches, for as long as it is used.
pub(super) async fn filtered(
    served: &Served,
    let_in: Option<LetIn>,
    explained: bool,
    call: Call<'_>,
) -> Result<Option<Found>, Refusal> {
    let Some(LetIn { asked, waiting, _known }) = let_in else { return Ok(None) };
    let found = served.filters.get(asked, waiting, served.index(), explained, call.deadline).await?;
    let count = if found.was_kept { &served.metrics.filters_kept } else { &served.metrics.filters_compiled };
    count.inc();
    Ok(Some(found))
}
