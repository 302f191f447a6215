//! `spandrel recall`: what share of the true neighbours an index finds, measured.
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use spandrel_engine::{
    Engine, EngineConfig, QueryPlan, RecallEstimate, Sample, SearchParams, Truth, recalls,
};
use spandrel_index::{Index, VectorSource as _};

use super::input::InputArgs;
use super::search::{
    Fit, IoArgs, KNOBS, KnobArgs, PlaceArgs, READING, open_engine, open_index, open_queries, refuse_damage,
};
use super::shape::threads_default;
use crate::figures::{Align, PointParams, TextTable, process_memory, units};
use crate::values::{ByteSize, parse_recall};
use crate::{Advised, Session};

/// Measure the recall of an index against exact search.
///
/// Every query is compared with every vector. Without --queries, rows of the index are searched for, each leaving itself out:
/// they are found a little better than other vectors. The interval holds the recall of all such queries with a confidence of 95 %.
#[derive(Debug, Args)]
pub struct RecallArgs {
    /// Folder of the index.
    #[arg(long, value_name = "DIR")]
    pub index: PathBuf,
    /// Vectors to search for [default: rows of the index].
    #[arg(long, value_name = "FILE")]
    pub queries: Option<PathBuf>,
    /// How the file of queries is read.
    #[command(flatten)]
    pub input: InputArgs,
    /// Queries at most, spread over all there are.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub sample: u32,
    /// Neighbours asked for; all of an index that holds fewer.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub k: u32,
    /// Recall wanted: a row for each of several.
    #[arg(long, value_name = "R,R", value_delimiter = ',', conflicts_with = "epsilon", help_heading = KNOBS, value_parser = parse_recall)]
    pub recall: Vec<f64>,
    /// How thoroughly to search.
    #[command(flatten)]
    pub knobs: KnobArgs,
    /// Where codes and vectors are.
    #[command(flatten)]
    pub places: PlaceArgs,
    /// Threads to use [default: one for each processor].
    #[arg(long, value_name = "N", help_heading = READING, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// How lists are read.
    #[command(flatten)]
    pub io: IoArgs,
    /// Memory to stay within: with less, fewer queries are compared at a time [default: what they take together].
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<ByteSize>,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Measured {
    index: PathBuf,
    version: u64,
    vectors: u64,
    /// Where the queries are from; null for rows of the index.
    queries: Option<PathBuf>,
    k: usize,
    points: Vec<Point>,
}

/// The recall of one setting.
#[derive(Debug, Serialize)]
struct Point {
    params: PointParams,
    queries: usize,
    /// Recall to be expected by the index's calibration; none where nothing is known.
    expected_recall: Option<f64>,
    recall: f64,
    /// Ends of the interval of 95 %.
    recall_low: f64,
    recall_high: f64,
    lists: f64,
    codes: f64,
    reranked: f64,
    reads: f64,
    read_bytes: f64,
}

pub(super) fn run(args: &RecallArgs, session: &Session) -> anyhow::Result<()> {
    let index = open_index(&args.index, &args.places)?;
    let sample = match &args.queries {
        Some(_) => queries(args, &index, session)?,
        None => Sample::of_index(&index, args.sample.into())?,
    };
    let k = usize::try_from(sample.neighbours_max(&index).min(args.k.into()))?;
    if k == 0 {
        return Err(Advised::new("the index holds one vector alone", "measure with --queries").into());
    }
    let mut points = settings(args, &index, k)?;
    let config = EngineConfig {
        threads: args.threads.map_or_else(threads_default, usize::from),
        io: args.io.io,
        direct: args.io.direct,
        cache_bytes: args.places.cache_bytes(),
        ..EngineConfig::default()
    };
    let engine = open_engine(&index, config, session)?;
    let batch = batch(args, &engine, k)?;
    let count = sample.rows.len() / index.row_bytes();
    let meter = session.meter();
    for first in (0..count).step_by(batch) {
        let queries = first..(first + batch).min(count);
        meter.phase("comparing with every vector", "bytes");
        let exact = std::sync::Arc::new(sample.exact(&index, k, queries.clone())?);
        let (bytes, pieces) = (exact.bytes(), exact.pieces().max(1) as u64); // CAST: widening
        let nearest = engine.exact(&exact, &mut |done| {
            meter.set(bytes / pieces * done as u64, bytes); // CAST: widening
            !session.is_stopped()
        })?;
        if nearest.missing_pages > 0 {
            let message = format!(
                "{} pages of vectors are damaged: nothing is exact without them",
                nearest.missing_pages
            );
            return Err(Advised::new(
                message,
                format!("`spandrel verify {}` says more", args.index.display()),
            )
            .into());
        }
        meter.phase("searching", "queries");
        for part in parts(queries.clone()) {
            anyhow::ensure!(!session.is_stopped(), "stopped");
            let truth = &nearest.neighbours[part.start - first..part.end - first];
            let ids: Vec<u64> = truth.iter().flatten().map(|neighbour| neighbour.id).collect();
            let distances: Vec<f32> = truth.iter().flatten().map(|neighbour| neighbour.distance).collect();
            let known = Truth { ids: &ids, distances: &distances, columns: k };
            for Setting { params, sums, .. } in &mut points {
                let answers = sample.answers(&engine, params, part.clone())?;
                refuse_damage(&engine, answers.iter().filter(|answer| answer.missing.parts() > 0).count())?;
                sums.add(&answers, recalls(index.metric(), &answers, known, k)?);
            }
            meter.set(part.end as u64, count as u64); // CAST: widening
        }
    }
    meter.finish();
    let measured = Measured {
        index: args.index.clone(),
        version: index.manifest().version,
        vectors: index.vectors(),
        queries: args.queries.clone(),
        k,
        points: points.iter().map(Setting::point).collect(),
    };
    session.show(&text(&measured), &measured)
}

/// A setting, and what its answers came to so far.
struct Setting {
    params: SearchParams,
    shown: PointParams,
    /// Recall to be expected.
    expected: Option<f64>,
    sums: Sums,
}

/// What is to be measured: each recall, or the one setting of the flags.
fn settings(args: &RecallArgs, index: &Index, k: usize) -> anyhow::Result<Vec<Setting>> {
    let recalls: Vec<Option<f64>> = match args.recall.is_empty() {
        true => vec![None],
        false => args.recall.iter().copied().map(Some).collect(),
    };
    let setting = |recall| {
        let shown = args.knobs.point(recall);
        let params = SearchParams { distances: args.places.distances, ..shown.search(k) };
        let promise = QueryPlan::of(&params, index)?.promise();
        let expected = promise.and_then(|promise| promise.expected);
        Ok(Setting { params, shown, expected, sums: Sums::default() })
    };
    recalls.into_iter().map(setting).collect()
}

/// Queries searched before it is asked whether to stop.
const PART: usize = 64;

fn parts(queries: std::ops::Range<usize>) -> impl Iterator<Item = std::ops::Range<usize>> {
    let end = queries.end;
    queries.step_by(PART).map(move |first| first..(first + PART).min(end))
}

/// The queries of a file: all, or some at equal distances.
fn queries(args: &RecallArgs, index: &Index, session: &Session) -> anyhow::Result<Sample> {
    let Some(path) = &args.queries else { unreachable!("called with a file") };
    let file = open_queries(Fit::of(index), &args.input, path, session)?;
    let count = file.len().min(args.sample.into());
    let mut rows = vec![0; count as usize * file.row_bytes()]; // CAST: at most the sample
    for (at, row) in (0..).zip(rows.chunks_exact_mut(file.row_bytes())) {
        file.read_rows((2 * at + 1) * file.len() / (2 * count), row)?;
    }
    Ok(Sample::of_queries(rows.into()))
}

/// Bytes of the program, of stacks, and of pages under way.
const FIXED_BYTES: u64 = 48 << 20;

/// Queries that are compared at a time, within the memory allowed.
fn batch(args: &RecallArgs, engine: &Engine, k: usize) -> anyhow::Result<usize> {
    let Some(ByteSize(allowed)) = args.memory else { return Ok(args.sample as usize) }; // CAST: widening
    let index = engine.index();
    let row_bytes = index.row_bytes() as u64; // CAST: widening, here and below
    let fixed = FIXED_BYTES
        + index.memory().total() as u64
        + engine.cache_bytes()
        + u64::from(args.sample) * row_bytes;
    // What is nearest, what was found, and both once more on the way.
    let query_bytes = row_bytes + spandrel_engine::ExactSearch::query_bytes(k) as u64 + 128 * k as u64;
    let queries = allowed.saturating_sub(fixed) / query_bytes;
    if queries == 0 {
        let needed = units::bytes((fixed + query_bytes) as f64); // CAST: shown to three digits
        let message = format!("{needed} of memory are needed, --memory allows {}", ByteSize(allowed));
        let help = "allow more, or keep codes and vectors on SSD with --codes and --vectors";
        return Err(Advised::new(message, help).into());
    }
    Ok(usize::try_from(queries)?)
}

/// What answers came to so far.
#[derive(Debug, Default)]
struct Sums {
    recalls: Vec<f64>,
    lists: u64,
    codes: u64,
    reranked: u64,
    reads: u64,
    read_bytes: u64,
}

impl Sums {
    fn add(&mut self, answers: &[spandrel_engine::Answer], recalls: Vec<f64>) {
        self.recalls.extend(recalls);
        for answer in answers {
            self.lists += u64::from(answer.work.lists);
            self.codes += answer.work.vectors_scanned;
            self.reranked += u64::from(answer.work.reranked);
            self.reads += u64::from(answer.work.reads);
            self.read_bytes += answer.work.read_bytes;
        }
    }

    fn point(&self, params: PointParams, expected_recall: Option<f64>) -> Point {
        let RecallEstimate { recall, low, high, queries } = RecallEstimate::of(&self.recalls);
        let mean = |sum: u64| sum as f64 / queries.max(1) as f64; // CAST: means
        Point {
            params,
            queries,
            expected_recall,
            recall,
            recall_low: low,
            recall_high: high,
            lists: mean(self.lists),
            codes: mean(self.codes),
            reranked: mean(self.reranked),
            reads: mean(self.reads),
            read_bytes: mean(self.read_bytes),
        }
    }
}

impl Setting {
    fn point(&self) -> Point {
        self.sums.point(self.shown, self.expected)
    }
}

fn text(measured: &Measured) -> String {
    let Measured { index, version, vectors, queries, k, points } = measured;
    let from = match queries {
        Some(path) => path.display().to_string(),
        None => "rows of the index, each leaving itself out".to_owned(),
    };
    let mut table = TextTable::new();
    table.column("", Align::Left);
    for head in
        ["queries", "expected", "recall", "from", "to", "lists", "codes", "reranked", "reads", "kB read"]
    {
        table.column(head, Align::Right);
    }
    for point in points {
        let share = |share: f64| format!("{share:.4}");
        let mut words = point.params.to_string();
        if words.is_empty() {
            words = "as the index is set".to_owned();
        }
        let cells = [
            Some(words),
            Some(units::count(point.queries as u64)), // CAST: widening
            point.expected_recall.map(share),
            Some(share(point.recall)),
            Some(share(point.recall_low)),
            Some(share(point.recall_high)),
            Some(units::three_digits(point.lists)),
            Some(units::three_digits(point.codes)),
            Some(units::three_digits(point.reranked)),
            Some(units::three_digits(point.reads)),
            Some(units::three_digits(point.read_bytes / 1000.0)),
        ];
        table.row(cells.to_vec());
    }
    let memory = process_memory().map(|memory| units::bytes(memory.rss_peak_bytes as f64)); // CAST: shown to three digits
    let memory = memory.map(|peak| format!(", {peak} of memory at the peak")).unwrap_or_default();
    format!(
        "{}, version {version}, {} vectors\nrecall at {k} of {from}, with its interval of 95 %{memory}\n\n{table}",
        index.display(),
        units::count(*vectors)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_searched_in_parts() {
        assert_eq!(parts(10..10).count(), 0);
        assert_eq!(parts(10..140).collect::<Vec<_>>(), [10..74, 74..138, 138..140]);
    }
}
