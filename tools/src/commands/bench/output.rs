//! What `bench` prints and writes.
use std::path::{Path, PathBuf};

use clap::Args;

use crate::commands::measure;
use crate::figures::{Align, Point, STAGES, TextTable, points_table, units};
use crate::report::{Comparison, page};
use crate::values::OutputFormat;
use crate::{Session, write_file};

/// Files that are written.
#[derive(Debug, Clone, Args)]
pub struct WrittenArgs {
    /// Write the figures for machines: an array with an object for each operating point.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write a page with curves and tables.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// Prints the points, and writes them where they are wanted.
pub(in crate::commands) fn hand_out(
    written: &WrittenArgs,
    label: &str,
    points: &[Point],
    ceiling: &str,
    session: &Session,
) -> anyhow::Result<()> {
    if let Some(path) = &written.json {
        write_file(path, &measure::json(points)?)?;
        session.note(&format!("wrote {}", path.display()));
    }
    if let Some(path) = &written.html {
        write_file(path, page(&Comparison::of(vec![(label.to_owned(), points.to_vec())])).as_bytes())?;
        session.note(&format!("wrote {}", path.display()));
    }
    let files: Vec<&Path> =
        [&written.json, &written.html].into_iter().flatten().map(PathBuf::as_path).collect();
    let separator = if ceiling.is_empty() { "" } else { "\n" };
    let remarks = ceiling.to_owned() + &no_answer_matches(points);
    if session.format == OutputFormat::Json {
        session.note(remarks.trim());
    }
    session.show_beside(&files, &(text(points) + separator + &remarks), &points)
}

/// A warning where no answer is in the truth: a truth of something else is likelier than such an index.
fn no_answer_matches(points: &[Point]) -> String {
    if points.is_empty() || points.iter().any(|point| point.recall > 0.0) {
        return String::new();
    }
    "\nwarning: no answer is in the truth; is it that of this base, these queries and this metric, by the ids of the \
     index (--ids)?\n"
        .to_owned()
}

/// The table of the points, and what they have in common.
pub(in crate::commands) fn text(points: &[Point]) -> String {
    let Some(first) = points.first() else { return String::new() };
    let said = |text: &Option<String>| text.clone().unwrap_or_default();
    let size = |bytes: Option<f64>| units::bytes(bytes.unwrap_or_default());
    let run = match &first.server {
        Some(server) => format!("asked {server} over {} connections", first.connections.unwrap_or(1)),
        None => format!(
            "{} threads, {}, {} reads",
            first.threads.unwrap_or_default(),
            said(&first.io),
            if first.direct == Some(true) { "direct" } else { "page cache" }
        ),
    };
    let process = first.rss_anon_bytes.map(|bytes| format!(" (process {} anonymous)", units::bytes(bytes)));
    format!(
        "{}\n{}\n{}, {run}, codes {} in {}, vectors in {}, distances {}\nmemory {}{}, on disk {}\n\n{}",
        said(&first.index),
        said(&first.machine),
        first.k.map_or_else(|| "all within a radius".to_owned(), |k| format!("k {k}")),
        said(&first.code),
        said(&first.codes),
        said(&first.vectors),
        said(&first.distances),
        size(first.memory_bytes),
        process.unwrap_or_default(),
        size(first.index_bytes),
        points_table(points)
    ) + &stages_text(points)
}

/// Where the microseconds of a query go, a line each point.
fn stages_text(points: &[Point]) -> String {
    let mut table = TextTable::new();
    if points.iter().all(|point| point.stages.is_none()) {
        return String::new();
    }
    table.column("us of a query", Align::Left);
    STAGES.iter().for_each(|(name, _)| table.column(name, Align::Right));
    table.column("all", Align::Right);
    for point in points {
        let Some(stages) = &point.stages else { continue };
        let all: f64 = stages.values().sum();
        let cell = |us: &f64| format!("{} ({:.0} %)", units::three_digits(*us), 100.0 * us / all);
        let mut cells = vec![point.params.words()];
        cells.extend(STAGES.iter().map(|(name, _)| stages.get(&format!("{name}_us")).map(cell)));
        cells.push(Some(units::three_digits(all)));
        table.row(cells);
    }
    format!("\n{table}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truth_that_no_answer_matches_is_pointed_out() {
        let point = |recall| Point { recall, ..crate::figures::example() };
        assert!(no_answer_matches(&[point(0.0), point(0.0)]).contains("no answer is in the truth"));
        assert_eq!(no_answer_matches(&[point(0.0), point(0.01)]), "");
        assert_eq!(no_answer_matches(&[]), "");
    }
}
