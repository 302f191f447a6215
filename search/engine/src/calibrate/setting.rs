//! What one search spends, as calibration tries it.

/// Steps of errors in one standard error.
const STEPS_PER_ERROR: u8 = 20;
/// Most steps of errors tried: nearly all true neighbours lie inside two and a half, and the count of vectors compared
/// exactly has a bound of its own.
pub(super) const STEPS_MAX: u8 = 50;
/// The same where all vectors may be compared.
pub(super) const STEPS_MAX_SMALL: u8 = 90;
/// Where there are too few vectors for the number of neighbours that errors are found by.
pub(super) const STEPS_USUAL: u8 = 20;
/// Pruning by distance that is tried. On SIFT descriptors it leaves out one list in seven of 192, and 0.001 of recall.
const EPSILON: f32 = 0.6;

/// How to search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Setting {
    pub(super) lists: u32,
    /// Standard errors, in steps of a twentieth.
    pub(super) steps: u8,
    /// Whether lists beyond [`EPSILON`] are left out.
    pub(super) pruned: bool,
    /// Whether a search ends where it has found enough, and may go on beyond these lists.
    pub(super) stops: bool,
}

impl Setting {
    /// Neither pruned by distance nor ended early.
    pub(super) const fn new(lists: u32, steps: u8) -> Setting {
        Setting { lists, steps, pruned: false, stops: false }
    }

    /// Errors in units of one.
    pub(super) fn errors(self) -> f32 {
        f32::from(self.steps) / f32::from(STEPS_PER_ERROR)
    }

    pub(super) fn epsilon(self) -> Option<f32> {
        self.pruned.then_some(EPSILON)
    }
}
