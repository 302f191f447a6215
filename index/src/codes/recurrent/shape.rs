//! The form of a recurrent binary code.
use crate::codes::CodeSpec;

/// The form of a code.
#[derive(Debug, Clone, Copy)]
pub(in crate::codes) struct RecurrentShape {
    /// Bits of a code, a multiple of 32.
    pub(in crate::codes) bits: usize,
    /// Codes of a vector.
    pub(in crate::codes) codes: usize,
    /// Whether queries are coded as vectors are.
    pub(in crate::codes) is_symmetric: bool,
}

impl RecurrentShape {
    /// That of a code, if it is of this family.
    pub(in crate::codes) fn of(spec: CodeSpec) -> Option<RecurrentShape> {
        let CodeSpec::Recurrent { bits, codes, symmetric } = spec else { return None };
        Some(RecurrentShape { bits: bits as usize, codes: usize::from(codes), is_symmetric: symmetric })
    }
}
