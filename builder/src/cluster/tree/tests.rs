use rand::Rng;
use spandrel_index::DType;
use spandrel_index::kernels::{Operation, PairKernel};

use super::*;

fn pool(threads: usize) -> ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

fn run(rows: Rows<'_>, params: &ClusterParams, threads: usize) -> Clustering {
    cluster(rows, params, &pool(threads), &AtomicBool::new(false)).unwrap()
}

/// Rows around a few hundred random points.
fn clouds(dtype: DType, dim: usize, count: usize) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let points: Vec<Vec<f32>> =
        (0..300).map(|_| (0..dim).map(|_| rng.random_range(20.0..100.0)).collect()).collect();
    let mut bytes = Vec::new();
    for _ in 0..count {
        for x in &points[rng.random_range(0..points.len())] {
            let x = x + rng.random_range(-15.0..15.0_f32);
            match dtype {
                DType::U8 | DType::I8 => bytes.push(x as u8),
                DType::F16 => bytes.extend(half::f16::from_f32(x).to_le_bytes()),
                DType::F32 => bytes.extend(x.to_le_bytes()),
            }
        }
    }
    bytes
}

fn check(rows: Rows<'_>, found: &Clustering) {
    assert_eq!(found.heads.len(), found.count as usize * rows.row_bytes());
    assert_eq!(found.leaf_of_row.len(), rows.len());
    let mut sizes = vec![0; found.count as usize];
    found.leaf_of_row.iter().for_each(|&leaf| sizes[leaf as usize] += 1);
    assert!(sizes.iter().all(|&size| size > 0), "an empty leaf");
    let mut next = 0;
    for block in &found.blocks {
        assert_eq!(block.heads.start, next);
        assert!(!block.heads.is_empty() && block.heads.len() <= BLOCK_HEADS_MAX * 2);
        next = block.heads.end;
    }
    assert_eq!(next, found.count);
}

#[test]
fn as_many_leaves_as_asked_and_the_same_with_any_threads() {
    for dtype in DType::ALL {
        let bytes = clouds(dtype, 12, 6000);
        let rows = Rows { dtype, dim: 12, bytes: &bytes };
        for heads in [HeadKind::Means, HeadKind::Vectors] {
            let params = ClusterParams { heads, branching: 8, ..ClusterParams::new(300) };
            let one = run(rows, &params, 1);
            check(rows, &one);
            assert_eq!(one.count, 300);
            assert_eq!(one, run(rows, &params, 3));
        }
    }
}

#[test]
fn leaves_are_near_and_balanced() {
    let bytes = clouds(DType::U8, 16, 12_000);
    let rows = Rows { dtype: DType::U8, dim: 16, bytes: &bytes };
    let found = run(rows, &ClusterParams::new(400), 2);
    let pair = PairKernel::new(Operation::SquaredL2, DType::U8, 16);
    let heads = rows.with_bytes(&found.heads);
    let to_head = |row: usize, head: u32| f64::from(pair.score(rows.row(row), heads.row(head as usize)));
    let own: f64 = (0..rows.len()).map(|at| to_head(at, found.leaf_of_row[at])).sum();
    let next: f64 = (0..rows.len()).map(|at| to_head(at, (found.leaf_of_row[at] + 7) % 400)).sum();
    assert!(own * 4.0 < next, "{own} against {next}");
    let mut sizes = vec![0_usize; 400];
    found.leaf_of_row.iter().for_each(|&leaf| sizes[leaf as usize] += 1);
    let longest = sizes.iter().max().unwrap();
    assert!(*longest <= 75, "{longest} rows in a leaf, 30 on average");
}

#[test]
fn duplicates_share_a_leaf_and_no_leaf_is_empty() {
    let mut bytes = vec![7_u8; 4 * 500];
    bytes.extend((0..40_u8).flat_map(|at| [at * 5; 4]));
    bytes.extend((0..40_u8).flat_map(|at| [at * 5; 4]));
    let rows = Rows { dtype: DType::U8, dim: 4, bytes: &bytes };
    let found = run(rows, &ClusterParams::new(100), 2);
    check(rows, &found);
    assert_eq!(found.count, 41, "one leaf for each distinct row");
    assert!(found.leaf_of_row[..500].iter().all(|&leaf| leaf == found.leaf_of_row[0]));
}

#[test]
fn one_row_and_one_value_give_one_leaf() {
    for count in [1, 1000] {
        let bytes = vec![3_u8; 8 * count];
        let rows = Rows { dtype: DType::F16, dim: 4, bytes: &bytes };
        let found = run(rows, &ClusterParams::new(50), 1);
        check(rows, &found);
        assert_eq!((found.count, found.heads), (1, vec![3; 8]));
    }
}

#[test]
fn a_raised_flag_stops_it() {
    let bytes = clouds(DType::U8, 4, 500);
    let rows = Rows { dtype: DType::U8, dim: 4, bytes: &bytes };
    let stopped = cluster(rows, &ClusterParams::new(50), &pool(1), &AtomicBool::new(true));
    assert_eq!(stopped, Err(Stopped));
}

#[test]
fn vector_heads_are_members_of_their_leaf() {
    let bytes = clouds(DType::U8, 6, 2000);
    let rows = Rows { dtype: DType::U8, dim: 6, bytes: &bytes };
    let params = ClusterParams { heads: HeadKind::Vectors, ..ClusterParams::new(100) };
    let found = run(rows, &params, 2);
    for (head, bytes) in found.heads.chunks_exact(6).enumerate() {
        let members = (0..rows.len()).filter(|&at| found.leaf_of_row[at] as usize == head);
        assert!(members.into_iter().any(|at| rows.row(at) == bytes));
    }
}

#[test]
fn leaves_are_shared_by_size() {
    assert_eq!(share_out(10, &[50, 0, 30, 20]), [5, 0, 3, 2]);
    assert_eq!(share_out(10, &[97, 1, 1, 1]), [7, 1, 1, 1]);
    assert_eq!(share_out(5, &[2, 1]), [2, 1]);
    assert_eq!(share_out(3, &[1, 1, 100]), [1, 1, 1]);
    assert_eq!(fan_out(40_000, 64), 35);
    assert_eq!(fan_out(32, 32), 32);
    assert_eq!(fan_out(2, 32), 2);
}
