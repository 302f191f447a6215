//! The comparison for a terminal.
use std::fmt::Write as _;

use crate::figures::{Align, TextTable, points_table, units};

use super::equal_recall::{AtRecall, RECALLS, qps_at};
use super::series::{Comparison, Series};

/// Tables of the points of each run, of the rates at equal recall, and of what each index takes.
pub fn text(comparison: &Comparison) -> String {
    let mut text = String::new();
    for series in &comparison.series {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}", one_line(&series.name));
        let _ = writeln!(text, "{}", points_table(&series.points));
    }
    let _ = writeln!(text, "QPS at equal {} (log QPS interpolated over recall)", comparison.recall_name());
    let _ = write!(text, "{}", equal_recall_table(comparison));
    if let Some(table) = index_table(comparison) {
        let _ = write!(text, "\nindex\n{table}");
    }
    for caution in comparison.cautions() {
        let _ = writeln!(text, "\nnote: {caution}");
    }
    text
}

fn one_line(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// How a rate at some recall is written.
pub(super) fn rate_cell(at: AtRecall) -> Option<String> {
    match at {
        AtRecall::Rate(rate) => Some(units::three_digits(rate)),
        AtRecall::AtLeast(rate) => Some(format!(">={}", units::three_digits(rate))),
        AtRecall::Unreached => None,
    }
}

/// The ratio of a run's rate to the first run's, where both were measured.
pub(super) fn ratio_cell(series: &Series, first: &Series, recall: f64) -> Option<String> {
    let rate = qps_at(&series.recall_qps(), recall).rate()?;
    let reference = qps_at(&first.recall_qps(), recall).rate()?;
    Some(format!("{:.2}x", rate / reference))
}

fn equal_recall_table(comparison: &Comparison) -> TextTable {
    let with_ratios = comparison.series.len() > 1;
    let mut table = TextTable::new();
    table.column("run", Align::Left);
    for recall in RECALLS {
        table.column(&format!("at {recall:.2}"), Align::Right);
        if with_ratios {
            table.column("ratio", Align::Right);
        }
    }
    for series in &comparison.series {
        let mut cells = vec![Some(series.name.clone())];
        for recall in RECALLS {
            cells.push(rate_cell(qps_at(&series.recall_qps(), recall)));
            if with_ratios {
                cells.push(ratio_cell(series, &comparison.series[0], recall));
            }
        }
        table.row(cells);
    }
    table
}

/// Name and cells of each fact about an index.
pub(super) type Fact = (&'static str, fn(&Series) -> Option<String>);

/// What is told of an index besides its queries.
pub(super) const FACTS: [Fact; 4] = [
    ("build", |s| s.largest(|p| p.build_seconds).map(units::seconds)),
    ("on disk", |s| s.largest(|p| p.index_bytes).map(units::bytes)),
    ("memory", |s| s.largest(|p| p.memory_bytes).map(units::bytes)),
    ("anonymous", |s| s.largest(|p| p.rss_anon_bytes).map(units::bytes)),
];

fn index_table(comparison: &Comparison) -> Option<TextTable> {
    let told = |fact: &Fact| comparison.series.iter().any(|s| (fact.1)(s).is_some());
    let facts: Vec<Fact> = FACTS.into_iter().filter(told).collect();
    if facts.is_empty() {
        return None;
    }
    let mut table = TextTable::new();
    table.column("run", Align::Left);
    for (name, _) in &facts {
        table.column(name, Align::Right);
    }
    for series in &comparison.series {
        let cells = facts.iter().map(|(_, cell)| cell(series));
        table.row(std::iter::once(Some(series.name.clone())).chain(cells).collect());
    }
    Some(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Point;

    #[test]
    fn tables_of_two_runs() {
        let point = |recall: f64, qps: f64| Point { recall, qps, k: Some(10), ..Point::default() };
        let ours = vec![point(0.97, 1000.0), point(0.93, 4000.0)];
        let theirs = vec![Point { index_bytes: Some(583e6), ..point(0.93, 1000.0) }, point(0.97, 250.0)];
        let comparison = Comparison::of(vec![("ours".to_owned(), ours), ("theirs".to_owned(), theirs)]);
        let expected = "\
ours
recall    QPS
0.9300  4 000
0.9700  1 000

theirs
recall    QPS
0.9300  1 000
0.9700    250

QPS at equal recall@10 (log QPS interpolated over recall)
run     at 0.90  ratio  at 0.95  ratio  at 0.99  ratio
ours    >=4 000      -    2 000  1.00x        -      -
theirs  >=1 000      -      500  0.25x        -      -

index
run     on disk
ours          -
theirs   583 MB
";
        assert_eq!(text(&comparison), expected);
    }
}
