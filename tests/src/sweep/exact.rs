//! Distances by brute force in double precision, with what single precision may get wrong.
use spandrel_datasets::Rows;
use spandrel_index::{DType, Metric, VectorSource, for_each_element};

/// The elements of a row as they are.
fn values(dtype: DType, row: &[u8]) -> Vec<f64> {
    let mut values = Vec::new();
    for_each_element(dtype, row, |x| values.push(f64::from(x)));
    values
}

/// A distance as an answer shows it, without rounding.
pub fn exact_distance(metric: Metric, dtype: DType, a: &[u8], b: &[u8]) -> f64 {
    Exact::of(metric, dtype, &values(dtype, a), &values(dtype, b)).distance
}

/// A distance, and how far an answer in single precision may be from it.
#[derive(Debug, Clone, Copy)]
pub struct Exact {
    /// Squared L2, `1 - cos`, or the inner product itself.
    pub distance: f64,
    /// The error of sums and products in single precision.
    pub slack: f64,
}

impl Exact {
    fn of(metric: Metric, dtype: DType, a: &[f64], b: &[f64]) -> Exact {
        // Sums of integers are exact, and the result is rounded once. Sums of floats round at every element; kernels add
        // sixteen or more sums side by side, so rows of tests stay far within.
        let ulp = f64::from(f32::EPSILON);
        let rounding = if dtype.is_integer() { ulp } else { 16.0 * ulp };
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let terms = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a * b).abs()).sum::<f64>();
        match metric {
            Metric::L2 => {
                let distance: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
                Exact { distance, slack: rounding * distance }
            }
            Metric::InnerProduct => Exact { distance: product(a, b), slack: rounding * terms(a, b) },
            Metric::Cosine => {
                let norms = (product(a, a) * product(b, b)).sqrt();
                Exact { distance: 1.0 - product(a, b) / norms, slack: 16.0 * ulp }
            }
        }
    }

    /// Whether a shown distance is this one.
    pub fn is(self, shown: f32) -> bool {
        (f64::from(shown) - self.distance).abs() <= self.slack + f64::from(f32::MIN_POSITIVE)
    }
}

/// Every distance of some queries.
#[derive(Debug)]
pub struct Truth {
    metric: Metric,
    /// By query, then by row.
    exact: Vec<Vec<Exact>>,
    /// By query: distances, best first.
    sorted: Vec<Vec<f64>>,
}

impl Truth {
    /// Compares every query with every row.
    pub fn of(metric: Metric, rows: &Rows, queries: &Rows) -> Truth {
        let dtype = rows.dtype();
        let all = |rows: &Rows| -> Vec<Vec<f64>> {
            (0..crate::count(rows)).map(|row| values(dtype, rows.row(row))).collect()
        };
        let (rows, queries) = (all(rows), all(queries));
        let exact: Vec<Vec<Exact>> = queries
            .iter()
            .map(|query| rows.iter().map(|row| Exact::of(metric, dtype, query, row)).collect())
            .collect();
        let sorted = exact
            .iter()
            .map(|exact| {
                let mut sorted: Vec<f64> = exact.iter().map(|exact| exact.distance).collect();
                sorted.sort_by(f64::total_cmp);
                if metric == Metric::InnerProduct {
                    sorted.reverse();
                }
                sorted
            })
            .collect();
        Truth { metric, exact, sorted }
    }

    /// The distance of a query and a row.
    pub fn exact(&self, query: usize, row: usize) -> Exact {
        self.exact[query][row]
    }

    /// The share of the `k` nearest of a query that are among `rows`: those no farther than the `k`-th count, within 1e-6
    /// or what single precision cannot tell apart.
    pub fn recall(&self, query: usize, rows: &[usize], k: usize) -> f64 {
        self.recall_to(query, rows, (&self.sorted[query], k))
    }

    /// As [`Truth::recall`], where neighbours are the `k` nearest of the rows `some`.
    pub fn recall_among(&self, query: usize, rows: &[usize], (some, k): (&[usize], usize)) -> f64 {
        let mut sorted: Vec<f64> = some.iter().map(|&row| self.exact[query][row].distance).collect();
        sorted.sort_by(f64::total_cmp);
        if self.metric == Metric::InnerProduct {
            sorted.reverse();
        }
        self.recall_to(query, rows, (&sorted, k))
    }

    /// The recall of the first `k` of sorted distances; 1 of none.
    fn recall_to(&self, query: usize, rows: &[usize], (sorted, k): (&[f64], usize)) -> f64 {
        let k = k.min(sorted.len());
        let Some(&kth) = k.checked_sub(1).and_then(|last| sorted.get(last)) else { return 1.0 };
        let hits = rows.iter().take(k).filter(|&&row| {
            let Exact { distance, slack } = self.exact[query][row];
            let tolerance = 1e-6 + 1e-6 * kth.abs() + 2.0 * slack;
            match self.metric {
                Metric::InnerProduct => distance >= kth - tolerance,
                Metric::L2 | Metric::Cosine => distance <= kth + tolerance,
            }
        });
        hits.count() as f64 / k as f64
    }
}
