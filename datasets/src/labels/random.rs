//! Random numbers that are the same for any number of threads.
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

/// What a stream of random numbers is for. No two purposes share numbers, nor with those of generated vectors.
#[derive(Debug, Clone, Copy)]
#[repr(u64)]
pub(super) enum Purpose {
    /// The anchor of a tag.
    Anchor = 17,
    /// The members of a tag.
    Members = 18,
    /// The tag of a query.
    Query = 19,
    /// Further tags of a query.
    More = 20,
}

/// The random numbers of one tag or query.
pub(super) fn stream(seed: u64, purpose: Purpose, number: usize) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream((purpose as u64) << 56 | number as u64); // CAST: far below 2^56
    rng
}
