//! How far a row looks: into which of the lists near its group.
//!
//! With `d(r)` the squared distance to its list of rank `r`, counted from 1, and `x(r) = (d(r) + c) / (d(1) + c)`, a row looks into its lists as long
//! as `r x(r)^p <= budget`: into fewer where they are soon much farther than the nearest. `c` is the mean of `d(1)` over a sample, so that a row
//! that is a head itself looks further than into its own list. `p`, and the budget for a recall, come from the sample (`tune`).
//!
//! Lists are told apart by buckets of `x - 1`, a sixteenth of an octave each: `r` and `x` are those at the end of a bucket. Into the lists of
//! the first, where `x - 1` is below 2^-12, a row always looks.

use spandrel_index::kernels::below;

/// Bits of a float below those that tell buckets apart: four bits of the mantissa are left.
const SHIFT: u32 = f32::MANTISSA_DIGITS - 1 - 4;
/// The first bucket: up to 2^-12.
const FIRST: u32 = (f32::MAX_EXP.unsigned_abs() - 1 - 12) << 4;
/// Buckets: from 2^-12 to 2^8, the last open.
pub(super) const BUCKETS: usize = 20 << 4;

/// How far rows look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reach {
    /// How often `x` is squared for its power: `p` is 2 to this, or 0 without.
    pub(super) squarings: Option<u32>,
    /// The `c`.
    pub(super) offset: f32,
    /// Largest `r x^p`.
    pub(super) budget: f64,
}

impl Reach {
    /// What rank `rank` and an `x` of the bucket cost.
    pub(super) fn cost(squarings: Option<u32>, rank: u32, bucket: usize) -> f64 {
        let Some(squarings) = squarings else { return rank.into() };
        let mut power = 1.0 + f64::from(end_of(bucket));
        (0..squarings).for_each(|_| power *= power);
        f64::from(rank) * power
    }

    /// The number of buckets that a row with `counts` lists in them looks into, 1 or more.
    pub(super) fn buckets(&self, counts: &[u16]) -> usize {
        self.buckets_by(counts, |rank, bucket| Reach::cost(self.squarings, rank, bucket))
    }

    fn buckets_by(&self, counts: &[u16], cost: impl Fn(u32, usize) -> f64) -> usize {
        let mut rank = 0;
        let is_within = |&(bucket, count): &(usize, &u16)| {
            rank += u32::from(*count);
            bucket == 0 || cost(rank, bucket) <= self.budget
        };
        counts.iter().enumerate().take_while(is_within).count()
    }
}

/// The last step that a row looks into, of one that looks into this number of buckets.
fn last_step(buckets: usize) -> u32 {
    if buckets == BUCKETS { u32::MAX } else { end_of(buckets - 1).to_bits() - 1 }
}

/// Picks the lists that rows look into.
pub(super) struct Picker {
    reach: Reach,
    /// Of each bucket, the cost of rank 1.
    costs: Vec<f64>,
    /// The last step that a row looks into at all.
    farthest: u32,
    /// Steps of the lists of a row.
    steps: Vec<u32>,
}

impl Picker {
    pub(super) fn new(reach: Reach) -> Picker {
        let cost = |bucket| Reach::cost(reach.squarings, 1, bucket);
        // Ranks only grow.
        let mut alone = [0; BUCKETS];
        alone[0] = 1;
        Picker {
            reach,
            costs: (0..BUCKETS).map(cost).collect(),
            farthest: last_step(reach.buckets(&alone)),
            steps: Vec::new(),
        }
    }

    /// Of lists at these squared distances, the least of them `first`, the places of those that a row looks into.
    pub(super) fn pick(&mut self, first: f32, distances: &[f32], out: &mut Vec<u32>) {
        let scale = Scale::new(first, self.reach.offset);
        self.steps.clear();
        self.steps.extend(distances.iter().map(|&distance| scale.step(distance)));
        out.clear();
        // Most lists are farther than any row may look.
        below(distances, scale.bound(self.farthest), out);
        let step = |pick: u32| self.steps[pick as usize]; // CAST: widening
        let mut counts = [0_u16; BUCKETS];
        for &pick in &*out {
            let count = &mut counts[bucket_of(step(pick))];
            *count = count.saturating_add(1);
        }
        // The same product as in `Reach::cost`.
        let cost = |rank: u32, bucket: usize| f64::from(rank) * self.costs[bucket];
        let last = last_step(self.reach.buckets_by(&counts, cost));
        out.retain(|&pick| step(pick) <= last);
    }
}

/// How a row sees distances.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    first: f32,
    inverse: f32,
}

impl Scale {
    /// Of a row whose nearest head is at `first`, with the offset `c`.
    pub(super) fn new(first: f32, offset: f32) -> Scale {
        Scale { first, inverse: 1.0 / (first + offset).max(f32::MIN_POSITIVE) }
    }

    /// A number that grows with a squared distance: the bits of `x - 1`. That of what is no number is the least.
    #[inline]
    pub(super) fn step(&self, distance: f32) -> u32 {
        ((distance - self.first) * self.inverse).max(0.0).to_bits()
    }

    /// A squared distance, or a little more, behind which all steps are larger.
    fn bound(&self, step: u32) -> f32 {
        if step == u32::MAX {
            return f32::INFINITY;
        }
        (self.first + f32::from_bits(step) / self.inverse) * 1.00001
    }

    /// The bucket of a squared distance.
    #[inline]
    pub(super) fn bucket(&self, distance: f32) -> usize {
        bucket_of(self.step(distance))
    }
}

/// The bucket of a step.
#[inline]
fn bucket_of(step: u32) -> usize {
    ((step >> SHIFT).saturating_sub(FIRST) as usize).min(BUCKETS - 1) // CAST: widening
}

/// The first `x - 1` behind a bucket.
fn end_of(bucket: usize) -> f32 {
    f32::from_bits((FIRST + 1 + bucket as u32) << SHIFT) // CAST: at most `BUCKETS`, 320
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bucket of an `x`.
    fn at(x: f32) -> usize {
        Scale::new(1.0, 0.0).bucket(x)
    }

    #[test]
    fn buckets_are_a_share_of_an_octave() {
        assert_eq!(FIRST, 2.0_f32.powi(-12).to_bits() >> SHIFT);
        assert_eq!([f32::NAN, 0.0, 1.0, 1.0001, 1.0 + 2.0_f32.powi(-11)].map(at), [0, 0, 0, 0, 16]);
        assert_eq!(
            [1.5, 2.0, 2.0625, 2.07, 3.0, 257.0, 1e30, f32::INFINITY].map(at),
            [176, 192, 193, 193, 208, 319, 319, 319]
        );
        let scale = Scale::new(3.0, 1.0);
        assert_eq!([3.0, 7.0, 11.0].map(|distance| scale.bucket(distance)), [0, 192, 208]);
        // A row that equals its head, among heads that equal each other.
        assert_eq!([0.0, 1.0].map(|distance| Scale::new(0.0, 0.0).bucket(distance)), [0, BUCKETS - 1]);
    }

    #[test]
    fn rows_look_into_fewer_lists_where_these_are_soon_far() {
        let mut counts = [0; BUCKETS];
        let [near, far] = [1.999, 3.999].map(at);
        (counts[0], counts[near], counts[far]) = (2, 3, 5);
        let buckets = |squarings, budget| Reach { squarings, offset: 0.0, budget }.buckets(&counts);
        // Without a power the rank alone counts.
        let found = [1.0, 2.0, 5.0, 9.9, 10.0].map(|budget| buckets(None, budget));
        assert_eq!(found, [1, near, far, far, BUCKETS]);
        // Five lists within twice the distance cost 10, and 20 with a square; ten within four times 40, and 160.
        let found = [9.9, 10.0, 39.9, 40.0].map(|budget| buckets(Some(0), budget));
        assert_eq!(found, [near, near + 1, far, far + 1]);
        let found = [19.9, 20.0, 159.9, 160.0].map(|budget| buckets(Some(1), budget));
        assert_eq!(found, [near, near + 1, far, far + 1]);
    }

    #[test]
    fn what_is_picked_is_what_is_counted() {
        for (first, offset) in [(0.5, 0.25), (0.0, 0.0), (3e30, 1e30), (1e-30, 0.0), (0.0, 7.0)] {
            let distances: Vec<f32> = (0..2000)
                .map(|at| first + (at * at) as f32 * 1e-4 * f32::max(first + offset, 1e-37))
                .collect();
            let scale = Scale::new(first, offset);
            let mut counts = vec![0; BUCKETS];
            distances.iter().for_each(|&distance| counts[scale.bucket(distance)] += 1);
            for (squarings, budget) in [1.0, 100.0, 1e4, 1e6, 1e20]
                .into_iter()
                .flat_map(|budget| [None, Some(0), Some(3)].map(|of| (of, budget)))
            {
                let reach = Reach { squarings, offset, budget };
                let mut picks = Vec::new();
                Picker::new(reach).pick(first, &distances, &mut picks);
                let last = last_step(reach.buckets(&counts));
                let expected = (0..2000).filter(|&at| scale.step(distances[at as usize]) <= last);
                assert_eq!(picks, expected.collect::<Vec<u32>>(), "{first} {squarings:?} {budget}");
                let within = &counts[..reach.buckets(&counts)];
                assert_eq!(picks.len(), within.iter().copied().map(usize::from).sum::<usize>(), "{budget}");
            }
        }
    }
}
