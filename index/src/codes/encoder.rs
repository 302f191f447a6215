//! From vectors to codes and factors, for every family.
use super::factors::{Factors, Steps, factor_block};
use super::family::CodeModel;
use super::frame::{Centre, Frame, Rotated};
use super::planes::PlaneCoder;
use super::products::ProductCoder;
use super::recurrent::RecurrentCoder;
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
    /// For what is multiplied with codes as queries are, where these go through another matrix.
    of_queries: Option<BatchRotation<'a>>,
    coder: Coder<'a>,
    rotated: Vec<f32>,
    rotated_centre: Vec<f32>,
    factors: Vec<Factors>,
}

/// What a family does with rotated residuals.
enum Coder<'a> {
    Planes(PlaneCoder<'a>),
    Products(ProductCoder<'a>),
    Recurrent(Box<RecurrentCoder<'a>>),
}

impl<'a> Encoder<'a> {
    /// An encoder that uses `model`.
    pub fn new(model: &'a CodeModel) -> Encoder<'a> {
        let frame = model.frame();
        Encoder {
            frame,
            block_bytes: model.block_bytes(),
            rotation: frame.batch_rotation(),
            of_queries: frame
                .queries
                .map(|_| BatchRotation::new(frame.query_rotation(), frame.dim, frame.dims)),
            coder: match model {
                CodeModel::Planes(model) => Coder::Planes(PlaneCoder::new(model)),
                CodeModel::Products(model) => Coder::Products(ProductCoder::new(model)),
                CodeModel::Recurrent(model) => Coder::Recurrent(Box::new(RecurrentCoder::new(model))),
            },
            rotated: Vec::new(),
            rotated_centre: Vec::new(),
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
        let exact: Vec<f64> = match self.frame.anchor() {
            Some(anchor) => {
                let way: Vec<f64> =
                    centre.iter().zip(anchor).map(|(&c, &p)| f64::from(c) - f64::from(p)).collect();
                let product = |row: &[f32]| row.iter().zip(&way).map(|(&x, way)| f64::from(x) * way).sum();
                residuals.chunks_exact(dim).map(product).collect()
            }
            None => vec![0.0; count],
        };
        // The point at which estimates are exact, around the mean, is rotated like a query.
        let point = self.frame.anchor().unwrap_or(centre);
        let around_mean = point.iter().zip(self.frame.mean).map(|(c, m)| c - m);
        let rotated_centre = match &self.of_queries {
            None => {
                residuals.extend(around_mean);
                self.rotation.apply(&residuals, &mut self.rotated);
                &self.rotated[count * dims..]
            }
            Some(of_queries) => {
                self.rotation.apply(&residuals, &mut self.rotated);
                let around_mean: Vec<f32> = around_mean.collect();
                of_queries.apply(&around_mean, &mut self.rotated_centre);
                self.rotated_centre.as_slice()
            }
        };
        let rotated_rows = &self.rotated[..count * dims];

        out.rows.clear();
        out.rows.resize(count.div_ceil(BLOCK_VECTORS) * self.block_bytes, 0);
        out.factors.clear();
        self.factors.clear();
        let residuals = &residuals[..count * dim];
        let rotated = Rotated { residuals, rows: rotated_rows, centre: rotated_centre, squared: &squared };
        match &mut self.coder {
            Coder::Planes(coder) => coder.code(&rotated, &mut out.rows, &mut self.factors),
            Coder::Products(coder) => coder.code(&rotated, &mut out.rows, &mut self.factors),
            Coder::Recurrent(coder) => coder.code(&rotated, &mut out.rows, &mut self.factors),
        }
        // A query's last element is 0: |q - x|^2 counts that of x itself. That of the head is in the distance to the head
        // already; the distance to the mean has none.
        let counted = match self.frame.centre {
            Centre::Head => head.get(dim).map_or(0.0, |&last| f64::from(last).powi(2)),
            Centre::Mean => 0.0,
        };
        for ((row, factors), exact) in rows.chunks_exact(stride).zip(&mut self.factors).zip(exact) {
            if self.frame.anchor().is_some() {
                factors.add = (f64::from(factors.add) + 2.0 * exact) as f32; // CAST: rounds
            }
            if let Some(&last) = row.get(dim) {
                factors.add = (f64::from(factors.add) + f64::from(last).powi(2) - counted) as f32; // CAST: rounds
            }
        }
        for factors in self.factors.chunks(BLOCK_VECTORS) {
            out.factors.extend_from_slice(&factor_block(factors, Steps::default()));
        }
    }
}
