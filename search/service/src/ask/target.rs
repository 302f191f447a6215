//! What is searched for, and what that is as rows of an index.
use bytes::Bytes;
use half::f16;
use spandrel_index::{DType, Index};

use super::form::Form;
use crate::limits::Limits;
use crate::refusal::Refusal;

/// What is searched for.
#[derive(Debug)]
pub(crate) enum Target {
    /// Vectors that come with the request.
    Vectors {
        numbers: Numbers,
        /// Elements of each; 0 for those of the index.
        dim: u32,
    },
    /// Vectors of the index itself.
    Ids(Vec<u64>),
}

/// Elements of vectors back to back.
#[derive(Debug)]
pub(crate) enum Numbers {
    Floats(Vec<f32>),
    /// Little-endian, as they lie in memory.
    Raw {
        data: Bytes,
        dtype: DType,
    },
}

/// Vectors as rows of an index's type.
pub(crate) struct Queries {
    pub(crate) rows: Bytes,
    pub(crate) count: usize,
}

impl Numbers {
    /// These vectors as rows of the index's type, if they fit it and the limits.
    pub(crate) fn rows(
        self,
        dim: u32,
        form: Form,
        index: &Index,
        limits: &Limits,
    ) -> Result<Queries, Refusal> {
        let (field, wanted) = (form.field(), index.dtype());
        // CAST: widening
        if dim != 0 && dim as usize != index.dim() {
            let message = format!("vectors of {dim} elements, the index has {}", index.dim());
            return Err(Refusal::field(field, message));
        }
        let count = match &self {
            Numbers::Floats(values) => whole(field, values.len(), index.dim(), "elements", index)?,
            Numbers::Raw { data, dtype } => {
                if *dtype != wanted && !widens(*dtype, wanted) {
                    let message =
                        format!("data of {dtype}, the index holds {wanted}; send that, or numbers as floats");
                    return Err(Refusal::field(field, message));
                }
                whole(field, data.len(), dtype.row_bytes(index.dim()), "bytes", index)?
            }
        };
        form.check(count, limits)?;
        let (bytes, bytes_max) = (count.saturating_mul(index.row_bytes()), limits.message_bytes);
        if bytes > bytes_max {
            let message = format!("{bytes} bytes as vectors of {wanted}, the server's limit is {bytes_max}");
            return Err(Refusal::field(field, message));
        }
        let rows = match self {
            Numbers::Floats(values) => encode(field, &values, wanted)?.into(),
            Numbers::Raw { data, dtype } if dtype == wanted => data,
            Numbers::Raw { data, dtype } => encode(field, &decode(dtype, &data), wanted)?.into(),
        };
        Ok(Queries { rows, count })
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
fn whole(
    field: &'static str,
    found: usize,
    of_row: usize,
    unit: &str,
    index: &Index,
) -> Result<usize, Refusal> {
    if found.is_multiple_of(of_row) {
        return Ok(found / of_row);
    }
    let (dim, dtype) = (index.dim(), index.dtype());
    let message =
        format!("{found} {unit}, expected a multiple of {of_row}: the index has {dim} elements of {dtype}");
    Err(Refusal::field(field, message))
}

/// Numbers as elements of the index's type.
fn encode(field: &'static str, numbers: &[f32], dtype: DType) -> Result<Vec<u8>, Refusal> {
    let whole = |low: f32, high: f32| match numbers
        .iter()
        .position(|x| !(low..=high).contains(x) || x.fract() != 0.0)
    {
        None => Ok(()),
        Some(at) => {
            let message = format!(
                "element {at} is {}, the index holds {dtype}: whole numbers from {low} to {high}",
                numbers[at]
            );
            Err(Refusal::field(field, message))
        }
    };
    Ok(match dtype {
        DType::F32 => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
        // What overflows becomes infinite and is refused as that.
        DType::F16 => numbers.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect(),
        DType::U8 => {
            whole(0.0, 255.0)?;
            numbers.iter().map(|&x| x as u8).collect() // CAST: whole and in range
        }
        DType::I8 => {
            whole(-128.0, 127.0)?;
            numbers.iter().map(|&x| (x as i8).cast_unsigned()).collect() // CAST: whole and in range
        }
    })
}
