//! Keeping lines of the log that others can cause to a few a second.
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines of one kind in one period.
const LINES: u64 = 10;
const PERIOD: Duration = Duration::from_secs(1);

/// Lets so many lines of a kind through, and counts those that it keeps back.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    since: Option<Instant>,
    lines: u64,
    kept_back: u64,
}

impl Throttle {
    /// Whether a line may be written now: how many were kept back since the last one.
    pub(crate) fn pass(&self) -> Option<u64> {
        self.pass_at(Instant::now())
    }

    fn pass_at(&self, now: Instant) -> Option<u64> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if window.since.is_none_or(|since| now.saturating_duration_since(since) >= PERIOD) {
            (window.since, window.lines) = (Some(now), 0);
        }
        if window.lines == LINES {
            window.kept_back += 1;
            return None;
        }
        window.lines += 1;
        Some(std::mem::take(&mut window.kept_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_leaves_a_few_lines_and_a_count() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let passed = (0..1000).filter(|_| throttle.pass_at(start).is_some()).count();
        assert_eq!(passed, 10);
        assert_eq!(throttle.pass_at(start + PERIOD), Some(990));
        assert_eq!(throttle.pass_at(start + PERIOD), Some(0));
    }
}
