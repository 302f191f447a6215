//! `spandrel demo`: every step once, on a generated set or on the user's own files.
mod serving;

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};
use spandrel_builder::{Input, VectorShape};
use spandrel_datasets::{GenerateParams, Kind, Rows, Truth, TruthParams, Watch, compute_truth, generate};
use spandrel_engine::{Distances, EngineConfig};
use spandrel_index::{Metric, verify};

use super::build::{build_watched, report_json, report_text};
use super::ceiling;
use super::input::InputArgs;
use super::measure::{self, Examples, Pruning, Sweep, cross};
use super::running::Setup;
use super::search::{Fit, IoArgs, PlaceArgs, open_index, open_queries};
use super::shape::{ShapeArgs, threads_default};
use super::truth_held::check_examples;
use super::{bench, verify as verify_command};
use crate::figures::{Point, PointParams, units, written};
use crate::report::{AtRecall, Comparison, page, qps_at};
use crate::values::OutputFormat;
use crate::{Advised, Session, write_file};

/// Lists read, from quick to thorough.
const MAX_LISTS: [u32; 6] = [8, 16, 32, 64, 128, 256];
/// The least recall that the most thorough setting has to reach.
const RECALL_FLOOR: f64 = 0.95;
const QUERIES: u64 = 2_000;
const K: usize = 10;
const TRUTH_COLUMNS: usize = 100;
/// Everything a demo leaves in its folder.
const FILES: [&str; 6] =
    ["base.u8bin", "queries.u8bin", "truth.ibin", "index", "figures.json", "report.html"];

/// Try everything once: make vectors, build, verify, search, report, serve.
///
/// Makes a realistic set, or takes your own files, shows a table of recall and cost and a page with curves, and asks a
/// server of the index over gRPC.
/// Fails if no setting reaches a recall@10 of 0.95. Of your own files the index is calibrated first, as `build` does.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Your own vectors instead of generated ones.
    #[arg(long, value_name = "FILE", requires = "queries")]
    pub base: Option<PathBuf>,
    /// Queries for them.
    #[arg(long, value_name = "FILE", requires = "base")]
    pub queries: Option<PathBuf>,
    /// How your files are read.
    #[command(flatten)]
    pub input: InputArgs,
    /// How vectors are compared: l2, ip or cosine.
    #[arg(long, value_name = "l2|ip|cosine", default_value_t = Metric::L2)]
    pub metric: Metric,
    /// Vectors to generate.
    #[arg(long, value_name = "N", default_value_t = 200_000, conflicts_with = "base",
          value_parser = clap::value_parser!(u64).range(1000..=10_000_000))]
    pub vectors: u64,
    /// Folder for everything the demo writes; remove it whenever you like.
    #[arg(long, value_name = "DIR", default_value = "spandrel-demo")]
    pub dir: PathBuf,
    /// Keep a server of the index up at the end, until Ctrl-C.
    #[arg(long)]
    pub serve: bool,
    /// What the index looks like.
    #[command(flatten)]
    pub shape: ShapeArgs,
    /// How lists are read.
    #[command(flatten)]
    pub io: IoArgs,
}

/// What was asked for, and what it gave.
struct Swept {
    params: Vec<PointParams>,
    points: Vec<Point>,
}

struct Demo<'a> {
    args: &'a DemoArgs,
    session: &'a Session,
    threads: usize,
    steps: usize,
}

pub(super) fn run(args: &DemoArgs, session: &Session) -> anyhow::Result<()> {
    let start = Instant::now();
    refuse_foreign(&args.dir)?;
    fs_err::create_dir_all(&args.dir)?;
    let threads = args.shape.threads.map_or_else(threads_default, usize::from);
    let mut demo = Demo { args, session, threads, steps: 0 };
    let (base, queries) = demo.input()?;
    let truth = demo.truth(&base, &queries)?;
    let (index, built) = demo.build(&base)?;
    let verified = demo.verify(&index)?;
    let sweep = demo.search(&index, &queries, &truth)?;
    let report = demo.report(&sweep.points)?;
    let served = demo.serve(&index, &queries)?;
    let seconds = units::seconds(start.elapsed().as_secs_f64());
    let advice = advice(args, &index, &queries, &report, &sweep);
    let json = json!({
        "dir": args.dir,
        "index": index,
        "report": report,
        "build": built,
        "verify": verified,
        "points": written(&sweep.points),
        "server_answers": served,
        "seconds": start.elapsed().as_secs_f64(),
    });
    session.show(&format!("\nDone in {seconds}.\n{advice}"), &json)?;
    check_floor(&sweep.points)?;
    if args.serve { serving::keep_up(&index, session) } else { Ok(()) }
}

impl Demo<'_> {
    fn step(&mut self, title: &str) -> anyhow::Result<()> {
        self.steps += 1;
        self.say(&format!("\n{}. {title}\n", self.steps))
    }

    /// Tells how it goes; where programs read standard output, beside it.
    fn say(&self, text: &str) -> anyhow::Result<()> {
        match self.session.format {
            OutputFormat::Text => self.session.print(text),
            OutputFormat::Json => {
                self.session.note(text.trim_end());
                Ok(())
            }
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.args.dir.join(name)
    }

    /// Base and queries: the user's own, or generated ones.
    fn input(&mut self) -> anyhow::Result<(PathBuf, PathBuf)> {
        if let (Some(base), Some(queries)) = (&self.args.base, &self.args.queries) {
            return Ok((base.clone(), queries.clone()));
        }
        let vectors = self.args.vectors;
        self.step(&format!(
            "Making {} vectors like SIFT descriptors, and {} queries",
            units::count(vectors),
            units::count(QUERIES)
        ))?;
        let (base, queries) = (self.path("base.u8bin"), self.path("queries.u8bin"));
        let params = GenerateParams {
            kind: Kind::Sift,
            vectors,
            queries: QUERIES,
            dim: Kind::Sift.default_dim(),
            dtype: Kind::Sift.default_dtype(),
            seed: self.args.shape.seed,
            threads: self.threads,
        };
        self.watched("generating", |watch| generate(params, &base, Some(&queries), watch))?;
        self.say(&format!("   {}, {}\n", base.display(), queries.display()))?;
        Ok((base, queries))
    }

    fn truth(&mut self, base: &Path, queries: &Path) -> anyhow::Result<Truth> {
        self.step("Comparing every query with every vector, to know the exact answers")?;
        let (base, queries) = (self.args.input.open(base)?, self.args.input.open(queries)?);
        let params = TruthParams { metric: self.args.metric, k: TRUTH_COLUMNS, threads: self.threads };
        let truth =
            self.watched("exact neighbours", |watch| compute_truth(&base, &queries, None, params, watch))?;
        let path = self.path("truth.ibin");
        truth.write(&path)?;
        self.say(&format!("   {}\n", path.display()))?;
        Ok(truth)
    }

    fn build(&mut self, base: &Path) -> anyhow::Result<(PathBuf, Value)> {
        self.step("Building the index")?;
        let out = self.path("index");
        let base = self.args.input.open(base)?;
        let mut config = self.args.shape.config(VectorShape::of(&base, self.args.metric), out.clone());
        // The demo's own folder: an earlier demo gives way.
        config.replace = true;
        // What is generated is known: its sweep passes the floor under the usual default.
        let calibrate = self.args.base.is_some();
        let report = build_watched(Input::of(&base), &config, calibrate, self.session)?;
        self.say(&indented(&report_text(&report, &config)))?;
        Ok((out, report_json(&report, &config)))
    }

    fn verify(&mut self, index: &Path) -> anyhow::Result<Value> {
        self.step("Reading it back and comparing every copy")?;
        let meter = self.session.meter();
        meter.phase("verifying", "bytes");
        let report =
            verify(index, true, &mut |p| meter.set(p.done_bytes, p.total_bytes), &self.session.stop)?;
        meter.finish();
        self.say(&indented(&verify_command::report_text(&report)))?;
        Ok(verify_command::report_json(&report))
    }

    fn search(&mut self, index: &Path, queries: &Path, truth: &Truth) -> anyhow::Result<Swept> {
        self.step("Searching, from quick to thorough")?;
        let index = open_index(index, &PlaceArgs::default())?;
        let queries = Rows::read(&open_queries(Fit::of(&index), &self.args.input, queries, self.session)?)?;
        let k = K.min(truth.k);
        self.say(&format!("   One of the settings has to reach a recall@{k} of {RECALL_FLOOR}.\n\n"))?;
        let most = index.lists();
        let mut max_lists: Vec<u32> = MAX_LISTS.into_iter().map(|lists| lists.min(most)).collect();
        max_lists.dedup();
        let mut params = cross(&Pruning { max_lists, ..Pruning::default() });
        if self.args.base.is_some() {
            // What was calibrated.
            params.insert(0, PointParams { recall: Some(RECALL_FLOOR), ..PointParams::default() });
        }
        let setup = Setup {
            label: "demo".to_owned(),
            engine: EngineConfig {
                threads: self.threads,
                io: self.args.io.io,
                direct: self.args.io.direct,
                ..EngineConfig::default()
            },
            in_flight: vec![4],
            seconds: 1.0,
        };
        let sweep = Sweep { setup, k, params, distances: Distances::Exact, stages: false };
        let examples = Examples { queries: &queries, column: None, truth, filters: None, attention: None };
        check_examples(std::slice::from_ref(&index), examples, sweep.k, &sweep.setup)?;
        let points = measure::measure(&index, examples, &sweep, self.session)?;
        let ceiling = ceiling::words(&index, examples, &sweep, &points, self.session)?;
        self.say(&indented(&format!("{}\n{}", bench::text(&points), ceiling.unwrap_or_default())))?;
        let pairs: Vec<(f64, f64)> = points.iter().map(|p| (p.recall, p.qps)).collect();
        if let AtRecall::Rate(rate) = qps_at(&pairs, 0.95) {
            let rate = units::three_digits(rate);
            self.say(&format!("\n   At recall 0.95: about {rate} queries a second.\n"))?;
        }
        Ok(Swept { params: sweep.params, points })
    }

    fn report(&mut self, points: &[Point]) -> anyhow::Result<PathBuf> {
        let html = self.path("report.html");
        write_file(&self.path("figures.json"), &measure::json(points)?)?;
        write_file(&html, page(&Comparison::of(vec![("demo".to_owned(), points.to_vec())])).as_bytes())?;
        Ok(html)
    }

    fn serve(&mut self, index: &Path, queries: &Path) -> anyhow::Result<usize> {
        self.step("Serving it over gRPC, and asking as a client would")?;
        let same = serving::compare(index, queries, &self.args.input, self.session)?;
        let told = format!(
            "{} answers through gRPC at {}, all as in this process; the server is stopped",
            same.answers, same.address
        );
        self.say(&indented(&told))?;
        Ok(same.answers)
    }

    fn watched<T>(&self, phase: &str, work: impl FnOnce(Watch<'_>) -> T) -> T {
        let meter = self.session.meter();
        meter.phase(phase, "rows");
        let result =
            work(Watch { progress: &|done, total| meter.set(done, total), stop: &self.session.stop });
        meter.finish();
        result
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("   {line}\n") }).collect()
}

/// Refuses a folder with anything in it that no demo left there.
fn refuse_foreign(dir: &Path) -> anyhow::Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    for entry in fs_err::read_dir(dir)? {
        let name = entry?.file_name();
        if !FILES.iter().any(|known| name == *known) {
            let message = format!("{}: holds '{}', which no demo left there", dir.display(), name.display());
            return Err(Advised::new(message, "choose another folder with --dir").into());
        }
    }
    Ok(())
}

/// The flags of the cheapest setting that reached the floor, or of the best one, and what it gave.
fn measured(sweep: &Swept) -> String {
    let asked = || sweep.params.iter().zip(&sweep.points);
    let good = asked().filter(|(_, point)| point.recall >= RECALL_FLOOR);
    let lists = |point: &Point| point.lists.unwrap_or_default();
    let cheapest = good.min_by(|(_, a), (_, b)| lists(a).total_cmp(&lists(b)));
    let best = || asked().max_by(|(_, a), (_, b)| a.recall.total_cmp(&b.recall));
    let Some((params, point)) = cheapest.or_else(best) else { return String::new() };
    let recall = params.recall.map(|recall| format!(" --recall {recall}")).unwrap_or_default();
    let lists = params.max_lists.map(|lists| format!(" --max-lists {lists}")).unwrap_or_default();
    format!(
        " --k {}{recall}{lists}     # recall@{0} measured: {:.4}",
        point.k.unwrap_or_default(),
        point.recall
    )
}

fn advice(args: &DemoArgs, index: &Path, queries: &Path, report: &Path, sweep: &Swept) -> String {
    let (dir, index, queries) = (args.dir.display(), index.display(), queries.display());
    let measured = measured(sweep);
    format!(
        "The curves are in {report}; open it in a browser.\n\
         \n\
         To go on:\n\
         \x20 spandrel query --index {index} --queries {queries}{measured}\n\
         \x20 spandrel inspect {index}\n\
         \x20 spandrel serve --index demo={index}\n\
         \x20 spandrel demo --base YOUR.fbin --queries YOUR-QUERIES.fbin --metric cosine\n\
         \n\
         Everything is in {dir}; remove it with: rm -r {dir}\n",
        report = report.display()
    )
}

fn check_floor(points: &[Point]) -> anyhow::Result<()> {
    let best = points.iter().map(|p| p.recall).fold(0.0, f64::max);
    if best >= RECALL_FLOOR {
        return Ok(());
    }
    let message = format!("recall reached {best:.4}, expected at least {RECALL_FLOOR}");
    Err(Advised::new(
        message,
        "the line on every list says which knob finds more; --search-memory makes better codes, and smaller lists \
         (--list-size) or more copies (--max-replicas) find more in the same number of lists",
    )
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_folders_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        assert!(refuse_foreign(&folder.path().join("missing")).is_ok());
        std::fs::write(folder.path().join("truth.ibin"), b"x").unwrap();
        assert!(refuse_foreign(folder.path()).is_ok());
        std::fs::write(folder.path().join("thesis.tex"), b"x").unwrap();
        assert!(refuse_foreign(folder.path()).unwrap_err().to_string().contains("thesis.tex"));
    }

    #[test]
    fn the_command_to_go_on_with_has_the_recall_that_was_measured() {
        let swept = |recalls: &[f64]| {
            let point = |(lists, &recall): (f64, &f64)| Point {
                recall,
                lists: Some(lists),
                ..crate::figures::example()
            };
            let asked = |max_lists: Option<u32>| {
                let recall = max_lists.is_none().then_some(0.95);
                PointParams { recall, max_lists, ..PointParams::default() }
            };
            Swept {
                params: [None, Some(8), Some(64)].map(asked).to_vec(),
                points: [40.0, 8.0, 64.0].into_iter().zip(recalls).map(point).collect(),
            }
        };
        assert!(
            measured(&swept(&[0.957, 0.9, 0.98]))
                .ends_with(" --k 10 --recall 0.95     # recall@10 measured: 0.9570")
        );
        assert!(
            measured(&swept(&[0.9, 0.951, 0.98])).contains("--max-lists 8     # recall@10 measured: 0.9510")
        );
        assert!(
            measured(&swept(&[0.7, 0.6, 0.8])).contains("--max-lists 64     # recall@10 measured: 0.8000")
        );
    }

    #[test]
    fn the_floor_is_kept() {
        let point = |recall| Point { recall, ..crate::figures::example() };
        assert!(check_floor(&[point(0.5), point(0.96)]).is_ok());
        assert!(check_floor(&[point(0.94)]).is_err());
        assert!(check_floor(&[]).is_err());
    }
}
