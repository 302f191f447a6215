//! Positions of chosen scores, one by one.

/// Appends `first` plus the number of each bit that is set.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn push_bits(mut mask: u32, first: usize, out: &mut Vec<u32>) {
    let first = first as u32; // CAST: positions were checked to fit
    while mask != 0 {
        out.push(first + mask.trailing_zeros());
        mask &= mask - 1;
    }
}

/// Appends the positions, counted from `first`, of scores that are at most `limit`.
#[inline(always)]
pub(super) fn push_rest(scores: &[f32], first: usize, limit: f32, out: &mut Vec<u32>) {
    let chosen = scores.iter().enumerate().filter(|(_, s)| **s <= limit);
    out.extend(chosen.map(|(i, _)| (first + i) as u32)); // CAST: positions were checked to fit
}
