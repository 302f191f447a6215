//! Codes are those of the recurrence, of vectors and of queries, and matrices from elsewhere are taken only if they fit.
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::codes::{CodeBlocks, CodeModel, CodeQuery, CodeSpec, Encoder};
use crate::{ArrayShape, ArraySource, ArraySourceError};

const DIM: usize = 20;
const BITS: usize = 64;

/// Arrays in memory.
struct Arrays {
    shapes: Vec<ArrayShape>,
    values: Vec<Vec<f64>>,
}

impl Arrays {
    /// Random matrices of a code, and a centre.
    fn of(codes: usize, seed: u64) -> Arrays {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut arrays = Arrays { shapes: Vec::new(), values: Vec::new() };
        let mut random =
            |count: usize, size: f64| (0..count).map(|_| size * rng.random_range(-1.0..1.0)).collect();
        for at in 0..codes {
            arrays.push(&format!("W{at}"), &[BITS, DIM], random(BITS * DIM, 3.0));
        }
        for at in 1..codes {
            arrays.push(&format!("R{}", at - 1), &[DIM, BITS], random(BITS * DIM, 0.05));
        }
        arrays.push("center", &[DIM], random(DIM, 1.0));
        arrays
    }

    fn push(&mut self, name: &str, sizes: &[usize], values: Vec<f64>) {
        self.shapes.push(ArrayShape { name: name.to_owned(), sizes: sizes.to_vec() });
        self.values.push(values);
    }

    fn at(&self, name: &str) -> usize {
        self.shapes.iter().position(|shape| shape.name == name).unwrap()
    }

    fn values(&self, name: &str) -> &[f64] {
        &self.values[self.at(name)]
    }
}

impl ArraySource for Arrays {
    fn arrays(&self) -> &[ArrayShape] {
        &self.shapes
    }
    fn read(&self, name: &str) -> Result<Vec<f64>, ArraySourceError> {
        Ok(self.values(name).to_vec())
    }
    fn hash(&self) -> u128 {
        1
    }
    fn name(&self) -> String {
        "arrays".into()
    }
}

fn spec(codes: u8, symmetric: bool) -> CodeSpec {
    CodeSpec::Recurrent { bits: BITS as u32, codes, symmetric }
}

fn product(matrix: &[f64], row: &[f64]) -> Vec<f64> {
    matrix.chunks(row.len()).map(|of| of.iter().zip(row).map(|(a, b)| a * b).sum()).collect()
}

/// The recurrence as the paper writes it: the bits of each code, and by how much the nearest of them was decided.
fn recurrence(arrays: &Arrays, codes: usize, vector: &[f64]) -> (Vec<u8>, f64) {
    let (mut levels, mut sum, mut left) = (vec![0_u8; BITS], vec![0.0; BITS], vector.to_vec());
    let mut nearest = f64::INFINITY;
    for at in 0..codes {
        let projected = product(arrays.values(&format!("W{at}")), &left);
        for (bit, &x) in projected.iter().enumerate() {
            nearest = nearest.min(x.abs());
            let sign = if x >= 0.0 { 1.0 } else { -1.0 };
            sum[bit] += sign * 0.5_f64.powi(at as i32);
            levels[bit] = levels[bit] << 1 | u8::from(x >= 0.0);
        }
        if at + 1 < codes {
            let back = product(arrays.values(&format!("R{at}")), &sum);
            left = vector.iter().zip(&back).map(|(x, y)| x - y).collect();
        }
    }
    (levels, nearest)
}

/// The numbers of one code of a block, by dot products with units.
fn levels_of(model: &CodeModel, blocks: &CodeBlocks, lane: usize) -> Vec<u8> {
    let CodeModel::Recurrent(model) = model else { panic!("another family") };
    let layout = model.layout();
    let unit = |bit: usize, level: u8| {
        let (mut code, mut block) = (vec![0; BITS], vec![0; layout.block_bytes()]);
        code[bit] = level;
        layout.pack(&code, lane, &mut block);
        block
    };
    let has = |bit: usize, level: u8| {
        unit(bit, level).iter().zip(&blocks.rows).all(|(unit, found)| found & unit == *unit)
    };
    let levels = |bit: usize| (0..model.codes()).map(|at| 1 << at).filter(|&level| has(bit, level)).sum();
    (0..BITS).map(levels).collect()
}

#[test]
fn codes_are_those_of_the_recurrence() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for codes in 1..=4_u8 {
        let arrays = Arrays::of(codes.into(), codes.into());
        let binariser = Binariser::new(&arrays, spec(codes, true), DIM).unwrap();
        let centre = binariser.centre().unwrap();
        let rows: Vec<f32> = (0..12 * DIM).map(|_| rng.random_range(-2.0..2.0)).collect();
        let model = CodeModel::given(&binariser, centre.clone(), &rows).unwrap();
        let (mut blocks, mut compared) = (CodeBlocks::default(), 0);
        Encoder::new(&model).encode(&rows, &[9.0; DIM], &mut blocks);
        for (lane, row) in rows.chunks(DIM).enumerate() {
            let vector: Vec<f64> =
                row.iter().zip(&centre).map(|(x, c)| f64::from(*x) - f64::from(*c)).collect();
            let (expected, nearest) = recurrence(&arrays, codes.into(), &vector);
            // Matrices are rounded to 16 bits.
            if nearest < 2e-3 {
                continue;
            }
            compared += 1;
            assert_eq!(levels_of(&model, &blocks, lane), expected, "{codes} codes, {lane}");
            let mut query = CodeQuery::default();
            query.prepare(&model, row, &[9.0; DIM]);
            let top = (1_i8 << codes) - 1;
            let coded: Vec<i8> = expected.iter().map(|&level| 2 * level as i8 - top).collect();
            assert_eq!(query.values, coded, "{codes} codes, query {lane}");
        }
        assert!(compared >= 6, "{codes} codes: {compared}");
    }
}

/// Of `W1` on signs alone are used, and of `W0` what rows are to one another.
#[test]
fn codes_do_not_depend_on_how_long_rows_are() {
    let rows: Vec<f32> = (0..8 * DIM).map(|at| (at as f32 * 1.7).sin()).collect();
    let estimates = |arrays: &Arrays, symmetric: bool| {
        let binariser = Binariser::new(arrays, spec(2, symmetric), DIM).unwrap();
        let model = CodeModel::given(&binariser, binariser.centre().unwrap(), &rows).unwrap();
        let (mut blocks, mut query) = (CodeBlocks::default(), CodeQuery::default());
        Encoder::new(&model).encode(&rows, &[0.0; DIM], &mut blocks);
        query.prepare(&model, &rows[..DIM], &[0.0; DIM]);
        let (terms, mut estimates) = (query.terms(4.0), [0.0_f32; 16]);
        model.scan(&Default::default(), &query, blocks.all(), terms, &mut estimates);
        estimates[..8].to_vec()
    };
    for symmetric in [false, true] {
        let plain = estimates(&Arrays::of(2, 5), symmetric);
        for (all, each) in [(1e20, 1e-9), (1e-25, 1e6), (1.0, 1e-6)] {
            let mut arrays = Arrays::of(2, 5);
            let (first, second) = (arrays.at("W0"), arrays.at("W1"));
            arrays.values[first].iter_mut().for_each(|x| *x *= all);
            let rows = arrays.values[second].chunks_exact_mut(DIM);
            rows.step_by(2).for_each(|row| row.iter_mut().for_each(|x| *x *= each));
            for (a, b) in plain.iter().zip(estimates(&arrays, symmetric)) {
                assert!((a - b).abs() < 1e-3 * (1.0 + a.abs()), "{symmetric} {all} {each}: {a} {b}");
            }
        }
    }
}

#[test]
fn a_vector_estimates_itself() {
    let arrays = Arrays::of(2, 5);
    let row: Vec<f32> = (0..DIM).map(|at| (at as f32 * 1.7).sin()).collect();
    for symmetric in [false, true] {
        let binariser = Binariser::new(&arrays, spec(2, symmetric), DIM).unwrap();
        let model = CodeModel::given(&binariser, binariser.centre().unwrap(), &row).unwrap();
        let (mut blocks, mut query) = (CodeBlocks::default(), CodeQuery::default());
        Encoder::new(&model).encode(&row, &[0.0; DIM], &mut blocks);
        query.prepare(&model, &row, &[0.0; DIM]);
        let (terms, mut estimates) = (query.terms(4.0), [0.0; 16]);
        model.scan(&Default::default(), &query, blocks.all(), terms, &mut estimates);
        let length = terms.base;
        // The product of two codes is larger by one over the square of their cosine with what they stand for.
        let least = if symmetric { -4.0 * length } else { -0.01 * length };
        assert!((least..0.01 * length).contains(&estimates[0]), "{symmetric}: {} of {length}", estimates[0]);
    }
}

#[test]
fn matrices_that_do_not_fit_are_refused() {
    let refused = |change: &dyn Fn(&mut Arrays)| {
        let mut arrays = Arrays::of(2, 1);
        change(&mut arrays);
        let of = |arrays: &Arrays| -> Result<(), BinariserError> {
            Binariser::new(arrays, spec(2, false), DIM)?.check_values()
        };
        of(&arrays).unwrap_err()
    };
    let drop = |name: &'static str| {
        move |arrays: &mut Arrays| {
            let at = arrays.at(name);
            arrays.shapes.remove(at);
            arrays.values.remove(at);
        }
    };
    let set = |name: &'static str, place: usize, value: f64| {
        move |arrays: &mut Arrays| {
            let at = arrays.at(name);
            arrays.values[at][place] = value;
        }
    };
    for name in ["W0", "W1", "R0"] {
        assert!(matches!(refused(&drop(name)), BinariserError::Missing { array, .. } if array == name));
        assert!(matches!(
            refused(&|arrays| {
                let at = arrays.at(name);
                arrays.shapes[at].sizes.reverse();
            }),
            BinariserError::Shape { array, .. } if array == name
        ));
        for value in [f64::NAN, f64::INFINITY, -1e31] {
            let found = refused(&set(name, 7, value));
            assert!(matches!(&found, BinariserError::Value { array, at: 7, .. } if array == name), "{found}");
        }
        let zeros = refused(&|arrays| {
            let at = arrays.at(name);
            arrays.values[at].fill(1e-40);
        });
        assert!(matches!(zeros, BinariserError::Zeros { array, .. } if array == name));
    }
    let row = |name: &'static str, row: usize, factor: f64| {
        move |arrays: &mut Arrays| {
            let at = arrays.at(name);
            arrays.values[at][row * DIM..][..DIM].iter_mut().for_each(|x| *x *= factor);
        }
    };
    let zeros = refused(&row("W1", 3, 0.0));
    assert!(matches!(&zeros, BinariserError::ZeroRow { array, row: 3, .. } if array == "W1"), "{zeros}");
    let short = refused(&row("W0", 2, 1e-6));
    assert!(matches!(&short, BinariserError::ShortRow { array, row: 2, .. } if array == "W0"), "{short}");
    let far = refused(&set("center", 0, 1e25));
    assert!(matches!(far, BinariserError::CentreLength { length, .. } if length >= 1e25), "{far}");
    assert!(matches!(refused(&set("center", 0, f64::NAN)), BinariserError::Value { .. }));
    let extra = refused(&|arrays| arrays.push("W2", &[BITS, DIM], vec![1.0; BITS * DIM]));
    assert!(matches!(extra, BinariserError::Extra { array, .. } if array == "W2"));
    let arrays = Arrays::of(2, 1);
    let other = |code, dim| Binariser::new(&arrays, code, dim).map(|_| ()).unwrap_err();
    assert!(matches!(other(CodeSpec::Binary, DIM), BinariserError::Code { .. }));
    assert!(matches!(other(spec(1, false), DIM), BinariserError::Extra { .. }));
    assert!(matches!(other(spec(3, false), DIM), BinariserError::Missing { .. }));
    assert!(matches!(other(spec(2, false), DIM + 1), BinariserError::Shape { .. }));
    let mut whole = Arrays::of(2, 1);
    drop("center")(&mut whole);
    let binariser = Binariser::new(&whole, spec(2, false), DIM).unwrap();
    assert_eq!(binariser.centre().unwrap(), [0.0; DIM]);
}
