//! Estimates are unbiased, and their errors what they say.
mod learned;

use std::path::Path;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::Spread;
use crate::kernels::scan::{BLOCK_VECTORS, FACTOR_BYTES, ScanKernel};

/// Vectors in lists, and queries for each list.
struct Data {
    dim: usize,
    heads: Vec<Vec<f32>>,
    /// Of each list, back to back.
    lists: Vec<Vec<f32>>,
    queries: Vec<Vec<f32>>,
    /// A sample to train with.
    residuals: Vec<f32>,
}

const LISTS: usize = 12;
const LIST: usize = 40;

fn normal(rng: &mut ChaCha8Rng) -> f32 {
    (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0
}

impl Data {
    /// Vectors and queries spread around heads by `spread` of each dimension.
    fn new(dim: usize, seed: u64, head_spread: f32, spread: impl Fn(usize) -> f32) -> Data {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut around = |centre: &[f32], scale: f32| -> Vec<f32> {
            centre.iter().enumerate().map(|(i, c)| c + scale * spread(i) * normal(&mut rng)).collect()
        };
        let offset = vec![3.0; dim];
        let heads: Vec<Vec<f32>> = (0..LISTS).map(|_| around(&offset, head_spread)).collect();
        let lists = heads.iter().map(|h| (0..LIST).flat_map(|_| around(h, 1.0)).collect()).collect();
        let queries = heads.iter().map(|h| around(h, 1.0)).collect();
        let zero = vec![0.0; dim];
        let residuals = (0..4096.min(200_000 / dim)).flat_map(|_| around(&zero, 1.0)).collect();
        Data { dim, heads, lists, queries, residuals }
    }

    fn model(&self, spec: CodeSpec, seed: u64) -> CodeModel {
        let rows = self.lists.concat();
        let mean = Spread::of(&rows, self.dim).mean(&rows);
        CodeModel::train(spec, mean, self.residuals.clone(), seed).unwrap()
    }

    /// Errors of all estimates in standard errors, and their mean size relative to the distances.
    fn errors(&self, model: &CodeModel, out: &mut Vec<f64>) -> f64 {
        let mut encoder = Encoder::new(model);
        let (mut blocks, mut query) = (CodeBlocks::default(), CodeQuery::default());
        let (mut relative, mut count) = (0.0, 0.0);
        for ((head, rows), row) in self.heads.iter().zip(&self.lists).zip(&self.queries) {
            encoder.encode(rows, head, &mut blocks);
            query.prepare(model, row, head);
            let terms = query.terms(squared(row, head) as f32);
            let mut estimates = vec![0.0; LIST.next_multiple_of(BLOCK_VECTORS)];
            model.scan(&ScanKernel::default(), &query, blocks.all(), terms, &mut estimates);
            for (at, vector) in rows.chunks(self.dim).enumerate() {
                let factors: &[u8; FACTOR_BYTES] =
                    blocks.factors.as_chunks().0.get(at / BLOCK_VECTORS).unwrap();
                let error = f64::from(query.error(&terms, factors, at % BLOCK_VECTORS));
                let truth = squared(row, vector);
                let off = f64::from(estimates[at]) - truth;
                out.push(off / error);
                relative += (off / truth).abs();
                count += 1.0;
            }
        }
        relative / count
    }
}

fn squared(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
}

fn share(errors: &[f64], inside: impl Fn(f64) -> bool) -> f64 {
    errors.iter().filter(|z| inside(**z)).count() as f64 / errors.len() as f64
}

/// Each row with one more element.
fn lifted(rows: &[f32], dim: usize, last: impl Fn(usize) -> f32) -> Vec<f32> {
    let rows = rows.chunks(dim).enumerate();
    rows.flat_map(|(at, row)| row.iter().copied().chain([last(at)])).collect()
}

/// The element that lifts inner product differs between lists, and no query has it.
#[test]
fn lifted_vectors_are_estimated_alike_in_all_lists() {
    const DIM: usize = 64;
    let data = Data::new(DIM, 5, 2.0, |_| 1.0);
    for spec in families() {
        let model = data.model(spec, 1);
        let mut encoder = Encoder::new(&model);
        let (mut blocks, mut query) = (CodeBlocks::default(), CodeQuery::default());
        for (number, (head, rows)) in data.heads.iter().zip(&data.lists).enumerate() {
            let row = &data.queries[number];
            let of_list = 10.0 * number as f32;
            let last = |at: usize| of_list + 0.01 * at as f32;
            encoder.encode(&lifted(rows, DIM, last), &lifted(head, DIM, |_| of_list), &mut blocks);
            query.prepare(&model, row, head);
            let terms = query.terms(squared(row, head) as f32 + of_list * of_list);
            let mut estimates = vec![0.0; LIST.next_multiple_of(BLOCK_VECTORS)];
            model.scan(&ScanKernel::default(), &query, blocks.all(), terms, &mut estimates);
            let off = rows.chunks(DIM).enumerate().map(|(at, vector)| {
                let factors: &[u8; FACTOR_BYTES] =
                    blocks.factors.as_chunks().0.get(at / BLOCK_VECTORS).unwrap();
                let truth = squared(row, vector) + f64::from(last(at)).powi(2);
                let error = query.error(&terms, factors, at % BLOCK_VECTORS);
                (f64::from(estimates[at]) - truth) / f64::from(error)
            });
            let mean = off.sum::<f64>() / LIST as f64;
            assert!(mean.abs() < 2.0, "{spec}, list {number}: {mean} standard errors");
        }
    }
}

/// Pooled over 20 rotations: no bias, and the shares of a normal distribution.
fn check(name: &str, data: &Data, spec: CodeSpec, tolerance: f64) {
    let mut errors = Vec::new();
    for seed in 0..20 {
        data.errors(&data.model(spec, seed), &mut errors);
    }
    judge(name, spec, &errors, tolerance);
}

fn judge(name: &str, spec: CodeSpec, errors: &[f64], tolerance: f64) {
    let mean = errors.iter().sum::<f64>() / errors.len() as f64;
    let shares = [1.9, 2.5, 3.0].map(|z| share(errors, |e| e.abs() <= z));
    println!("{name} {spec}: mean {mean:.3}, inside {shares:.3?}");
    assert!(mean.abs() < 0.06, "{name} {spec}: mean {mean}");
    for (found, expected) in shares.into_iter().zip([0.943, 0.988, 0.998]) {
        assert!(found > expected - tolerance, "{name} {spec}: {shares:?}");
    }
    for side in [-1.0, 1.0] {
        let found = share(errors, |e| e * side <= 1.9);
        assert!(found > 0.971 - tolerance, "{name} {spec}: {found} on side {side}");
    }
}

fn specs(dim: usize) -> Vec<CodeSpec> {
    let bytes = dim.next_multiple_of(32) as u32 / 4;
    let mut specs: Vec<CodeSpec> = [1, 2, 3, 4, 8].map(|bits| CodeSpec::RaBitQ { bits }).to_vec();
    specs.push(CodeSpec::Axes { bytes });
    specs
}

#[test]
fn errors_are_honest_on_isotropic_data() {
    for dim in [64, 100, 128, 384] {
        let data = Data::new(dim, 1, 2.0, |_| 1.0);
        specs(dim).into_iter().for_each(|spec| check("isotropic", &data, spec, 0.012));
    }
}

#[test]
fn errors_are_honest_on_stretched_data() {
    let data = Data::new(128, 2, 2.0, |i| 0.97_f32.powi(i as i32));
    specs(128).into_iter().for_each(|spec| check("stretched", &data, spec, 0.012));
}

#[test]
fn errors_are_honest_on_hostile_data() {
    // A few dimensions carry nearly everything; lists far apart and tight; most dimensions constant.
    let spiked = Data::new(128, 3, 2.0, |i| if i % 50 == 0 { 30.0 } else { 0.3 });
    let tight = Data::new(96, 4, 40.0, |_| 0.1);
    let constant = Data::new(160, 5, 2.0, |i| if i < 20 { 1.0 } else { 0.0 });
    for spec in [CodeSpec::RaBitQ { bits: 1 }, CodeSpec::RaBitQ { bits: 3 }, CodeSpec::RaBitQ { bits: 4 }] {
        check("spiked", &spiked, spec, 0.012);
        check("tight", &tight, spec, 0.012);
        check("constant", &constant, spec, 0.012);
    }
    check("tight", &tight, CodeSpec::Axes { bytes: 24 }, 0.012);
}

#[test]
fn more_bits_give_better_estimates() {
    let data = Data::new(128, 6, 2.0, |i| 0.98_f32.powi(i as i32));
    let relative = |spec| data.errors(&data.model(spec, 1), &mut Vec::new());
    let uniform: Vec<f64> = (1..=8).map(|bits| relative(CodeSpec::RaBitQ { bits })).collect();
    for pair in uniform.windows(2) {
        assert!(pair[1] < 0.9 * pair[0], "{uniform:?}");
    }
    let axes = relative(CodeSpec::Axes { bytes: 32 });
    assert!(axes < 0.8 * uniform[1], "axes {axes}, uniform {}", uniform[1]);
    let binary = relative(CodeSpec::Binary);
    assert!(binary > uniform[0], "binary {binary}");
    let recurrent_of = |symmetric| [1, 2, 3, 4].map(|codes| relative(recurrent(128, codes, symmetric)));
    let (in_bytes, coded) = (recurrent_of(false), recurrent_of(true));
    println!("bits {in_bytes:?}, symmetric {coded:?}, rabitq {uniform:?}");
    for codes in 0..4 {
        assert!(in_bytes[codes] < 1.15 * uniform[codes], "{in_bytes:?} and {uniform:?}");
        assert!(coded[codes] > in_bytes[codes], "{coded:?} and {in_bytes:?}");
    }
    assert!(relative(recurrent(256, 1, false)) < 0.8 * in_bytes[0]);
    assert!(relative(recurrent(64, 1, false)) > in_bytes[0]);
}

#[test]
fn odd_shapes_are_coded() {
    for dim in [1, 2, 31, 33, 127, 4096] {
        let data = Data::new(dim, 7, 2.0, |_| 1.0);
        let few = dim.min(3) as u32;
        let all = [
            CodeSpec::RaBitQ { bits: 1 },
            CodeSpec::RaBitQ { bits: 5 },
            CodeSpec::Binary,
            products(dim.min(64) as u32, 4, dim < 200),
            products(few, 8, false),
            recurrent(32, 3, true),
            recurrent(dim.next_multiple_of(32).min(96) as u32, 2, false),
        ];
        let all = all.into_iter().filter(|spec| spec.check(dim).is_ok());
        for spec in all {
            let mut errors = Vec::new();
            let model = data.model(spec, 3);
            data.errors(&model, &mut errors);
            assert!(errors.iter().all(|z| z.is_finite()), "{dim} {spec}");
            let again = CodeModel::from_bytes(Path::new("m"), &model.to_bytes(), spec, dim).unwrap();
            assert_eq!(again.to_bytes(), model.to_bytes());
        }
    }
}

#[test]
fn vectors_that_equal_their_head_are_exact() {
    let planes = [CodeSpec::RaBitQ { bits: 1 }, CodeSpec::RaBitQ { bits: 4 }, CodeSpec::Axes { bytes: 32 }];
    for spec in planes.into_iter().chain([
        products(16, 4, true),
        products(5, 8, false),
        recurrent(64, 2, false),
        recurrent(64, 3, true),
    ]) {
        let mut data = Data::new(64, 8, 2.0, |_| 1.0);
        for (head, list) in data.heads.iter().zip(&mut data.lists) {
            list.chunks_mut(64).take(20).for_each(|row| row.copy_from_slice(head));
        }
        let model = data.model(spec, 1);
        let (mut blocks, mut query) = (CodeBlocks::default(), CodeQuery::default());
        Encoder::new(&model).encode(&data.lists[0][..16 * 64], &data.heads[0], &mut blocks);
        query.prepare(&model, &data.queries[0], &data.heads[0]);
        let terms = query.terms(squared(&data.queries[0], &data.heads[0]) as f32);
        let mut estimates = [0.0; BLOCK_VECTORS];
        model.scan(&ScanKernel::default(), &query, blocks.all(), terms, &mut estimates);
        assert_eq!(estimates, [terms.base; BLOCK_VECTORS], "{spec}");
    }
}

#[test]
fn a_damaged_model_is_refused() {
    let data = Data::new(40, 9, 2.0, |_| 1.0);
    let planes = [CodeSpec::RaBitQ { bits: 2 }, CodeSpec::Axes { bytes: 16 }, CodeSpec::Binary];
    for spec in planes.into_iter().chain([
        products(7, 4, true),
        products(10, 8, false),
        recurrent(64, 2, false),
        recurrent(32, 1, true),
    ]) {
        let good = data.model(spec, 1).to_bytes();
        let read = |bytes: &[u8]| CodeModel::from_bytes(Path::new("m"), bytes, spec, 40);
        assert!(read(&good).is_ok());
        for length in [0, 3, 24, good.len() - 1] {
            assert!(read(&good[..length]).is_err());
        }
        assert!(read(&[good.as_slice(), &[0]].concat()).is_err());
        for word in 0..6 {
            let mut bad = good.clone();
            bad[4 * word..4 * word + 4].fill(0xff);
            assert!(read(&bad).is_err(), "{spec}: word {word}");
        }
        assert!(CodeModel::from_bytes(Path::new("m"), &good, spec, 41).is_err());
    }
    let two = data.model(CodeSpec::RaBitQ { bits: 2 }, 1).to_bytes();
    assert!(CodeModel::from_bytes(Path::new("m"), &two, CodeSpec::RaBitQ { bits: 3 }, 40).is_err());
}

fn recurrent(bits: u32, codes: u8, symmetric: bool) -> CodeSpec {
    CodeSpec::Recurrent { bits, codes, symmetric }
}

fn products(quantisers: u32, bits: u8, rotated: bool) -> CodeSpec {
    CodeSpec::Products { quantisers, bits, rotated, uniform: false }
}

/// Every family, most of them rotated by what they learn.
fn families() -> [CodeSpec; 8] {
    let (one, three, axes) =
        (CodeSpec::RaBitQ { bits: 1 }, CodeSpec::RaBitQ { bits: 3 }, CodeSpec::Axes { bytes: 16 });
    [
        one,
        three,
        axes,
        products(16, 4, true),
        products(16, 8, false),
        CodeSpec::Binary,
        recurrent(64, 2, false),
        recurrent(128, 1, true),
    ]
}

#[test]
fn rounding_a_query_costs_little_beside_outliers() {
    let mut data = Data::new(64, 11, 2.0, |_| 1.0);
    // Two lists in twelve are a million times as far from the middle as the others.
    for list in 0..2 {
        data.heads[list].iter_mut().for_each(|x| *x *= 1e6);
        data.lists[list].iter_mut().for_each(|x| *x *= 1e6);
    }
    // The part of the squared errors of estimates that rounding queries adds.
    let share = |model: &CodeModel| {
        let mut encoder = Encoder::new(model);
        let (mut blocks, mut query) = (CodeBlocks::default(), CodeQuery::default());
        let (mut of_rounding, mut of_all) = (0.0, 0.0);
        for list in 2..LISTS {
            encoder.encode(&data.lists[list], &data.heads[list], &mut blocks);
            query.prepare(model, &data.queries[list], &data.heads[list]);
            let terms = query.terms(squared(&data.queries[list], &data.heads[list]) as f32);
            let factors = blocks.factors.as_chunks::<FACTOR_BYTES>().0;
            for lane in 0..LIST {
                let block = &factors[lane / BLOCK_VECTORS];
                of_all += f64::from(query.error(&terms, block, lane % BLOCK_VECTORS)).powi(2);
                of_rounding += query.rounding_variance(block, lane % BLOCK_VECTORS);
            }
        }
        of_rounding / of_all
    };
    let mut mean_of_heads = vec![0.0; 64];
    for head in &data.heads {
        mean_of_heads.iter_mut().zip(head).for_each(|(m, x)| *m += x / LISTS as f32);
    }
    for spec in families() {
        let found = share(&data.model(spec, 1));
        if spec == CodeSpec::Binary || spec == recurrent(128, 1, true) {
            // Signs are rounded as coarsely as it gets.
            assert!(found < 0.9, "{spec}: {found}");
            continue;
        }
        assert!(found < 0.1, "{spec}: {found}");
        let plain = CodeModel::train(spec, mean_of_heads.clone(), data.residuals.clone(), 1).unwrap();
        assert!(share(&plain) > 0.9, "{spec}: outliers move the mean of heads");
    }
}

#[test]
fn errors_are_honest_beside_an_outlier_in_the_block() {
    for spec in families() {
        if spec == CodeSpec::Binary {
            continue;
        }
        let (mut errors, mut plain) = (Vec::new(), Vec::new());
        for seed in 0..6 {
            let mut data = Data::new(64, 20 + seed, 2.0, |_| 1.0);
            let model = data.model(spec, seed);
            data.errors(&model, &mut plain);
            for list in &mut data.lists {
                for block in list.chunks_mut(BLOCK_VECTORS * 64) {
                    block[..64].iter_mut().for_each(|x| *x *= 3e4);
                }
            }
            let mut found = Vec::new();
            data.errors(&model, &mut found);
            let outlier = |at: &usize| (at % LIST).is_multiple_of(BLOCK_VECTORS);
            errors.extend((0..found.len()).filter(|at| !outlier(at)).map(|at| found[at]));
        }
        let inside = |errors: &[f64]| share(errors, |z| z.abs() <= 2.5);
        let (found, expected) = (inside(&errors), inside(&plain));
        assert!(found > expected - 0.01, "{spec}: {found} inside 2.5 errors, {expected} without outliers");
    }
}

#[test]
fn a_few_enormous_residuals_teach_little() {
    let spread = |i: usize| 0.95_f32.powi(i as i32);
    let clean = Data::new(64, 12, 2.0, spread);
    let mut spoilt = Data::new(64, 12, 2.0, spread);
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for row in spoilt.residuals.chunks_mut(64).step_by(200) {
        row.iter_mut().for_each(|x| *x = 1e5 * normal(&mut rng));
    }
    for spec in families() {
        let relative = |data: &Data| clean.errors(&data.model(spec, 1), &mut Vec::new());
        let (found, expected) = (relative(&spoilt), relative(&clean));
        assert!(found < 1.15 * expected, "{spec}: errors of {found}, {expected} without outliers");
    }
}
