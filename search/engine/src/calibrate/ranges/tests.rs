//! Tests of the curves of radii.
use super::*;

#[test]
fn steps_hold_the_cosines_up_to_theirs() {
    assert_eq!([f64::NEG_INFINITY, -1.0, 0.0, 1.0, f64::INFINITY].map(step_of), [0, 0, 64, STEPS, STEPS]);
    for cosine in [-0.999, -0.31, 0.001, 0.5, 0.77] {
        let step = step_of(cosine);
        assert!(f64::from(cosine_of(step)) >= cosine && f64::from(cosine_of(step - 1)) < cosine);
    }
}

#[test]
fn what_lies_beyond_a_radius_without_a_point_is_not_told_by_others() {
    let point = RangePoint { completeness: 0.5, cosine: 0.1, vectors_scanned: 9.0 };
    let of = |radius, count| RangeCurve { radius, queries: 9, points: vec![point; count] };
    let radii = |curves: Vec<RangeCurve>| known(curves.into_iter()).len();
    assert_eq!(radii(vec![of(1.0, 2), of(2.0, 0), of(3.0, 2)]), 1);
    assert_eq!((radii(vec![of(1.0, 1), of(2.0, 3)]), radii(vec![of(1.0, 0)])), (2, 0));
}

#[test]
fn a_point_holds_its_share_of_each_and_of_all() {
    // 99 queries with one vector in the first lists, and one with a hundred in later ones.
    let (mut one, mut many) = (vec![0; STEPS + 1], vec![0; STEPS + 1]);
    (one[10], many[50]) = (1, 100);
    let none = vec![0; STEPS + 1];
    let mut found: Vec<&[u32]> = vec![&one; 99];
    found.extend([&many[..], &none[..]]);
    let scanned = vec![1010; STEPS + 1];
    let curve = curve(7.0, &found, &scanned, Rule::of_queries(None));
    assert_eq!(curve.queries, 100, "one has nothing within the radius");
    let points: Vec<(f64, f32)> =
        curve.points.iter().map(|point| (point.completeness, point.cosine)).collect();
    // Of each query on average 0.99 are found early, of all together no more than half.
    assert_eq!(points, [(0.99, cosine_of(50))]);
    assert!((curve.points[0].vectors_scanned - 510.0).abs() < 1e-9);
}
