//! Which request meets which fault.
use std::collections::VecDeque;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What happens to one request to the reader beneath.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The system answers with this errno, such as 5 (`EIO`).
    Error(i32),
    /// The system answers `EINTR`; the request is repeated.
    Interrupted,
    /// The system answers with this many bytes at most (at least 1); the rest is asked for.
    Short(u32),
    /// The completion is held back until this many others have been handed out, or none is left.
    Hold(u32),
    /// The lowest bit of this byte of the answer is flipped (counted modulo its length).
    Flip(u32),
}

/// How often each fault happens, as a share of the requests. The shares add up to at most 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct FaultRates {
    /// `EIO`.
    pub error: f64,
    /// `EINTR`.
    pub interrupted: f64,
    /// An answer cut at a random length.
    pub short: f64,
    /// Held back by 1 to 16 others.
    pub hold: f64,
    /// A random byte flipped.
    pub flip: f64,
}

/// Deals out faults, one per request, in the order in which requests are made.
#[derive(Debug)]
pub struct Schedule {
    script: VecDeque<Fault>,
    random: Option<(ChaCha8Rng, FaultRates)>,
}

impl Schedule {
    /// These faults, then none.
    pub fn script(faults: impl IntoIterator<Item = Fault>) -> Schedule {
        Schedule { script: faults.into_iter().collect(), random: None }
    }

    /// Random faults, the same for the same seed.
    pub fn seeded(seed: u64, rates: FaultRates) -> Schedule {
        Schedule { script: VecDeque::new(), random: Some((ChaCha8Rng::seed_from_u64(seed), rates)) }
    }

    pub(super) fn next(&mut self) -> Fault {
        if let Some(fault) = self.script.pop_front() {
            return fault;
        }
        let Some((random, rates)) = &mut self.random else { return Fault::None };
        let mut at: f64 = random.random();
        let detail: u32 = random.random();
        for (rate, fault) in [
            (rates.error, Fault::Error(libc::EIO)),
            (rates.interrupted, Fault::Interrupted),
            (rates.short, Fault::Short(1 + detail % 5000)),
            (rates.hold, Fault::Hold(1 + detail % 16)),
            (rates.flip, Fault::Flip(detail)),
        ] {
            if at < rate {
                return fault;
            }
            at -= rate;
        }
        Fault::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_faults_at_about_the_rates() {
        let rates = FaultRates { error: 0.1, interrupted: 0.2, short: 0.2, hold: 0.1, flip: 0.1 };
        let deal = |seed| {
            let mut schedule = Schedule::seeded(seed, rates);
            (0..10_000).map(|_| schedule.next()).collect::<Vec<_>>()
        };
        assert_eq!(deal(1), deal(1));
        assert_ne!(deal(1), deal(2));
        let none = deal(1).iter().filter(|&&fault| fault == Fault::None).count();
        assert!((2700..3300).contains(&none), "{none}");
    }

    #[test]
    fn a_script_is_followed_and_ends() {
        let mut schedule = Schedule::script([Fault::Interrupted, Fault::Short(7)]);
        assert_eq!([schedule.next(), schedule.next()], [Fault::Interrupted, Fault::Short(7)]);
        assert_eq!(schedule.next(), Fault::None);
    }
}
