//! Which lists can hold a vector within a radius of a query.
//!
//! With a list's head `c` and its radius `r` (`list_radius` of the index says in which space), no vector of it is nearer to the query
//! `q` than `|q - c| - r`, nor has a larger inner product with it than `<q, c> + |q| r`. From about 96 dimensions on that rules
//! out few lists: distances to heads differ by less than the radii.
//!
//! A vector `x` on the radius lies so far out towards the query where `|q - c|^2 = |q - x|^2 + r^2 + 2 |q - x| r cos`, or `<q, x> = <q, c> + |q| r cos`
//! under inner product. The cosine is at most 1, and in many dimensions seldom far from 0: a search for a share of the vectors leaves
//! out lists that take a larger one than calibration found.
//!
//! Everything is computed in double precision from what kernels give in single, with room for their rounding: a list is left out
//! only where no vector of it can be shown a distance within the radius.
use spandrel_index::heads::Heads;
use spandrel_index::kernels::{Operation, PairKernel};
use spandrel_index::order::sort_while;
use spandrel_index::{HeadSpace, Metric, Segment, for_each_element, norm_squared};

use crate::fetch::NearList;
use crate::subject::Query;
use crate::terms::{End, PIECE_BYTES};

/// Half a unit in the last place of single precision, relative.
const ROUNDING: f64 = 1.0 / (1 << 24) as f64;
/// Roundings of a value besides those of a kernel's sum.
const ROUNDINGS_EXTRA: f64 = 32.0;

/// The lists that can hold a vector within a radius.
#[derive(Debug, Default)]
pub(crate) struct RangeLists {
    /// Of each segment with heads of its own, by number, the head nearest to the query.
    pub(crate) nearest_heads: Vec<(u16, u32)>,
    /// Nearest head first.
    pub(crate) lists: Vec<RangeList>,
    /// What rounding may add to an estimate of a squared distance in head space.
    pub(crate) slack: f32,
    /// Distances to heads computed.
    pub(crate) head_distances: u32,
}

/// A list that can hold a vector within a radius.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RangeList {
    pub(crate) near: NearList,
    /// No vector of it has a smaller score.
    pub(crate) least_score: f32,
}

/// A head beside a query.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadScore {
    /// Squared distance from the query's row.
    squared: f32,
    /// Product with it, under inner product.
    product: f32,
}

/// A radius as one query has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Within {
    /// No larger score is within it.
    pub(crate) score: f32,
    /// Squared, in head space.
    squared: f64,
}

impl Within {
    pub(crate) fn of(query: &Query<'_>, score: f32) -> Within {
        Within { score, squared: f64::from(query.distance_of_score(score)).max(0.0) }
    }
}

/// What bounds the scores of lists for one query.
pub(crate) struct Bounds {
    metric: Metric,
    /// Products of heads, under inner product.
    product: Option<PairKernel>,
    /// What kernels lose, relative.
    rounding: f64,
    /// How far the query's row in head space is from the query.
    row_error: f64,
    /// Length of the query.
    length: f64,
    /// Largest length of a vector, under inner product.
    norm_max: f64,
}

impl Bounds {
    pub(crate) fn of(query: &Query<'_>) -> Bounds {
        let index = query.index;
        let (space, dtype) = (index.space(), index.dtype());
        let (mut exact, mut row) = (Vec::new(), Vec::new());
        space.float_query(dtype, query.exact.row, &mut exact);
        for_each_element(space.dtype(dtype), query.head_row, |x| row.push(x));
        let squared = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>();
        let off = squared(&mut exact.iter().zip(&row).map(|(a, b)| f64::from(*a) - f64::from(*b)));
        let length_in_space = squared(&mut exact.iter().map(|x| f64::from(*x))).sqrt();
        let rounding = (index.dim() as f64 / 8.0 + ROUNDINGS_EXTRA) * ROUNDING; // CAST: exact
        let heads = index.segments().first().map(|segment| (segment.heads.dtype(), segment.heads.dim()));
        let heads = heads.filter(|_| index.metric() == Metric::InnerProduct);
        Bounds {
            metric: index.metric(),
            product: heads.map(|(dtype, dim)| PairKernel::new(Operation::InnerProduct, dtype, dim)),
            rounding,
            // Elements of mapped queries and vectors were rounded to single precision before; others are exact.
            row_error: off.sqrt()
                + if space == HeadSpace::Same { 0.0 } else { 8.0 * ROUNDING * length_in_space },
            length: norm_squared(dtype, query.exact.row).sqrt(),
            norm_max: match space {
                HeadSpace::Lifted { norm_max } => norm_max.into(),
                HeadSpace::Same | HeadSpace::Normalised => 0.0,
            },
        }
    }

    /// One head.
    pub(crate) fn head(&self, heads: &Heads, query: &Query<'_>, head: u32) -> HeadScore {
        let row = heads.row(head);
        let product = self.product.as_ref().map(|product| product.score(query.head_row, row));
        HeadScore { squared: heads.kernel().score(query.head_row, row), product: product.unwrap_or_default() }
    }

    /// How far out a vector on the radius of a search would have to lie in a list of this radius. A NaN where nothing tells.
    pub(crate) fn cosine(&self, head: HeadScore, radius: f32, within: &Within) -> f64 {
        let (squared, radius) = (f64::from(head.squared), f64::from(radius));
        let (beyond, most) = match self.metric {
            Metric::L2 | Metric::Cosine => {
                let reach = within.squared.sqrt();
                (squared - within.squared - radius * radius, 2.0 * reach * radius)
            }
            Metric::InnerProduct => {
                let with_head = f64::from(head.product) * self.length / self.norm_max;
                (-f64::from(within.score) - with_head, self.length * radius)
            }
        };
        beyond / most
    }

    /// The least score that a vector can have in a list of this radius under that head.
    pub(crate) fn least_score(&self, head: HeadScore, radius: f32) -> f32 {
        let HeadScore { squared, product } = head;
        let (distance, radius) = (f64::from(squared).sqrt(), f64::from(radius));
        let least = match self.metric {
            Metric::L2 | Metric::Cosine => {
                let gap = distance * (1.0 - self.rounding) - self.row_error - radius * (1.0 + self.rounding);
                let nearest = gap.max(0.0).powi(2) * (1.0 - self.rounding);
                // Unit vectors: |q - x|^2 = 2 (1 - cos), and 1 - cos is rounded by an amount of its own.
                if self.metric == Metric::L2 { nearest } else { 0.5 * nearest - 4.0 * self.rounding }
            }
            Metric::InnerProduct => {
                let head_length = distance + self.norm_max;
                let off = (self.rounding * self.norm_max + self.row_error) * head_length;
                let with_head = (f64::from(product) + off) * self.length / self.norm_max;
                let beyond = self.length * (radius * (1.0 + self.rounding) + self.rounding * self.norm_max);
                -(with_head + beyond)
            }
        };
        // A query or vectors of zeros, or what overflowed: nothing is ruled out.
        if !least.is_finite() {
            return f32::NEG_INFINITY;
        }
        let rounded = least as f32; // CAST: rounds to nearest
        if f64::from(rounded) > least { rounded.next_down() } else { rounded }
    }
}

/// Finds the lists that can hold a vector whose score is at most `score`. Those that take a cosine above `cosine` for it are left out.
/// `end` is asked now and then whether to go on.
pub(crate) fn lists_within(
    query: &Query<'_>,
    score: f32,
    cosine: f64,
    end: &mut dyn FnMut() -> Option<End>,
) -> Result<RangeLists, End> {
    let index = query.index;
    let (bounds, within) = (Bounds::of(query), Within::of(query, score));
    let mut found = RangeLists::default();
    let (mut distances, mut products) = (Vec::new(), Vec::new());
    let mut reach = 0.0_f64;
    for (number, owner) in (0..).zip(index.segments()) {
        if owner.heads_of != number {
            continue;
        }
        compare_heads(owner, query, &bounds, (&mut distances, &mut products), end)?;
        found.head_distances = found.head_distances.saturating_add(owner.heads.count());
        let nearest = (0..).zip(&distances).min_by(|(_, a): &(u32, &f32), (_, b)| a.total_cmp(b));
        found.nearest_heads.extend(nearest.map(|(head, _)| (number, head)));
        let sharing = (0..).zip(index.segments()).filter(|(_, segment)| segment.heads_of == number);
        for (segment, of) in sharing {
            for (list, &distance) in (0..).zip(&distances) {
                let entry = of.directory.entry(list);
                let product = products.get(list as usize).copied().unwrap_or_default();
                let head = HeadScore { squared: distance, product };
                let least_score = bounds.least_score(head, entry.radius);
                // Lets a NaN through.
                let is_far = || bounds.cosine(head, entry.radius, &within) > cosine;
                if entry.primaries > 0 && least_score <= score && !is_far() {
                    let near = NearList { distance, segment, list };
                    found.lists.push(RangeList { near, least_score });
                    reach = reach.max(f64::from(distance).sqrt() + f64::from(entry.radius));
                }
            }
        }
    }
    let order = |a: &RangeList, b: &RangeList| NearList::order(&a.near, &b.near);
    let mut ended = None;
    let mut go_on = || {
        ended = ended.or_else(&mut *end);
        ended.is_none()
    };
    if !sort_while(&mut found.lists, order, &mut go_on) {
        return Err(ended.unwrap_or(End::Stopped));
    }
    let within = within.squared;
    // Estimates are sums of terms no larger than these, and the heads' distances are those of the query's row.
    let terms = 4.0 * (reach * reach + bounds.norm_max * bounds.norm_max) + within;
    let row_error = bounds.row_error * (2.0 * (within.sqrt() + reach) + bounds.row_error);
    found.slack = ((terms * bounds.rounding + row_error) as f32).next_up(); // CAST: rounds to nearest, then up
    Ok(found)
}

/// The squared distances of all heads of a segment from the query's row and, under inner product, their products with it.
fn compare_heads(
    owner: &Segment,
    query: &Query<'_>,
    bounds: &Bounds,
    (distances, products): (&mut Vec<f32>, &mut Vec<f32>),
    end: &mut dyn FnMut() -> Option<End>,
) -> Result<(), End> {
    let heads = &*owner.heads;
    distances.clear();
    distances.resize(heads.len(), 0.0);
    products.clear();
    products.resize(if bounds.product.is_some() { heads.len() } else { 0 }, 0.0);
    let piece = (PIECE_BYTES / heads.row_bytes()).max(1);
    for (number, rows) in heads.rows().chunks(piece * heads.row_bytes()).enumerate() {
        if let Some(end) = end() {
            return Err(end);
        }
        let range = number * piece..number * piece + rows.len() / heads.row_bytes();
        heads.kernel().score_rows(query.head_row, rows, &mut distances[range.clone()]);
        if let Some(product) = &bounds.product {
            product.score_rows(query.head_row, rows, &mut products[range]);
        }
    }
    Ok(())
}
