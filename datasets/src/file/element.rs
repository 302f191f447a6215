//! What a file's rows are made of.
use spandrel_index::DType;

/// Most ids in a row of neighbours.
pub(super) const NEIGHBOURS_MAX: usize = 1 << 24;

/// What the elements of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    Vector(DType),
    /// Double precision, read as f32, rounded to nearest.
    Double,
    /// Whole numbers of 4 or 8 bytes.
    Id {
        bytes: usize,
        signed: bool,
    },
}

impl Element {
    pub(super) fn bytes(self) -> usize {
        match self {
            Element::Vector(dtype) => dtype.bytes(),
            Element::Double => 8,
            Element::Id { bytes, .. } => bytes,
        }
    }

    /// The type that vectors are read as; none for ids.
    pub(super) fn dtype(self) -> Option<DType> {
        match self {
            Element::Vector(dtype) => Some(dtype),
            Element::Double => Some(DType::F32),
            Element::Id { .. } => None,
        }
    }

    /// Most elements of a row, where a row of numbers has at most `numbers_max`.
    pub(super) fn width_max(self, numbers_max: usize) -> usize {
        match self {
            Element::Vector(_) | Element::Double => numbers_max,
            Element::Id { .. } => NEIGHBOURS_MAX,
        }
    }
}
