//! Axes: where values stand, and which of them are written beside the axis.

/// How values are spread along an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spread {
    Linear,
    Log,
    Recall,
}

/// An axis that reaches a little past the values it was made for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    spread: Spread,
    low: f64,
    high: f64,
    ticks: Vec<f64>,
}

/// Recalls written beside an axis, where there is room.
const RECALL_TICKS: [f64; 15] =
    [0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 0.995, 1.0];

/// Added to the missing recall, so that a recall of 1 has a finite place.
const RECALL_SOFTENER: f64 = 0.002;

impl Axis {
    /// An axis of recalls that gives equal room to equal shares of what is still missing.
    pub(super) fn recall(values: impl Iterator<Item = f64>) -> Axis {
        let (least, most) = range(values).unwrap_or((0.0, 1.0));
        let below = RECALL_TICKS.iter().rev().find(|t| **t < least).unwrap_or(&0.0);
        let above = RECALL_TICKS.iter().find(|t| **t > most).unwrap_or(&1.0);
        Axis::new(Spread::Recall, *below, *above, RECALL_TICKS.to_vec())
    }

    /// An axis of positive values, each power of ten as long as the next; others stand at its lower end.
    pub(super) fn log(values: impl Iterator<Item = f64>) -> Axis {
        let (least, most) = range(values.filter(|v| *v > 0.0)).unwrap_or((1.0, 10.0));
        let mantissas: &[f64] = match (most / least).log10() {
            decades if decades < 0.7 => &[1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0],
            decades if decades < 4.0 => &[1.0, 2.0, 5.0],
            _ => &[1.0],
        };
        let first = least.log10().floor() as i32 - 1; // CAST: values are within 1e-300..1e300
        let last = most.log10().ceil() as i32 + 1; // CAST: as above
        let steps: Vec<f64> =
            (first..=last).flat_map(|power| mantissas.iter().map(move |m| m * 10_f64.powi(power))).collect();
        let below = steps.iter().rev().find(|t| **t <= least * 0.98).copied().unwrap_or(least);
        let above = steps.iter().find(|t| **t >= most * 1.02).copied().unwrap_or(most);
        Axis::new(Spread::Log, below, above, steps)
    }

    /// An axis from zero on.
    pub(super) fn from_zero(values: impl Iterator<Item = f64>) -> Axis {
        let most = range(values).map_or(1.0, |(_, most)| most).max(1e-9);
        let power = 10_f64.powf((most / 4.0).log10().floor());
        let steps = [1.0, 2.0, 2.5, 5.0, 10.0].map(|m| m * power);
        let step = steps.into_iter().find(|s| most / s <= 6.0).unwrap_or(steps[4]);
        let count = (most * 1.02 / step).ceil();
        let ticks = (0..=count as u32).map(|at| f64::from(at) * step).collect(); // CAST: at most 62
        Axis::new(Spread::Linear, 0.0, count * step, ticks)
    }

    fn new(spread: Spread, low: f64, high: f64, ticks: Vec<f64>) -> Axis {
        let close = (high - low).abs() * 1e-9;
        let ticks = ticks.into_iter().filter(|t| (low - close..=high + close).contains(t)).collect();
        Axis { spread, low, high, ticks }
    }

    /// Where a value stands: 0 at the lower end of the axis, 1 at its upper end.
    pub(super) fn place(&self, value: f64) -> f64 {
        let at = |v: f64| match self.spread {
            Spread::Linear => v,
            Spread::Log => v.max(f64::MIN_POSITIVE).ln(),
            Spread::Recall => -(1.0 - v + RECALL_SOFTENER).ln(),
        };
        let (low, high) = (at(self.low), at(self.high));
        ((at(value) - low) / (high - low)).clamp(0.0, 1.0)
    }

    /// The values to write, none closer to the one before than `gap` of the axis; the ends come first.
    pub(super) fn ticks(&self, gap: f64) -> Vec<f64> {
        let Some((&first, rest)) = self.ticks.split_first() else { return Vec::new() };
        let Some((&last, middle)) = rest.split_last() else { return vec![first] };
        let mut kept = vec![first];
        for &tick in middle {
            let place = self.place(tick);
            if place - self.place(kept[kept.len() - 1]) >= gap && self.place(last) - place >= gap {
                kept.push(tick);
            }
        }
        kept.push(last);
        kept
    }
}

fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |range, v| match range {
        None => Some((v, v)),
        Some((least, most)) => Some((v.min(least), v.max(most))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_its_place() {
        let recall = Axis::recall([0.92, 0.99].into_iter());
        assert_eq!((recall.low, recall.high), (0.9, 0.995));
        assert!(recall.place(0.95) > 0.2 && recall.place(0.95) < 0.5);
        assert_eq!(Axis::recall([1.0].into_iter()).place(1.0), 1.0);
        assert_eq!(Axis::recall([0.0, 1.0].into_iter()).place(0.0), 0.0);

        let log = Axis::log([474.0, 12_500.0].into_iter());
        assert_eq!((log.low.round(), log.high.round()), (200.0, 20_000.0));
        assert!((log.place(2000.0) - 0.5).abs() < 1e-9);
        assert_eq!(log.place(0.0), 0.0);
        assert!(Axis::log([5.0].into_iter()).high > 5.0);

        let linear = Axis::from_zero([375.0, 900.0].into_iter());
        assert_eq!((linear.low, linear.high), (0.0, 1000.0));
        assert_eq!(Axis::from_zero([0.0].into_iter()).place(0.0), 0.0);
    }

    #[test]
    fn ticks_keep_their_distance() {
        let axis = Axis::recall([0.5, 0.999].into_iter());
        let ticks = axis.ticks(0.08);
        assert_eq!((ticks[0], ticks[ticks.len() - 1]), (0.4, 1.0));
        assert!(ticks.windows(2).all(|w| axis.place(w[1]) - axis.place(w[0]) >= 0.08 - 1e-9));
        assert!(Axis::log([1.0, 1e12].into_iter()).ticks(0.01).len() < 20);
        assert!(Axis::log([520.0, 900.0].into_iter()).ticks(0.05).len() >= 4);
    }
}
