//! Keeping lines of the log that others can cause to a few.
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lets a few lines of a kind through in each period, and counts those that it keeps back.
#[derive(Debug)]
pub(crate) struct Throttle {
    lines: u64,
    period: Duration,
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    since: Option<Instant>,
    lines: u64,
    kept_back: u64,
}

impl Default for Throttle {
    /// Ten lines a second.
    fn default() -> Throttle {
        Throttle::new(10, Duration::from_secs(1))
    }
}

impl Throttle {
    /// Lets `lines` lines through in each `period`.
    pub(crate) fn new(lines: u64, period: Duration) -> Throttle {
        Throttle { lines, period, window: Mutex::default() }
    }

    /// Whether a line may be written now: how many were kept back since the last one.
    pub(crate) fn pass(&self) -> Option<u64> {
        self.pass_at(Instant::now())
    }

    fn pass_at(&self, now: Instant) -> Option<u64> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.since.is_none_or(|since| now.saturating_duration_since(since) >= self.period) {
            (window.since, window.lines) = (Some(now), 0);
        }
        if window.lines == self.lines {
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
        assert_eq!(throttle.pass_at(start + Duration::from_secs(1)), Some(990));
        assert_eq!(throttle.pass_at(start + Duration::from_secs(1)), Some(0));
        let seldom = Throttle::new(1, Duration::from_secs(60));
        let passed = (0..180).filter(|&second| seldom.pass_at(start + Duration::from_secs(second)).is_some());
        assert_eq!(passed.collect::<Vec<_>>(), [0, 60, 120]);
    }
}
