//! The vectors whose codes are nearest, none of them compared exactly: what a token of a query document looks for.
use super::best::Key;
use super::contract::{Collect, Estimated, Found, Undecided};
use crate::kept;
use crate::subject::Query;
use crate::terms::End;

/// Keeps the `keep` smallest estimates, ties by position. In an index of one segment, since keys are positions.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    keep: usize,
    /// Estimates in place of scores, and positions in place of ids.
    keys: Vec<Key>,
    limit: f32,
}

impl Tokens {
    /// Forgets everything; keeps `keep`, 1 or more, from now on.
    pub(crate) fn reset(&mut self, keep: usize) {
        self.keep = keep;
        kept::clear(&mut self.keys);
        self.limit = f32::INFINITY;
    }

    /// What is dropped could not be kept in the end, in whichever order vectors are offered.
    fn thin(&mut self) {
        if self.keys.len() > self.keep {
            let (_, last, _) = self.keys.select_nth_unstable(self.keep - 1);
            self.limit = last.score();
            self.keys.truncate(self.keep);
        }
    }
}

impl Collect for Tokens {
    fn limit(&self, _error: f32) -> f32 {
        self.limit
    }

    fn offer(&mut self, estimated: &[Estimated]) {
        let limit = self.limit;
        let near = estimated.iter().filter(|found| found.estimate <= limit);
        self.keys.extend(near.map(|found| Key::new(found.estimate, found.location.position().into())));
        if self.keys.len() >= 2 * self.keep {
            self.thin();
        }
    }

    fn exact_limit(&self) -> f32 {
        f32::NEG_INFINITY
    }

    fn exact(&mut self, _score: f32, _id: u64) {}

    fn end(&self) -> Option<End> {
        None
    }

    fn is_undecided(&self) -> bool {
        false
    }

    fn undecided(&mut self, _query: &Query<'_>, _room: usize) -> Undecided<'_> {
        self.uncompared()
    }

    fn uncompared(&mut self) -> Undecided<'_> {
        Undecided { kept: [].iter_mut(), errors: 0.0, limit: 0.0 }
    }

    fn candidates(&self) -> u32 {
        self.keys.len() as u32 // CAST: fewer than twice those kept
    }

    fn finish(&mut self) -> Found<'_> {
        self.thin();
        Found { keys: &self.keys, estimated: &[] }
    }
}

#[cfg(test)]
mod tests {
    use spandrel_index::Location;

    use super::*;

    #[test]
    fn the_nearest_are_kept_in_whichever_order_they_come() {
        let offered: Vec<Estimated> = (0..500_u32)
            .map(|at| {
                let estimate = f32::from((at * 37 % 101) as u8); // CAST: below 101
                Estimated { location: Location::new(0, at), estimate, error: 1.0 }
            })
            .collect();
        let mut wanted: Vec<Key> =
            offered.iter().map(|of| Key::new(of.estimate, of.location.position().into())).collect();
        wanted.sort_unstable();
        wanted.truncate(23);
        let backwards: Vec<Estimated> = offered.iter().rev().copied().collect();
        for offered in [offered, backwards] {
            let mut tokens = Tokens::default();
            tokens.reset(23);
            offered.chunks(16).for_each(|list| tokens.offer(list));
            assert!(tokens.limit(0.0) < f32::INFINITY && !tokens.is_undecided());
            let mut found = tokens.finish().keys.to_vec();
            found.sort_unstable();
            assert_eq!(found, wanted);
        }
    }
}
