//! A progress meter: phase, done of total, rate, time left.
use std::io::{self, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::figures::units;

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Display {
    /// Not at all.
    None,
    /// One line on a terminal, drawn again and again.
    Line,
    /// A line every few seconds, for a file or a pipe.
    Log,
}

impl Display {
    fn interval(self) -> Duration {
        match self {
            Display::None => Duration::MAX,
            Display::Line => Duration::from_millis(100),
            Display::Log => Duration::from_secs(5),
        }
    }
}

/// Shows on standard error how far the work has come. May be told from several threads.
#[derive(Debug)]
pub struct Meter {
    display: Display,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// What is counted: `bytes` are shown in their units.
    unit: String,
    phase: String,
    /// When the phase began and how much had been done then, such as by an earlier run.
    begun: Option<(Instant, u64)>,
    done: u64,
    total: u64,
    drawn: Option<Instant>,
    on_screen: bool,
}

impl Meter {
    /// A meter that has not begun.
    pub fn new(display: Display) -> Meter {
        let state = State {
            unit: String::new(),
            phase: String::new(),
            begun: None,
            done: 0,
            total: 0,
            drawn: None,
            on_screen: false,
        };
        Meter { display, state: Mutex::new(state) }
    }

    /// Begins a phase, counted in `unit`; the one before is complete.
    pub fn phase(&self, name: &str, unit: &str) {
        let mut state = self.lock();
        self.close(&mut state);
        state.phase = name.to_owned();
        state.unit = unit.to_owned();
    }

    /// Tells how much of the phase is done. A total of 0 is an unknown one.
    pub fn set(&self, done: u64, total: u64) {
        if self.display == Display::None {
            return;
        }
        let now = Instant::now();
        let mut state = self.lock();
        if state.begun.is_none() {
            state.begun = Some((now, done));
            state.drawn = (self.display == Display::Log).then_some(now);
        }
        (state.done, state.total) = (done, total);
        let due = state.drawn.is_none_or(|at| now.duration_since(at) >= self.display.interval());
        if due {
            state.drawn = Some(now);
            self.draw(&mut state, now);
        }
    }

    /// Ends the last phase and leaves the screen tidy.
    pub fn finish(&self) {
        self.close(&mut self.lock());
    }

    /// Writes a line above the meter.
    pub fn note(&self, text: &str) {
        if self.display == Display::None {
            return;
        }
        let mut state = self.lock();
        let clear = if state.on_screen { "\r\x1b[K" } else { "" };
        state.on_screen = false;
        let _ = writeln!(io::stderr().lock(), "{clear}{text}"); // nobody can be told
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // What a panicking thread left behind is at worst a wrong figure.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn draw(&self, state: &mut State, now: Instant) {
        let Some((begun, first)) = state.begun else { return };
        let text = line(state, first, now.duration_since(begun));
        let mut err = io::stderr().lock();
        // Nobody can be told that standard error is gone.
        let _ = match self.display {
            Display::None => Ok(()),
            Display::Line => write!(err, "\r{text}\x1b[K").and_then(|()| err.flush()),
            Display::Log => writeln!(err, "{text}"),
        };
        state.on_screen = self.display == Display::Line;
    }

    /// Ends a phase: a terminal keeps one line that says how long it took.
    fn close(&self, state: &mut State) {
        if let Some((begun, first)) = state.begun.take() {
            let elapsed = begun.elapsed();
            let clear = if state.on_screen { "\r\x1b[K" } else { "" };
            // Work too short to be noticed leaves no line.
            let worth = state.on_screen || elapsed >= Display::Log.interval();
            if self.display != Display::None && worth {
                let text = summary(state, first, elapsed);
                let _ = writeln!(io::stderr().lock(), "{clear}{text}"); // nobody can be told
            }
        }
        state.on_screen = false;
        state.drawn = None;
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.finish();
    }
}

/// What a running phase looks like.
fn line(state: &State, first: u64, elapsed: Duration) -> String {
    let State { unit, phase, done, total, .. } = state;
    let mut text = format!("{phase}: {}", amount(*done, unit));
    if *total > 0 {
        let percent = 100.0 * *done as f64 / *total as f64; // CAST: shown to one percent
        text = format!("{phase}: {percent:3.0} % of {}", amount(*total, unit));
    }
    let seconds = elapsed.as_secs_f64();
    let fresh = done.saturating_sub(first);
    // A rate over less than half a second misleads.
    if seconds >= 0.5 && fresh > 0 {
        let rate = fresh as f64 / seconds; // CAST: shown to three digits
        text += &format!(", {}/s", amount(rate as u64, unit)); // CAST: shown to three digits
        if *total > *done {
            let left = (*total - *done) as f64 / rate; // CAST: shown in seconds
            text += &format!(", {} left", units::seconds(left));
        }
    }
    text
}

/// What a finished phase leaves behind.
fn summary(state: &State, first: u64, elapsed: Duration) -> String {
    let fresh = state.done.saturating_sub(first);
    let phase = &state.phase;
    format!("{phase}: {} in {}", amount(fresh, &state.unit), units::seconds(elapsed.as_secs_f64()))
}

fn amount(count: u64, unit: &str) -> String {
    if unit == "bytes" { units::bytes(count as f64) } else { format!("{} {unit}", units::count(count)) } // CAST: shown to three digits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(done: u64, total: u64) -> State {
        State {
            unit: "vectors".to_owned(),
            phase: "filing".to_owned(),
            begun: None,
            done,
            total,
            drawn: None,
            on_screen: false,
        }
    }

    #[test]
    fn a_line_tells_rate_and_time_left() {
        let two = Duration::from_secs(2);
        assert_eq!(
            line(&state(250_000, 1_000_000), 0, two),
            "filing:  25 % of 1 000 000 vectors, 125 000 vectors/s, 6 s left"
        );
        // What an earlier run did is not this run's speed.
        assert_eq!(
            line(&state(500_000, 1_000_000), 400_000, two),
            "filing:  50 % of 1 000 000 vectors, 50 000 vectors/s, 10 s left"
        );
        assert_eq!(line(&state(5, 0), 0, Duration::ZERO), "filing: 5 vectors");
        assert_eq!(summary(&state(9, 9), 0, two), "filing: 9 vectors in 2 s");
    }
}
