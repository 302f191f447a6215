//! Which further lists a vector is copied to.
//!
//! Everything is made of squared distances. With the residuals `r = x - c` and `r' = x - c'`,
//! `<r, r'> = (|r|^2 + |r'|^2 - |c - c'|^2) / 2`.
use spandrel_names::named;

use crate::measured::filing::{AIR_LAMBDA, SOAR_LAMBDA};

/// The rule that chooses a vector's replicas among its nearest heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReplicaRule {
    /// No replicas.
    None,
    /// Relative neighbourhood: a head is kept unless a kept one lies nearer to it than the vector does (SPANN,
    /// Chen et al. 2021).
    Rng,
    /// Always the full number, each the head with the least `|r'|^2 + lambda sum <r_i/|r_i|, r'>^2` over the copies so far
    /// (SOAR, Sun et al. 2023, which has one replica), lambda 1.
    Soar,
    /// The least `|r'|^2 + lambda max <r_i, r'>` while below `(1 + lambda) |r|^2`, lambda 0.5.
    Air,
}

named! { ReplicaRule, "replica rule", None => "none", Rng => "rng", Soar => "soar", Air => "air" }

impl ReplicaRule {
    /// Chooses a vector's lists: places in `nearest`, the primary (the first) before its replicas.
    ///
    /// `nearest` holds the squared distances to candidate heads, ascending; `between(place, out)` fills `out` with the
    /// squared distances from the head at a place to all of them. At most `copies_max` places come out, the
    /// primary counted. A vector that lies on its head gets no replica: whoever finds it finds that head
    /// first.
    pub fn choose(
        self,
        nearest: &[f32],
        mut between: impl FnMut(usize, &mut [f32]),
        copies_max: usize,
        scratch: &mut RuleScratch,
        out: &mut Vec<usize>,
    ) {
        out.clear();
        let Some(&primary) = nearest.first() else { return };
        out.push(0);
        if self == ReplicaRule::None || primary <= 0.0 {
            return;
        }
        let RuleScratch { from_kept, burden } = scratch;
        from_kept.clear();
        from_kept.resize(nearest.len(), 0.0);
        burden.clear();
        burden.resize(nearest.len(), if self == ReplicaRule::Air { f32::NEG_INFINITY } else { 0.0 });
        let mut kept = 0;
        while out.len() < copies_max {
            between(kept, from_kept);
            self.add_burden(nearest, kept, from_kept, burden);
            // A place is chosen once.
            burden[kept] = f32::INFINITY;
            let Some(next) = self.next(nearest, burden) else { return };
            out.push(next);
            kept = next;
        }
    }

    /// What a kept head adds to the burden of every other.
    fn add_burden(self, nearest: &[f32], kept: usize, from_kept: &[f32], burden: &mut [f32]) {
        let own = nearest[kept];
        for ((burden, &distance), &between) in burden.iter_mut().zip(nearest).zip(from_kept) {
            let product = (own + distance - between) * 0.5;
            *burden = match self {
                ReplicaRule::None => *burden,
                ReplicaRule::Rng => *burden + f32::from(u8::from(between < distance)),
                ReplicaRule::Soar => *burden + squared_over(product, own),
                ReplicaRule::Air => burden.max(product),
            };
        }
    }

    /// The place to keep next: the first of the best, if any is good enough.
    fn next(self, nearest: &[f32], burden: &[f32]) -> Option<usize> {
        let (weight, limit) = match self {
            ReplicaRule::None => return None,
            ReplicaRule::Rng => return burden.iter().position(|&burden| burden == 0.0),
            ReplicaRule::Soar => (SOAR_LAMBDA, f32::INFINITY),
            ReplicaRule::Air => (AIR_LAMBDA, (1.0 + AIR_LAMBDA) * nearest[0]),
        };
        let mut best = (limit, None);
        for (at, (distance, burden)) in nearest.iter().zip(burden).enumerate() {
            let loss = distance + weight * burden;
            if loss < best.0 {
                best = (loss, Some(at));
            }
        }
        best.1
    }
}

/// `product^2 / own`, also where the square leaves single precision at either end.
fn squared_over(product: f32, own: f32) -> f32 {
    let squared = product * product;
    if squared.is_normal() { squared / own } else { product / own * product }
}

/// Buffers of [`ReplicaRule::choose`].
#[derive(Debug, Default)]
pub struct RuleScratch {
    from_kept: Vec<f32>,
    burden: Vec<f32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Places chosen for a vector at the origin among heads in the plane, nearest first.
    fn choose(rule: ReplicaRule, heads: &[(f32, f32)], copies_max: usize) -> Vec<usize> {
        let nearest: Vec<f32> = heads.iter().map(|h| h.0 * h.0 + h.1 * h.1).collect();
        assert!(nearest.is_sorted());
        let between = |place: usize, out: &mut [f32]| {
            for (out, head) in out.iter_mut().zip(heads) {
                let (dx, dy) = (heads[place].0 - head.0, heads[place].1 - head.1);
                *out = dx * dx + dy * dy;
            }
        };
        let mut out = Vec::new();
        rule.choose(&nearest, between, copies_max, &mut RuleScratch::default(), &mut out);
        out
    }

    #[test]
    fn rng_drops_heads_behind_a_kept_one() {
        let heads = [(1.0, 0.0), (1.2, 0.1), (-1.3, 0.0), (-1.4, 0.2), (0.0, 2.0)];
        assert_eq!(choose(ReplicaRule::Rng, &heads, 8), [0, 2, 4]);
        assert_eq!(choose(ReplicaRule::Rng, &heads, 2), [0, 2]);
        assert_eq!(choose(ReplicaRule::None, &heads, 8), [0]);
        assert_eq!(choose(ReplicaRule::Rng, &[], 8), [0_usize; 0]);
    }

    #[test]
    fn soar_prefers_a_right_angle() {
        // Losses: 1.21 + 1.21, 1.44 + 0, 1.69 + 1.69.
        let heads = [(1.0, 0.0), (1.1, 0.0), (0.0, 1.2), (-1.3, 0.0)];
        assert_eq!(choose(ReplicaRule::Soar, &heads, 2), [0, 2]);
        assert_eq!(choose(ReplicaRule::Soar, &heads, 9).len(), 4);
    }

    #[test]
    fn the_scale_of_the_vectors_does_not_matter() {
        let heads = [(1.0, 0.0), (1.1, 0.0), (0.0, 1.2), (-1.3, 0.0)];
        for rule in ReplicaRule::ALL {
            for scale in [1e-15_f32, 1e-6, 1e6, 1e15] {
                let scaled = heads.map(|(x, y)| (x * scale, y * scale));
                let expected = choose(rule, &heads, 2);
                assert_eq!(choose(rule, &scaled, 2), expected, "{rule} at {scale}");
            }
        }
    }

    #[test]
    fn air_prefers_the_opposite_side_and_stops() {
        // Losses: 1.21 + 0.55, 1.44 + 0, 1.69 - 0.65, 2.56 + 0; the limit is 1.5.
        let heads = [(1.0, 0.0), (1.1, 0.0), (0.0, 1.2), (-1.3, 0.0), (0.0, -1.6)];
        assert_eq!(choose(ReplicaRule::Air, &heads, 2), [0, 3]);
        assert_eq!(choose(ReplicaRule::Air, &heads, 9), [0, 3, 2]);
    }

    #[test]
    fn a_vector_on_its_head_has_no_replica() {
        for rule in ReplicaRule::ALL {
            assert_eq!(choose(rule, &[(0.0, 0.0), (1.0, 0.0), (-1.0, 0.0)], 8), [0]);
            assert_eq!(rule.name().parse(), Ok(rule));
        }
        assert!("both".parse::<ReplicaRule>().is_err());
    }
}
