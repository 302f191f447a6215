//! Pair kernels written once, over the registers that each instruction set supplies.
//!
//! A row's value comes from two running sums (even and odd registers along the row) for every number of
//! rows scored together, so it depends on the two rows and the instruction set alone.
#![allow(unsafe_code)]

/// Scores `query` against `out.len()` rows of the query's length lying back to back.
///
/// # Safety
/// The machine runs the instruction set; `rows.len() == query.len() * out.len()`; the query is at least
/// [`PairFns::least`] bytes long.
pub(super) type RowsFn = unsafe fn(query: &[u8], rows: &[u8], out: &mut [f32]);

/// Scores `query` against the rows numbered `picks`.
///
/// # Safety
/// As for [`RowsFn`], but: `picks.len() == out.len()` and every picked row lies inside `rows`.
pub(super) type PicksFn = unsafe fn(query: &[u8], rows: &[u8], picks: &[u32], out: &mut [f32]);

/// The functions for one operation and element type.
#[derive(Debug, Clone, Copy)]
pub(super) struct PairFns {
    pub(super) rows: RowsFn,
    pub(super) picks: PicksFn,
    /// Shortest row in bytes that they may be given.
    pub(super) least: usize,
}

/// How many groups of four picked rows ahead of the one being scored are asked for.
const GROUPS_AHEAD: usize = 2;

/// How far ahead of the rows being scored the next are asked for, and how many cache lines for each four rows:
/// a fifth faster on rows that come from memory, however short the list; longer rows the hardware follows.
const BYTES_AHEAD: usize = 2048;
const LINES_PER_FOUR: usize = 16;

/// Cache lines of a picked row that are asked for; the hardware follows a row longer than this by itself.
const LINES_AHEAD: usize = 12;

/// A register of row elements, widened for arithmetic, and the running sums made from it.
///
/// # Safety
/// Every function may be called only on machines with the instruction set.
pub(super) trait Lane {
    type Wide: Copy;
    type Sum: Copy;

    /// Bytes of a row that fill one register.
    const BYTES: usize;

    /// Bytes of the shortest row that `load_end` can be used on.
    const LEAST: usize = Self::BYTES;

    unsafe fn zero() -> Self::Sum;

    /// # Safety
    /// `BYTES` bytes can be read at `at`.
    unsafe fn load(at: *const u8) -> Self::Wide;

    /// The last `bytes < BYTES` bytes before `end`, the other elements zero.
    ///
    /// # Safety
    /// `bytes` bytes, and `LEAST` if that is more, can be read before `end`.
    unsafe fn load_end(end: *const u8, bytes: usize) -> Self::Wide;

    /// `sum + (a - b)^2`
    unsafe fn add_square(sum: Self::Sum, a: Self::Wide, b: Self::Wide) -> Self::Sum;

    /// `sum + a b`
    unsafe fn add_product(sum: Self::Sum, a: Self::Wide, b: Self::Wide) -> Self::Sum;

    /// For each of four rows the total of its even and odd sums.
    unsafe fn totals(even: [Self::Sum; 4], odd: [Self::Sum; 4]) -> [f32; 4];

    /// Asks for the cache line at `at`, which need not be mapped.
    fn prefetch(at: *const u8);
}

#[inline(always)]
unsafe fn add<L: Lane, const SQUARED: bool>(sum: L::Sum, a: L::Wide, b: L::Wide) -> L::Sum {
    // SAFETY: passed on from the caller.
    unsafe { if SQUARED { L::add_square(sum, a, b) } else { L::add_product(sum, a, b) } }
}

/// Scores `N <= 4` rows of `bytes >= L::LEAST` bytes each.
#[inline(always)]
unsafe fn group<L: Lane, const SQUARED: bool, const N: usize>(
    query: *const u8,
    rows: [*const u8; N],
    bytes: usize,
) -> [f32; N] {
    // SAFETY: the caller gives `bytes` readable bytes at the query and at every row; `at` stays within them,
    // and `bytes >= L::LEAST` lets the last, partial register be read from before the row's end.
    unsafe {
        let mut even = [L::zero(); 4];
        let mut odd = [L::zero(); 4];
        let mut at = 0;
        while at + 2 * L::BYTES <= bytes {
            let q = L::load(query.add(at));
            for i in 0..N {
                even[i] = add::<L, SQUARED>(even[i], q, L::load(rows[i].add(at)));
            }
            let q = L::load(query.add(at + L::BYTES));
            for i in 0..N {
                odd[i] = add::<L, SQUARED>(odd[i], q, L::load(rows[i].add(at + L::BYTES)));
            }
            at += 2 * L::BYTES;
        }
        if at + L::BYTES <= bytes {
            let q = L::load(query.add(at));
            for i in 0..N {
                even[i] = add::<L, SQUARED>(even[i], q, L::load(rows[i].add(at)));
            }
            at += L::BYTES;
        }
        if at < bytes {
            let q = L::load_end(query.add(bytes), bytes - at);
            for i in 0..N {
                odd[i] = add::<L, SQUARED>(odd[i], q, L::load_end(rows[i].add(bytes), bytes - at));
            }
        }
        let totals = L::totals(even, odd);
        std::array::from_fn(|i| totals[i])
    }
}

/// See [`RowsFn`].
#[inline(always)]
pub(super) unsafe fn rows<L: Lane, const SQUARED: bool>(query: &[u8], rows: &[u8], out: &mut [f32]) {
    let bytes = query.len();
    let mut row = rows.as_ptr();
    let lines = (4 * bytes).div_ceil(64).min(LINES_PER_FOUR);
    let (fours, rest) = out.as_chunks_mut::<4>();
    // SAFETY: `rows` holds `out.len()` rows of `bytes` bytes; each step reads one row for each value of `out` that it fills.
    unsafe {
        for four in fours {
            for line in 0..lines {
                L::prefetch(row.wrapping_add(BYTES_AHEAD + 64 * line));
            }
            let at = [row, row.add(bytes), row.add(2 * bytes), row.add(3 * bytes)];
            *four = group::<L, SQUARED, 4>(query.as_ptr(), at, bytes);
            row = row.add(4 * bytes);
        }
        for one in rest {
            [*one] = group::<L, SQUARED, 1>(query.as_ptr(), [row], bytes);
            row = row.add(bytes);
        }
    }
}

/// See [`PicksFn`].
#[inline(always)]
pub(super) unsafe fn picks<L: Lane, const SQUARED: bool>(
    query: &[u8],
    rows: &[u8],
    picks: &[u32],
    out: &mut [f32],
) {
    let bytes = query.len();
    let base = rows.as_ptr();
    let (fours, rest) = picks.as_chunks::<4>();
    let (out_fours, out_rest) = out.as_chunks_mut::<4>();
    let lines = bytes.div_ceil(64).min(LINES_AHEAD);
    let ask = |pick: u32| {
        let row = base.wrapping_add(pick as usize * bytes);
        (0..lines).for_each(|line| L::prefetch(row.wrapping_add(64 * line)));
    };
    fours.iter().take(GROUPS_AHEAD).flatten().chain(rest).for_each(|&p| ask(p));
    // SAFETY: the caller vouches that row `p` of `bytes` bytes lies inside `rows` for every pick `p`.
    unsafe {
        let row = |pick: u32| base.add(pick as usize * bytes);
        for (i, (four, out)) in fours.iter().zip(out_fours).enumerate() {
            if let Some(next) = fours.get(i + GROUPS_AHEAD) {
                next.iter().for_each(|&p| ask(p));
            }
            *out = group::<L, SQUARED, 4>(query.as_ptr(), four.map(row), bytes);
        }
        for (&pick, out) in rest.iter().zip(out_rest) {
            [*out] = group::<L, SQUARED, 1>(query.as_ptr(), [row(pick)], bytes);
        }
    }
}

/// The functions for `operation` out of an instruction set's `rows` and `picks`.
macro_rules! pair_fns {
    ($lane:ty, $operation:expr) => {
        match $operation {
            Operation::SquaredL2 => PairFns {
                rows: rows::<$lane, true>,
                picks: picks::<$lane, true>,
                least: <$lane as Lane>::LEAST,
            },
            Operation::InnerProduct => PairFns {
                rows: rows::<$lane, false>,
                picks: picks::<$lane, false>,
                least: <$lane as Lane>::LEAST,
            },
        }
    };
}
pub(super) use pair_fns;
