//! The recall that answers aimed at, and what is to expect of them.
use serde::Serialize;
use spandrel_engine::{Answer, Limit, Promise};

use crate::Session;

/// The promise of an answer as JSON, in the words of the server's.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Promised {
    target: f64,
    /// None where nothing is known.
    expected_recall: Option<f64>,
    reached: bool,
}

impl Promised {
    pub(super) fn of(answer: &Answer) -> Option<Promised> {
        let promise = answer.promise?;
        let Promise { target, expected } = promise;
        Some(Promised { target, expected_recall: expected, reached: promise.reached() })
    }
}

/// Answers that are not to be expected to reach the recall that they aimed at.
#[derive(Debug, Default)]
pub(super) struct Unreached {
    target: f64,
    /// Answers with less to expect, and the least of these.
    below: usize,
    least: f64,
    /// Answers of which nothing is known, since parts of the index that they need are damaged.
    damaged: usize,
    /// Since vectors were left uncompared for the bytes that may be asked.
    bytes: usize,
    /// Under a filter.
    filtered: usize,
    /// For other reasons: the index was not calibrated for what they ask.
    unknown: usize,
}

impl Unreached {
    pub(super) fn count(&mut self, answer: &Answer) {
        let Some(promise) = answer.promise.filter(|promise| !promise.reached()) else { return };
        self.target = promise.target;
        match promise.expected {
            Some(expected) => {
                self.least = if self.below == 0 { expected } else { self.least.min(expected) };
                self.below += 1;
            }
            None if answer.missing.parts() > 0 => self.damaged += 1,
            None if answer.limited_by == Some(Limit::MaxBytes) => self.bytes += 1,
            None if answer.filtered.is_some() => self.filtered += 1,
            None => self.unknown += 1,
        }
    }

    pub(super) fn tell(&self, session: &Session) {
        self.lines().iter().for_each(|line| session.note(line));
    }

    fn lines(&self) -> Vec<String> {
        let Unreached { target, below, least, damaged, bytes, filtered, unknown } = *self;
        let answers =
            |count: usize| if count == 1 { "1 answer".to_owned() } else { format!("{count} answers") };
        let below = (below > 0).then(|| {
            // Rounded down: what is missed by little is not to read as reached.
            let least = (least * 1e4).floor() / 1e4;
            let of = answers(below);
            format!(
                "note: {of} may not reach recall {target}: {least} is to be expected of the least of them"
            )
        });
        let unknown = [
            (damaged, "lists or pages that they need are damaged"),
            (bytes, "max_bytes left vectors uncompared"),
            (
                filtered,
                "few of the nearest vectors match the filter, or the index is not calibrated for what was asked",
            ),
            (unknown, "`spandrel inspect` says what the index was calibrated for"),
        ];
        let unknown = unknown.into_iter().filter(|(count, _)| *count > 0).map(|(count, why)| {
            format!("note: whether {} reached recall {target} is not known: {why}", answers(count))
        });
        below.into_iter().chain(unknown).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spandrel_engine::{FilterPlan, Filtered, Missing};

    fn answer(target: f64, expected: Option<f64>) -> Answer {
        Answer { promise: Some(Promise { target, expected }), ..Answer::default() }
    }

    #[test]
    fn what_is_not_reached_is_told() {
        let mut all = Unreached::default();
        for expected in [Some(0.95), Some(0.97)] {
            all.count(&answer(0.95, expected));
        }
        all.count(&Answer::default());
        assert!(all.lines().is_empty());
        for expected in [Some(0.9499999), Some(0.9299999), None] {
            all.count(&answer(0.95, expected));
        }
        let [below, unknown] = &all.lines()[..] else { panic!("{all:?}") };
        assert!(below.starts_with("note: 2 answers may not reach recall 0.95: ") && below.contains("0.9299"));
        assert!(unknown.starts_with("note: whether 1 answer reached recall 0.95 is not known"), "{unknown}");
    }

    /// Damage was told as a matter of calibration.
    #[test]
    fn why_nothing_is_known_is_told() {
        let missing = Missing { lists: 0, pages: 1 };
        let filtered = Some(Filtered { matches: 3, plan: FilterPlan::Post, widened: true });
        for (answer, says) in [
            (Answer { missing, ..answer(0.9, None) }, "damaged"),
            (Answer { limited_by: Some(Limit::MaxBytes), ..answer(0.9, None) }, "max_bytes"),
            (Answer { filtered, ..answer(0.9, None) }, "match the filter"),
            (answer(0.9, None), "calibrated for"),
        ] {
            let mut all = Unreached::default();
            all.count(&answer);
            let [line] = &all.lines()[..] else { panic!("{all:?}") };
            assert!(line.contains("is not known: ") && line.contains(says), "{line}");
        }
    }

    #[test]
    fn a_promise_is_told_as_a_server_does() {
        let json = |answer| serde_json::to_string(&Promised::of(&answer)).unwrap();
        let expected = r#"{"target":0.999,"expected_recall":0.99,"reached":false}"#;
        assert_eq!(json(answer(0.999, Some(0.99))), expected);
        assert_eq!(json(answer(0.9, None)), r#"{"target":0.9,"expected_recall":null,"reached":false}"#);
        assert_eq!(json(Answer::default()), "null");
    }
}
