//! Codes that know the queries of a sample beside plain ones, in indexes with the same lists.
use std::sync::Arc;

use anyhow::Result;
use spandrel_benches::set::{K, Set, SomeQueries};
use spandrel_builder::{Choice, VectorShape};
use spandrel_datasets::Rows;
use spandrel_engine::{Engine, EngineConfig, SearchParams, recall};
use spandrel_index::{Index, Tier};

use crate::building::{ASKED, Args, Building, WANTED, at, build};

/// Prints the head of the table.
pub(crate) fn head() {
    println!(
        "| set | code | codes | error of estimates | pages at 0.95 | reads | compared exactly | scanned |"
    );
    println!("|---|---|---|---|---|---|---|---|");
}

/// Means over queries at one recall.
struct Point {
    recall: f64,
    pages: f64,
    reads: f64,
    compared: f64,
    scanned: f64,
}

/// Builds an index with each code, plain and made for the queries, and searches it.
pub(crate) fn compare(args: &Args, set: &Set, test: &SomeQueries, sample: &Rows) -> Result<()> {
    for &code in &args.codes {
        for plain_codes in [true, false] {
            let folder = tempfile::tempdir()?;
            let dir = folder.path().join("index");
            let choice = Choice::of(VectorShape::of(&set.base, set.metric), code, Tier::Memory);
            build(args, set, Building { choice: &choice, sample: Some(sample), plain_codes }, &dir)?;
            let index = Arc::new(Index::open(&dir)?);
            let points = points(args, set, test, &index)?;
            let told = |of: fn(&Point) -> f64, unit: f64| {
                let points: Vec<(f64, f64)> = points.iter().map(|point| (point.recall, of(point))).collect();
                at(&points, WANTED).map_or("not reached".to_owned(), |found| format!("{:.2}", unit * found))
            };
            let record = index.manifest().build.query_sample.as_ref().and_then(|of| of.code.as_ref());
            let best = record.and_then(|of| of.best);
            let made = match (record, best) {
                (None, _) => "plain",
                (Some(of), Some(best)) if of.used && best.anchored => "made for queries, exact at their mean",
                (Some(of), _) if of.used => "made for queries",
                _ => "found no better than plain",
            };
            let error = best.map_or(String::new(), |best| percent(best.error));
            println!(
                "| {} | {code} | {made} | {error} | {} | {} | {} | {} % |",
                set.name,
                told(|point| point.pages, 1.0),
                told(|point| point.reads, 1.0),
                told(|point| point.compared, 1.0),
                told(|point| point.scanned, 100.0)
            );
        }
    }
    Ok(())
}

fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

fn points(args: &Args, set: &Set, test: &SomeQueries, index: &Arc<Index>) -> Result<Vec<Point>> {
    let config = EngineConfig { threads: args.threads, ..EngineConfig::default() };
    let engine = Engine::open(Arc::clone(index), config)?;
    let mut points = Vec::new();
    for asked in ASKED {
        let params = SearchParams { recall: Some(asked), ..SearchParams::new(K) };
        let answers = engine.search(test.rows.bytes(), &params)?;
        let count = answers.len() as f64; // CAST: exact to 2^53, here and below
        let mean = |of: &dyn Fn(usize) -> f64| (0..answers.len()).map(of).sum::<f64>() / count;
        points.push(Point {
            recall: recall(set.metric, &answers, test.truth(), K)?,
            pages: mean(&|query| f64::from(answers[query].work.pages)),
            reads: mean(&|query| f64::from(answers[query].work.reads)),
            compared: mean(&|query| f64::from(answers[query].work.reranked)),
            scanned: mean(&|query| answers[query].work.vectors_scanned as f64) / index.vectors() as f64,
        });
    }
    Ok(points)
}
