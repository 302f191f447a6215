//! Codes of principal axes with a scale of its own for each segment, which no index holds.
//!
//! Allotments and rotation are those of `axes:BYTES`. Where that has one scale for a vector, here each segment's code `u_s`
//! is scaled so that estimates are unbiased by itself: `<r, v> ~ sum_s |r_s|^2 <u_s, v_s> / <u_s, r_s>`, with variance
//! `sum_s |r_s|^2 |v_s|^2 tan_s^2 / (d_s - 1)`. Each scale beyond the first takes two bytes more. Factors and queries are not
//! rounded, which flatters these codes a little.
use anyhow::{Result, bail};
use rayon::ThreadPool;
use rayon::prelude::*;
use spandrel_index::Index;
use spandrel_index::codes::{CodeModel, CodeSpec, PlaneModel, PlaneSegment, RotationScratch};

use crate::code::{Code, Estimate};
use crate::coded::train;
use crate::lists::Lists;
use spandrel_benches::set::Set;

/// Bytes of a scale.
const SCALE_BYTES: usize = 2;

/// Codes of every list, in their decoded form.
pub(crate) struct Scaled<'a> {
    lists: &'a Lists,
    spec: CodeSpec,
    model: PlaneModel,
    /// Rotated heads.
    heads: Vec<f32>,
    coded: Vec<CodedList>,
}

/// A list's codes.
#[derive(Default)]
struct CodedList {
    /// Squared lengths of the residuals.
    squared: Vec<f32>,
    /// Codes, scaled.
    values: Vec<f32>,
    /// What the squared length of a query's part in a segment is multiplied with for its share of the variance.
    variances: Vec<f32>,
}

impl<'a> Scaled<'a> {
    /// Codes all vectors with the allotment of `spec`. None where that has one segment: one scale is all there is.
    pub(crate) fn new(lists: &'a Lists, spec: CodeSpec, pool: &ThreadPool) -> Result<Option<Scaled<'a>>> {
        let CodeModel::Planes(model) = train(lists, spec)? else { bail!("{spec} has no segments") };
        if model.layout().segments().len() == 1 {
            return Ok(None);
        }
        let dims = model.layout().dims();
        let mut heads = vec![0.0; lists.index.lists() as usize * dims];
        let (mut head, mut scratch) = (Vec::new(), RotationScratch::default());
        for (list, out) in (0..).zip(heads.chunks_exact_mut(dims)) {
            lists.head(list, &mut head);
            model.rotation().apply(&head, head.len(), &mut scratch, out);
        }
        let encode = |list: u32| encode(lists, &model, list);
        let coded = pool.install(|| (0..lists.index.lists()).into_par_iter().map(encode).collect());
        Ok(Some(Scaled { lists, spec, model, heads, coded }))
    }
}

impl Code for Scaled<'_> {
    /// Rotated.
    type Query = Vec<f32>;

    fn lists(&self) -> &Lists {
        self.lists
    }

    fn bytes(&self) -> usize {
        let scales = self.model.layout().segments().len();
        self.spec.code_bytes(self.lists.index.dim()) + SCALE_BYTES * (scales - 1)
    }

    fn allotment(&self) -> String {
        let segments = self.model.layout().segments();
        let words: Vec<String> = segments.iter().map(|s| format!("{}x{}", s.dims, s.bits)).collect();
        format!("dimensions x bits {}", words.join(" "))
    }

    fn prepare(&self, set: &Set, query: usize, out: &mut Vec<f32>) {
        let index: &Index = &self.lists.index;
        let mut row = Vec::new();
        index.space().float_query(index.dtype(), set.queries.row(query), &mut row);
        out.resize(self.model.layout().dims(), 0.0);
        self.model.rotation().apply(&row, row.len(), &mut RotationScratch::default(), out);
    }

    fn scan(&self, query: &Vec<f32>, list: u32, head_distance: f32, out: &mut Vec<Estimate>) {
        let (dims, segments) = (query.len(), self.model.layout().segments());
        let head = &self.heads[list as usize * dims..][..dims];
        let around: Vec<f32> = query.iter().zip(head).map(|(q, c)| q - c).collect();
        let squares: Vec<f32> = parts(segments, &around).map(|(_, part)| dot(part, part)).collect();
        let list = &self.coded[list as usize];
        let vectors = list.values.chunks_exact(dims).zip(list.variances.chunks_exact(segments.len()));
        out.clear();
        out.extend(vectors.zip(&list.squared).map(|((values, variances), squared)| Estimate {
            distance: head_distance + squared - 2.0 * dot(values, &around),
            error: 2.0 * dot(variances, &squares).sqrt(),
        }));
    }
}

fn encode(lists: &Lists, model: &PlaneModel, list: u32) -> CodedList {
    let (mut head, mut vector, mut scratch) = (Vec::new(), Vec::new(), RotationScratch::default());
    let mut rotated = vec![0.0; model.layout().dims()];
    let mut out = CodedList::default();
    lists.head(list, &mut head);
    let (first, count) = lists.range(list);
    for position in (first..).take(count) {
        vector.clear();
        lists.vector(position, &mut vector);
        vector.iter_mut().zip(&head).for_each(|(x, c)| *x -= c);
        out.squared.push(dot(&vector, &vector));
        model.rotation().apply(&vector, vector.len(), &mut scratch, &mut rotated);
        for (segment, part) in parts(model.layout().segments(), &rotated) {
            let variance = code(segment, part, &mut out.values);
            out.variances.push(variance);
        }
    }
    out
}

/// Appends the scaled code of a segment's part of a residual, with the step that loses least: the variance of its product
/// with a vector of length one.
fn code(segment: &PlaneSegment, part: &[f32], out: &mut Vec<f32>) -> f32 {
    /// Steps tried, in powers of this from [`STEP_LEAST`].
    const STEP_RATIO: f32 = 1.06;
    const STEPS: i32 = 26;
    const STEP_LEAST: f32 = 0.55;
    let squared = dot(part, part);
    let dims = part.len() as f32; // CAST: exact
    let unit = (squared / dims).sqrt() * 4.0 / f32::from(1_u16 << segment.bits);
    if unit <= 0.0 {
        out.extend(part.iter().map(|_| 0.0));
        return 0.0;
    }
    let middle = segment.middle();
    let value = |x: f32, step: f32| (x / step + middle).round_ties_even().clamp(0.0, 2.0 * middle) - middle;
    // A code's squared length over its squared product with the residual.
    let mut best = (f32::INFINITY, 0.0, unit);
    for step in (0..STEPS).map(|power| unit * STEP_LEAST * STEP_RATIO.powi(power)) {
        let (mut length, mut product) = (0.0, 0.0);
        for &x in part {
            let value = value(x, step);
            length += value * value;
            product += value * x;
        }
        let lost = length / (product * product);
        if lost < best.0 {
            best = (lost, product, step);
        }
    }
    let (lost, product, step) = best;
    out.extend(part.iter().map(|&x| squared / product * value(x, step)));
    squared * (squared * lost - 1.0).max(0.0) / (dims - 1.0)
}

/// Segments, and their parts of a rotated row.
fn parts<'a>(
    segments: &'a [PlaneSegment],
    row: &'a [f32],
) -> impl Iterator<Item = (&'a PlaneSegment, &'a [f32])> {
    segments.iter().scan(row, |rest, segment| {
        let (part, after) = rest.split_at(segment.dims);
        *rest = after;
        Some((segment, part))
    })
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}
