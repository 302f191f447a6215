//! `spandrel query`: the nearest vectors of some queries.
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use spandrel_datasets::{Format, OutFile, Truth};
use spandrel_engine::{Answer, EngineConfig, Limit, QueryPlan, Rerank, SearchError, SearchParams};
use spandrel_index::VectorSource as _;

use super::input::InputArgs;
use super::remote::query::{Query, ask};
use super::remote::{HEADING, ServerArgs, parse_rate};
use super::search::{IoArgs, PlaceArgs, open_engine, open_index, open_queries, refuse_damage};
use super::shape::threads_default;
use crate::figures::PointParams;
use crate::values::parse_epsilon;
use crate::{Advised, Session, UsageError, write_file};

/// Find the nearest vectors of each query.
///
/// Prints a line for each neighbour, best first: query, rank, id, distance, and ~ where that is an estimate. Distances are squared L2, 1 - cos, or the
/// inner product itself.
#[derive(Debug, Args)]
pub struct QueryArgs {
    /// Folder of the index.
    #[arg(long, value_name = "DIR", required_unless_present = "server")]
    pub index: Option<PathBuf>,
    /// Vectors to search for.
    #[arg(long, value_name = "FILE")]
    pub queries: PathBuf,
    /// Neighbours of each query.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub k: u32,
    /// A list is read if its head is at most 1 + epsilon times as far as the nearest one [default: the index's own].
    #[arg(long, value_name = "E", value_parser = parse_epsilon)]
    pub epsilon: Option<f32>,
    /// Most lists read [default: the index's own].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_lists: Option<u32>,
    /// Vectors compared exactly after their codes were scanned, the likeliest to be near [default: by the errors of their
    /// estimates].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rerank: Option<u32>,
    /// Compare exactly each vector whose estimate, less half of this number of its standard errors, may be among
    /// the k best: more find more and read more [default: the index's own].
    #[arg(long, value_name = "E", conflicts_with = "rerank", value_parser = parse_epsilon)]
    pub rerank_errors: Option<f32>,
    /// How the file of queries is read.
    #[command(flatten)]
    pub input: InputArgs,
    /// Where codes and vectors are.
    #[command(flatten)]
    pub places: PlaceArgs,
    /// Threads to use [default: one for each processor].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// How lists are read.
    #[command(flatten)]
    pub io: IoArgs,
    /// Write the answers to a file instead: .ibin with ids and distances, or .npy with ids alone (int64). Where fewer
    /// than k were found, the ids that are missing are 4294967295 or -1.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Format of that file, ibin or npy, where its name tells none, as that of a pipe.
    #[arg(long, value_name = "FORMAT", requires = "out")]
    pub out_format: Option<Format>,
    /// Which server.
    #[command(flatten)]
    pub server: ServerArgs,
    /// Ask the server at most so many queries a second.
    #[arg(long, value_name = "QPS", requires = "server", conflicts_with = "index", help_heading = HEADING, value_parser = parse_rate)]
    pub rate: Option<f64>,
}

/// How answers are handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Lines,
    Ibin,
    Npy,
}

impl Form {
    fn of(out: Option<&Path>, format: Option<Format>) -> Result<Form, UsageError> {
        let Some(path) = out else { return Ok(Form::Lines) };
        match (OutFile { path, format }).format() {
            Ok(Format::Ibin) => Ok(Form::Ibin),
            Ok(Format::Npy) => Ok(Form::Npy),
            _ => {
                let path = path.display();
                let message = format!(
                    "{path}: expected a file ending in .ibin or .npy, or one of these with --out-format"
                );
                Err(UsageError(message))
            }
        }
    }
}

/// Queries searched at a time, so that memory does not grow with their number when lines are printed.
const BATCH: u64 = 10_000;

pub(super) fn run(args: &QueryArgs, session: &Session) -> anyhow::Result<()> {
    let form = Form::of(args.out.as_deref(), args.out_format)?;
    let Some(index) = &args.index else { return ask_server(args, form, session) };
    let index = open_index(index, &args.places)?;
    let queries = open_queries(&index, &args.input, &args.queries)?;
    let config = EngineConfig {
        threads: args.threads.map_or_else(threads_default, usize::from),
        io: args.io.io,
        direct: args.io.direct,
        cache_bytes: args.places.cache_bytes(),
        ..EngineConfig::default()
    };
    let k = args.k as usize; // CAST: widening
    let params = SearchParams {
        epsilon: args.epsilon,
        max_lists: args.max_lists,
        rerank: args.rerank.map(Rerank::Count).or(args.rerank_errors.map(Rerank::Errors)),
        distances: args.places.distances,
        ..SearchParams::new(k)
    };
    QueryPlan::of(&params, &index)?;
    let engine = open_engine(&index, config, session)?;
    let meter = session.meter();
    meter.phase("searching", "queries");
    let mut table = Table { k, ids: Vec::new(), distances: Vec::new() };
    let (mut incomplete, mut limited) = (0, Limited::default());
    let mut first = 0;
    while first < queries.len() {
        let count = BATCH.min(queries.len() - first);
        let mut rows = vec![0; count as usize * queries.row_bytes()]; // CAST: at most BATCH
        queries.read_rows(first, &mut rows)?;
        let answers = engine
            .search_until(&rows, &params, &session.stop)
            .map_err(|error| in_file(error, &args.queries, first))?;
        incomplete += answers.iter().filter(|a| a.missing.parts() > 0).count();
        limited.count(&answers);
        match form {
            Form::Lines => session.print(&lines(first, &answers))?,
            Form::Ibin | Form::Npy => answers.iter().for_each(|answer| table.push(answer)),
        }
        first += count;
        meter.set(first, queries.len());
    }
    meter.finish();
    if let Some(path) = &args.out {
        table.write(form, path, &index.dir().display().to_string())?;
        session.note(&format!("wrote {}", path.display()));
    }
    limited.tell(session);
    refuse_damage(&engine, incomplete)
}

/// Answers that a limit cut short.
#[derive(Debug, Default)]
struct Limited {
    by_lists: usize,
    by_bytes: usize,
}

impl Limited {
    fn count(&mut self, answers: &[Answer]) {
        let by = |limit| answers.iter().filter(|a| a.limited_by == Some(limit)).count();
        self.by_lists += by(Limit::MaxLists);
        self.by_bytes += by(Limit::MaxBytes);
    }

    fn tell(&self, session: &Session) {
        for (limit, answers) in [(Limit::MaxLists, self.by_lists), (Limit::MaxBytes, self.by_bytes)] {
            if answers > 0 {
                let verb = if answers == 1 { "answer was" } else { "answers were" };
                session.note(&format!("note: {answers} {verb} cut short by {limit}"));
            }
        }
    }
}

/// As [`run`], where a server answers.
fn ask_server(args: &QueryArgs, form: Form, session: &Session) -> anyhow::Result<()> {
    let params = PointParams {
        epsilon: args.epsilon,
        max_lists: args.max_lists,
        rerank: args.rerank,
        rerank_errors: args.rerank_errors,
    };
    let distances = args.places.distances;
    let query =
        Query { queries: &args.queries, input: args.input, k: args.k, params, distances, rate: args.rate };
    let mut table = Table { k: args.k as usize, ids: Vec::new(), distances: Vec::new() }; // CAST: widening
    let mut limited = Limited::default();
    let incomplete = ask(&args.server, &query, session, |first, answers| {
        limited.count(&answers);
        match form {
            Form::Lines => session.print(&lines(first, &answers))?,
            Form::Ibin | Form::Npy => answers.iter().for_each(|answer| table.push(answer)),
        }
        Ok(())
    })?;
    if let Some(path) = &args.out {
        table.write(form, path, args.server.index_name())?;
        session.note(&format!("wrote {}", path.display()));
    }
    limited.tell(session);
    if incomplete > 0 {
        let message = format!("{incomplete} answers are not whole: parts of the server's index are damaged");
        return Err(Advised::new(message, "its log and DescribeIndex say which").into());
    }
    Ok(())
}

/// Names the file of a query that was refused, and counts it from the file's beginning.
fn in_file(error: SearchError, path: &Path, first: u64) -> anyhow::Error {
    match error {
        // CAST: usize is 64 bits here
        SearchError::Query(bad) => {
            anyhow::Error::new(bad.after(first as usize)).context(path.display().to_string())
        }
        other => other.into(),
    }
}

fn lines(first: u64, answers: &[Answer]) -> String {
    let mut text = String::new();
    for (query, answer) in (first..).zip(answers) {
        for (rank, neighbour) in (1_u32..).zip(&answer.neighbours) {
            // Writing to a string does not fail.
            let mark = if neighbour.estimated { "\t~" } else { "" };
            let _ = writeln!(text, "{query}\t{rank}\t{}\t{}{mark}", neighbour.id, neighbour.distance);
        }
    }
    text
}

/// Answers as rows of `k`, padded.
struct Table {
    k: usize,
    ids: Vec<Option<u64>>,
    distances: Vec<f32>,
}

impl Table {
    fn push(&mut self, answer: &Answer) {
        for at in 0..self.k {
            let found = answer.neighbours.get(at);
            self.ids.push(found.map(|n| n.id));
            self.distances.push(found.map_or(f32::INFINITY, |n| n.distance));
        }
    }

    fn write(self, form: Form, path: &Path, index: &str) -> anyhow::Result<()> {
        let queries = self.ids.len() / self.k;
        if form == Form::Npy {
            return Ok(write_file(path, &npy(&self.ids, queries, self.k)?)?);
        }
        let mut ids = Vec::with_capacity(self.ids.len());
        for id in self.ids {
            let narrow = u32::try_from(id.unwrap_or(u32::MAX.into())).map_err(|_| {
                let message = format!("an id of {index} does not fit 32 bits");
                Advised::new(message, "write the answers as .npy")
            })?;
            ids.push(narrow.into());
        }
        Truth { queries, k: self.k, ids, distances: Some(self.distances) }
            .write(OutFile { path, format: Some(Format::Ibin) })?;
        Ok(())
    }
}

/// Ids as an array of int64 in NumPy's format, version 1.
fn npy(ids: &[Option<u64>], rows: usize, columns: usize) -> anyhow::Result<Vec<u8>> {
    const HEADER_BYTES: usize = 128;
    const PREFIX: &[u8; 8] = b"\x93NUMPY\x01\x00";
    let mut text = format!("{{'descr': '<i8', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    let text_bytes = HEADER_BYTES - PREFIX.len() - 2;
    text = format!("{text:<width$}\n", width = text_bytes - 1);
    let mut bytes = Vec::with_capacity(HEADER_BYTES + ids.len() * 8);
    bytes.extend_from_slice(PREFIX);
    bytes.extend_from_slice(&(text_bytes as u16).to_le_bytes()); // CAST: 118
    bytes.extend_from_slice(text.as_bytes());
    for id in ids {
        let signed = match id {
            None => -1,
            Some(id) => i64::try_from(*id).map_err(|_| {
                Advised::new(
                    format!("id {id} does not fit a signed 64-bit number"),
                    "print the answers instead",
                )
            })?,
        };
        bytes.extend_from_slice(&signed.to_le_bytes());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use spandrel_engine::Neighbour;

    fn answer(ids: &[u64]) -> Answer {
        let neighbours = ids.iter().map(|&id| Neighbour { id, distance: 0.5, estimated: false }).collect();
        Answer { neighbours, ..Answer::default() }
    }

    #[test]
    fn lines_number_queries_on() {
        assert_eq!(lines(7, &[answer(&[3]), answer(&[4, 5])]), "7\t1\t3\t0.5\n8\t1\t4\t0.5\n8\t2\t5\t0.5\n");
    }

    #[test]
    fn a_refused_query_is_counted_from_the_beginning() {
        let refused = SearchError::Query(spandrel_engine::QueryError::Zero { query: 5 });
        let error = in_file(refused, Path::new("q.fbin"), 10_000);
        assert_eq!(format!("{error:#}"), "q.fbin: query 10005: a zero vector has no cosine");
    }

    #[test]
    fn arrays_are_padded() {
        let bytes = npy(&[Some(3), None], 1, 2).unwrap();
        assert_eq!(bytes.len(), 128 + 16);
        assert_eq!(bytes[127], b'\n');
        assert_eq!(&bytes[8..10], &[118, 0]);
        assert_eq!(&bytes[128..], [3_i64.to_le_bytes(), (-1_i64).to_le_bytes()].concat());
        assert!(npy(&[Some(u64::MAX)], 1, 1).is_err());
        assert!(npy(&[], usize::MAX, usize::MAX).unwrap().len() == 128);
    }

    #[test]
    fn forms_by_extension() {
        assert_eq!(Form::of(None, None).unwrap(), Form::Lines);
        assert_eq!(Form::of(Some(Path::new("a.ibin")), None).unwrap(), Form::Ibin);
        assert!(Form::of(Some(Path::new("a.fbin")), None).is_err());
        let stdout = Some(Path::new("/dev/stdout"));
        assert!(Form::of(stdout, None).unwrap_err().to_string().contains("--out-format"));
        assert_eq!(Form::of(stdout, Some(Format::Npy)).unwrap(), Form::Npy);
    }
}
