//! Sorting and selecting in pieces, between which the caller may give up: a million elements take a tenth of a second.
use std::cmp::Ordering;

/// Elements that are put in order or moved between two questions whether to go on: about 0.2 ms.
pub const PIECE: usize = 1 << 12;
/// Elements that a pivot is chosen from.
const SAMPLE: usize = 63;

/// Sorts as `sort_unstable_by` does. Says whether it came to an end: not where `go_on` says no, which is asked before
/// each [`PIECE`] if there are more elements than one. Elements are then in no particular order.
pub fn sort_while<T: Copy>(
    items: &mut [T],
    order: impl Fn(&T, &T) -> Ordering,
    go_on: &mut dyn FnMut() -> bool,
) -> bool {
    if items.len() <= PIECE {
        items.sort_unstable_by(order);
        return true;
    }
    let mut unsorted = vec![items];
    while let Some(items) = unsorted.pop() {
        if items.len() <= PIECE {
            if !go_on() {
                return false;
            }
            items.sort_unstable_by(&order);
            continue;
        }
        let Some((less, equal)) = split_around(items, items.len() / 2, &order, go_on) else { return false };
        let (before, rest) = items.split_at_mut(less);
        unsorted.push(before);
        unsorted.push(&mut rest[equal..]);
    }
    true
}

/// Puts the `n`-th element where it belongs as `select_nth_unstable_by` does, with none greater before it and none less
/// after it. Says whether it came to an end, as [`sort_while`].
///
/// # Panics
/// When there is no `n`-th element.
pub fn select_while<T: Copy>(
    items: &mut [T],
    n: usize,
    order: impl Fn(&T, &T) -> Ordering,
    go_on: &mut dyn FnMut() -> bool,
) -> bool {
    let (mut start, mut end) = (0, items.len());
    while end - start > PIECE {
        let window = &mut items[start..end];
        let Some((less, equal)) = split_around(window, n - start, &order, go_on) else { return false };
        if n < start + less {
            end = start + less;
        } else if n < start + less + equal {
            return true;
        } else {
            start += less + equal;
        }
    }
    items[start..end].select_nth_unstable_by(n - start, order);
    true
}

/// Moves what is less than one of the elements before what is equal to it, and that before the rest: how many are less,
/// and equal. The element is chosen to be near the `n`-th. Nothing where `go_on` says no.
fn split_around<T: Copy>(
    items: &mut [T],
    n: usize,
    order: &impl Fn(&T, &T) -> Ordering,
    go_on: &mut dyn FnMut() -> bool,
) -> Option<(usize, usize)> {
    let mut sample: Vec<T> = items.iter().step_by(items.len().div_ceil(SAMPLE)).copied().collect();
    let at = n * sample.len() / items.len();
    let pivot = *sample.select_nth_unstable_by(at, order).1;
    let less = partition(items, |item| order(item, &pivot).is_lt(), go_on)?;
    let equal = partition(&mut items[less..], |item| order(item, &pivot).is_le(), go_on)?;
    Some((less, equal))
}

/// Keeps the elements for which `keep` says so, as `Vec::retain` does. Says whether it came to an end, as [`sort_while`];
/// which are left is not known if not.
pub fn retain_while<T: Copy>(
    items: &mut Vec<T>,
    keep: impl FnMut(&T) -> bool,
    go_on: &mut dyn FnMut() -> bool,
) -> bool {
    let kept = partition(items, keep, go_on);
    items.truncate(kept.unwrap_or_default());
    kept.is_some()
}

/// Of neighbours with one key keeps the first, as `Vec::dedup_by_key` does. Says whether it came to an end, as
/// [`retain_while`].
pub fn dedup_while<T: Copy, K: PartialEq>(
    items: &mut Vec<T>,
    key: impl Fn(&T) -> K,
    go_on: &mut dyn FnMut() -> bool,
) -> bool {
    let mut last = None;
    let is_new = |item: &T| {
        let key = Some(key(item));
        let is_new = last != key;
        last = key;
        is_new
    };
    retain_while(items, is_new, go_on)
}

/// Moves the elements of a kind before the others, in the order they have: how many they are. Each is looked at once, in
/// order. Nothing where `go_on` says no, which is asked before each [`PIECE`] if there are more elements than one.
fn partition<T: Copy>(
    items: &mut [T],
    mut is_first: impl FnMut(&T) -> bool,
    go_on: &mut dyn FnMut() -> bool,
) -> Option<usize> {
    let mut first = 0;
    for start in (0..items.len()).step_by(PIECE) {
        if items.len() > PIECE && !go_on() {
            return None;
        }
        for at in start..items.len().min(start + PIECE) {
            let is_first = is_first(&items[at]);
            items.swap(first, at);
            first += usize::from(is_first);
        }
    }
    Some(first)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Inputs that are hard for some ways of sorting, each longer than some pieces, one not.
    fn inputs() -> Vec<(&'static str, Vec<u64>)> {
        let count = 50_000_u64;
        let mixed = |i: u64| i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
        vec![
            ("few", (0..100).map(mixed).collect()),
            ("mixed", (0..count).map(mixed).collect()),
            ("ascending", (0..count).collect()),
            ("descending", (0..count).rev().collect()),
            ("equal", vec![7; 50_000]),
            ("two values", (0..count).map(|i| mixed(i) % 2).collect()),
            ("organ pipe", (0..count).map(|i| i.min(count - i)).collect()),
            (
                "a smallest in each sample",
                (0..count).map(|i| if i % 794 == 0 { i } else { i + count }).collect(),
            ),
        ]
    }

    #[test]
    fn orders_as_the_standard_library_does() {
        for (name, input) in inputs() {
            let mut expected = input.clone();
            expected.sort_unstable();
            let mut sorted = input.clone();
            assert!(sort_while(&mut sorted, u64::cmp, &mut || true));
            assert!(sorted == expected, "{name}");
            for n in [0, 1, input.len() / 3, input.len() / 2, input.len() - 1] {
                let mut selected = input.clone();
                assert!(select_while(&mut selected, n, u64::cmp, &mut || true));
                let nth = selected[n];
                assert_eq!(nth, expected[n], "{name}: {n}");
                assert!(selected[..n].iter().all(|&x| x <= nth) && selected[n..].iter().all(|&x| x >= nth));
                selected.sort_unstable();
                assert!(selected == expected, "{name}: {n}");
            }
        }
    }

    #[test]
    fn retains_as_the_standard_library_does() {
        for (name, input) in inputs() {
            let (mut kept, mut expected) = (input.clone(), input.clone());
            assert!(retain_while(&mut kept, |&item| item % 3 == 0, &mut || true));
            expected.retain(|&item| item % 3 == 0);
            assert!(kept == expected, "{name}");
            let (mut distinct, mut expected) = (input.clone(), input.clone());
            assert!(dedup_while(&mut distinct, |&item| item / 5, &mut || true));
            expected.dedup_by_key(|item| *item / 5);
            assert!(distinct == expected, "{name}");
            assert_eq!(dedup_while(&mut input.clone(), |&item| item, &mut || false), name == "few");
        }
    }

    /// Comparisons made after the last time that `go_on` was asked, and before that time; `go_on` says no at question `asks`.
    fn comparisons(
        asks: u32,
        work: impl Fn(&dyn Fn(&u64, &u64) -> Ordering, &mut dyn FnMut() -> bool) -> bool,
    ) -> (bool, u32) {
        let (since, most, asked) = (Cell::new(0), Cell::new(0), Cell::new(0));
        let order = |a: &u64, b: &u64| {
            since.set(since.get() + 1);
            most.set(most.get().max(since.get()));
            a.cmp(b)
        };
        let ended = work(&order, &mut || {
            since.set(0);
            asked.set(asked.get() + 1);
            asked.get() < asks
        });
        if !ended {
            assert_eq!((asked.get(), since.get()), (asks, 0), "work after the answer was no");
        }
        (ended, most.get())
    }

    #[test]
    fn nothing_is_done_after_a_no_and_no_more_than_a_piece_between_two_questions() {
        // A piece sorts with less than 2 n log2 n comparisons.
        let piece = 2 * PIECE as u32 * PIECE.ilog2();
        for (name, input) in inputs() {
            for asks in [1, 2, 5, 9, u32::MAX] {
                let (ended, most) =
                    comparisons(asks, |order, go_on| sort_while(&mut input.clone(), order, go_on));
                assert_eq!(ended, asks == u32::MAX || name == "few", "{name}");
                assert!(most <= piece, "{name}: {most}");
                let n = input.len() / 2;
                let (ended, most) =
                    comparisons(asks, |order, go_on| select_while(&mut input.clone(), n, order, go_on));
                assert!(ended || asks < u32::MAX, "{name}");
                assert!(most <= piece, "{name}: {most}");
            }
        }
    }
}
