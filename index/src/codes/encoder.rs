//! From vectors to codes and factors, for every family.
use super::factors::{Factors, factor_block};
use super::family::CodeModel;
use super::frame::{Centre, Frame, Rotated};
use super::planes::PlaneCoder;
use super::products::ProductCoder;
use super::rotation::BatchRotation;
use super::sums::squared_length;
use crate::kernels::scan::{BLOCK_VECTORS, Blocks};

/// Codes in blocks of sixteen, the last filled up with zeros.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CodeBlocks {
    /// Rows of all blocks.
    pub rows: Vec<u8>,
    /// Factors of all blocks.
    pub factors: Vec<u8>,
}

impl CodeBlocks {
    /// All blocks, to be scanned.
    pub fn all(&self) -> Blocks<'_> {
        Blocks { rows: &self.rows, factors: &self.factors }
    }
}

/// Encodes the vectors of one list after the other.
pub struct Encoder<'a> {
    frame: Frame<'a>,
    block_bytes: usize,
    rotation: BatchRotation<'a>,
    coder: Coder<'a>,
    rotated: Vec<f32>,
    factors: Vec<Factors>,
}

/// What a family does with rotated residuals.
enum Coder<'a> {
    Planes(PlaneCoder<'a>),
    Products(ProductCoder<'a>),
}

impl<'a> Encoder<'a> {
    /// An encoder that uses `model`.
    pub fn new(model: &'a CodeModel) -> Encoder<'a> {
        let frame = model.frame();
        Encoder {
            frame,
            block_bytes: model.block_bytes(),
            rotation: frame.batch_rotation(),
            coder: match model {
                CodeModel::Planes(model) => Coder::Planes(PlaneCoder::new(model)),
                CodeModel::Products(model) => Coder::Products(ProductCoder::new(model)),
            },
            rotated: Vec::new(),
            factors: Vec::new(),
        }
    }

    /// Encodes vectors lying back to back in head space, filed under `head`, into `out`.
    ///
    /// A row may have one element more than the model's vectors: that of lifted inner product, which no query
    /// has, and which therefore needs no code.
    pub fn encode(&mut self, rows: &[f32], head: &[f32], out: &mut CodeBlocks) {
        let Frame { dim, dims, .. } = self.frame;
        let stride = head.len();
        assert!(stride == dim || stride == dim + 1);
        let centre = match self.frame.centre {
            Centre::Head => &head[..dim],
            Centre::Mean => self.frame.mean,
        };
        let count = rows.len() / stride;
        let mut residuals = Vec::with_capacity((count + 1) * dim);
        for row in rows.chunks_exact(stride) {
            residuals.extend(row[..dim].iter().zip(centre).map(|(x, c)| x - c));
        }
        let squared: Vec<f64> = residuals.chunks_exact(dim).map(squared_length).collect();
        // The centre, around the mean, is rotated like a vector.
        residuals.extend(centre.iter().zip(self.frame.mean).map(|(c, m)| c - m));
        self.rotation.apply(&residuals, &mut self.rotated);
        let (rotated_rows, rotated_centre) = self.rotated.split_at(count * dims);

        out.rows.clear();
        out.rows.resize(count.div_ceil(BLOCK_VECTORS) * self.block_bytes, 0);
        out.factors.clear();
        self.factors.clear();
        let rotated = Rotated { rows: rotated_rows, centre: rotated_centre, squared: &squared };
        match &mut self.coder {
            Coder::Planes(coder) => coder.code(&rotated, &mut out.rows, &mut self.factors),
            Coder::Products(coder) => coder.code(&rotated, &mut out.rows, &mut self.factors),
        }
        // A query's last element is 0: |q - x|^2 counts that of x itself. That of the head is in the distance to the head
        // already; the distance to the mean has none.
        let counted = match self.frame.centre {
            Centre::Head => head.get(dim).map_or(0.0, |&last| f64::from(last).powi(2)),
            Centre::Mean => 0.0,
        };
        for (row, factors) in rows.chunks_exact(stride).zip(&mut self.factors) {
            if let Some(&last) = row.get(dim) {
                factors.add = (f64::from(factors.add) + f64::from(last).powi(2) - counted) as f32; // CAST: rounds
            }
        }
        for factors in self.factors.chunks(BLOCK_VECTORS) {
            out.factors.extend_from_slice(&factor_block(factors));
        }
    }
}
