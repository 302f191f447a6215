//! What is searched for, and what that is as rows of an index.
use std::borrow::Cow;
use std::time::Instant;

use bytes::Bytes;
use half::f16;
use spandrel_index::{DType, VectorsShape};

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

impl Numbers {
    /// How many rows these vectors are, if they fit those of the index and the limits.
    pub(crate) fn count(
        &self,
        dim: u32,
        form: Form,
        to: VectorsShape,
        limits: &Limits,
    ) -> Result<usize, Refusal> {
        let (field, holder, wanted) = (form.field(), form.holder(), to.dtype);
        // CAST: widening
        if dim != 0 && dim as usize != to.dim {
            let message = format!("vectors of {dim} elements, {holder} has {}", to.dim);
            return Err(Refusal::field(field, message));
        }
        let count = match self {
            Numbers::Floats(values) => whole(form, values.len(), to.dim, "elements", to)?,
            Numbers::Raw { data, dtype } => {
                if *dtype != wanted && !widens(*dtype, wanted) {
                    let message =
                        format!("data of {dtype}, {holder} holds {wanted}; send that, or numbers as floats");
                    return Err(Refusal::field(field, message));
                }
                whole(form, data.len(), dtype.row_bytes(to.dim), "bytes", to)?
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

    /// These vectors as rows of the type of those of the index that they are compared with, if they fit these and the limits.
    pub(crate) async fn rows<'a>(
        self,
        dim: u32,
        form: Form,
        (to, limits): (VectorsShape, &Limits),
        call: Call<'a>,
    ) -> Result<Queries<'a>, Refusal> {
        let count = self.count(dim, form, to, limits)?;
        let (wanted, bytes) = (to.dtype, count * to.row_bytes());
        let (rows, room) = match self {
            // A slice would keep all messages that came with it; one that is large came alone.
            Numbers::Raw { data, dtype }
                if dtype == wanted && form.is_one() && data.len() <= COPIED_BYTES =>
            {
                (Bytes::copy_from_slice(&data), None)
            }
            Numbers::Raw { data, dtype } if dtype == wanted => (data, None),
            // The bytes that they came in are held, and gone.
            Numbers::Floats(values) => {
                let pieces = values.chunks(PIECE).map(Cow::Borrowed);
                (encode((form, wanted, bytes), pieces, call.deadline).await?, None)
            }
            Numbers::Raw { data, dtype } => {
                let room = call.entry.hold(bytes)?;
                let pieces = data.chunks(PIECE * dtype.bytes()).map(|piece| Cow::Owned(decode(dtype, piece)));
                (encode((form, wanted, bytes), pieces, call.deadline).await?, Some(room))
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

/// Elements of a type that f32 widens, as numbers.
fn decode(dtype: DType, data: &[u8]) -> Vec<f32> {
    match dtype {
        DType::F32 => data.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
        DType::F16 => data.as_chunks::<2>().0.iter().map(|&b| f16::from_le_bytes(b).to_f32()).collect(),
        DType::I8 => data.iter().map(|&b| f32::from(b.cast_signed())).collect(),
        DType::U8 => data.iter().map(|&b| f32::from(b)).collect(),
    }
}

/// How many rows there are.
fn whole(form: Form, found: usize, of_row: usize, unit: &str, to: VectorsShape) -> Result<usize, Refusal> {
    if found.is_multiple_of(of_row) {
        return Ok(found / of_row);
    }
    let (holder, VectorsShape { dim, dtype, .. }) = (form.holder(), to);
    let message =
        format!("{found} {unit}, expected a multiple of {of_row}: {holder} has {dim} elements of {dtype}");
    Err(Refusal::field(form.field(), message))
}

/// Numbers, a piece at a time, as elements of a type, which have `bytes` bytes.
async fn encode<'a>(
    (form, dtype, bytes): (Form, DType, usize),
    pieces: impl Iterator<Item = Cow<'a, [f32]>>,
    deadline: Instant,
) -> Result<Bytes, Refusal> {
    let (mut rows, mut first, mut turns) = (Vec::with_capacity(bytes), 0, Turns::until(deadline));
    for piece in pieces {
        turns.take(piece.len()).await?;
        encode_piece(&piece, dtype, &mut rows).map_err(|Unfit { at, low, high }| {
            let (at, value) = (first + at, piece[at]);
            let holder = form.holder();
            let message = format!(
                "element {at} is {value}, {holder} holds {dtype}: whole numbers from {low} to {high}"
            );
            Refusal::field(form.field(), message)
        })?;
        first += piece.len();
    }
    Ok(rows.into())
}

/// A number that is none of a type of whole numbers.
struct Unfit {
    /// Its place.
    at: usize,
    /// The least and the greatest of the type.
    low: f32,
    high: f32,
}

fn encode_piece(numbers: &[f32], dtype: DType, rows: &mut Vec<u8>) -> Result<(), Unfit> {
    let whole = |low: f32, high: f32| {
        let at = numbers.iter().position(|x| !(low..=high).contains(x) || x.fract() != 0.0);
        at.map_or(Ok(()), |at| Err(Unfit { at, low, high }))
    };
    match dtype {
        DType::F32 => rows.extend(numbers.iter().flat_map(|x| x.to_le_bytes())),
        // What overflows becomes infinite and is refused as that.
        DType::F16 => rows.extend(numbers.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes())),
        DType::U8 => {
            whole(0.0, 255.0)?;
            rows.extend(numbers.iter().map(|&x| x as u8)); // CAST: whole and in range
        }
        DType::I8 => {
            whole(-128.0, 127.0)?;
            rows.extend(numbers.iter().map(|&x| (x as i8).cast_unsigned())); // CAST: whole and in range
        }
    }
    Ok(())
}
