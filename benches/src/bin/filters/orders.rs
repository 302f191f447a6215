//! Which vectors match: the first ones of an order of all vectors.
use std::fmt;
use std::str::FromStr;

use anyhow::Result;
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use spandrel_benches::filters::scores;
use spandrel_benches::set::{K, Set};
use spandrel_datasets::{Rows, Truth, TruthParams, Watch, compute_truth};
use spandrel_index::VectorSource as _;

/// Orders by the distance from an anchor: with fewer, each would take queries far from it.
const NEAR: usize = 3;

/// How near to its query a filter's matches lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Correlation {
    /// About the query's farthest anchor.
    Far,
    /// Anywhere.
    None,
    /// About the query.
    Near,
}

impl Correlation {
    pub(crate) const ALL: [Correlation; 3] = [Correlation::Far, Correlation::None, Correlation::Near];

    pub(crate) fn number(self) -> i32 {
        self as i32 - 1 // CAST: 0 to 2
    }
}

impl fmt::Display for Correlation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

impl FromStr for Correlation {
    type Err = String;

    fn from_str(text: &str) -> Result<Correlation, String> {
        let found = Correlation::ALL.into_iter().find(|of| of.to_string() == text);
        found.ok_or_else(|| "expected -1, 0 or 1".to_owned())
    }
}

/// All vectors in some order.
pub(crate) struct Order {
    /// Vectors by their place.
    rows: Vec<u32>,
    /// Places by vector.
    places: Vec<u32>,
    /// Whether nearest an anchor come first.
    is_near: bool,
    /// Queries, those nearest the anchor first; as they come where there is none.
    queries: Vec<usize>,
}

impl Order {
    /// Orders by the distance from random vectors, and a random one.
    pub(crate) fn all(set: &Set) -> Vec<Order> {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut random: Vec<u32> = (0..set.base.len() as u32).collect(); // CAST: sets are small
        random.shuffle(&mut rng);
        let near = random.iter().take(NEAR).map(|&anchor| Order::near(set, anchor as usize));
        let mut orders: Vec<Order> = near.collect();
        random.shuffle(&mut rng);
        let queries = (0..set.queries.len() as usize).collect(); // CAST: as above
        orders.push(Order::of(random, false, queries));
        orders
    }

    fn near(set: &Set, anchor: usize) -> Order {
        let rows = by_distance(set, set.base.row(anchor), &set.base);
        let queries = by_distance(set, set.base.row(anchor), &set.queries);
        Order::of(rows, true, queries.into_iter().map(|query| query as usize).collect())
    }

    fn of(rows: Vec<u32>, is_near: bool, queries: Vec<usize>) -> Order {
        let mut places = vec![0; rows.len()];
        (0..).zip(&rows).for_each(|(place, &row)| places[row as usize] = place);
        Order { rows, places, is_near, queries }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether its first vectors lie together.
    pub(crate) fn is_near(&self) -> bool {
        self.is_near
    }

    pub(crate) fn place(&self, row: usize) -> u32 {
        self.places[row]
    }

    /// The queries that ask for its first vectors: `count`, or all there are.
    pub(crate) fn queries(&self, correlation: Correlation, count: usize) -> &[usize] {
        let count = count.min(self.queries.len());
        match correlation {
            Correlation::Near | Correlation::None => &self.queries[..count],
            Correlation::Far => &self.queries[self.queries.len() - count..],
        }
    }

    /// The true neighbours of some queries among its first `matches` vectors.
    pub(crate) fn truth(&self, set: &Set, matches: usize, queries: &Rows, threads: usize) -> Result<Truth> {
        let matching = picked(&set.base, self.rows[..matches].iter().map(|&row| row as usize))?;
        let params = TruthParams { metric: set.metric, k: K.min(matches), threads };
        let mut truth = compute_truth(&matching, queries, None, params, Watch::none())?;
        let ids: Vec<u64> = self.rows[..matches].iter().map(|&row| row.into()).collect();
        truth.name_rows(&ids)?;
        Ok(truth)
    }
}

/// The orders of a correlation, of `all`.
pub(crate) fn of(all: &[Order], correlation: Correlation) -> impl Iterator<Item = (usize, &Order)> {
    all.iter().enumerate().filter(move |(_, order)| order.is_near == (correlation != Correlation::None))
}

/// Some rows.
pub(crate) fn picked(rows: &Rows, picks: impl Iterator<Item = usize>) -> Result<Rows> {
    let bytes = picks.flat_map(|row| rows.row(row)).copied().collect();
    Ok(Rows::new(rows.dtype(), rows.dim(), bytes)?)
}

/// The numbers of all rows, those nearest to a vector first.
fn by_distance(set: &Set, from: &[u8], rows: &Rows) -> Vec<u32> {
    let scores = scores(set.metric, rows, from);
    let mut numbers: Vec<u32> = (0..scores.len() as u32).collect(); // CAST: sets are small
    let key = |&number: &u32| scores[number as usize];
    numbers.sort_unstable_by(|a, b| key(a).total_cmp(&key(b)).then(a.cmp(b)));
    numbers
}
