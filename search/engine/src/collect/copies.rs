//! Candidates of which several may be of one vector.
use spandrel_index::Location;
use spandrel_index::order::{dedup_while, sort_while};

use super::candidate::Candidate;
use crate::terms::Patience;

/// Buffers in which the copies of a vector come together. One number sorts in half the time of two.
#[derive(Debug, Default)]
pub(super) struct Copies {
    /// Of one segment: the position, and below it the bits of the distance.
    of_segment: Vec<u64>,
    of_segments: Vec<(Location, u32)>,
}

impl Copies {
    /// Appends the smallest `max(e, 0) + errors s` of each vector to `distances`: whether it came to an end.
    pub(super) fn least(
        &mut self,
        candidates: &[Candidate],
        errors: f32,
        distances: &mut Vec<f32>,
        patience: &mut Patience,
    ) -> bool {
        let Copies { of_segment, of_segments } = self;
        // Distances are not negative, so that their bits are in their order.
        let bits = |c: &Candidate| (c.most(errors) + 0.0).to_bits();
        let Some(segment) = candidates.first().map(|c| c.location.segment()) else { return true };
        let mut is_one = true;
        let is_of = |c: &Candidate| c.location.segment() == segment;
        if !patience.each_piece(candidates, |piece| is_one = is_one && piece.iter().all(is_of)) {
            return false;
        }
        if is_one {
            let key = |c: &Candidate| u64::from(c.location.position()) << 32 | u64::from(bits(c));
            of_segment.clear();
            patience.each_piece(candidates, |piece| of_segment.extend(piece.iter().map(key)))
                && sort_while(of_segment, u64::cmp, &mut || patience.go_on())
                && dedup_while(of_segment, |key| *key >> 32, &mut || patience.go_on())
                && patience.each_piece(of_segment, |piece| {
                    distances.extend(piece.iter().map(|&key| f32::from_bits(key as u32))); // CAST: the low 32 bits are the distance
                })
        } else {
            of_segments.clear();
            patience.each_piece(candidates, |piece| {
                of_segments.extend(piece.iter().map(|c| (c.location, bits(c))));
            }) && sort_while(of_segments, Ord::cmp, &mut || patience.go_on())
                && dedup_while(of_segments, |(location, _)| *location, &mut || patience.go_on())
                && patience.each_piece(of_segments, |piece| {
                    distances.extend(piece.iter().map(|&(_, bits)| f32::from_bits(bits)));
                })
        }
    }
}
