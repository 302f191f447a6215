use super::*;
use spandrel_index::DType;

/// Rows of f32, each one and a half times as long as the one before in another direction.
fn rows(count: usize) -> Vec<[f32; 4]> {
    (0..count)
        .map(|row| {
            let angle = row as f32 * 0.7;
            let length = 1.0 + (row * 7 % 13) as f32;
            [length * angle.cos(), length * angle.sin(), length * 0.5, (row % 5) as f32]
        })
        .collect()
}

fn bytes(rows: &[[f32; 4]]) -> Vec<u8> {
    rows.iter().flatten().flat_map(|x| x.to_le_bytes()).collect()
}

/// What checking says of a truth of `of`, changed by `change`, against an index that compares by `by`.
fn checked(of: Metric, by: Metric, change: impl Fn(&mut Truth)) -> Result<(), String> {
    checked_in(&rows(60), of, by, change)
}

fn checked_in(base: &[[f32; 4]], of: Metric, by: Metric, change: impl Fn(&mut Truth)) -> Result<(), String> {
    let source = |rows: &[[f32; 4]]| Rows::new(DType::F32, 4, bytes(rows)).unwrap();
    let queries: Vec<[f32; 4]> = rows(80)[60..].iter().map(|row| row.map(|x| x * 0.8 + 0.3)).collect();
    let params = spandrel_datasets::TruthParams { metric: of, k: 10, threads: 1 };
    let watch = spandrel_datasets::Watch::none();
    let mut truth =
        spandrel_datasets::compute_truth(&source(base), &source(&queries), None, params, watch).unwrap();
    change(&mut truth);
    let sample = Sample::of(&truth);
    let vector =
        |&id: &u64| base.get(id as usize).map(|row| Stored { id, vector: bytes(&[*row]), cells: Vec::new() });
    let found: Vec<Vec<_>> = sample.ids().iter().map(|ids| ids.iter().map(vector).collect()).collect();
    let checked = sample.check(by, &source(&queries), None, &found);
    checked.map_err(|advised| format!("{advised}: {}", advised.help))
}

#[test]
fn a_truth_of_the_index_is_taken_in_every_form() {
    for metric in Metric::ALL {
        for form in [|x| x, |x: f32| -x, |x: f32| 1.0 - x, |x: f32| x.max(0.0).sqrt()] {
            let change = |truth: &mut Truth| {
                truth.distances.as_mut().unwrap().iter_mut().for_each(|x| *x = form(*x));
            };
            assert_eq!(checked(metric, metric, change), Ok(()), "{metric}");
        }
        assert_eq!(checked(metric, metric, |truth| truth.distances = None), Ok(()), "{metric}");
    }
}

#[test]
fn answers_nearer_than_the_truth_are_counted() {
    let truth = |distances: [f32; 4]| Truth {
        queries: 2,
        k: 2,
        ids: vec![1, 2, 3, 4],
        distances: Some(distances.into()),
    };
    let answer = |found: [(u64, f32); 2]| Answer {
        neighbours: found.map(|(id, distance)| Neighbour { id, distance, estimated: false }).into(),
        ..Answer::default()
    };
    let answers = [answer([(1, 1.0), (9, 1.5)]), answer([(3, 1.0), (8, 2.5)])];
    let nearer = |metric, truth| nearer_than_truth(metric, (0..).zip(&answers), &truth, 2);
    assert_eq!(nearer(Metric::L2, truth([1.0, 2.0, 1.0, 2.0])), 1);
    assert_eq!(nearer(Metric::L2, truth([1.0, 1.5, 1.0, 2.5])), 0, "none is nearer");
    assert_eq!(nearer(Metric::InnerProduct, truth([1.0, 1.0, 1.0, 1.0])), 2);
    assert_eq!(nearer(Metric::L2, truth([0.5, 2.0, 1.0, 2.0])), 0, "distances of another form");
    let few = Truth { ids: vec![1, Truth::NONE, 3, 4], ..truth([1.0, f32::INFINITY, 1.0, 2.0]) };
    assert!(
        check_count(&few, 0, 1).is_ok()
            && check_count(&few, 1, 2).is_ok()
            && check_count(&few, 1, 99).is_ok()
    );
    let refused = check_count(&few, 0, 2).unwrap_err().to_string();
    assert_eq!(refused, "the truth has 1 neighbours of query 0, whose filter matches 2 vectors");
}

#[test]
fn a_truth_of_another_metric_is_refused_by_its_name() {
    for of in Metric::ALL {
        for by in Metric::ALL.into_iter().filter(|&by| by != of) {
            let refused = checked(of, by, |_| {}).unwrap_err();
            assert!(refused.contains(&format!("distances of {of}, the index compares by {by}")), "{refused}");
            assert!(refused.contains(&format!("--metric {by}")), "{refused}");
            let refused = checked(of, by, |truth| truth.distances = None).unwrap_err();
            assert!(refused.contains("does not fit"), "{refused}");
        }
    }
}

#[test]
fn a_truth_of_another_metric_is_taken_where_vectors_have_one_length_alone() {
    let of_length = |spread: f32| -> Vec<[f32; 4]> {
        let scaled = |(number, row): (usize, [f32; 4])| {
            let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
            row.map(|x| x / length * (1.0 + spread * (number % 5) as f32))
        };
        rows(60).into_iter().enumerate().map(scaled).collect()
    };
    for (of, by) in [(Metric::InnerProduct, Metric::L2), (Metric::Cosine, Metric::InnerProduct)] {
        assert_eq!(checked_in(&of_length(0.0), of, by, |_| {}), Ok(()), "{of} for {by}");
        // So near to one length that a sample is in order within what rounding may do.
        let refused = checked_in(&of_length(4e-4), of, by, |_| {}).unwrap_err();
        assert!(refused.contains(&format!("distances of {of}")), "{refused}");
    }
}

#[test]
fn a_truth_of_other_ids_or_queries_is_refused() {
    let others = |truth: &mut Truth| truth.ids.iter_mut().for_each(|id| *id = (*id * 17 + 5) % 60);
    assert!(checked(Metric::L2, Metric::L2, others).unwrap_err().contains("--ids"));
    let larger = |truth: &mut Truth| truth.ids[57] = 60;
    let refused = checked(Metric::L2, Metric::L2, larger).unwrap_err();
    assert!(refused.contains("names 60, which the index does not hold"), "{refused}");
    let queries = |truth: &mut Truth| truth.ids.rotate_right(10);
    assert!(checked(Metric::L2, Metric::L2, queries).is_err());
}

#[test]
fn of_an_id_of_two_indexes_the_nearer_is_compared() {
    let base = rows(60);
    let source = |rows: &[[f32; 4]]| Rows::new(DType::F32, 4, bytes(rows)).unwrap();
    let params = spandrel_datasets::TruthParams { metric: Metric::InnerProduct, k: 10, threads: 1 };
    let (queries, watch) = (source(&base[50..]), spandrel_datasets::Watch::none());
    let truth = spandrel_datasets::compute_truth(&source(&base), &queries, None, params, watch).unwrap();
    let sample = Sample::of(&truth);
    let held = |scale: f32, from: u64| -> Held {
        let stored = |&id: &u64| {
            let vector = bytes(&[base[id as usize].map(|x| x * scale)]);
            (id >= from).then_some(Stored { id, vector, cells: Vec::new() })
        };
        sample.ids().iter().map(|ids| ids.iter().map(stored).collect()).collect()
    };
    let check = |one, other| {
        let found = sample.nearer(Metric::InnerProduct, &queries, None, [one, other]);
        sample.check(Metric::InnerProduct, &queries, None, &found).is_ok()
    };
    assert!(check(held(1.0, 0), held(-0.5, 0)) && check(held(-0.5, 0), held(1.0, 0)));
    assert!(check(held(1.0, 30), held(1.0, 0)) && !check(held(-0.5, 0), held(-0.5, 0)));
    assert!(
        check_held([(&7, true), (&9, false)].into_iter(), 2)
            .unwrap_err()
            .to_string()
            .contains("none of the 2")
    );
}
