//! Which heads are within epsilon.
use super::*;

#[test]
fn epsilon_counts_from_the_nearest_head_though_it_is_left_out() {
    let near = |distance: f32| NearList { distance, segment: 0, list: 0 };
    let nearest = [2.0, 3.0, 4.0].map(near).to_vec();
    let prober = Prober { nearest, nearest_distance: Some(1.0), ..Prober::default() };
    let plan = |epsilon: f32| {
        let plan = ProbePlan { lists: 3, last: 1.0, beyond: 0, epsilon: Some(epsilon), together: None };
        prober.within_epsilon(&plan)
    };
    // Distances are squared: up to 2.25 and 3.24.
    assert_eq!([0.0, 0.5, 0.8, 1.0].map(plan), [1, 1, 2, 3]);
}
