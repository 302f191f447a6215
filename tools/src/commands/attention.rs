//! How much of the attention mass answers hold: the softmax of scaled inner products over all vectors.
use std::path::PathBuf;

use clap::Args;
use spandrel_datasets::{Converted, Rows, VectorFile};
use spandrel_engine::{ATTENTION_SCALE_MAX, Answer, Distances, ExpSum};
use spandrel_index::kernels::{BlockKernel, LeftRows, Operation};
use spandrel_index::{Index, Metric, VectorSource};

use super::input::InputArgs;
use crate::{Advised, Session, UsageError};

/// Queries that a thread compares with a chunk of vectors at a time, and vectors of a chunk.
const QUERIES: usize = 128;
const VECTORS: usize = 2048;

/// How much of the attention mass answers hold.
#[derive(Debug, Clone, Args)]
pub struct AttentionArgs {
    /// Say which share of the attention mass answers hold, of an index by inner product. Every query is compared with every vector of
    /// --base for it.
    #[arg(long, requires = "base", conflicts_with_all = ["server", "radius", "column_queries", "filter", "filters", "query_documents"])]
    pub attention_mass: bool,
    /// The vectors that were indexed.
    #[arg(long, value_name = "FILE", requires = "attention_mass")]
    pub base: Option<PathBuf>,
    /// What inner products are multiplied with before the softmax [default: one over the root of the dimension].
    #[arg(long, value_name = "X", requires = "attention_mass", value_parser = parse_scale)]
    pub attention_scale: Option<f64>,
}

fn parse_scale(text: &str) -> Result<f64, String> {
    let scale = text.parse().ok().filter(|&scale: &f64| scale > 0.0 && scale <= ATTENTION_SCALE_MAX);
    scale.ok_or_else(|| format!("expected more than 0 and at most {ATTENTION_SCALE_MAX:e}"))
}

/// Of each query the logarithm of the sum of `exp(scale * score)` over all vectors.
pub(super) struct Attention {
    scale: f64,
    sums: Vec<f64>,
}

impl AttentionArgs {
    /// Refuses distances that are estimates: the mass is a sum over exact ones.
    pub(super) fn refuse(&self, distances: Distances) -> Result<(), UsageError> {
        if self.attention_mass && distances == Distances::Any {
            return Err(UsageError(
                "--attention-mass is given, and --distances is any, expected exact".to_owned(),
            ));
        }
        Ok(())
    }

    /// Compares all queries with all vectors on some threads, if that is asked for.
    pub(super) fn open(
        &self,
        index: &Index,
        queries: &Rows,
        input: &InputArgs,
        threads: usize,
        session: &Session,
    ) -> anyhow::Result<Option<Attention>> {
        let Some(path) = self.base.as_ref().filter(|_| self.attention_mass) else { return Ok(None) };
        if index.metric() != Metric::InnerProduct {
            let found = index.metric();
            let message =
                format!("--attention-mass is given, and the index compares by {found}, expected ip");
            return Err(UsageError(message).into());
        }
        let base = Converted::new(input.open(path)?, index.dtype());
        let (found, expected) = ((base.len(), base.dim()), (index.vectors(), index.dim()));
        if found != expected {
            let message = format!(
                "{}: {} vectors of {} elements, the index has {} of {}",
                path.display(),
                found.0,
                found.1,
                expected.0,
                expected.1
            );
            return Err(Advised::new(message, "give the file that the index was built from").into());
        }
        let scale = self.attention_scale.unwrap_or((index.dim() as f64).sqrt().recip()); // CAST: exact
        session.note("comparing all queries with all vectors for the attention mass");
        let sums = sums(&base, queries, scale, threads, session)?;
        Ok(Some(Attention { scale, sums }))
    }
}

impl Attention {
    /// The share of the mass that answers hold, the mean over all queries.
    pub(super) fn mass(&self, answers: &[Answer]) -> f64 {
        let of_query = |(answer, sum): (&Answer, &f64)| {
            let weight = |score: f32| (self.scale * f64::from(score) - sum).exp();
            answer.neighbours.iter().map(|neighbour| weight(neighbour.distance)).sum::<f64>()
        };
        let sum: f64 = answers.iter().zip(&self.sums).map(of_query).sum();
        sum / answers.len().max(1) as f64 // CAST: exact
    }
}

/// Of each query the logarithm of the sum over all vectors. Each chunk of vectors is read once, and its queries are shared among
/// the threads.
fn sums(
    base: &Converted<VectorFile>,
    queries: &Rows,
    scale: f64,
    threads: usize,
    session: &Session,
) -> anyhow::Result<Vec<f64>> {
    let kernel = BlockKernel::new(base.dtype(), base.dim());
    let mut sums = vec![ExpSum::ZERO; queries.len() as usize]; // CAST: they are in memory
    let row_bytes = base.row_bytes();
    let lefts: Vec<LeftRows> =
        queries.bytes().chunks(QUERIES * row_bytes).map(|rows| kernel.pack_left(rows)).collect();
    let share = lefts.len().div_ceil(threads).max(1);
    let mut bytes = Vec::new();
    for first in (0..base.len()).step_by(VECTORS) {
        anyhow::ensure!(!session.is_stopped(), "stopped");
        let count = (VECTORS as u64).min(base.len() - first) as usize; // CAST: a chunk is small
        bytes.resize(count * row_bytes, 0);
        base.read_rows(first, &mut bytes)?;
        let right = &kernel.pack_right(&bytes);
        let work = |lefts: &[LeftRows], sums: &mut [ExpSum]| {
            let mut scores = Vec::new();
            for (left, sums) in lefts.iter().zip(sums.chunks_mut(QUERIES)) {
                scores.clear();
                scores.resize(left.len() * right.len(), 0.0);
                kernel.scores(Operation::InnerProduct, left.all(), right.all(), &mut scores);
                for (sum, scores) in sums.iter_mut().zip(scores.chunks_exact(right.len())) {
                    sum.add(scores.iter().map(|&score| scale * f64::from(score)));
                }
            }
        };
        std::thread::scope(|scope| {
            for (lefts, sums) in lefts.chunks(share).zip(sums.chunks_mut(share * QUERIES)) {
                scope.spawn(|| work(lefts, sums));
            }
        });
    }
    Ok(sums.into_iter().map(ExpSum::ln).collect())
}

#[cfg(test)]
mod tests {
    use spandrel_engine::Neighbour;

    use super::*;

    #[test]
    fn scales_keep_products_finite() {
        assert_eq!(parse_scale("1e38"), Ok(1e38));
        for wrong in ["0", "-1", "NaN", "inf", "1e39", "x"] {
            assert!(parse_scale(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_answer_of_all_vectors_holds_all_mass() {
        let scores = [3.0_f32, 1.0, -2.0];
        let mut sum = ExpSum::ZERO;
        sum.add(scores.iter().map(|&score| 0.5 * f64::from(score)));
        let attention = Attention { scale: 0.5, sums: vec![sum.ln()] };
        let answer = |scores: &[f32]| Answer {
            neighbours: scores
                .iter()
                .map(|&distance| Neighbour { id: 0, distance, estimated: false })
                .collect(),
            ..Answer::default()
        };
        assert!((attention.mass(&[answer(&scores)]) - 1.0).abs() < 1e-9);
        let first = 1.0 / (1.0 + f64::exp(-1.0) + f64::exp(-2.5));
        assert!((attention.mass(&[answer(&scores[..1])]) - first).abs() < 1e-6);
    }
}
