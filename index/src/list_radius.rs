//! How far the vectors of a list are from its head: which lists can hold a vector within a radius of a query.
//!
//! Distances are those of head space, without the element that lifts inner product: it is 0 in every query. With a head `c`,
//! a radius `r` and a vector `x` of the list, `|x - c| <= r`. So a query `q` is no nearer to `x` than `|q - c| - r`, and its inner
//! product with `x` is at most `<q, c> + |q| r`. That of the lifted rows would bound the product by
//! `<q, c> + |q - c| r' - r'^2 / 2` in units of the longest vector: `r'` is no less than `r`, and `|q - c|` is above 1 for all
//! but the nearest heads.
//!
//! Copies do not count: each vector lies in its own list too.

/// Sums kept side by side, so that no sum waits for the one before, in an order that no instruction set changes.
const LANES: usize = 16;

/// The radius of a list under `head` that holds `rows` of `width` elements in head space; of head and rows the first `dim`
/// elements count. 0 without rows.
///
/// It is computed in double precision and rounded up.
pub fn list_radius(head: &[f32], rows: &[f32], width: usize, dim: usize) -> f32 {
    let squared = rows.chunks_exact(width).map(|row| squared_distance(head, row, dim));
    let radius = squared.fold(0.0, f64::max).sqrt();
    let rounded = radius as f32; // CAST: rounds to nearest
    if f64::from(rounded) < radius { rounded.next_up() } else { rounded }
}

fn squared_distance(head: &[f32], row: &[f32], dim: usize) -> f64 {
    let mut sums = [0.0; LANES];
    let dim = dim.min(head.len()).min(row.len());
    for (head, row) in head[..dim].chunks(LANES).zip(row[..dim].chunks(LANES)) {
        for ((sum, &x), &c) in sums.iter_mut().zip(row).zip(head) {
            *sum += (f64::from(x) - f64::from(c)).powi(2);
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_row_is_farther_and_the_lifting_element_does_not_count() {
        let (head, rows) = ([1.0, 2.0, 9.0], [1.0, 2.0, 5.0, 4.0, 6.0, 9.0]);
        assert_eq!(list_radius(&head, &rows, 3, 2), 5.0);
        assert_eq!(list_radius(&head, &rows, 3, 3), 5.0);
        assert_eq!(list_radius(&head, &rows[..3], 3, 2), 0.0);
        assert_eq!(list_radius(&head, &rows[..3], 3, 3), 4.0);
        assert_eq!(list_radius(&head, &[], 3, 2), 0.0);
        let third = list_radius(&[0.0; 40], &[0.1; 40], 40, 40);
        let exact = (40.0 * f64::from(0.1_f32).powi(2)).sqrt();
        assert!(f64::from(third) >= exact && f64::from(third.next_down()) < exact);
    }
}
