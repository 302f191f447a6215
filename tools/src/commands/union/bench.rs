//! `spandrel bench` of several indexes.
use std::cell::Cell;

use anyhow::Context as _;
use bytes::Bytes;
use spandrel_datasets::Rows;
use spandrel_engine::{Answer, Distances, QueryRows, SearchParams, recall};
use spandrel_index::VectorSource as _;

use super::{Asked, Together, Union, note_unlike};
use crate::Session;
use crate::commands::bench::{
    BenchArgs, hand_out, params_of, range_params, read_range_truth, read_truth, refuse, setup,
};
use crate::commands::column::ColumnFit;
use crate::commands::filter::Compiler;
use crate::commands::measure::{Examples, filtered_recall};
use crate::commands::search::{Fit, open_queries};
use crate::commands::truth_check::{nearer_than_truth, note_nearer};
use crate::commands::truth_held::{check_examples, check_range};
use crate::commands::within::{Held, mean_results, point};
use crate::figures::{Params, Point};

/// Measures all indexes of a command line as one.
pub(in crate::commands) fn bench(args: &BenchArgs, session: &Session) -> anyhow::Result<()> {
    refuse(args)?;
    let (Some(queries), Some(truth)) = (&args.queries, &args.truth) else {
        unreachable!("the parser asks for queries and truth of an index")
    };
    let compare_by = args.column.compare_by();
    let asked = Asked { compare_by, attributes: args.filter.is_filtered() };
    let union = Union::open(&args.index, &args.places, args.union, asked)?;
    let Some(first) = union.indexes.first() else { unreachable!("there are two indexes or more") };
    union.indexes.iter().try_for_each(|index| args.embedding.check(index))?;
    union.refuse_documents(args.documents.query_documents.is_some())?;
    Union::refuse_flag(!args.min_head_score.is_empty(), "--min-head-score")?;
    Union::refuse_flag(args.attention.attention_mass, "--attention-mass")?;
    let queries = Rows::read(&open_queries(Fit::of(first), &args.input, queries, session)?)?;
    let filters = union.compilers(&args.filter, queries.len(), session)?;
    if args.radius.radius.is_some() {
        return bench_within(args, &union, &queries, &filters, session);
    }
    let (truth, of_truth) = (read_truth(truth, args.ids.as_deref())?, || truth.display().to_string());
    let vectors: u64 = union.indexes.iter().map(|index| index.vectors()).sum();
    let k = usize::try_from(vectors.min(args.k.into()))?;
    let column = args.column.open(ColumnFit::of(first), &args.input, queries.len(), session)?;
    let column = column.map(|file| Rows::read(&file)).transpose()?;
    let metric = first.shape_of(compare_by).metric;
    let setup = setup(args, first);
    let examples = Examples {
        queries: &queries,
        column: column.as_ref(),
        truth: &truth,
        filters: filters.first(),
        attention: None,
    };
    check_examples(&union.indexes, examples, k, &setup).with_context(of_truth)?;
    for compiler in &filters {
        compiler.compile_all(setup.engine.threads, session)?;
    }
    let known = spandrel_engine::Truth {
        ids: &truth.ids,
        distances: truth.distances.as_deref().unwrap_or_default(),
        columns: truth.k,
    };
    // Said of the queries of the warm-up.
    let told = Cell::new(false);
    let points = setup.points_of(&union, &params_of(args), session, |running, params| {
        let search = SearchParams {
            compare_by,
            distances: args.places.distances,
            times: args.stages,
            ..params.search(k)
        };
        let callers = setup.engine.threads * running.in_flight;
        let together = Together::new(&union, &running.engines, &filters, callers, session);
        let run = running.run(&params.to_string(), queries.len() as usize, |count| {
            // CAST: in memory
            let rows = |of: &Rows| of.bytes()[..count * of.row_bytes()].to_vec();
            let (main, column) = (rows(&queries), column.as_ref().map(rows));
            let rows = QueryRows { main: &main, column: column.as_deref() };
            let answers = together.answers(0, rows, &search)?;
            if !told.replace(true) {
                note_unlike(&answers, session);
            }
            Ok(answers.into_iter().map(|united| united.answer).collect::<Vec<Answer>>())
        })?;
        let recall = match filters.is_empty() {
            true => recall(metric, &run.answers, known, k)?,
            false => filtered_recall(metric, (0..).zip(&run.answers), &truth, k)?,
        };
        note_nearer(nearer_than_truth(metric, (0..).zip(&run.answers), &truth, k), session);
        let point = Point { k: Some(k as u64), recall, ..running.point(run) }; // CAST: widening
        let distances: Distances = args.places.distances;
        Ok(Point { distances: Some(distances.to_string()), params: Params::Ours(*params), ..point })
    })?;
    hand_out(&args.written, &setup.label, &points, "", session)
}

/// As [`bench`], for all within a radius.
fn bench_within(
    args: &BenchArgs,
    union: &Union,
    queries: &Rows,
    filters: &[Compiler<'_>],
    session: &Session,
) -> anyhow::Result<()> {
    let (Some(first), Some(truth)) = (union.indexes.first(), &args.truth) else {
        unreachable!("there are two indexes or more, and a truth")
    };
    let (truth, of_truth) = (read_range_truth(args, truth)?, || truth.display().to_string());
    truth.validate(queries.len()).with_context(of_truth)?;
    let setup = setup(args, first);
    check_range(&union.indexes, &truth, &setup).with_context(of_truth)?;
    for compiler in filters {
        compiler.compile_all(setup.engine.threads, session)?;
    }
    let (rows, told) = (Bytes::copy_from_slice(queries.bytes()), Cell::new(false));
    let points = setup.points_of(union, &range_params(args), session, |running, params| {
        let callers = setup.engine.threads * running.in_flight;
        let together = Together::new(union, &running.engines, filters, callers, session);
        let name = format!("completeness={}", params.completeness);
        let run = running.run(&name, queries.len() as usize, |count| {
            let answers = together.within(0, &rows.slice(..count * queries.row_bytes()), params)?; // CAST: in memory
            if !told.replace(true) {
                note_unlike(&answers, session);
            }
            Ok(answers.into_iter().map(|united| united.answer).collect::<Vec<Answer>>())
        })?;
        let held = Held::of(first.metric(), &run.answers, &truth);
        Ok(point(params, held, mean_results(&run.answers), running.point(run)))
    })?;
    hand_out(&args.written, &setup.label, &points, "", session)
}
