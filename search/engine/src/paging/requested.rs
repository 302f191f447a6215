//! What a policy answers.

/// What became of a request for a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requested {
    /// The slot that the page is in now.
    pub slot: u32,
    /// Whether it was there before.
    pub held: bool,
    /// The page that had to leave for it.
    pub left: Option<u64>,
}
