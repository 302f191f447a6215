//! How a cache chooses which page leaves.
use spandrel_names::named;

/// Which page leaves a full cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CachePolicy {
    /// One that was not asked for since the hand of a clock last passed it.
    Clock,
    /// One that is predicted not to be asked for again soon.
    #[default]
    Predicted,
}

named! { CachePolicy, "cache policy", Clock => "clock", Predicted => "predicted" }
