//! What is searched for, and what that is as rows of an index.
use std::borrow::Cow;
use std::time::Instant;

use bytes::Bytes;
use spandrel_index::{DType, VectorsShape, decode, encode};

use super::form::Form;
use crate::call::Call;
use crate::ledger::Room;
use crate::limits::Limits;
use crate::refusal::Refusal;
use crate::turns::{PIECE, Turns};

/// What is searched for.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// Vectors that come with the request.
    Vectors {
        numbers: Numbers,
        /// Elements of each; 0 for those of the index.
        dim: u32,
    },
    /// Vectors of the index itself.
    Ids(Vec<u64>),
    /// Documents that come with the request.
    Documents {
        /// Their tokens.
        numbers: Numbers,
        /// Elements of each; 0 for those of the index.
        dim: u32,
        /// The first token of each document, and the number of tokens; of one document none.
        offsets: Vec<u32>,
    },
}

/// Elements of vectors back to back.
#[derive(Debug, Clone)]
pub(crate) enum Numbers {
    Floats(Vec<f32>),
    /// Little-endian, as they lie in memory.
    Raw {
        data: Bytes,
        dtype: DType,
    },
}

/// Vectors as rows of an index's type.
pub(crate) struct Queries<'a> {
    pub(crate) rows: Bytes,
    pub(crate) count: usize,
    /// For rows that take more than what they came in.
    pub(crate) _room: Option<Room<'a>>,
}

/// Bytes of a query that may have come with others in one piece of a stream. They are copied in no time.
const COPIED_BYTES: usize = 256 << 10;

/// What vectors have to fit.
#[derive(Clone, Copy)]
pub(crate) struct Fit<'l> {
    pub(crate) form: Form,
    /// The vectors of the index that they are compared with.
    pub(crate) to: VectorsShape,
    pub(crate) limits: &'l Limits,
}

impl Numbers {
    /// How many rows these vectors of `dim` elements are, if they fit.
    pub(crate) fn count(&self, dim: u32, fit: Fit<'_>) -> Result<usize, Refusal> {
        let Fit { form, to, limits } = fit;
        let (field, holder, wanted) = (form.field(), form.holder(), to.dtype);
        // CAST: widening
        if dim != 0 && dim as usize != to.dim {
            let message = format!("vectors of {dim} elements, {holder} has {}", to.dim);
            return Err(Refusal::field(field, message));
        }
        let count = match self {
            Numbers::Floats(values) => whole(fit, values.len(), to.dim, "elements")?,
            Numbers::Raw { data, dtype } => {
                if *dtype != wanted && !widens(*dtype, wanted) {
                    let message =
                        format!("data of {dtype}, {holder} holds {wanted}; send that, or numbers as floats");
                    return Err(Refusal::field(field, message));
                }
                whole(fit, data.len(), dtype.row_bytes(to.dim), "bytes")?
            }
        };
        form.check(count, limits)?;
        let (bytes, bytes_max) = (count.saturating_mul(to.row_bytes()), limits.message_bytes);
        if bytes > bytes_max {
            let message = format!("{bytes} bytes as vectors of {wanted}, the server's limit is {bytes_max}");
            return Err(Refusal::field(field, message));
        }
        Ok(count)
    }

    /// These vectors as rows of the type of those that they are compared with, if they fit.
    pub(crate) async fn rows<'a>(
        self,
        dim: u32,
        fit: Fit<'_>,
        call: Call<'a>,
    ) -> Result<Queries<'a>, Refusal> {
        let count = self.count(dim, fit)?;
        let (wanted, bytes) = (fit.to.dtype, count * fit.to.row_bytes());
        let (rows, room) = match self {
            // A slice would keep all messages that came with it; one that is large came alone.
            Numbers::Raw { data, dtype }
                if dtype == wanted && fit.form.is_one() && data.len() <= COPIED_BYTES =>
            {
                (Bytes::copy_from_slice(&data), None)
            }
            Numbers::Raw { data, dtype } if dtype == wanted => (data, None),
            // The bytes that they came in are held, and gone.
            Numbers::Floats(values) => {
                let pieces = values.chunks(PIECE).map(Cow::Borrowed);
                (encoded(fit, bytes, pieces, call.deadline).await?, None)
            }
            Numbers::Raw { data, dtype } => {
                let room = call.entry.hold(bytes)?;
                let pieces = data.chunks(PIECE * dtype.bytes()).map(|piece| Cow::Owned(decode(dtype, piece)));
                (encoded(fit, bytes, pieces, call.deadline).await?, Some(room))
            }
        };
        Ok(Queries { rows, count, _room: room })
    }
}

/// Whether a type holds every value of another.
fn widens(from: DType, to: DType) -> bool {
    match to {
        DType::F32 => from != DType::F32,
        DType::F16 => from.is_integer(),
        DType::I8 | DType::U8 => false,
    }
}

/// How many rows there are.
fn whole(fit: Fit<'_>, found: usize, of_row: usize, unit: &str) -> Result<usize, Refusal> {
    if found.is_multiple_of(of_row) {
        return Ok(found / of_row);
    }
    let (form, VectorsShape { dim, dtype, .. }) = (fit.form, fit.to);
    let holder = form.holder();
    let message =
        format!("{found} {unit}, expected a multiple of {of_row}: {holder} has {dim} elements of {dtype}");
    Err(Refusal::field(form.field(), message))
}

/// Numbers, a piece at a time, as elements of the type of what they have to fit, which have `bytes` bytes.
async fn encoded<'a>(
    fit: Fit<'_>,
    bytes: usize,
    pieces: impl Iterator<Item = Cow<'a, [f32]>>,
    deadline: Instant,
) -> Result<Bytes, Refusal> {
    let (form, dtype) = (fit.form, fit.to.dtype);
    let (mut rows, mut first, mut turns) = (Vec::with_capacity(bytes), 0, Turns::until(deadline));
    for piece in pieces {
        turns.take(piece.len()).await?;
        encode(dtype, &piece, &mut rows).map_err(|at| {
            let (number, value) = (first + at, piece[at]);
            let (holder, holds) = (form.holder(), held(dtype));
            Refusal::field(
                form.field(),
                format!("element {number} is {value}, {holder} holds {dtype}: {holds}"),
            )
        })?;
        first += piece.len();
    }
    Ok(rows.into())
}

/// The numbers that a type holds.
const fn held(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "any numbers",
        DType::F16 => "numbers from -65504 to 65504",
        DType::I8 => "whole numbers from -128 to 127",
        DType::U8 => "whole numbers from 0 to 255",
    }
}
