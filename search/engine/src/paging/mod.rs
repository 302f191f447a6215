//! Which pages of vectors stay in memory: a cache of them, and the policies that choose what leaves it.
//!
//! Policies know numbers of pages alone, so that a simulator can run them over traces. A policy has a fixed number of slots;
//! each page that it holds is in one. [`Clock`] looks at what was asked for. [`Trusting`] is told one bit a request, whether the page
//! will be asked for again before it would have to leave, and believes it. [`Guarded`] believes it as long as that costs
//! little more than [`Clock`]; with the bits of a [`Predictor`] it is [`CachePolicy::Predicted`].
mod cache;
mod clock;
mod guarded;
mod order;
mod places;
mod policy;
mod predictor;
mod requested;
mod trusting;

#[cfg(test)]
mod tests;

pub(crate) use cache::{PageCache, cached};
pub use clock::Clock;
pub use guarded::Guarded;
pub use policy::CachePolicy;
pub use predictor::Predictor;
pub use requested::Requested;
pub use trusting::Trusting;
