//! How much a caller may do.

/// What a caller may do. Admin allows everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    Search,
    Admin,
}
