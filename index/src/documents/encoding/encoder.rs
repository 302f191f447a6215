//! Encodings of documents and of queries.
use super::random::{Purpose, below, normal, rng, sign};
use super::spec::{EmptyBuckets, EncodingSpec};
use crate::DType;
use crate::head_space::for_each_element;
use crate::kernels::{BlockKernel, LeftRows, Operation, RightRows};

/// Encodes documents and queries of tokens, with the same planes and projections for both.
#[derive(Debug)]
pub struct DocumentEncoder {
    spec: EncodingSpec,
    dtype: DType,
    dim: usize,
    kernel: BlockKernel,
    /// Rows of floats: the planes of all repetitions, then the projections of all.
    rows: RightRows,
    /// Of each element of all blocks the place that it is added to and its sign; none where all are kept.
    sketch: Option<Vec<Place>>,
    /// What projections are multiplied by.
    scale: f32,
}

/// Where an element of the blocks goes.
#[derive(Debug, Clone, Copy)]
struct Place {
    at: u32,
    sign: f32,
}

/// Memory of an encoding in progress, used again for the next.
#[derive(Debug, Default)]
pub struct EncodingScratch {
    floats: Vec<u8>,
    left: LeftRows,
    products: Vec<f32>,
    /// Sums of the projected tokens of each bucket of each repetition.
    sums: Vec<f32>,
    /// Of each, the tokens in it.
    counts: Vec<u32>,
    /// Of each, the first token in it, and that token projected, where empty buckets take one.
    first_tokens: Vec<u32>,
    firsts: Vec<f32>,
    tokens: u32,
}

impl DocumentEncoder {
    /// Tokens that are multiplied at once: their products stay in the second-level cache. Callers that may be told to stop hand in no more.
    pub const TOKENS_AT_ONCE: usize = 64;

    /// For tokens of `dim` elements of a type. Equal seeds encode alike.
    ///
    /// # Panics
    /// When the encoding is wider than its tokens: [`EncodingSpec::wrong_for`] says so, and what else does not go with them.
    pub fn new(spec: EncodingSpec, dtype: DType, dim: usize, seed: u64) -> DocumentEncoder {
        let (repetitions, width) = (spec.repetitions as usize, spec.width as usize); // CAST: widening
        assert!(width <= dim, "tokens of {dim} elements have no projection to {width}");
        let mut rows = Vec::with_capacity(DocumentEncoder::bytes(spec, dim));
        let mut planes = rng(seed, Purpose::Planes);
        for _ in 0..repetitions * spec.planes as usize * dim {
            rows.extend(normal(&mut planes).to_le_bytes());
        }
        // Tokens that are not projected are taken as they are.
        let is_projected = width < dim;
        if is_projected {
            let mut signs = rng(seed, Purpose::Projections);
            for _ in 0..repetitions * width * dim {
                rows.extend(sign(&mut signs).to_le_bytes());
            }
        }
        let kernel = BlockKernel::new(DType::F32, dim);
        let sketch = (spec.block_elements() > spec.dim.into()).then(|| {
            let mut places = rng(seed, Purpose::Sketch);
            let place = |_| Place { at: below(&mut places, spec.dim), sign: sign(&mut places) };
            (0..spec.block_elements()).map(place).collect()
        });
        // Each repetition estimates MaxSim: both sides have the root of the mean over them.
        let projected = if is_projected { width } else { 1 };
        let scale = 1.0 / ((projected * repetitions) as f32).sqrt(); // CAST: a factor, which may be rounded
        DocumentEncoder { spec, dtype, dim, rows: kernel.pack_right(&rows), kernel, sketch, scale }
    }
}

impl DocumentEncoder {
    /// How it encodes.
    pub fn spec(&self) -> EncodingSpec {
        self.spec
    }

    /// Elements of an encoding, f32 each.
    pub fn dim(&self) -> usize {
        self.spec.dim as usize // CAST: widening
    }

    /// Bytes of planes, projections and places of an encoding of tokens of `dim` elements.
    pub fn bytes(spec: EncodingSpec, dim: usize) -> usize {
        const PANEL_ROWS: usize = 32;
        let projected = if (spec.width as usize) < dim { spec.width } else { 0 }; // CAST: widening
        let rows = spec.repetitions * (spec.planes + projected);
        let places = if spec.block_elements() > spec.dim.into() { spec.block_elements() as usize } else { 0 }; // CAST: at most 2^20
        4 * dim * (rows as usize).next_multiple_of(PANEL_ROWS) + size_of::<Place>() * places // CAST: widening
    }

    /// Bytes of its planes, projections and places.
    pub fn memory_bytes(&self) -> usize {
        DocumentEncoder::bytes(self.spec, self.dim)
    }

    /// Bytes of memory that a [`EncodingScratch`] takes besides.
    pub fn scratch_bytes(spec: EncodingSpec, dim: usize) -> usize {
        let blocks = spec.block_elements() as usize; // CAST: at most 2^20
        let per_token = spec.repetitions as usize * (spec.planes as usize + (spec.width as usize).min(dim)); // CAST: widening
        2 * 4 * blocks
            + 2 * 4 * blocks / spec.width.max(1) as usize
            + 4 * DocumentEncoder::TOKENS_AT_ONCE * (2 * dim + per_token) // CAST: widening
    }

    /// Starts the encoding of a document or of a query.
    pub fn start(&self, scratch: &mut EncodingScratch) {
        let blocks = self.spec.block_elements() as usize; // CAST: at most 2^20
        let buckets = blocks / self.width();
        scratch.sums.clear();
        scratch.sums.resize(blocks, 0.0);
        scratch.counts.clear();
        scratch.counts.resize(buckets, 0);
        if self.spec.empty == EmptyBuckets::Nearest {
            scratch.first_tokens.resize(buckets, 0);
            scratch.firsts.resize(blocks, 0.0);
        }
        scratch.tokens = 0;
    }

    /// Takes in tokens, back to back: all of them at once, or some at a time in their order.
    pub fn add(&self, tokens: &[u8], scratch: &mut EncodingScratch) {
        let row_bytes = self.dtype.row_bytes(self.dim);
        for tokens in tokens.chunks(DocumentEncoder::TOKENS_AT_ONCE * row_bytes) {
            scratch.floats.clear();
            let floats = &mut scratch.floats;
            for_each_element(self.dtype, tokens, |x| floats.extend_from_slice(&x.to_le_bytes()));
            self.kernel.pack_left_inner(&scratch.floats, &mut scratch.left);
            let (count, each) = (tokens.len() / row_bytes, self.rows.len());
            scratch.products.resize(count * each, 0.0);
            let (left, right) = (scratch.left.all(), self.rows.all());
            self.kernel.scores(Operation::InnerProduct, left, right, &mut scratch.products);
            for token in 0..count {
                self.add_one(token, scratch);
            }
        }
    }

    /// Takes in token `at` of those whose products are there.
    fn add_one(&self, at: usize, scratch: &mut EncodingScratch) {
        let EncodingScratch { floats, products, sums, counts, first_tokens, firsts, tokens, .. } = scratch;
        let (width, planes) = (self.width(), self.spec.planes as usize); // CAST: widening
        let repetitions = self.spec.repetitions as usize; // CAST: widening
        let products = &products[at * self.rows.len()..(at + 1) * self.rows.len()];
        let (of_planes, projected) = products.split_at(repetitions * planes);
        let whole: Vec<f32> = match projected.is_empty() {
            true => {
                let row = &floats[4 * at * self.dim..4 * (at + 1) * self.dim];
                row.as_chunks::<4>().0.iter().map(|&x| f32::from_le_bytes(x)).collect()
            }
            false => Vec::new(),
        };
        for (repetition, of_planes) in of_planes.chunks_exact(planes).enumerate() {
            let sides =
                of_planes.iter().rev().fold(0, |bits, &product| bits << 1 | usize::from(product > 0.0));
            let bucket = repetition << planes | sides;
            let token = match projected.is_empty() {
                true => &whole,
                false => &projected[repetition * width..(repetition + 1) * width],
            };
            let block = bucket * width..(bucket + 1) * width;
            if counts[bucket] == 0 && self.spec.empty == EmptyBuckets::Nearest {
                first_tokens[bucket] = *tokens;
                firsts[block.clone()].copy_from_slice(token);
            }
            counts[bucket] += 1;
            sums[block].iter_mut().zip(token).for_each(|(sum, x)| *sum += x);
        }
        *tokens += 1;
    }

    /// Ends the encoding of a document: means of buckets. `out` has [`DocumentEncoder::dim`] elements.
    pub fn finish_document(&self, scratch: &mut EncodingScratch, out: &mut [f32]) {
        let width = self.width();
        for (sums, &count) in scratch.sums.chunks_exact_mut(width).zip(&scratch.counts) {
            if count > 1 {
                sums.iter_mut().for_each(|sum| *sum /= count as f32); // CAST: tokens of a document, rounded
            }
        }
        if self.spec.empty == EmptyBuckets::Nearest {
            self.fill(scratch);
        }
        self.reduce(&scratch.sums, out);
    }

    /// Ends the encoding of a query: sums of buckets. `out` has [`DocumentEncoder::dim`] elements.
    pub fn finish_query(&self, scratch: &mut EncodingScratch, out: &mut [f32]) {
        self.reduce(&scratch.sums, out);
    }

    /// Gives empty buckets the token of the document whose bucket differs in the fewest planes, the first of these.
    fn fill(&self, scratch: &mut EncodingScratch) {
        let EncodingScratch { sums, counts, first_tokens, firsts, .. } = scratch;
        let (width, buckets) = (self.width(), 1_usize << self.spec.planes);
        let mut occupied = Vec::with_capacity(buckets);
        for first in (0..counts.len()).step_by(buckets) {
            occupied.clear();
            occupied.extend((first..first + buckets).filter(|&bucket| counts[bucket] > 0));
            for empty in (first..first + buckets).filter(|&bucket| counts[bucket] == 0) {
                let order = |&&bucket: &&usize| ((bucket ^ empty).count_ones(), first_tokens[bucket]);
                if let Some(nearest) = occupied.iter().min_by_key(order) {
                    let of = nearest * width..(nearest + 1) * width;
                    sums[empty * width..(empty + 1) * width].copy_from_slice(&firsts[of]);
                }
            }
        }
    }

    /// Scales all blocks, and sums them to the elements of the encoding.
    fn reduce(&self, blocks: &[f32], out: &mut [f32]) {
        match &self.sketch {
            None => out.iter_mut().zip(blocks).for_each(|(out, x)| *out = self.scale * x),
            Some(places) => {
                out.fill(0.0);
                for (place, x) in places.iter().zip(blocks) {
                    out[place.at as usize] += self.scale * place.sign * x; // CAST: widening
                }
            }
        }
    }

    fn width(&self) -> usize {
        self.spec.width as usize // CAST: widening
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::{DocumentTokens, MaxSim};
    use crate::testing::random_rows;

    fn document(encoder: &DocumentEncoder, rows: &[u8]) -> Vec<f32> {
        let (mut scratch, mut out) = (EncodingScratch::default(), vec![f32::NAN; encoder.dim()]);
        encoder.start(&mut scratch);
        encoder.add(rows, &mut scratch);
        encoder.finish_document(&mut scratch, &mut out);
        out
    }

    fn query(encoder: &DocumentEncoder, rows: &[u8]) -> Vec<f32> {
        let (mut scratch, mut out) = (EncodingScratch::default(), vec![f32::NAN; encoder.dim()]);
        encoder.start(&mut scratch);
        encoder.add(rows, &mut scratch);
        encoder.finish_query(&mut scratch, &mut out);
        out
    }

    fn product(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }

    fn encoder(spec: &str, dtype: DType, dim: usize) -> DocumentEncoder {
        DocumentEncoder::new(spec.parse().unwrap(), dtype, dim, 7)
    }

    /// One token against one: where all planes agree their product is exact without projection, and each repetition has it.
    #[test]
    fn products_of_equal_tokens_are_exact_without_projection() {
        for dtype in DType::ALL {
            let row = random_rows(dtype, 24, 1, 3);
            let mut document = DocumentTokens::default();
            let max_sim = MaxSim::new(dtype, 24);
            max_sim.document(&row, &mut document);
            let wanted = max_sim.score(&max_sim.query(&row), &mut document, &mut Vec::new());
            for text in ["muvera:R=3,k=4,d=24", "muvera:R=3,k=4,d=24,empty=nearest"] {
                let encoder = encoder(text, dtype, 24);
                let found = product(&query(&encoder, &row), &super::tests::document(&encoder, &row));
                assert!((found - wanted).abs() <= 1e-4 * wanted.abs(), "{dtype} {text}: {found} {wanted}");
            }
        }
    }

    /// Buckets of a document and of a query as they are defined, against a plain computation of one repetition.
    #[test]
    fn blocks_are_means_of_documents_and_sums_of_queries() {
        let (dim, count) = (8, 9);
        let rows = random_rows(DType::F32, dim, count, 5);
        for empty in [EmptyBuckets::Zero, EmptyBuckets::Nearest] {
            let spec: EncodingSpec = "muvera:R=1,k=3,d=8".parse().unwrap();
            let encoder = DocumentEncoder::new(EncodingSpec { empty, ..spec }, DType::F32, dim, 7);
            let mut numbers = rng(7, Purpose::Planes);
            let planes: Vec<f32> = (0..3 * dim).map(|_| normal(&mut numbers)).collect();
            let tokens: Vec<Vec<f32>> = rows
                .chunks_exact(4 * dim)
                .map(|row| row.as_chunks::<4>().0.iter().map(|&x| f32::from_le_bytes(x)).collect())
                .collect();
            let bucket = |token: &[f32]| -> usize {
                (0..3)
                    .filter(|plane| product(&planes[plane * dim..(plane + 1) * dim], token) > 0.0)
                    .map(|p| 1 << p)
                    .sum()
            };
            let buckets: Vec<usize> = tokens.iter().map(|token| bucket(token)).collect();
            let (of_document, of_query) = (document(&encoder, &rows), query(&encoder, &rows));
            assert!((0..8).any(|bucket| !buckets.contains(&bucket)), "a bucket is empty");
            for block in 0..8_usize {
                let inside: Vec<&Vec<f32>> =
                    tokens.iter().zip(&buckets).filter(|of| *of.1 == block).map(|of| of.0).collect();
                let nearest = (0..count).min_by_key(|&at| ((buckets[at] ^ block).count_ones(), at)).unwrap();
                for element in 0..dim {
                    let sum: f32 = inside.iter().map(|token| token[element]).sum();
                    let mean = match (inside.len(), empty) {
                        (0, EmptyBuckets::Zero) => 0.0,
                        (0, EmptyBuckets::Nearest) => tokens[nearest][element],
                        (count, _) => sum / count as f32,
                    };
                    let at = block * dim + element;
                    assert!((of_query[at] - sum).abs() < 1e-5, "{empty} query {block} {element}");
                    assert!((of_document[at] - mean).abs() < 1e-5, "{empty} document {block} {element}");
                }
            }
        }
    }

    /// Projections and the final sum keep products on average over seeds.
    #[test]
    fn projected_products_are_right_on_average() {
        let (of_query, of_document) =
            (random_rows(DType::F32, 32, 4, 11), random_rows(DType::F32, 32, 20, 12));
        let of = |text: &str, seed: u64| {
            let encoder = DocumentEncoder::new(text.parse().unwrap(), DType::F32, 32, seed);
            product(&query(&encoder, &of_query), &document(&encoder, &of_document))
        };
        let mean = |text: &str| (0..300).map(|seed| of(text, seed)).sum::<f64>() / 300.0;
        let exact = mean("muvera:R=8,k=2,d=32");
        for text in ["muvera:R=8,k=2,d=8", "muvera:R=8,k=2,d=8,dim=64"] {
            let found = mean(text);
            assert!((found - exact).abs() < 0.15 * exact.abs(), "{text}: {found} {exact}");
        }
    }

    /// Tokens a few at a time, and more than are multiplied at once, make the same bytes.
    #[test]
    fn encodings_do_not_depend_on_how_tokens_come() {
        for text in ["muvera:R=3,k=2,d=4", "muvera:R=3,k=2,d=4,dim=10,empty=nearest", "muvera:R=2,k=3,d=12"] {
            for dtype in DType::ALL {
                let (encoder, rows) = (encoder(text, dtype, 12), random_rows(dtype, 12, 150, 3));
                let whole = document(&encoder, &rows);
                let (mut scratch, mut out) = (EncodingScratch::default(), vec![f32::NAN; encoder.dim()]);
                // What another left behind does not matter.
                encoder.start(&mut scratch);
                encoder.add(&rows[..5 * dtype.row_bytes(12)], &mut scratch);
                encoder.start(&mut scratch);
                for some in rows.chunks(7 * dtype.row_bytes(12)) {
                    encoder.add(some, &mut scratch);
                }
                encoder.finish_document(&mut scratch, &mut out);
                assert_eq!(out, whole, "{text} {dtype}");
                let other = DocumentEncoder::new(text.parse().unwrap(), dtype, 12, 8);
                assert_ne!(document(&other, &rows), whole);
            }
        }
    }

    /// The numbers themselves: an index that is open was built with the same.
    #[test]
    fn encodings_of_bytes_are_golden() {
        let rows = random_rows(DType::I8, 16, 10, 3);
        let encoder = encoder("muvera:R=4,k=2,d=4,dim=20,empty=nearest", DType::I8, 16);
        let bytes: Vec<u8> = document(&encoder, &rows).iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(xxhash_rust::xxh3::xxh3_64(&bytes), 16_080_077_728_901_806_817);
    }
}
