//! How long a query takes from the moment a thread takes it, measured as queries are answered.
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::filter_plan::FilterPlan;

/// Weight of a new measurement.
const NEW_WEIGHT: f32 = 0.02;
/// Time without a measurement after which what was measured counts half: an engine that was slow once, and refuses
/// work because of it, tries again.
const HALF_LIFE: Duration = Duration::from_secs(5);

/// What a query goes through, by which its time is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Course {
    /// It looks for the nearest of all vectors.
    #[default]
    Nearest,
    /// It looks for the nearest of those that match a filter.
    Filtered(FilterPlan),
    /// It is a part of a search within a radius.
    Within,
    /// It compares [`DOCUMENTS_COMPARED`](crate::DOCUMENTS_COMPARED) documents: what took more or fewer counts for these.
    Documents,
}

impl From<Option<FilterPlan>> for Course {
    fn from(plan: Option<FilterPlan>) -> Course {
        plan.map_or(Course::Nearest, Course::Filtered)
    }
}

/// One for each course.
#[derive(Debug, Default)]
pub(crate) struct Paces {
    nearest: Pace,
    filtered: [Pace; FilterPlan::ALL.len()],
    within: Pace,
    documents: Pace,
}

impl Paces {
    /// The pace of queries of a course.
    pub(crate) fn of(&self, course: Course) -> &Pace {
        match course {
            Course::Nearest => &self.nearest,
            Course::Filtered(plan) => &self.filtered[plan as usize], // CAST: the enum's index in `ALL`
            Course::Within => &self.within,
            Course::Documents => &self.documents,
        }
    }

    /// Time that a query of a course takes: until one was measured, as long as one for the nearest of all vectors.
    pub(crate) fn query(&self, course: Course) -> Duration {
        let own = self.of(course).query();
        if own.is_zero() { self.nearest.query() } else { own }
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
        (f32::from_bits(measured as u32), measured >> 32) // CAST: the low 32 bits are the value
    }

    /// Milliseconds since `since`, modulo seven weeks: at worst one measurement fades late.
    fn age_ms(&self) -> u64 {
        self.since.elapsed().as_millis() as u64 & u64::from(u32::MAX) // CAST: the mask drops what `as` may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn courses_have_paces_of_their_own() {
        let paces = Paces::default();
        paces.of(Course::Nearest).took(1000.0);
        let others: Vec<Course> = FilterPlan::ALL
            .into_iter()
            .map(Course::Filtered)
            .chain([Course::Within, Course::Documents])
            .collect();
        assert!(others.iter().all(|&course| paces.query(course) == Duration::from_millis(1)));
        others.iter().zip(1_u8..).for_each(|(&course, tens)| paces.of(course).took(10.0 * f32::from(tens)));
        let micros: Vec<u128> = others.iter().map(|&course| paces.query(course).as_micros()).collect();
        assert_eq!(micros, [10, 20, 30, 40, 50, 60]);
        assert_eq!(paces.query(Course::Nearest), Duration::from_millis(1));
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
