//! Codes that know queries beside plain ones, for queries that are unlike the vectors.
use std::path::Path;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::codes::{CodeBlocks, CodeModel, CodeQuery, CodeSpec, Encoder};
use crate::kernels::scan::{BLOCK_VECTORS, FACTOR_BYTES, ScanKernel};

const DIM: usize = 40;
const LISTS: usize = 10;
const LIST: usize = 40;
const QUERIES: usize = 200;

fn normal(rng: &mut ChaCha8Rng) -> f32 {
    (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0
}

/// Residuals vary most where queries vary least, and queries lie around a point far from all vectors.
struct Foreign {
    heads: Vec<Vec<f32>>,
    lists: Vec<Vec<f32>>,
    queries: Vec<Vec<f32>>,
    residuals: Vec<f32>,
}

impl Foreign {
    fn new(seed: u64) -> Foreign {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut around = |centre: &[f32], scale: &dyn Fn(usize) -> f32| -> Vec<f32> {
            centre.iter().enumerate().map(|(i, c)| c + scale(i) * normal(&mut rng)).collect()
        };
        let of_residual = |i: usize| 0.94_f32.powi(i as i32);
        let of_query = |i: usize| 3.0 * 0.94_f32.powi((DIM - i) as i32);
        let heads: Vec<Vec<f32>> = (0..LISTS).map(|_| around(&[1.0; DIM], &|_| 2.0)).collect();
        let lists =
            heads.iter().map(|head| (0..LIST).flat_map(|_| around(head, &of_residual)).collect()).collect();
        let queries = (0..QUERIES).map(|_| around(&[-4.0; DIM], &of_query)).collect();
        let residuals = (0..4096).flat_map(|_| around(&[0.0; DIM], &of_residual)).collect();
        Foreign { heads, lists, queries, residuals }
    }

    /// What queries are like as seen from heads, or from their mean.
    fn moments(&self, anchored: bool) -> QueryMoments {
        let mean: Vec<f32> =
            (0..DIM).map(|i| self.queries.iter().map(|q| q[i]).sum::<f32>() / QUERIES as f32).collect();
        let points = if anchored { std::slice::from_ref(&mean) } else { self.heads.as_slice() };
        let seen = |point: &'_ Vec<f32>| -> Vec<f32> {
            self.queries.iter().flat_map(|q| q.iter().zip(point).map(|(x, p)| x - p)).collect()
        };
        let rows: Vec<f32> = points.iter().flat_map(seen).collect();
        QueryMoments::of(&rows, DIM, anchored.then(|| mean.clone())).with_ridge(0.01)
    }

    fn model(&self, spec: CodeSpec, moments: Option<&QueryMoments>) -> CodeModel {
        CodeModel::train_for(spec, vec![1.0; DIM], self.residuals.clone(), 1, moments).unwrap()
    }

    /// The root of the mean squared error of all estimates, and all errors in standard errors.
    fn errors(&self, model: &CodeModel) -> (f64, Vec<f64>) {
        let (mut blocks, mut query) = (CodeBlocks::default(), CodeQuery::default());
        let (mut squares, mut all) = (0.0, Vec::new());
        for (head, rows) in self.heads.iter().zip(&self.lists) {
            Encoder::new(model).encode(rows, head, &mut blocks);
            for row in &self.queries {
                query.prepare(model, row, head);
                let terms = query.terms(squared(row, head) as f32);
                let mut estimates = vec![0.0; LIST.next_multiple_of(BLOCK_VECTORS)];
                model.scan(&ScanKernel::default(), &query, blocks.all(), terms, &mut estimates);
                for (at, vector) in rows.chunks(DIM).enumerate() {
                    let factors: &[u8; FACTOR_BYTES] = &blocks.factors.as_chunks().0[at / BLOCK_VECTORS];
                    let off = f64::from(estimates[at]) - squared(row, vector);
                    squares += off * off;
                    all.push(off / f64::from(query.error(&terms, factors, at % BLOCK_VECTORS)));
                }
            }
        }
        ((squares / all.len() as f64).sqrt(), all)
    }
}

fn squared(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
}

fn specs() -> [CodeSpec; 4] {
    let products = |quantisers, bits| CodeSpec::Products { quantisers, bits, rotated: true, uniform: false };
    [CodeSpec::Axes { bytes: 8 }, CodeSpec::Axes { bytes: 20 }, products(10, 4), products(9, 8)]
}

#[test]
fn codes_that_know_queries_are_off_by_less_and_say_by_how_much() {
    let data = Foreign::new(1);
    for spec in specs() {
        let (plain, _) = data.errors(&data.model(spec, None));
        let mut found = Vec::new();
        for anchored in [false, true] {
            let model = data.model(spec, Some(&data.moments(anchored)));
            assert!(model.knows_queries());
            let (error, all) = data.errors(&model);
            let mean = all.iter().sum::<f64>() / all.len() as f64;
            let spread = (all.iter().map(|z| z * z).sum::<f64>() / all.len() as f64).sqrt();
            let inside = all.iter().filter(|z| z.abs() <= 2.5).count() as f64 / all.len() as f64;
            println!(
                "{spec} anchored {anchored}: {error:.3} of {plain:.3}, mean {mean:.3}, {spread:.3}, {inside:.3}"
            );
            assert!(mean.abs() < 0.15 && (0.7..1.25).contains(&spread), "{spec}: {mean}, {spread}");
            assert!(inside > 0.96, "{spec}: {inside} within 2.5 errors");
            found.push(error / plain);
        }
        assert!(
            found[0] < 0.8 && found[1] < 0.7 * found[0],
            "{spec}: {found:?} of the error of the plain code"
        );
    }
}

#[test]
fn an_anchor_is_where_estimates_are_exact() {
    let mut data = Foreign::new(2);
    let moments = data.moments(true);
    let anchor = moments.anchor().unwrap().to_vec();
    data.queries = vec![anchor];
    for spec in specs() {
        let plain = data.errors(&data.model(spec, None)).0;
        let (error, _) = data.errors(&data.model(spec, Some(&moments)));
        assert!(error < 0.02 * plain, "{spec}: {error}, {plain} of the plain code");
    }
}

#[test]
fn models_that_know_queries_are_read_as_they_were_written_and_damage_is_refused() {
    let data = Foreign::new(3);
    for spec in specs() {
        for anchored in [false, true] {
            let model = data.model(spec, Some(&data.moments(anchored)));
            let good = model.to_bytes();
            let read = |bytes: &[u8]| CodeModel::from_bytes(Path::new("m"), bytes, spec, DIM);
            let again = read(&good).unwrap();
            assert!(again.to_bytes() == good && again.memory_bytes() == model.memory_bytes());
            assert_eq!(data.errors(&again), data.errors(&model), "{spec}");
            let form_at = if matches!(spec, CodeSpec::Axes { .. }) { 28 } else { 20 };
            let with = |at: usize, value: [u8; 4]| {
                let mut bad = good.clone();
                bad[at..at + 4].copy_from_slice(&value);
                read(&bad)
            };
            for form in [0_u32, 3] {
                assert!(with(form_at, form.to_le_bytes()).is_err(), "{spec}: form {form}");
            }
            let dims = model.frame().dims;
            let map_at = good.len() - 2 * DIM * dims - 8;
            for scale_at in [map_at, map_at + 4] {
                for scale in [0.0, -1.0, f32::NAN, f32::INFINITY] {
                    assert!(with(scale_at, scale.to_le_bytes()).is_err(), "{spec}: scale {scale}");
                }
            }
            for length in [map_at, map_at + 8, good.len() - 1] {
                assert!(read(&good[..length]).is_err(), "{spec}: {length} bytes");
            }
        }
    }
}

#[test]
fn codes_that_cannot_know_queries_stay_as_they_are() {
    let data = Foreign::new(4);
    let moments = data.moments(true);
    let unrotated = CodeSpec::Products { quantisers: 10, bits: 4, rotated: false, uniform: false };
    // Not every dimension has a bit.
    let short = CodeSpec::Axes { bytes: 4 };
    for spec in [CodeSpec::RaBitQ { bits: 2 }, CodeSpec::Binary, unrotated, short] {
        assert!(!spec.knows_queries(DIM) && spec.query_map_bytes(DIM) == 0);
        let model = data.model(spec, Some(&moments));
        assert!(!model.knows_queries() && model.to_bytes() == data.model(spec, None).to_bytes(), "{spec}");
    }
    for spec in specs() {
        assert!(spec.knows_queries(DIM) && !spec.knows_queries(1025));
        let none = QueryMoments::of(&[0.0; DIM], DIM, None);
        let model = data.model(spec, Some(&none));
        assert!(model.to_bytes() == data.model(spec, None).to_bytes(), "{spec}: queries that do not vary");
        let more = data.model(spec, Some(&moments)).memory_bytes() - model.memory_bytes();
        assert_eq!(more, spec.query_map_bytes(DIM), "{spec}");
    }
}

/// Constant dimensions, and few queries.
#[test]
fn a_ridge_serves_queries_and_residuals_of_low_rank() {
    let mut data = Foreign::new(5);
    let flat = |rows: &mut [f32]| rows.chunks_mut(DIM).for_each(|row| row[30..].fill(0.0));
    flat(&mut data.residuals);
    data.heads.iter_mut().chain(&mut data.lists).for_each(|rows| flat(rows));
    data.queries.truncate(12);
    for spec in specs() {
        let plain = data.errors(&data.model(spec, None)).0;
        for anchored in [false, true] {
            let rows: Vec<f32> = data.queries.concat();
            let moments = match anchored {
                true => data.moments(true),
                false => QueryMoments::of(&rows, DIM, None).with_ridge(0.1),
            };
            let model = data.model(spec, Some(&moments));
            let (error, all) = data.errors(&model);
            assert!(model.knows_queries() && all.iter().all(|z| z.is_finite()));
            assert!(error < 1.1 * plain, "{spec}: {error}, {plain} of the plain code");
        }
    }
}
