//! Documents of many vectors: which vectors are one, in builds and queries.
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};
use spandrel_builder::Plan;
use spandrel_datasets::{Rows, Truth, read_documents};
use spandrel_engine::{Answer, DocumentDefaults, DocumentParams, Engine, QueryDocuments, recall};
use spandrel_index::documents::{DocumentOffsets, EncodingSpec};
use spandrel_index::{Index, Matches, VectorSource};

use super::filter::Compiler;
use super::measure::{check_truth, filtered_recall};
use super::running::Setup;
use crate::figures::{Params, Point, PointParams, units};
use crate::{Advised, Session};

/// The documents that an index gets.
#[derive(Debug, Clone, Args)]
pub struct DocumentsArgs {
    /// Where documents begin, whose tokens the vectors are: ibin or npy of the first row of each document, and the number of rows. Answers
    /// are then documents, the best by MaxSim. --ids and --attributes have a row for each document.
    #[arg(long, value_name = "FILE", requires = "base", conflicts_with = "column")]
    pub documents: Option<PathBuf>,
    /// Make lists and codes of one vector for each document in place of its tokens: its fixed dimensional encoding by MUVERA, of R
    /// repetitions of 2^k buckets, of tokens projected to d elements, summed to dim. Such as muvera, or muvera:R=20,k=3,d=16,dim=2048,empty=zero with any of these;
    /// empty buckets of documents are zero or nearest. A query is then one search.
    #[arg(long, value_name = "ENCODING", requires = "documents")]
    pub document_encoding: Option<EncodingSpec>,
}

impl DocumentsArgs {
    /// The offsets of documents of `rows` vectors, if they are given.
    pub(super) fn open(&self, rows: u64) -> anyhow::Result<Option<DocumentOffsets>> {
        Ok(self.documents.as_ref().map(|path| read_documents(path, rows)).transpose()?)
    }
}

/// The documents of the queries.
#[derive(Debug, Clone, Args)]
pub struct QueryDocumentsArgs {
    /// Where query documents begin in --queries, as `build --documents` takes it: the index is one of documents. Each token searches
    /// --max-lists lists [default: 16; by encodings the query document searches two fifths of all, 64 at least], and the --rerank best
    /// documents by estimates [default: 60, by encodings 200, or k if that is more] are read and compared by MaxSim. No recall is promised.
    #[arg(long, value_name = "FILE", requires = "queries",
          conflicts_with_all = ["column_queries", "radius", "recall", "epsilon", "rerank_errors"])]
    pub query_documents: Option<PathBuf>,
}

/// What does not go with documents so far, each with whether it was given.
pub(super) struct Beside {
    pub(super) has_filter_plan: bool,
    pub(super) is_estimated: bool,
}

impl QueryDocumentsArgs {
    /// Refuses flags that do not go with documents.
    pub(super) fn refuse(&self, beside: &Beside) -> anyhow::Result<()> {
        if self.query_documents.is_none() {
            return Ok(());
        }
        let refused = |what: &str, help: &str| {
            Err(Advised::new(format!("--query-documents with {what} is not supported so far"), help).into())
        };
        match beside {
            Beside { has_filter_plan: true, .. } => refused("--filter-plan", "leave it out"),
            Beside { is_estimated: true, .. } => refused("--distances any", "leave it out: MaxSim is exact"),
            _ => Ok(()),
        }
    }

    /// The offsets of the queries' documents, if the index is one of documents.
    pub(super) fn open(&self, index: &Index, rows: u64) -> anyhow::Result<Option<DocumentOffsets>> {
        self.read(&index.dir().display(), index.documents().is_some(), rows)
    }

    /// The same of an index by its name.
    pub(super) fn read(
        &self,
        index: &dyn fmt::Display,
        has_documents: bool,
        rows: u64,
    ) -> anyhow::Result<Option<DocumentOffsets>> {
        match (&self.query_documents, has_documents) {
            (None, false) => Ok(None),
            (Some(path), true) => Ok(Some(read_documents(path, rows)?)),
            (None, true) => {
                let message = format!("{index}: an index of documents");
                let help = "give --query-documents FILE, the offsets of the queries' documents";
                Err(Advised::new(message, help).into())
            }
            (Some(_), false) => {
                let message = format!("{index}: an index without documents");
                let help = "leave out --query-documents, or build with --documents";
                Err(Advised::new(message, help).into())
            }
        }
    }
}

/// What is asked of documents by the settings of a point.
pub(super) fn params_of(point: &PointParams, k: usize) -> DocumentParams {
    DocumentParams { max_lists: point.max_lists, rerank: point.rerank, ..DocumentParams::new(k) }
}

/// Query documents and their truth.
#[derive(Clone, Copy)]
pub(super) struct DocumentExamples<'a> {
    pub(super) tokens: &'a Rows,
    pub(super) offsets: &'a DocumentOffsets,
    pub(super) truth: &'a Truth,
    pub(super) filters: Option<&'a Compiler<'a>>,
}

impl DocumentExamples<'_> {
    /// What the first `count` queries find among the documents that match their filters.
    fn answers(
        &self,
        engine: &Engine,
        count: usize,
        params: &DocumentParams,
        session: &Session,
    ) -> anyhow::Result<Vec<Answer>> {
        let part = self.offsets.part(0..count);
        let bytes = part.rows() as usize * self.tokens.row_bytes(); // CAST: in memory
        let queries = QueryDocuments { tokens: &self.tokens.bytes()[..bytes], offsets: &part };
        search(engine, Asked { queries, first: 0, filters: self.filters }, params, session)
    }
}

/// Some of the query documents of a file.
pub(super) struct Asked<'a> {
    pub(super) queries: QueryDocuments<'a>,
    /// The number of the first of them.
    pub(super) first: usize,
    /// Filters of all queries of the file.
    pub(super) filters: Option<&'a Compiler<'a>>,
}

/// Answers query documents by the filter of each.
pub(super) fn search(
    engine: &Engine,
    Asked { queries, first, filters }: Asked<'_>,
    params: &DocumentParams,
    session: &Session,
) -> anyhow::Result<Vec<Answer>> {
    let filter = |query| -> anyhow::Result<Option<Arc<Matches>>> {
        Ok(filters.map(|filters| filters.matches(first + query)).transpose()?)
    };
    let mut answers = engine.search_documents_among(queries, params, filter, &session.stop)?;
    for (query, answer) in answers.iter_mut().enumerate() {
        if let (Some(told), Some(filters)) = (&mut answer.explanation, filters) {
            told.parts = filters.parts(first + query)?;
        }
    }
    Ok(answers)
}

/// What to measure.
pub(super) struct DocumentSweep {
    pub(super) setup: Setup,
    pub(super) k: usize,
    pub(super) params: Vec<PointParams>,
    /// Whether to take the time of queries stage by stage.
    pub(super) stages: bool,
}

/// Measures every point.
pub(super) fn measure(
    index: &Arc<Index>,
    examples: DocumentExamples<'_>,
    sweep: &DocumentSweep,
    session: &Session,
) -> anyhow::Result<Vec<Point>> {
    let DocumentExamples { offsets, truth, filters, .. } = examples;
    let documents = index.documents().map_or(0, |documents| documents.offsets().documents());
    let (k, queries) = (sweep.k.min(documents), offsets.documents() as u64); // CAST: usize is 64 bits here
    check_truth(truth, queries, k, filters.is_some())?;
    if let Some(filters) = filters {
        filters.compile_all(sweep.setup.engine.threads, session)?;
    }
    let compile_us = filters.map(Compiler::compile_us).transpose()?;
    let known = spandrel_engine::Truth {
        ids: &truth.ids,
        distances: truth.distances.as_deref().unwrap_or_default(),
        columns: truth.k,
    };
    sweep.setup.points(index, &sweep.params, session, |running, point| {
        let params = DocumentParams { times: sweep.stages, ..params_of(point, k) };
        params.check(index)?;
        let run = running.run(&point.to_string(), offsets.documents(), |count| {
            examples.answers(running.engine(), count, &params, session)
        })?;
        let recall = match filters {
            None => recall(index.metric(), &run.answers, known, k)?,
            Some(_) => filtered_recall(index.metric(), (0..).zip(&run.answers), truth, k)?,
        };
        Ok(Point {
            compile_us,
            k: Some(k as u64), // CAST: widening
            recall,
            distances: Some("exact".to_owned()),
            params: Params::Ours(PointParams {
                // Under a filter each query takes its own number.
                max_lists: if filters.is_some() { params.max_lists } else { Some(params.lists(index)) },
                rerank: Some(params.compared(index) as u32), // CAST: fewer than the vectors
                ..PointParams::default()
            }),
            ..running.point(run)
        })
    })
}

/// What is planned, for programs.
pub(super) fn plan_json(plan: &Plan) -> Value {
    let Some(documents) = &plan.documents else { return Value::Null };
    json!({
        "count": documents.count,
        "encoding": documents.encoding.map(|spec| spec.to_string()),
        "index_bytes": documents.index_bytes,
        "search_memory": documents.search_memory,
    })
}

/// What is planned, in a line; none without documents.
pub(super) fn plan_text(plan: &Plan) -> Option<String> {
    let documents = plan.documents.as_ref()?;
    let [disk, memory] = [documents.index_bytes, documents.search_memory].map(|bytes| {
        units::bytes(bytes as f64) // CAST: shown to three digits
    });
    let by = documents.encoding.map(|spec| format!(" by {spec}")).unwrap_or_default();
    Some(format!("{}{by}, {disk} on disk, {memory} of memory", units::count(documents.count)))
}

/// The documents of an index, for programs.
pub(super) fn json(index: &Index) -> Value {
    let (Some(entry), Some(documents)) = (&index.manifest().documents, index.documents()) else {
        return Value::Null;
    };
    let usual = DocumentDefaults::of(index.manifest());
    json!({
        "count": entry.count,
        "vectors": documents.offsets().rows(),
        "vectors_max": documents.offsets().rows_max(),
        "offsets_hash": entry.offsets_hash,
        "ids_hash": entry.ids_hash,
        "encoding": entry.encoding.as_ref().map(|encoding| &encoding.spec),
        "default_lists": usual.map(|usual| usual.lists),
        "default_compared": usual.map(|usual| usual.compared),
    })
}

/// The same in a line.
pub(super) fn text(index: &Index) -> Option<String> {
    let documents = index.documents()?;
    let offsets = documents.offsets();
    let by = documents.encoder().map(|encoder| format!(", by {}", encoder.spec())).unwrap_or_default();
    let has_ids = index.manifest().documents.as_ref().is_some_and(|entry| entry.ids_hash.is_some());
    let mean = offsets.rows() as f64 / offsets.documents() as f64; // CAST: shown to three digits
    Some(format!(
        "{}, of {} vectors each, {} at most{by}{}",
        units::count(offsets.documents() as u64), // CAST: usize is 64 bits here
        units::three_digits(mean),
        units::count(offsets.rows_max().into()),
        if has_ids { ", with ids of their own" } else { "" }
    ))
}
