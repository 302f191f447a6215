//! The same of codes that learn more than where residuals lie.
use super::*;

/// What is learned does not turn with a seed as random rotations do, so errors are pooled over data as well.
fn check_learned(name: &str, data: impl Fn(u64) -> Data, spec: CodeSpec, tolerance: f64) {
    let mut errors = Vec::new();
    for seed in 0..8 {
        let data = data(100 + seed);
        data.errors(&data.model(spec, seed), &mut errors);
    }
    judge(name, spec, &errors, tolerance);
}

#[test]
fn errors_of_products_are_honest() {
    for spec in [products(16, 4, false), products(32, 4, true), products(16, 8, true)] {
        check_learned("isotropic", |seed| Data::new(64, seed, 2.0, |_| 1.0), spec, 0.012);
        check_learned("padded", |seed| Data::new(100, seed, 2.0, |_| 1.0), spec, 0.012);
        check_learned("stretched", |seed| Data::new(64, seed, 2.0, |i| 0.97_f32.powi(i as i32)), spec, 0.012);
        check_learned("tight", |seed| Data::new(96, seed, 40.0, |_| 0.1), spec, 0.012);
    }
}

#[test]
fn errors_of_recurrent_codes_are_honest() {
    let spiked = |i: usize| if i.is_multiple_of(50) { 30.0 } else { 0.3 };
    for (codes, symmetric) in [(1, false), (2, false), (4, false), (1, true), (2, true), (3, true), (4, true)]
    {
        let of = |bits| recurrent(bits, codes, symmetric);
        check_learned("isotropic", |seed| Data::new(64, seed, 2.0, |_| 1.0), of(64), 0.012);
        check_learned("padded", |seed| Data::new(50, seed, 2.0, |_| 1.0), of(64), 0.012);
        let stretched = |seed| Data::new(64, seed, 2.0, |i| 0.97_f32.powi(i as i32));
        check_learned("stretched", stretched, of(96), 0.012);
        if !symmetric {
            check_learned("spiked", |seed| Data::new(64, seed, 2.0, spiked), of(64), 0.012);
            check_learned("tight", |seed| Data::new(64, seed, 40.0, |_| 0.1), of(64), 0.012);
            let constant = |seed| Data::new(96, seed, 2.0, |i| if i < 20 { 1.0 } else { 0.0 });
            check_learned("constant", constant, of(64), 0.012);
        }
    }
}
