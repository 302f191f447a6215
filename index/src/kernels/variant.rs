//! The instruction sets that kernels are written for.
use std::fmt;

/// One implementation of every kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Variant {
    /// Plain Rust, the reference the others are tested against.
    Scalar,
}

impl Variant {
    /// The variants this machine can run, slowest first.
    pub fn available() -> Vec<Variant> {
        vec![Variant::Scalar]
    }

    /// The fastest variant this machine can run.
    pub fn best() -> Variant {
        Variant::Scalar
    }

    /// The lower-case name, as recorded in manifests and figures.
    pub const fn name(self) -> &'static str {
        match self {
            Variant::Scalar => "scalar",
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
