//! Whether a request is let in: overload is refused early, not queued to death.
//!
//! The delay that a new query will meet is what is waiting times what a query takes, over those answered at once
//! (Little's law); both are measured. A query whose delay would be over the limit, or that could not be answered
//! before its deadline, is refused at once; before that, effort may be lowered.
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::refusal::Refusal;

/// When requests are refused, and whether they are searched less thoroughly before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdmissionConfig {
    /// Longest expected time in the queue.
    pub queue_delay_max: Duration,
    /// Least share of the lists searched under load, above 0 to 1; 1 means that effort is never lowered.
    pub degrade_effort_min: f32,
}

impl Default for AdmissionConfig {
    fn default() -> AdmissionConfig {
        AdmissionConfig { queue_delay_max: Duration::from_millis(50), degrade_effort_min: 1.0 }
    }
}

/// Weight of a new measurement of how long a query takes.
const NEW_WEIGHT: f32 = 0.02;
/// Share of the longest delay from which on effort is lowered.
const DEGRADE_FROM: f32 = 0.25;

/// The load of one engine.
#[derive(Debug)]
pub(crate) struct Admission {
    config: AdmissionConfig,
    /// Queries that the engine works on at once.
    slots: usize,
    /// Queries handed to the engine and not answered.
    in_flight: AtomicUsize,
    /// Microseconds that a query takes once it is begun, as the bits of an f32; 0 before the first.
    query_us: AtomicU32,
}

/// Leave to search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Admitted {
    /// Share of the lists to search: less than 1 under load.
    pub(crate) effort: f32,
}

impl Admission {
    pub(crate) fn new(config: AdmissionConfig, slots: usize) -> Admission {
        Admission { config, slots, in_flight: AtomicUsize::new(0), query_us: AtomicU32::new(0) }
    }

    /// Lets a request in or refuses it. Queries count as waiting only once they are handed in.
    pub(crate) fn admit(&self, deadline: Instant) -> Result<Admitted, Refusal> {
        let (delay, query) = (self.delay(), self.query());
        let limit = self.config.queue_delay_max;
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Refusal::Deadline);
        }
        // With nothing waiting a query is always let in, so that the measurement can change.
        if delay > limit || (!delay.is_zero() && delay + query > left) {
            // Until half of the longest delay has been worked off.
            let retry = delay.saturating_sub(limit / 2).max(Duration::from_millis(1));
            let [waiting_ms, retry_ms] = [delay, retry].map(|time| time.as_millis() as u64); // CAST: a queue's delay
            return Err(Refusal::Overloaded { waiting_ms, retry_ms: retry_ms.max(1) });
        }
        let load = delay.as_secs_f32() / limit.as_secs_f32();
        let over = ((load - DEGRADE_FROM) / (1.0 - DEGRADE_FROM)).clamp(0.0, 1.0);
        Ok(Admitted { effort: 1.0 - over * (1.0 - self.config.degrade_effort_min) })
    }

    /// Expected time in the queue of a query that comes now.
    pub(crate) fn delay(&self) -> Duration {
        let waiting = self.in_flight.load(Ordering::Relaxed).saturating_sub(self.slots);
        // CAST: counts of queries
        self.query().mul_f64(waiting as f64 / self.slots as f64)
    }

    /// Queries that the engine works on at once.
    pub(crate) fn slots(&self) -> usize {
        self.slots
    }

    /// Queries handed to the engine and not answered.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    fn query(&self) -> Duration {
        Duration::from_secs_f32(f32::from_bits(self.query_us.load(Ordering::Relaxed)) / 1e6)
    }

    /// Counts queries as handed in.
    pub(crate) fn enter(&self, queries: usize) {
        self.in_flight.fetch_add(queries, Ordering::Relaxed);
    }

    /// Counts queries as answered or given up.
    pub(crate) fn leave(&self, queries: usize) {
        self.in_flight.fetch_sub(queries, Ordering::Relaxed);
    }

    /// Takes in how long a query took from its beginning.
    pub(crate) fn took(&self, micros: f32) {
        // Of two at once one may be lost, which does no harm.
        let old = f32::from_bits(self.query_us.load(Ordering::Relaxed));
        let new = if old == 0.0 { micros } else { old + NEW_WEIGHT * (micros - old) };
        self.query_us.store(new.to_bits(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn what_waits_too_long_is_refused_and_then_let_in_again() {
        let config = AdmissionConfig { queue_delay_max: Duration::from_millis(50), degrade_effort_min: 0.5 };
        let admission = Admission::new(config, 8);
        assert_eq!(admission.admit(soon()).unwrap(), Admitted { effort: 1.0 });
        admission.took(1000.0);
        admission.enter(8);
        assert_eq!(admission.delay(), Duration::ZERO);
        assert_eq!(admission.admit(soon()).unwrap(), Admitted { effort: 1.0 });
        // 400 waiting, eight at once, a millisecond each.
        admission.enter(400 - 40);
        let Ok(Admitted { effort }) = admission.admit(soon()) else { panic!("45 ms are let in") };
        assert!((0.5..0.6).contains(&effort), "{effort}");
        admission.enter(80);
        let refused = admission.admit(soon()).unwrap_err();
        assert!(matches!(refused, Refusal::Overloaded { waiting_ms: 55, retry_ms: 30 }), "{refused:?}");
        admission.leave(448);
        assert!(admission.admit(soon()).is_ok());
    }

    #[test]
    fn what_cannot_be_in_time_is_refused() {
        let admission = Admission::new(AdmissionConfig::default(), 8);
        admission.took(5000.0);
        admission.enter(24);
        assert!(admission.admit(Instant::now() + Duration::from_millis(40)).is_ok());
        let short = admission.admit(Instant::now() + Duration::from_millis(10));
        assert!(matches!(short, Err(Refusal::Overloaded { .. })), "{short:?}");
        assert!(matches!(admission.admit(Instant::now()), Err(Refusal::Deadline)));
    }
}
