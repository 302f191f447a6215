//! How far a row looks: into which of the lists near its group.
//!
//! With `d(r)` the squared distance to its list of rank `r`, counted from 1, and `x(r) = (d(r) + c) / (d(1) + c)`, a row looks into its lists as long
//! as `r x(r)^p <= budget`: into fewer where they are soon much farther than the nearest. `c` is the mean of `d(1)` over a sample, so that a row
//! that is a head itself looks further than into its own list. `p`, and the budget for a recall, come from the sample (`tune`).
//!
//! Lists are told apart by buckets of `x - 1`, a sixteenth of an octave each: `r` and `x` are those at the end of a bucket. Into the lists of
//! the first, where `x - 1` is below 2^-12, a row always looks.

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
        let mut rank = 0;
        let is_within = |&(bucket, count): &(usize, &u16)| {
            rank += u32::from(*count);
            bucket == 0 || Reach::cost(self.squarings, rank, bucket) <= self.budget
        };
        counts.iter().enumerate().take_while(is_within).count()
    }

    /// The last step that such a row looks into.
    pub(super) fn last(&self, counts: &[u16]) -> u32 {
        let buckets = self.buckets(counts);
        if buckets == BUCKETS { u32::MAX } else { end_of(buckets - 1).to_bits() - 1 }
    }
}

/// How a row sees distances.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    first: f32,
    inverse: f32,
}

impl Scale {
    /// Distances as they are.
    pub(super) const PLAIN: Scale = Scale { first: 0.0, inverse: 1.0 };

    /// Of a row whose nearest head is at `first`, with the offset `c`.
    pub(super) fn new(first: f32, offset: f32) -> Scale {
        Scale { first, inverse: 1.0 / (first + offset).max(f32::MIN_POSITIVE) }
    }

    /// A number that grows with a squared distance: the bits of `x - 1`. That of what is no number is the least.
    #[inline]
    pub(super) fn step(&self, distance: f32) -> u32 {
        ((distance - self.first) * self.inverse).max(0.0).to_bits()
    }

    /// The bucket of a squared distance.
    #[inline]
    pub(super) fn bucket(&self, distance: f32) -> usize {
        ((self.step(distance) >> SHIFT).saturating_sub(FIRST) as usize).min(BUCKETS - 1) // CAST: widening
    }
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
        // Small distances as they are.
        assert!(Scale::PLAIN.step(1e-12) < Scale::PLAIN.step(1.1e-12));
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
    fn what_is_counted_is_what_is_looked_into() {
        let scale = Scale::new(0.5, 0.25);
        let distances: Vec<f32> = (0..2000).map(|at| 0.5 + (at * at) as f32 * 1e-4).collect();
        let mut counts = vec![0; BUCKETS];
        distances.iter().for_each(|&distance| counts[scale.bucket(distance)] += 1);
        for budget in [1.0, 100.0, 1e4, 1e6, 1e20] {
            let reach = Reach { squarings: Some(1), offset: 0.25, budget };
            let last = reach.last(&counts);
            let looked = distances.iter().filter(|&&distance| scale.step(distance) <= last).count();
            let within = &counts[..reach.buckets(&counts)];
            assert_eq!(looked, within.iter().copied().map(usize::from).sum::<usize>(), "{budget}");
        }
    }
}
