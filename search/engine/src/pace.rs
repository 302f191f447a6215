//! How long a query takes from the moment a thread takes it, measured as queries are answered.
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::filter_plan::FilterPlan;

/// Weight of a new measurement.
const NEW_WEIGHT: f32 = 0.02;
/// Time without a measurement after which what was measured counts half: an engine that was slow once, and refuses
/// work because of it, tries again.
const HALF_LIFE: Duration = Duration::from_secs(5);

/// Of queries without a filter and, by how the vectors that match are searched, of those with one.
#[derive(Debug, Default)]
pub(crate) struct Paces {
    plain: Pace,
    filtered: [Pace; FilterPlan::ALL.len()],
}

impl Paces {
    /// The pace of queries of a plan.
    pub(crate) fn of(&self, plan: Option<FilterPlan>) -> &Pace {
        let Some(plan) = plan else { return &self.plain };
        &self.filtered[plan as usize] // CAST: its place among all
    }

    /// Time that a query of a plan takes: until one was measured, as long as one without a filter.
    pub(crate) fn query(&self, plan: Option<FilterPlan>) -> Duration {
        let own = self.of(plan).query();
        if own.is_zero() { self.plain.query() } else { own }
    }
}

/// A moving mean.
#[derive(Debug)]
pub(crate) struct Pace {
    since: Instant,
    /// Microseconds a query takes, as the bits of an f32, 0 before the first; above them the milliseconds from `since`
    /// to the last measurement.
    measured: AtomicU64,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { since: Instant::now(), measured: AtomicU64::new(0) }
    }
}

impl Pace {
    /// Time that a query takes; 0 before the first.
    pub(crate) fn query(&self) -> Duration {
        let (query_us, at_ms) = self.load();
        let halvings = (self.age_ms().saturating_sub(at_ms)) as f32 / HALF_LIFE.as_millis() as f32; // CAST: rounds
        Duration::from_secs_f32(query_us * 0.5_f32.powi(halvings as i32) / 1e6) // CAST: whole halvings
    }

    /// Takes in how long a query took.
    pub(crate) fn took(&self, micros: f32) {
        // Of two at once one may be lost, which does no harm.
        let (old, _) = self.load();
        let new = if old == 0.0 { micros } else { old + NEW_WEIGHT * (micros - old) };
        self.measured.store(self.age_ms() << 32 | u64::from(new.to_bits()), Ordering::Relaxed);
    }

    fn load(&self) -> (f32, u64) {
        let measured = self.measured.load(Ordering::Relaxed);
        (f32::from_bits(measured as u32), measured >> 32) // CAST: the lower half
    }

    /// Milliseconds since `since`, modulo seven weeks: at worst one measurement fades late.
    fn age_ms(&self) -> u64 {
        self.since.elapsed().as_millis() as u64 & u64::from(u32::MAX) // CAST: the lower half
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_have_paces_of_their_own() {
        let paces = Paces::default();
        paces.of(None).took(1000.0);
        assert_eq!(paces.query(Some(FilterPlan::Exact)), Duration::from_millis(1));
        for (plan, micros) in FilterPlan::ALL.into_iter().zip([10.0, 20.0, 30.0, 40.0]) {
            paces.of(Some(plan)).took(micros);
        }
        let micros = FilterPlan::ALL.map(|plan| paces.query(Some(plan)).as_micros());
        assert_eq!((micros, paces.query(None)), ([10, 20, 30, 40], Duration::from_millis(1)));
    }

    #[test]
    fn measurements_are_averaged_and_fade() {
        let mut pace = Pace::default();
        assert_eq!(pace.query(), Duration::ZERO);
        pace.took(1000.0);
        assert_eq!(pace.query(), Duration::from_millis(1));
        (0..500).for_each(|_| pace.took(3000.0));
        let mean = pace.query();
        assert!(mean > Duration::from_micros(2990) && mean < Duration::from_millis(3), "{mean:?}");
        let Some(before) = pace.since.checked_sub(2 * HALF_LIFE) else { return };
        pace.since = before;
        assert!(pace.query() < Duration::from_micros(751), "{:?}", pace.query());
    }
}
