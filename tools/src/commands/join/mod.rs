//! `spandrel join`: the nearest vectors of every row.
mod answers;
mod state;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;
use spandrel_datasets::{Converted, Format, OutFile, VectorFile};
use spandrel_engine::{Join, JoinError, JoinParams, JoinWork, Tuned};
use spandrel_index::format::IdBytes;
use spandrel_index::{Index, OpenOptions, Tier, VectorSource};

use self::answers::{Answers, Ordering};
use self::state::{JoinOf, State, StateFolder};
use super::file_names::FileNames;
use super::input::InputArgs;
use super::search::{Fit, open_queries};
use super::shape::{memory_default, threads_default};
use crate::figures::{process_memory, units};
use crate::values::{ByteSize, parse_recall};
use crate::{Advised, Meter, Session, UsageError};

/// Find the nearest vectors of every row of a file, or of the index itself, list by list.
///
/// Rows near one list share their probes, and are compared with vectors while these lie in the cache. Interrupted by Ctrl-C or a crash,
/// the same command with --resume goes on and gives the same bytes.
#[derive(Debug, Args)]
pub struct JoinArgs {
    /// Folder of the index.
    #[arg(long, value_name = "DIR")]
    pub index: PathBuf,
    /// Vectors to search for.
    #[arg(long, value_name = "FILE", required_unless_present = "of_itself")]
    pub queries: Option<PathBuf>,
    /// Search for each vector of the index, and leave it out of its own neighbours.
    #[arg(long = "self", conflicts_with = "queries")]
    pub of_itself: bool,
    /// Neighbours of each row.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub k: u32,
    /// Leave out neighbours farther than this: squared L2 or 1 - cos over it, inner product under it.
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    pub radius: Option<f32>,
    /// Recall wanted, by a sample of the rows that is compared with all vectors first. 1 compares every row with every vector.
    #[arg(long, value_name = "R", default_value_t = 0.95, value_parser = parse_recall::<f64>)]
    pub recall: f64,
    /// File to write: .ibin with ids and distances, or .npy with ids alone (int64). Row i is that of row i of the file, or of the vector with
    /// the i-th smallest id. Where fewer than k were found, the ids that are missing are 4294967295 or -1.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Go on with an interrupted join.
    #[arg(long)]
    pub resume: bool,
    /// Memory to keep to [default: half of the machine's, 4 GiB at most].
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<ByteSize>,
    /// Threads to use [default: one for each processor].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// How the file of queries is read.
    #[command(flatten)]
    pub input: InputArgs,
}

/// Memory for answers that are put in order, in what a join needs at least: among its buffers.
const ORDER_MIN: u64 = 4 << 20;
/// Share of what is left over that they may take besides.
const ORDER_SHARE: u64 = 4;
/// Time between two checkpoints.
const CHECKPOINT: Duration = Duration::from_secs(5);

pub(super) fn run(args: &JoinArgs, session: &Session) -> anyhow::Result<()> {
    let begun = Instant::now();
    let format = OutFile { path: &args.out, format: None }.format();
    if !matches!(format, Ok(Format::Ibin | Format::Npy)) {
        let message = format!("{}: expected a file ending in .ibin or .npy", args.out.display());
        return Err(UsageError(message).into());
    }
    FileNames::default().read("--queries", args.queries.as_deref()).written("--out", &*args.out).check()?;
    // Vectors are compared as they are: no codes are needed.
    let options = OpenOptions { codes: Some(Tier::Ssd), vectors: Some(Tier::Ssd), ids: false };
    let index = Arc::new(Index::open_with(&args.index, options)?);
    let is_wide = index.segments().iter().any(|segment| segment.ids.layout.id_bytes == IdBytes::Eight);
    if is_wide && matches!(format, Ok(Format::Ibin)) {
        let message = format!("ids of {} do not fit 32 bits", args.index.display());
        return Err(Advised::new(message, "write an .npy file").into());
    }
    let queries = args.queries.as_deref();
    let queries =
        queries.map(|path| open_queries(Fit::of(&index), &args.input, path, session)).transpose()?;
    let params = JoinParams {
        k: args.k as usize, // CAST: widening
        radius: args.radius,
        recall: args.recall,
        threads: args.threads.map_or_else(threads_default, usize::from),
        memory_bytes: args.memory.map_or_else(memory_default, |size| size.0),
    };
    let meter = session.meter();
    let joined = Joined { index: &index, queries: queries.as_ref() };
    let mut joined = Joining::prepare(args, joined, params, session, &meter)?;
    let work = joined.run(session, &meter)?;
    joined.write(&args.out, session, &meter)?;
    meter.finish();
    joined.folder.remove()?;
    let report = Report { args, joined: &joined, work, seconds: begun.elapsed().as_secs_f64() };
    session.show_beside(&[&args.out], &report.text(), &report.json())
}

/// What is joined: the rows of a file with an index, or an index with itself.
struct Joined<'i, 'a> {
    index: &'i Arc<Index>,
    queries: Option<&'a Converted<VectorFile>>,
}

/// A join under way.
struct Joining<'a> {
    join: Join<'a>,
    params: JoinParams,
    tuned: Tuned,
    rows: u64,
    /// Ids in order, where they are not row numbers; of an index that is joined with itself.
    ids: Option<Vec<u64>>,
    folder: StateFolder,
    state: State,
    answers: Answers,
    /// Memory for answers that are put in order.
    order_bytes: u64,
}

impl<'a> Joining<'a> {
    /// Everything that can be refused is, and a sample says what the recall takes.
    fn prepare(
        args: &JoinArgs,
        Joined { index, queries }: Joined<'_, 'a>,
        params: JoinParams,
        session: &Session,
        meter: &Meter,
    ) -> anyhow::Result<Joining<'a>> {
        let rows = queries.map_or(index.vectors(), VectorSource::len);
        if rows > u32::MAX.into() {
            let message = format!("{rows} rows, a file of answers holds {} at most", u32::MAX);
            return Err(Advised::new(message, "join parts of them").into());
        }
        let memory = Join::memory_of(index, queries.map(VectorSource::len), &params);
        session.note(&format!(
            "memory    {} needed, {} of use, {} allowed",
            units::bytes(memory.least() as f64), // CAST: shown rounded, here and below
            units::bytes(memory.most() as f64),
            units::bytes(params.memory_bytes as f64)
        ));
        let mut folder = StateFolder::of(&args.out);
        if !folder.check(args.resume)? && args.resume {
            session.note(&format!(
                "note: nothing to resume beside {}; the join begins anew",
                args.out.display()
            ));
        }
        meter.phase("finding the lists of queries", "queries");
        let source = queries.map(|queries| queries as &dyn VectorSource);
        // The rest is for vectors: what these leave behind may stay with the process.
        let ordered = order_share(params.memory_bytes.saturating_sub(memory.least()), rows, params.k);
        let order_bytes = ORDER_MIN + ordered;
        let joining = JoinParams { memory_bytes: params.memory_bytes - ordered, ..params };
        let join = Join::new(index, source, joining, &session.stop, &|done| meter.set(done, rows));
        let mut join = join.map_err(|error| advised(error, params))?;
        let ids = if queries.is_none() { Some(join.ids()?) } else { None };
        let is_rows = |ids: &Vec<u64>| (0..).zip(ids).all(|(row, &id)| row == id);
        let ids = ids.filter(|ids| !is_rows(ids));
        if ids.is_some() {
            session.note("note: row i of the result is that of the vector with the i-th smallest id");
        }
        let groups = join.groups() as u64; // CAST: widening
        let of = JoinOf { uuid: index.uuid(), queries_hash: join.queries_hash(), rows, groups };
        let fresh = State::new(of, &params, order_bytes);
        let before = |group| join.queries_before(group);
        let (state, answers) = folder.open(fresh, args.resume, &before)?;
        meter.phase("measuring a sample", "");
        let tuned = join.tune().map_err(|error| advised(error, params))?;
        Ok(Joining { join, params, tuned, rows, ids, folder, state, answers, order_bytes })
    }

    /// Joins the groups that are left, with a checkpoint now and then.
    fn run(&mut self, session: &Session, meter: &Meter) -> anyhow::Result<JoinWork> {
        let first = self.state.done as usize; // CAST: a number of groups in memory
        meter.phase("joining", "queries");
        let mut done = self.join.queries_before(first);
        let Joining { join, tuned, rows, ids, folder, state, answers, .. } = self;
        let (mut last, mut failed) = (Instant::now(), None);
        meter.set(done, *rows);
        let joined = join.run(*tuned, first, &mut |number, group| {
            done += group.queries.len() as u64; // CAST: widening
            meter.set(done, *rows);
            let put = answers.put(&group, ids.as_deref()).and_then(|()| {
                state.done = number as u64 + 1; // CAST: widening
                if last.elapsed() < CHECKPOINT {
                    return Ok(());
                }
                last = Instant::now();
                folder.checkpoint(state, answers)
            });
            failed = put.err();
            failed.is_none() && !session.is_stopped()
        });
        if let Some(error) = failed {
            return Err(error);
        }
        // Also what came after the last one, so that nothing is done twice.
        folder.checkpoint(state, answers)?;
        match joined {
            Err(JoinError::Stopped { groups }) => {
                let message = format!("stopped after {groups} of {} groups of rows", join.groups());
                Err(Advised::new(message, "the same command with --resume goes on").into())
            }
            other => Ok(other?),
        }
    }

    /// Puts all answers in the order of rows.
    fn write(&mut self, out: &Path, session: &Session, meter: &Meter) -> anyhow::Result<()> {
        meter.phase("writing", "rows");
        self.join.forget();
        let ordering = Ordering { rows: self.rows, memory_bytes: self.order_bytes, session, meter };
        self.answers.write(out, &ordering)
    }
}

/// Memory that answers may take besides the least while they are put in order, of what is left over.
fn order_share(left_over: u64, rows: u64, k: usize) -> u64 {
    let all = rows * Answers::record_bytes(k) as u64; // CAST: widening
    (left_over / ORDER_SHARE).min(all.saturating_sub(ORDER_MIN))
}

/// Says what to do about an error.
fn advised(error: JoinError, params: JoinParams) -> anyhow::Error {
    match error {
        JoinError::Memory { needed, .. } => {
            let mib = needed.div_ceil(1 << 20);
            let message = format!(
                "--memory is {}, the join needs {} at least",
                units::bytes(params.memory_bytes as f64), // CAST: shown rounded
                units::bytes(needed as f64)               // CAST: as above
            );
            Advised::new(message, format!("allow --memory {mib}MiB, or use fewer --threads")).into()
        }
        other => other.into(),
    }
}

/// What came of it.
struct Report<'a> {
    args: &'a JoinArgs,
    joined: &'a Joining<'a>,
    work: JoinWork,
    seconds: f64,
}

impl Report<'_> {
    fn text(&self) -> String {
        let Report { args, joined: Joining { tuned, rows, params, .. }, work, seconds } = self;
        let each = |count: u64| units::count(count / (*rows).max(1));
        let sample = match tuned.lists() {
            None => "every row is compared with every vector".to_owned(),
            Some(_) => format!(
                "{:.4} +- {:.4} of a sample of {} rows{}, asked {}",
                tuned.recall,
                tuned.error,
                tuned.queries,
                if tuned.within_radius { "" } else { ", neighbours beyond the radius among them" },
                params.recall
            ),
        };
        format!(
            "{}: {} nearest of {} rows\nrecall    {sample}\nof a row  {} lists, {} vectors compared\nread      {} lists, {}\ntook      {:.1} s\n",
            args.out.display(),
            params.k,
            units::count(*rows),
            each(work.looks),
            each(work.pairs),
            units::count(work.lists_read),
            units::bytes(work.read_bytes as f64), // CAST: shown rounded
            seconds,
        )
    }

    fn json(&self) -> serde_json::Value {
        let Report { args, joined: Joining { join, tuned, rows, params, .. }, work, seconds } = self;
        let memory = join.memory();
        json!({
            "out": args.out,
            "rows": rows,
            "k": params.k,
            "recall": params.recall,
            "sample": {
                "rows": tuned.queries,
                "recall": tuned.recall,
                "error": tuned.error,
                "within_radius": tuned.within_radius,
            },
            "near_lists": tuned.lists(),
            "power": tuned.power(),
            "budget": tuned.budget(),
            "groups": join.groups(),
            "pairs": work.pairs,
            "head_distances": work.head_distances,
            "looks": work.looks,
            "lists_read": work.lists_read,
            "read_bytes": work.read_bytes,
            "memory_needed": memory.least(),
            "memory_allowed": params.memory_bytes,
            "memory_peak": process_memory().map(|memory| memory.rss_peak_bytes),
            "seconds": seconds,
        })
    }
}
