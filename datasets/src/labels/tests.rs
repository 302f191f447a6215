//! Sizes, correlation, and the layout of files.
use super::*;
use crate::{Converted, GenerateParams, Kind, Rows, generate_rows};
use spandrel_index::{DType, Metric};

fn rows() -> (Rows, Rows) {
    let params = GenerateParams {
        kind: Kind::Embedding,
        vectors: 2000,
        queries: 50,
        dim: 16,
        dtype: DType::F32,
        seed: 1,
        threads: 1,
    };
    generate_rows(params, Watch::none()).unwrap()
}

fn placement(correlation: f64) -> Placement {
    Placement { metric: Metric::Cosine, correlation, seed: 7, threads: 2 }
}

/// The mean rank, as a share of all rows, of the vectors of a query's tag by their distance from the query.
fn mean_rank(correlation: f64) -> f64 {
    let (base, queries) = rows();
    let labels = Labels::place(&base, &[100; 40], placement(correlation), Watch::none()).unwrap();
    let chosen = labels.choose(&base, &queries, 1, placement(correlation)).unwrap();
    let rows = queries.bytes().chunks_exact(queries.row_bytes());
    let ranks = rows.enumerate().map(|(query, row)| {
        let one = Rows::new(queries.dtype(), queries.dim(), row.to_vec()).unwrap();
        let params = crate::TruthParams { metric: Metric::Cosine, k: 2000, threads: 1 };
        let truth =
            crate::compute_truth(&base, &Converted::new(one, DType::F32), None, params, Watch::none())
                .unwrap();
        let members = labels.members(chosen.row(query)[0] as usize);
        let rank = |id: &u64| truth.ids.iter().position(|other| other == id).unwrap();
        members.iter().map(|&row| rank(&row.into())).sum::<usize>() as f64 / members.len() as f64 / 2000.0
    });
    ranks.sum::<f64>() / 50.0
}

#[test]
fn a_correlation_says_how_near_a_filter_is() {
    let ranks = [1.0, 0.5, 0.0, -0.5, -1.0].map(mean_rank);
    assert!(ranks.is_sorted() && ranks[0] < 0.2 && ranks[4] > 0.75, "{ranks:?}");
    assert!((ranks[2] - 0.5).abs() < 0.03, "{ranks:?}");
}

#[test]
fn tags_have_the_sizes_asked_for_and_do_not_depend_on_threads() {
    let (base, _) = rows();
    let sizes = [2000, 1, 700, 1999];
    for correlation in [0.0, 0.3, 1.0] {
        let labels = Labels::place(&base, &sizes, placement(correlation), Watch::none()).unwrap();
        for (tag, &size) in sizes.iter().enumerate() {
            let members = labels.members(tag);
            assert_eq!(members.len() as u64, size);
            assert!(members.windows(2).all(|pair| pair[0] < pair[1]) && members[members.len() - 1] < 2000);
        }
        let alone = Placement { threads: 1, ..placement(correlation) };
        assert_eq!(labels, Labels::place(&base, &sizes, alone, Watch::none()).unwrap());
    }
    // The anchor itself is the nearest to it.
    let labels = Labels::place(&base, &[1; 20], placement(-1.0), Watch::none()).unwrap();
    let own = (0..20).filter(|&tag| labels.members(tag)[0] == labels.anchors[tag]).count();
    assert!(own >= 19, "{own}: copies may be as near");
}

#[test]
fn frequencies_fall_as_asked() {
    let sizes = Frequencies { tags: 3, zipf: 1.0, per_vector: 1.1 }.sizes(100);
    assert_eq!(sizes, [60, 30, 20]);
    assert_eq!(Frequencies { tags: 3, zipf: 2.0, per_vector: 9.0 }.sizes(10), [10, 10, 7]);
    assert_eq!(Frequencies { tags: 2, zipf: 0.0, per_vector: 0.0 }.sizes(10), [1, 1]);
}

#[test]
fn a_query_asks_for_tags_of_one_vector() {
    let (base, queries) = rows();
    let labels = Labels::place(&base, &[400; 20], placement(0.0), Watch::none()).unwrap();
    let by_row = labels.by_row();
    let chosen = labels.choose(&base, &queries, 3, placement(0.0)).unwrap();
    assert_eq!((chosen.rows(), chosen.columns(), by_row.entries()), (50, 20, 8000));
    let mut counts = [0; 4];
    for query in 0..50 {
        let tags = chosen.row(query);
        counts[tags.len()] += 1;
        let has_all = |row: usize| tags.iter().all(|tag| by_row.row(row).contains(tag));
        assert!((0..2000).any(has_all), "query {query}");
    }
    assert!(counts[0] == 0 && counts[1..].iter().all(|&count| count > 5), "{counts:?}");
}

#[test]
fn a_matrix_is_written_as_big_ann_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.spmat");
    let matrix = Matrix::transposed(&[vec![0, 2], vec![2]], 3);
    assert_eq!(matrix, Matrix::of(&[vec![0], vec![], vec![0, 1]], 2));
    matrix.write(&path).unwrap();
    let words = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let tags = [0, 0, 1_u32].iter().flat_map(|tag| tag.to_le_bytes()).collect::<Vec<u8>>();
    let expected = [words(&[3, 2, 3, 0, 1, 1, 3]), tags, 1.0_f32.to_le_bytes().repeat(3)].concat();
    assert_eq!(fs_err::read(&path).unwrap(), expected);
}

#[test]
fn what_cannot_be_placed_is_refused() {
    let (base, queries) = rows();
    let place =
        |sizes: &[u64], correlation| Labels::place(&base, sizes, placement(correlation), Watch::none());
    assert!(matches!(place(&[], 0.0), Err(LabelError::Tags(0))));
    assert!(matches!(place(&[1], f64::NAN), Err(LabelError::Correlation(_))));
    let labels = place(&[1], 0.0).unwrap();
    let other = Rows::new(DType::F32, 2, vec![0; 8]).unwrap();
    assert!(matches!(
        labels.choose(&base, &other, 1, placement(0.0)),
        Err(LabelError::Dim { base: 16, queries: 2 })
    ));
    let zeros = Rows::new(DType::F32, 16, vec![0; 64]).unwrap();
    assert!(matches!(labels.choose(&base, &zeros, 1, placement(1.0)), Err(LabelError::Row { .. })));
    assert!(labels.choose(&base, &queries, 1, placement(1.0)).is_ok());
    let stop = std::sync::atomic::AtomicBool::new(true);
    let watch = Watch { progress: &|_, _| {}, stop: &stop };
    assert!(matches!(Labels::place(&base, &[1], placement(0.0), watch), Err(LabelError::Stopped(_))));
}
