use spandrel_index::{Metric, VectorSource, decode};
use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_64;

use super::*;
use crate::values::check_rows;
use crate::{TruthParams, VectorFile, compute_truth, scan_values};

fn params(kind: Kind, vectors: u64, queries: u64) -> GenerateParams {
    let (dim, dtype) = (kind.default_dim(), kind.default_dtype());
    GenerateParams { kind, vectors, queries, dim, dtype, seed: 7, threads: 2 }
}

fn rows(params: GenerateParams) -> (Rows, Rows) {
    generate_rows(params, Watch::none()).unwrap()
}

#[test]
fn bytes_are_golden() {
    let hashes = Kind::ALL.map(|kind| {
        let (base, queries) = rows(params(kind, 300, 20));
        format!("{kind} {:016x} {:016x}", xxh3_64(base.bytes()), xxh3_64(queries.bytes()))
    });
    assert_eq!(
        hashes,
        [
            "sift db26029e53333761 a1d4311b02fac4f0",
            "embedding f79df8ea423be0f3 834fa5150af8759e",
            "ood 34baf0b5b4567b26 f5c38e6b2eed078a",
        ]
    );
}

#[test]
fn threads_and_length_do_not_change_rows() {
    for kind in Kind::ALL {
        let wanted = GenerateParams { dim: 64, ..params(kind, 3000, 100) };
        let (base, queries) = rows(GenerateParams { threads: 1, ..wanted });
        assert_eq!((&base, &queries), (&rows(GenerateParams { threads: 5, ..wanted }).0, &rows(wanted).1));
        let (short, _) = rows(GenerateParams { vectors: 1000, queries: 0, ..wanted });
        assert_eq!(short.bytes(), &base.bytes()[..short.bytes().len()]);
        assert_ne!(base, rows(GenerateParams { seed: 8, ..wanted }).0);
    }
}

#[test]
fn files_hold_what_memory_holds() {
    let folder = TempDir::new().unwrap();
    let (out, queries_out) = (folder.path().join("b.u8bin"), folder.path().join("q.u8bin"));
    let wanted = params(Kind::Sift, 500, 10);
    generate(wanted, &out, Some(&queries_out), Watch::none()).unwrap();
    let read = |path: &Path| Rows::read(&VectorFile::open(path).unwrap()).unwrap();
    assert_eq!((read(&out), read(&queries_out)), rows(wanted));

    let error = generate(wanted, &out, None, Watch::none()).unwrap_err();
    assert_eq!(error.to_string(), "10 queries asked for, but no file for them: give both or none");
    let stop = true.into();
    let stopped = generate(wanted, &out, Some(&queries_out), Watch { stop: &stop, ..Watch::none() });
    assert!(matches!(stopped, Err(GenerateError::Stopped(_))));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    let same = generate(wanted, &out, Some(&out), Watch::none());
    assert!(matches!(same, Err(GenerateError::SameFile { .. })));
    let many = GenerateParams { vectors: 1 << 32, ..wanted };
    let refused = generate(many, &out, Some(&queries_out), Watch::none());
    assert!(matches!(refused, Err(GenerateError::File(crate::FileError::TooManyRows { .. }))));
}

#[test]
fn every_type_and_dim_is_made() {
    for kind in Kind::ALL {
        for dtype in DType::ALL {
            for dim in [1, 5, 8, 100, 129] {
                let (base, _) = rows(GenerateParams { dim, dtype, ..params(kind, 50, 0) });
                assert_eq!((base.len(), base.dim()), (50, dim));
                check_rows(Metric::L2, dtype, dtype.row_bytes(dim), 0, base.bytes()).unwrap();
            }
        }
        let refused = |params| generate_rows(params, Watch::none()).unwrap_err();
        assert!(matches!(refused(params(kind, 0, 1)), GenerateError::NoVectors));
        for dim in [0, DIM_MAX + 1] {
            let wanted = GenerateParams { dim, ..params(kind, 1, 0) };
            assert!(matches!(refused(wanted), GenerateError::Dim(_)));
        }
    }
}

/// Mean distance to the nearest neighbour over the mean distance to any.
fn nearest_ratio(base: &Rows, queries: &Rows) -> f64 {
    let k = usize::try_from(base.len()).unwrap();
    let params = TruthParams { metric: Metric::L2, k, threads: 2 };
    let distances = compute_truth(base, queries, None, params, Watch::none()).unwrap().distances.unwrap();
    let roots: Vec<f64> = distances.iter().map(|&d| f64::from(d).sqrt()).collect();
    let nearest: f64 = roots.chunks(k).map(|row| row[0]).sum::<f64>() * k as f64;
    nearest / roots.iter().sum::<f64>()
}

#[test]
fn sift_looks_like_gradient_histograms() {
    let (base, queries) = rows(params(Kind::Sift, 5000, 50));
    let scan = scan_values(&base, Watch::none()).unwrap();
    assert!((scan.norms.mean - 512.0).abs() < 8.0 && scan.max <= 255.0, "{scan:?}");
    let zeros = base.bytes().iter().filter(|&&b| b == 0).count() as f64 / base.bytes().len() as f64;
    assert!((0.1..0.35).contains(&zeros), "{zeros}");
    let ratio = nearest_ratio(&base, &queries);
    assert!((0.45..0.65).contains(&ratio), "{ratio}");
}

#[test]
fn bases_have_copies() {
    for kind in Kind::ALL {
        let (base, _) = rows(params(kind, 4000, 0));
        let mut seen: Vec<&[u8]> = base.bytes().chunks_exact(base.row_bytes()).collect();
        seen.sort_unstable();
        seen.dedup();
        let copies = 4000 - seen.len();
        assert!((2..25).contains(&copies), "{kind}: {copies}");
    }
}

#[test]
fn ood_queries_lie_apart() {
    let (base, queries) = rows(params(Kind::Ood, 5000, 50));
    let (_, inside) = rows(params(Kind::Embedding, 1, 50));
    let (embedding, _) = rows(params(Kind::Embedding, 5000, 0));
    let (ood, near) = (nearest_ratio(&base, &queries), nearest_ratio(&embedding, &inside));
    assert!(ood > near + 0.1, "{ood} {near}");
    let scan = scan_values(&base, Watch::none()).unwrap();
    assert!(scan.norms.min > 0.89 && scan.norms.max < 1.11 && scan.norms.max > 1.05, "{scan:?}");
}

#[test]
fn embeddings_are_unit_vectors_around_a_mean() {
    let (base, _) = rows(params(Kind::Embedding, 3000, 0));
    let scan = scan_values(&base, Watch::none()).unwrap();
    assert!(scan.norms.min > 0.9999 && scan.norms.max < 1.0001, "{scan:?}");
    let (values, mut mean) = (decode(base.dtype(), base.bytes()), vec![0.0_f32; base.dim()]);
    for row in values.chunks_exact(base.dim()) {
        mean.iter_mut().zip(row).for_each(|(m, x)| *m += x / 3000.0);
    }
    let norm = mean.iter().map(|x| x * x).sum::<f32>().sqrt();
    assert!((0.2..0.5).contains(&norm), "{norm}");
}

#[test]
fn kinds_are_named() {
    for kind in Kind::ALL {
        assert_eq!(kind.name().parse(), Ok(kind));
    }
    assert!("gist".parse::<Kind>().unwrap_err().to_string().contains("expected sift, embedding or ood"));
}

fn token_params() -> GenerateTokensParams {
    let (documents, queries, dim, dtype) = (400, 30, 24, DType::F32);
    GenerateTokensParams {
        documents,
        tokens: 12,
        topics: 40,
        queries,
        query_tokens: 5,
        dim,
        dtype,
        seed: 7,
        threads: 2,
    }
}

/// Documents of tokens and query documents: rows and offsets of each.
fn documents(params: GenerateTokensParams) -> [(Rows, Vec<u32>); 2] {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let [base, queries] = ["base", "query"].map(|name| {
        let extension = if params.dtype == DType::I8 { "i8bin" } else { "npy" };
        (path(&format!("{name}.{extension}")), path(&format!("{name}.ibin")))
    });
    let made = generate_tokens(
        params,
        TokenFiles { tokens: &base.0, offsets: &base.1 },
        Some(TokenFiles { tokens: &queries.0, offsets: &queries.1 }),
        Watch::none(),
    );
    let counts = made.unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 4);
    [(base, counts.tokens), (queries, counts.query_tokens)].map(|((tokens, offsets), count)| {
        let rows = Rows::read(&VectorFile::open(tokens).unwrap()).unwrap();
        assert_eq!(rows.len(), count);
        let offsets = crate::read_documents(offsets, count).unwrap();
        (rows, offsets.offsets().to_vec())
    })
}

#[test]
fn documents_are_golden_and_the_same_for_any_number_of_threads() {
    let made = documents(token_params());
    for threads in [1, 5] {
        assert!(documents(GenerateTokensParams { threads, ..token_params() }) == made, "{threads} threads");
    }
    let hashes = made.each_ref().map(|(rows, offsets)| (xxh3_64(rows.bytes()), offsets.last().copied()));
    assert_eq!(hashes, [(6942034634705762871, Some(4792)), (16860854216624773013, Some(161))]);
    let [(short, offsets), _] = documents(GenerateTokensParams { documents: 100, ..token_params() });
    assert_eq!(offsets, made[0].1[..101]);
    assert_eq!(short.bytes(), &made[0].0.bytes()[..short.bytes().len()]);
    assert!(documents(GenerateTokensParams { seed: 8, ..token_params() }) != made);
}

#[test]
fn documents_have_lengths_around_the_mean_and_tokens_of_unit_length() {
    for dtype in [DType::F32, DType::F16, DType::I8] {
        let [(rows, offsets), (queries, _)] = documents(GenerateTokensParams { dtype, ..token_params() });
        let lengths: Vec<u32> = offsets.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = f64::from(lengths.iter().sum::<u32>()) / 400.0;
        assert!((11.0..13.0).contains(&mean), "{mean}");
        assert!(lengths.iter().all(|length| (6..=24).contains(length)));
        assert!(lengths.iter().any(|&length| length < 8) && lengths.iter().any(|&length| length > 20));
        for rows in [rows, queries] {
            let norms = scan_values(&rows, Watch::none()).unwrap().norms;
            let (least, most) = if dtype == DType::I8 { (139.0, 155.0) } else { (0.999, 1.001) };
            assert!(norms.min > least && norms.max < most, "{dtype}: {norms:?}");
        }
    }
}

/// A query's own document, and those about the same, are nearer by MaxSim than others are.
#[test]
fn documents_have_topics() {
    let params = GenerateTokensParams { dim: 128, query_tokens: 14, ..token_params() };
    let [(rows, offsets), (queries, query_offsets)] = documents(params);
    let documents = |offsets: &[u32], rows: u64| {
        let offsets: Vec<u64> = offsets.iter().map(|&offset| offset.into()).collect();
        spandrel_index::documents::DocumentOffsets::new(&offsets, rows).unwrap()
    };
    let (of_base, of_queries) = (documents(&offsets, rows.len()), documents(&query_offsets, queries.len()));
    let base = crate::Documents { tokens: &rows, offsets: &of_base };
    let query = crate::Documents { tokens: &queries, offsets: &of_queries };
    let params = crate::DocumentTruthParams { k: 400, threads: 1 };
    let truth = crate::compute_document_truth(base, query, None, params, Watch::none()).unwrap();
    let scores = truth.distances.unwrap();
    // How far the best score is above the mean, in deviations, by queries.
    let mut best: Vec<f32> = Vec::new();
    for scores in scores.chunks(400) {
        let mean = scores.iter().sum::<f32>() / 400.0;
        let spread = (scores.iter().map(|score| (score - mean).powi(2)).sum::<f32>() / 400.0).sqrt();
        best.push((scores[0] - mean) / spread);
    }
    best.sort_unstable_by(f32::total_cmp);
    // Of 400 scores that are normal the best is 3 deviations above.
    assert!(best[15] > 4.5, "{best:?}");
}

#[test]
fn documents_of_nothing_are_refused() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (tokens, offsets) = (path("a.i8bin"), path("a.ibin"));
    let files = TokenFiles { tokens: &tokens, offsets: &offsets };
    let wanted = GenerateTokensParams { queries: 0, dtype: DType::I8, ..token_params() };
    let refused = |params, files| generate_tokens(params, files, None, Watch::none()).unwrap_err();
    for (params, says) in [
        (GenerateTokensParams { documents: 0, ..wanted }, "documents: 0 asked for"),
        (GenerateTokensParams { tokens: 0, ..wanted }, "tokens: 0 asked for"),
        (GenerateTokensParams { topics: 0, ..wanted }, "0 topics, expected 1..=65536"),
        (
            GenerateTokensParams { tokens: 8193, dim: 4096, ..wanted },
            "8193 tokens of 4096 elements on average, expected at most 8192: the longest document takes 64 MiB then",
        ),
        (GenerateTokensParams { query_tokens: 8193, dim: 4096, ..wanted }, "8193 query tokens of 4096"),
        (GenerateTokensParams { dim: 0, ..wanted }, "0 elements per vector"),
        (GenerateTokensParams { dtype: DType::U8, ..wanted }, "tokens of u8, expected f32, f16 or i8"),
        (GenerateTokensParams { queries: 3, ..wanted }, "3 queries asked for, but no file for them"),
    ] {
        assert!(refused(params, files).to_string().contains(says), "{says}");
    }
    let other = path("a.npy");
    let error = refused(wanted, TokenFiles { offsets: &other, ..files }).to_string();
    assert!(error.contains("cannot hold offsets of documents, choose ibin"), "{error}");
    let same = refused(wanted, TokenFiles { offsets: &tokens, ..files });
    assert!(matches!(same, GenerateError::SameFile { .. }), "{same:?}");
    let stop = true.into();
    let stopped = generate_tokens(wanted, files, None, Watch { stop: &stop, ..Watch::none() });
    assert!(matches!(stopped, Err(GenerateError::Stopped(_))));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
