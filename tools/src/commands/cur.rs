//! `spandrel cur`: vectors of items and queries from the scores of a scorer that is no metric.
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use serde_json::{Value, json};
use spandrel_datasets::cur::{
    AnchorChoice, AnchorParams, CurError, CurMap, CurParams, HeldOut, Learned, ScoreFile, ScoreMatrix,
    Strength, check_anchors, choose_anchors, learn,
};
use spandrel_datasets::{FileError, Format, IdFile, OutFile, Truth};
use spandrel_index::DType;

use super::data::watched_of;
use super::file_names::FileNames;
use super::input::InputArgs;
use super::shape::memory_default;
use crate::figures::units;
use crate::values::ByteSize;
use crate::{Session, UsageError};

/// Make vectors of items and queries from scores, so that an index finds candidates for the scorer.
///
/// A scorer that is no metric, as a cross-encoder, has scored anchor queries with all items. What they score an item is its vector, to be
/// indexed by inner product. A query is scored on a few anchor items; with the map its scores become its vector. Inner products of the
/// two estimate scores, and the best by estimates are what the scorer itself is asked for.
#[derive(Debug, Args)]
pub struct CurArgs {
    /// Scores to learn from: a row for each anchor query, with a score for each item (fbin, fvecs or npy).
    #[arg(long, value_name = "FILE", required_unless_present = "query_scores", requires_all = ["anchors", "items_out", "map_out"])]
    pub scores: Option<PathBuf>,
    /// Items that a query is scored on: a file of their numbers from 0, ibin or npy, or how many are to be chosen.
    #[arg(long, value_name = "N|FILE", requires = "scores")]
    pub anchors: Option<Anchors>,
    /// How they are chosen: at random, or pivoted, each the item that those before explain least.
    #[arg(long, value_name = "random|pivoted", requires = "scores", default_value_t)]
    pub anchor_choice: AnchorChoice,
    /// File to write the chosen anchor items to: .ibin or .npy.
    #[arg(long, value_name = "FILE", requires = "scores")]
    pub anchors_out: Option<PathBuf>,
    /// File to write vectors of items to, for `build --metric ip`: .fbin, .fvecs or .npy.
    #[arg(long, value_name = "FILE", requires = "scores")]
    pub items_out: Option<PathBuf>,
    /// File to write the map of queries to: a row for each anchor item.
    #[arg(long, value_name = "FILE", requires = "scores")]
    pub map_out: Option<PathBuf>,
    /// Hold small singular values down by this share of the mean squared one; 0 is the plain pseudo-inverse [default: what is best for anchor
    /// queries that are held back].
    #[arg(long, value_name = "X", requires = "scores", conflicts_with_all = ["rank", "hold_out"])]
    pub ridge: Option<f64>,
    /// Use this number of the largest singular values alone.
    #[arg(long, value_name = "N", requires = "scores", conflicts_with = "hold_out")]
    pub rank: Option<usize>,
    /// Anchor queries held back to choose by [default: a fifth, at most 100].
    #[arg(long, value_name = "N", requires = "scores")]
    pub hold_out: Option<usize>,
    /// Equal seeds choose alike.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// Memory to keep to [default: half of the machine's, 4 GiB at most].
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<ByteSize>,
    /// Scores of queries to make vectors of: a row for each query, with a score for each anchor item, in the order of these.
    #[arg(long, value_name = "FILE", conflicts_with = "scores", requires_all = ["map", "queries_out"])]
    pub query_scores: Option<PathBuf>,
    /// The map that `--map-out` wrote.
    #[arg(long, value_name = "FILE", requires = "query_scores")]
    pub map: Option<PathBuf>,
    /// File to write vectors of queries to, for `query` and `bench`.
    #[arg(long, value_name = "FILE", requires = "query_scores")]
    pub queries_out: Option<PathBuf>,
    /// How files are read.
    #[command(flatten)]
    pub input: InputArgs,
}

/// Anchor items: how many, or which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Anchors {
    /// To be chosen.
    Count(usize),
    /// A file of their numbers.
    File(PathBuf),
}

impl FromStr for Anchors {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Anchors, Self::Err> {
        let is_count = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_count { text.parse().map(Anchors::Count) } else { Ok(Anchors::File(text.into())) }
    }
}

pub(super) fn run(args: &CurArgs, session: &Session) -> anyhow::Result<()> {
    let memory = args.memory.map_or_else(memory_default, |size| size.0);
    match (&args.scores, &args.query_scores) {
        (Some(scores), _) => learn_from(scores, memory, args, session),
        (None, Some(scores)) => make_queries(scores, memory, args, session),
        (None, None) => Err(UsageError("expected --scores or --query-scores".to_owned()).into()),
    }
}

/// A file to write f32 vectors to.
fn vectors_out(path: Option<&PathBuf>) -> anyhow::Result<OutFile<'_>> {
    let path = path.map_or(Path::new(""), PathBuf::as_path);
    let out = OutFile { path, format: None };
    match out.format() {
        Ok(format) if format.holds(DType::F32) => Ok(out),
        _ => {
            Err(UsageError(format!("{}: expected a file ending in .fbin, .fvecs or .npy", path.display()))
                .into())
        }
    }
}

/// Everything that can be refused before scores are read.
struct Checked<'a> {
    file: ScoreFile,
    items_out: OutFile<'a>,
    map_out: OutFile<'a>,
    /// Those of a file; to be chosen otherwise.
    given: Option<Vec<u64>>,
    count: usize,
    params: CurParams,
}

fn check<'a>(scores: &Path, memory: u64, args: &'a CurArgs) -> anyhow::Result<Checked<'a>> {
    let (items_out, map_out) = (vectors_out(args.items_out.as_ref())?, vectors_out(args.map_out.as_ref())?);
    let given = match &args.anchors {
        Some(Anchors::File(path)) => Some(path.as_path()),
        _ => None,
    };
    FileNames::default()
        .read("--scores", scores)
        .read("--anchors", given)
        .written("--items-out", items_out.path)
        .written("--map-out", map_out.path)
        .written("--anchors-out", args.anchors_out.as_deref())
        .check()?;
    let file = ScoreFile::open(args.input.of(scores))?;
    let (ids, count) = match args.anchors.as_ref() {
        Some(Anchors::File(path)) if args.anchors_out.is_some() => {
            let path = path.display();
            return Err(UsageError(format!(
                "--anchors-out is for anchors that are chosen, {path} names them"
            ))
            .into());
        }
        Some(Anchors::File(path)) => {
            let ids = IdFile::open(path)?;
            let count = usize::try_from(ids.len()).unwrap_or(usize::MAX);
            (Some(ids), count)
        }
        Some(&Anchors::Count(count)) => {
            let format = args.anchors_out.as_deref().map(Format::of);
            if !matches!(format, Some(Ok(Format::Ibin | Format::Npy))) {
                let message =
                    "anchors are to be chosen: expected --anchors-out with a file ending in .ibin or .npy";
                return Err(UsageError(message.to_owned()).into());
            }
            (None, count)
        }
        None => return Err(UsageError("expected --anchors".to_owned()).into()),
    };
    let strength = args.ridge.map(Strength::Ridge).or(args.rank.map(Strength::Rank));
    let held_out = HeldOut { queries: args.hold_out, ranks: false };
    let params = CurParams { strength, held_out, seed: args.seed };
    let needed = params.check(file.rows(), file.columns(), count)?;
    if needed > memory {
        return Err(CurError::Memory { needed, allowed: memory }.into());
    }
    // Numbers of anchors are read once their count and memory are checked.
    let given = ids.map(|ids| ids.read_all()).transpose()?;
    match &given {
        Some(given) => check_anchors(given, file.columns())?,
        None => anchor_params(count, args).check(file.rows(), file.columns())?,
    }
    Ok(Checked { file, items_out, map_out, given, count, params })
}

fn anchor_params(count: usize, args: &CurArgs) -> AnchorParams {
    AnchorParams { count, choice: args.anchor_choice, seed: args.seed }
}

fn learn_from(scores: &Path, memory: u64, args: &CurArgs, session: &Session) -> anyhow::Result<()> {
    let Checked { file, items_out, map_out, given, count, params } = check(scores, memory, args)?;
    let scores: ScoreMatrix = watched_of(session, "reading", "queries", |watch| file.read(watch))?;
    let is_chosen = given.is_none();
    let anchors = match given {
        Some(given) => given,
        None => watched_of(session, "choosing", "anchors", |watch| {
            choose_anchors(&scores, anchor_params(count, args), watch)
        })?,
    };
    let learned =
        watched_of(session, "learning", "strengths", |watch| learn(&scores, &anchors, &params, watch))?;
    let items = watched_of(session, "writing", "items", |watch| scores.write_items(items_out, watch))?;
    if let Some(out) = args.anchors_out.as_ref().filter(|_| is_chosen) {
        write_anchors(&anchors, out)?;
    }
    // Last: a map goes with its anchors.
    learned.map.write(map_out)?;
    let outputs: Vec<&Path> = [Some(items_out.path), Some(map_out.path), args.anchors_out.as_deref()]
        .into_iter()
        .flatten()
        .collect();
    let chosen_by = is_chosen.then_some(args.anchor_choice);
    let (items_path, map_path) = (items_out.path, map_out.path);
    let mut text =
        format!("{}: {} items of {} x f32\n", items_path.display(), units::count(items), scores.rows());
    text += &format!("{}: {}\n", map_path.display(), told(&learned, args.rank));
    if let (Some(out), Some(choice)) = (&args.anchors_out, chosen_by) {
        text += &format!("{}: {} anchor items, {choice}\n", out.display(), anchors.len());
    }
    let json = json!({
        "items": { "out": items_path, "count": items, "dim": scores.rows() },
        "map": { "out": map_path, "anchors": anchors.len(), "dim": scores.rows(), "strength": strength_json(learned.strength) },
        "anchors": chosen_by.map(|choice| json!({ "out": args.anchors_out, "count": anchors.len(), "choice": choice.name() })),
        "tried": learned.tried.iter().map(|tried| json!({ "strength": strength_json(tried.strength), "found": tried.found })).collect::<Vec<_>>(),
    });
    session.show_beside(&outputs, &text, &json)
}

/// The numbers of anchor items, one a row.
fn write_anchors(anchors: &[u64], out: &Path) -> Result<(), FileError> {
    let ids = Truth { queries: anchors.len(), k: 1, ids: anchors.to_vec(), distances: None };
    ids.write(OutFile { path: out, format: None })
}

fn strength_json(strength: Strength) -> Value {
    match strength {
        Strength::Ridge(ridge) => json!({ "ridge": ridge }),
        Strength::Rank(rank) => json!({ "rank": rank }),
    }
}

/// What was learned, in a line; `asked` is `--rank`.
fn told(learned: &Learned, asked: Option<usize>) -> String {
    let (map, strength) = (&learned.map, learned.strength);
    let mut shape = format!("{} anchor items x {} anchor queries, {strength}", map.anchors(), map.dim());
    if let Some(asked) = asked.filter(|&asked| strength != Strength::Rank(asked)) {
        shape += &format!(" of the {asked} asked for: all other singular values are rounding");
    }
    let found = |of| learned.tried.iter().find(|tried| tried.strength == of).map(|tried| tried.found);
    match (found(strength), found(Strength::Ridge(0.0))) {
        (Some(best), Some(plain)) => format!(
            "{shape}, which finds {best:.3} of the best hundredth of the items for queries held back; the plain inverse {plain:.3}"
        ),
        _ => shape,
    }
}

fn make_queries(scores: &Path, memory: u64, args: &CurArgs, session: &Session) -> anyhow::Result<()> {
    let out = vectors_out(args.queries_out.as_ref())?;
    let path = args.map.as_deref().unwrap_or(Path::new(""));
    FileNames::default()
        .read("--query-scores", scores)
        .read("--map", path)
        .written("--queries-out", out.path)
        .check()?;
    let scores = ScoreFile::open(args.input.of(scores))?;
    let map = CurMap::read(path.into(), memory)?;
    map.check_scores(&scores)?;
    let queries = watched_of(session, "writing", "queries", |watch| map.write_queries(&scores, out, watch))?;
    let text = format!("{}: {} queries of {} x f32\n", out.path.display(), units::count(queries), map.dim());
    let json = json!({ "out": out.path, "queries": queries, "dim": map.dim(), "anchors": map.anchors() });
    session.show_beside(&[out.path], &text, &json)
}
