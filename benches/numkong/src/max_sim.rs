//! MaxSim of one query and one document, which comes unpacked, as from SSD; queries are packed before.
use std::hint::black_box;

use numkong::{MaxSim as TheirMaxSim, MaxSimPackedMatrix, PackedMatrix, Tensor, f16};
use spandrel_index::documents::{DocumentTokens, MaxSim};

use crate::element::{Element, random_rows};
use crate::timing::medians;

const DIM: usize = 128;
const QUERY: usize = 32;
const DOCUMENT: usize = 128;
/// Pairs of a query and a document of which the values that are most off are told; the first is timed.
const DOCUMENTS: u64 = 50;

type Scoring<'a> = Box<dyn FnMut() -> f64 + 'a>;

/// A type for which numkong may have a MaxSim of its own.
trait Token: Element {
    /// Of a packed query: with a document that is packed first, and with one that is packed before.
    fn max_sim<'a>(query: &'a Tensor<Self>, document: &'a Tensor<Self>) -> Option<[Scoring<'a>; 2]>;
}

impl Token for i8 {
    fn max_sim<'a>(_: &'a Tensor<i8>, _: &'a Tensor<i8>) -> Option<[Scoring<'a>; 2]> {
        None
    }
}

impl Token for f16 {
    fn max_sim<'a>(query: &'a Tensor<f16>, document: &'a Tensor<f16>) -> Option<[Scoring<'a>; 2]> {
        Some(theirs(query, document))
    }
}

impl Token for f32 {
    fn max_sim<'a>(query: &'a Tensor<f32>, document: &'a Tensor<f32>) -> Option<[Scoring<'a>; 2]> {
        Some(theirs(query, document))
    }
}

fn theirs<'a, T>(query: &'a Tensor<T>, document: &'a Tensor<T>) -> [Scoring<'a>; 2]
where
    T: TheirMaxSim + 'a,
    T::Score: Into<f64>,
{
    let pack = |tokens: &Tensor<T>| MaxSimPackedMatrix::try_pack(&tokens.view()).expect("memory");
    let (one, other, packed) = (pack(query), pack(query), pack(document));
    let unpacked = move || one.try_score(&pack(black_box(document))).expect("equal lengths").into();
    [Box::new(unpacked), Box::new(move || other.try_score(black_box(&packed)).expect("equal lengths").into())]
}

/// A query and a document for both sides.
struct Pair<T> {
    query: Vec<T>,
    document: Vec<T>,
    query_bytes: Vec<u8>,
    document_bytes: Vec<u8>,
}

impl<T: Token> Pair<T>
where
    T::Accumulator: Into<f64> + PartialOrd,
{
    fn new(seed: u64) -> Pair<T> {
        let (query, document) = (random_rows(QUERY, DIM, 2 * seed), random_rows(DOCUMENT, DIM, 2 * seed + 1));
        let (query_bytes, document_bytes) = (T::bytes(&query), T::bytes(&document));
        Pair { query, document, query_bytes, document_bytes }
    }

    /// The sum of the largest products, and that of the least of numkong's distances, `1 - cosine`.
    fn exact(&self) -> [f64; 2] {
        let of = |bytes: &[u8]| spandrel_index::decode(T::DTYPE, bytes);
        let (query, document) = (of(&self.query_bytes), of(&self.document_bytes));
        let dot =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let mut sums = [0.0; 2];
        for token in query.chunks_exact(DIM) {
            let mut best = [f64::NEG_INFINITY, f64::INFINITY];
            for other in document.chunks_exact(DIM) {
                let product = dot(token, other);
                let distance = 1.0 - product / (dot(token, token) * dot(other, other)).sqrt();
                best = [best[0].max(product), best[1].min(distance)];
            }
            sums = [sums[0] + best[0], sums[1] + best[1]];
        }
        sums
    }

    /// Microseconds, and how far the first values are off: ours, ours with a document packed before, numkong's products, its MaxSim
    /// and the same with a document packed before.
    fn measure(&self) -> ([f64; 5], [f64; 3]) {
        let max_sim = MaxSim::new(T::DTYPE, DIM);
        let packed_query = max_sim.query(&self.query_bytes);
        let (mut tokens, mut maxima) = (DocumentTokens::default(), Vec::new());
        let (mut before, mut maxima_before) = (DocumentTokens::default(), Vec::new());
        max_sim.document(&self.document_bytes, &mut before);
        let mut ours = || {
            max_sim.document(black_box(&self.document_bytes), &mut tokens);
            max_sim.score(&packed_query, &mut tokens, &mut maxima)
        };
        let mut ours_packed = || max_sim.score(black_box(&packed_query), &mut before, &mut maxima_before);

        let query = Tensor::from_slice(&self.query, &[QUERY, DIM]);
        let document = Tensor::from_slice(&self.document, &[DOCUMENT, DIM]);
        let their_query = PackedMatrix::pack(&query);
        let mut products =
            Tensor::<T::Accumulator>::try_full(&[DOCUMENT, QUERY], Default::default()).expect("memory");
        // Their products of all pairs, document tokens as they lie, and the maxima of these.
        let mut dots = || {
            black_box(&document).try_dots_packed_into(&their_query, &mut products).expect("shapes fit");
            let mut rows = products.as_slice().chunks_exact(QUERY);
            let mut largest: [T::Accumulator; QUERY] =
                rows.next().expect("a token").try_into().expect("a row");
            for row in rows {
                for (largest, &product) in largest.iter_mut().zip(row) {
                    *largest = if product > *largest { product } else { *largest };
                }
            }
            largest.into_iter().map(Into::into).sum::<f64>()
        };
        let mut whole = T::max_sim(&query, &document);
        let [exact, angle] = self.exact();
        let whole_off = whole.as_mut().map_or(f64::NAN, |[first, _]| (first() - angle).abs() / angle);
        let off = [(ours() - exact).abs() / exact.abs(), (dots() - exact).abs() / exact.abs(), whole_off];
        let [mut unpacked, mut packed]: [Scoring; 2] =
            whole.unwrap_or_else(|| [Box::new(|| f64::NAN), Box::new(|| f64::NAN)]);
        let found = medians(
            DIM,
            QUERY * DOCUMENT,
            [
                &mut || _ = black_box(ours()),
                &mut || _ = black_box(ours_packed()),
                &mut || _ = black_box(dots()),
                &mut || _ = black_box(unpacked()),
                &mut || _ = black_box(packed()),
            ],
        );
        (found.map(|pair| pair * (QUERY * DOCUMENT) as f64 * 1e-3), off)
    }
}

fn line<T: Token>()
where
    T::Accumulator: Into<f64> + PartialOrd,
{
    let ([ours, ours_packed, dots, unpacked, packed], mut off) = Pair::<T>::new(0).measure();
    for seed in 1..DOCUMENTS {
        let (_, found) = Pair::<T>::new(seed).measure();
        off = std::array::from_fn(|at| off[at].max(found[at]));
    }
    let whole = if off[2].is_nan() {
        "- | - | -".to_owned()
    } else {
        format!("{unpacked:.2} | {packed:.2} | {:.0e}", off[2])
    };
    let dtype = T::DTYPE;
    println!(
        "| {dtype} | {ours:.2} | {ours_packed:.2} | {:.0e} | {dots:.2} | {:.0e} | {whole} |",
        off[0], off[1]
    );
}

/// Prints microseconds a document, and how far values are off.
pub(crate) fn print() {
    println!(
        "| type | ours | ours, packed before | off | numkong products | off | numkong MaxSim | packed before | off |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    line::<i8>();
    line::<f16>();
    line::<f32>();
}
