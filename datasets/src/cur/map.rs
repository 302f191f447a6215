//! What makes the vector of a query of its scores on the anchor items.
use spandrel_index::{DIM_MAX, DType, HeadSpace, Metric, VectorSource as _, decode};

use super::anchors::check_anchors;
use super::error::CurError;
use super::limits::{ANCHOR_QUERIES_MIN, ITEMS_MAX, SIDE_MAX};
use super::scores::{ScoreFile, ScoreMatrix};
use super::spectrum::{Spectrum, Strength};
use super::strength::{HeldOut, ITEMS_COMPARED, Trial, Tried, held_count, try_strengths};
use crate::file::{FileError, InFile, OutFile, VectorFile, VectorWriter};
use crate::rows::{Rows, RowsError};
use crate::watch::Watch;

/// How a map is learned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CurParams {
    /// How small singular values are held down; by queries held back if it is not given.
    pub strength: Option<Strength>,
    /// Which those are.
    pub held_out: HeldOut,
    /// What they are chosen by.
    pub seed: u64,
}

impl CurParams {
    /// Checks what can be said before any score is read; `queries` and `items` are the shape of the scores, `anchors` the number of anchor items.
    /// Returns bytes of memory that the work takes, the scores themselves among them.
    ///
    /// # Errors
    /// [`CurError`] of the shape or of a setting.
    pub fn check(&self, queries: usize, items: usize, anchors: usize) -> Result<u64, CurError> {
        let queries_max = DIM_MAX - HeadSpace::of(Metric::InnerProduct, 0.0).dim(0);
        if queries < ANCHOR_QUERIES_MIN {
            return Err(CurError::FewQueries { found: queries });
        }
        if queries > queries_max {
            return Err(CurError::ManyQueries { found: queries, max: queries_max });
        }
        if items > ITEMS_MAX {
            return Err(CurError::Items { found: items });
        }
        if anchors == 0 || anchors > items {
            return Err(CurError::AnchorCount { found: anchors, items });
        }
        let side = queries.min(anchors);
        if side > SIDE_MAX {
            return Err(CurError::Side { queries, anchors });
        }
        let held = match self.strength {
            None => held_count(self.held_out, queries)?,
            Some(Strength::Ridge(ridge)) if !(ridge.is_finite() && ridge >= 0.0) => {
                return Err(CurError::Ridge { found: ridge });
            }
            Some(Strength::Rank(rank)) if rank == 0 || rank > side => {
                return Err(CurError::Rank { found: rank, max: side });
            }
            Some(_) => 0,
        };
        let compared = if held > 0 { items.min(ITEMS_COMPARED) } else { 0 };
        // CAST: widening, of numbers whose products fit: at most 2^24 items, 2^14 queries
        let [queries, items, anchors, side, held, compared] =
            [queries, items, anchors, side, held, compared].map(|count| count as u64);
        let scores = 4 * queries * items;
        // Of doubles: the scores on anchors and their transpose, both factors, a map; moments, vectors and what the solver keeps.
        let decomposed = 8 * (6 * queries * anchors + 6 * side * side);
        // Items twice, as rows and packed; estimates; vectors of those held back.
        let trying = 8 * compared * queries + 4 * held * compared + 24 * held * (queries + anchors);
        // What a choice of anchors keeps, which ends before.
        let choosing = 16 * items + 8 * queries * anchors;
        Ok(scores + (decomposed + trying).max(choosing) + (16 << 20))
    }
}

/// A map, and what was tried.
#[derive(Debug, Clone, PartialEq)]
pub struct Learned {
    /// The map, learned from all anchor queries.
    pub map: CurMap,
    /// The strength of its inverse. Of a rank what is used: no more singular values than are more than rounding.
    pub strength: Strength,
    /// What was tried on queries held back, the strongest first; nothing where the strength was given.
    pub tried: Vec<Tried>,
}

/// Makes the vector of a query of its scores on the anchor items: a row for each of these, an element for each anchor query.
#[derive(Debug, Clone, PartialEq)]
pub struct CurMap {
    dim: usize,
    values: Vec<f32>,
}

/// Learns a map from the scores of anchor queries with all items. Of strengths that find alike the strongest is taken.
///
/// # Errors
/// [`CurError`].
pub fn learn(
    scores: &ScoreMatrix,
    anchors: &[u64],
    params: &CurParams,
    watch: Watch<'_>,
) -> Result<Learned, CurError> {
    params.check(scores.rows(), scores.columns(), anchors.len())?;
    check_anchors(anchors, scores.columns())?;
    let anchors: Vec<usize> = anchors.iter().map(|&anchor| anchor as usize).collect(); // CAST: a column
    let (strength, tried) = match params.strength {
        Some(strength) => (strength, Vec::new()),
        None => {
            let held = held_count(params.held_out, scores.rows())?;
            let trial = Trial { held, ranks: params.held_out.ranks, seed: params.seed };
            let tried = try_strengths(scores, &anchors, trial, watch)?;
            let better = |best: Tried, next: &Tried| if next.found > best.found { *next } else { best };
            let strongest = Tried { strength: Strength::Ridge(0.0), found: -1.0 };
            (tried.iter().fold(strongest, better).strength, tried)
        }
    };
    let all: Vec<usize> = (0..scores.rows()).collect();
    let spectrum = Spectrum::of(&scores.picked(&all, &anchors), watch)?;
    let strength = spectrum.used(strength);
    let inverse = spectrum.inverse(strength).transpose();
    // A column is an anchor item. CAST: rounds, checked in the next lines
    let values: Vec<f32> = inverse.iter().map(|&value| value as f32).collect();
    if values.iter().any(|value| !value.is_finite()) {
        return Err(CurError::Overflow);
    }
    if values.iter().all(|&value| value == 0.0) {
        return Err(CurError::Underflow);
    }
    watch.check()?;
    Ok(Learned { map: CurMap { dim: scores.rows(), values }, strength, tried })
}

impl CurMap {
    /// Anchor items that a query is scored on.
    pub fn anchors(&self) -> usize {
        self.values.len() / self.dim
    }

    /// Elements of a query's vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The vector of a query with these scores on the anchor items, in their order.
    ///
    /// # Panics
    /// When there is another number of scores.
    pub fn vector(&self, scores: &[f32]) -> Vec<f32> {
        assert_eq!(scores.len(), self.anchors(), "a query is scored on each anchor item");
        let mut sums = vec![0.0_f64; self.dim];
        for (row, &score) in self.values.chunks_exact(self.dim).zip(scores) {
            sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(score) * f64::from(x));
        }
        sums.into_iter().map(|sum| sum as f32).collect() // CAST: rounds
    }

    /// Writes it as rows of f32.
    ///
    /// # Errors
    /// What writing answers; an older file is untouched then.
    pub fn write(&self, out: OutFile<'_>) -> Result<(), FileError> {
        let mut writer = VectorWriter::create(out, DType::F32, self.dim)?;
        let bytes: Vec<u8> = self.values.iter().flat_map(|value| value.to_le_bytes()).collect();
        writer.write_rows(&bytes)?;
        writer.finish().map(drop)
    }

    /// Reads what [`CurMap::write`] wrote. `memory_bytes` is what it may take.
    ///
    /// # Errors
    /// [`CurError`].
    pub fn read(from: InFile<'_>, memory_bytes: u64) -> Result<CurMap, CurError> {
        let file = VectorFile::open_matrix(from, DIM_MAX)?;
        // As bytes and as numbers.
        let needed = file.len().saturating_mul(8 * file.dim() as u64); // CAST: widening
        if needed > memory_bytes {
            return Err(CurError::Memory { needed, allowed: memory_bytes });
        }
        let rows = Rows::read(&file).map_err(|error| match error {
            RowsError::Source(source) => CurError::Source(source),
            _ => CurError::Memory { needed, allowed: memory_bytes },
        })?;
        let values = decode(DType::F32, rows.bytes());
        let dim = file.dim();
        // The same check as of scores: a row is what an anchor item gives.
        let checked = ScoreMatrix::new(dim, values, || file.name())?;
        Ok(CurMap { dim, values: checked.into_values() })
    }

    /// Writes the vectors of queries whose scores on the anchor items a file holds, a row each, and says how many there are.
    ///
    /// # Errors
    /// [`CurError`]; an older file is untouched then.
    pub fn write_queries(
        &self,
        scores: &ScoreFile,
        out: OutFile<'_>,
        watch: Watch<'_>,
    ) -> Result<u64, CurError> {
        self.check_scores(scores)?;
        let mut writer = VectorWriter::create(out, DType::F32, self.dim)?;
        let mut row = Vec::new();
        for query in 0..scores.rows() {
            scores.read_row(query, &mut row)?;
            let vector = self.vector(&row);
            if let Some(element) = vector.iter().position(|x| !x.is_finite()) {
                let (name, value) = (format!("the vector of {}", scores.name()), vector[element]);
                return Err(CurError::NotFinite { name, row: query, column: element, value });
            }
            writer.write_rows(&vector.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>())?;
            watch.step(query as u64 + 1, scores.rows() as u64)?; // CAST: widening
        }
        Ok(writer.finish()?)
    }

    /// Whether scores of queries are for the anchor items of this map.
    ///
    /// # Errors
    /// [`CurError::Shape`].
    pub fn check_scores(&self, scores: &ScoreFile) -> Result<(), CurError> {
        let (found, expected) = (scores.columns(), self.anchors());
        if found != expected {
            return Err(CurError::Shape { name: scores.name(), found, expected });
        }
        Ok(())
    }
}
