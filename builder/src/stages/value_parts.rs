//! Parts of the values of a partition that have more rows than fit in memory: each value's own, so that they are of equal size and
//! near each other wherever the value lies.
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use rayon::ThreadPool;

use crate::Rows;
use crate::cluster::{CoarseParts, Stopped};

/// The parts of each divided value.
#[derive(Debug, Default)]
pub(super) struct ValueParts(BTreeMap<u32, CoarseParts>);

/// What parts of values are learned from.
pub(super) struct ValueSample<'a> {
    pub(super) rows: Rows<'a>,
    /// The value of each row; nothing for other rows than those of divided values.
    pub(super) values: Vec<Option<u32>>,
    pub(super) pool: &'a ThreadPool,
    pub(super) stop: &'a AtomicBool,
}

impl ValueParts {
    /// Learns the parts of `divided` values, with the number of each; `seed_of` gives the seed of a value. A value that no row of the
    /// sample has is not divided.
    ///
    /// # Errors
    /// [`Stopped`].
    pub(super) fn train(
        sample: &ValueSample<'_>,
        divided: impl Iterator<Item = (u32, u32)>,
        seed_of: impl Fn(u32) -> u64,
    ) -> Result<ValueParts, Stopped> {
        let by_value = by_value(&sample.values);
        let mut parts = BTreeMap::new();
        for (value, pieces) in divided {
            let Some(picks) = by_value.get(&value) else { continue };
            let mut bytes = Vec::with_capacity(picks.len() * sample.rows.row_bytes());
            sample.rows.gather(picks, &mut bytes);
            let rows = sample.rows.with_bytes(&bytes);
            let of_value =
                CoarseParts::train(rows, pieces as usize, seed_of(value), sample.pool, sample.stop)?;
            parts.insert(value, of_value);
        }
        Ok(ValueParts(parts))
    }

    /// Adds to `groups`, which has the first group of each row's value, the part of the row.
    pub(super) fn add_parts(&self, rows: Rows<'_>, values: &[Option<u32>], groups: &mut [u32]) {
        let (mut bytes, mut of_pick) = (Vec::new(), Vec::new());
        for (value, picks) in by_value(values) {
            let Some(parts) = self.0.get(&value) else { continue };
            bytes.clear();
            rows.gather(&picks, &mut bytes);
            of_pick.clear();
            of_pick.resize(picks.len(), 0);
            parts.assign(rows.with_bytes(&bytes), &mut of_pick);
            picks.iter().zip(&of_pick).for_each(|(&pick, part)| groups[pick as usize] += part);
        }
    }
}

/// The numbers of the rows of each value.
fn by_value(values: &[Option<u32>]) -> BTreeMap<u32, Vec<u32>> {
    let mut picks: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (value, number) in values.iter().zip(0..) {
        if let Some(value) = *value {
            picks.entry(value).or_default().push(number);
        }
    }
    picks
}

#[cfg(test)]
mod tests {
    use spandrel_index::DType;

    use super::*;

    /// A value in a corner of space has parts that lie apart from each other, and are about of equal size.
    #[test]
    fn a_value_in_a_corner_is_divided_as_one_that_is_everywhere() {
        // One value in a tenth of space, another everywhere.
        let corner = |at: u32| at.is_multiple_of(2);
        let place = |at: u32| {
            let spread = f64::from(at * 7919 % 10_007) / 10_007.0;
            if corner(at) { 0.9 + 0.1 * spread } else { spread }
        };
        let rows: Vec<f32> = (0..6000).map(|at| place(at) as f32).collect();
        let bytes: Vec<u8> = rows.iter().flat_map(|x| x.to_le_bytes()).collect();
        let rows_of = Rows { dtype: DType::F32, dim: 1, bytes: &bytes };
        let values: Vec<Option<u32>> = (0..6000).map(|at| Some(if corner(at) { 3 } else { 9 })).collect();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let stop = AtomicBool::new(false);
        let sample = ValueSample { rows: rows_of, values: values.clone(), pool: &pool, stop: &stop };
        let parts = ValueParts::train(&sample, [(3, 4), (9, 2), (11, 5)].into_iter(), u64::from).unwrap();
        // The first groups of both values.
        let first = |value: Option<u32>| if value == Some(3) { 10 } else { 20 };
        let mut groups: Vec<u32> = values.iter().map(|&value| first(value)).collect();
        parts.add_parts(rows_of, &values, &mut groups);
        let mut found: BTreeMap<u32, Vec<f32>> = BTreeMap::new();
        groups.iter().zip(&rows).for_each(|(&group, &row)| found.entry(group).or_default().push(row));
        assert_eq!(found.keys().copied().collect::<Vec<_>>(), [10, 11, 12, 13, 20, 21]);
        for (group, rows) in &mut found {
            rows.sort_unstable_by(f32::total_cmp);
            let (parts, width) = if *group < 20 { (4, 0.1) } else { (2, 1.0) };
            let (most, spread) = (2 * 3000 / parts, rows[rows.len() - 1] - rows[0]);
            assert!(rows.len() <= most, "group {group}: {} rows", rows.len());
            assert!(spread <= 2.0 * width / parts as f32, "group {group} is {spread} wide");
        }
    }
}
