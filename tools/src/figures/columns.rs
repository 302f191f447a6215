//! The columns of a table of operating points, each with its explanation.
use super::point::Point;
use super::text_table::{Align, TextTable};
use super::units;

/// One column: what its head is, what it means, what it shows of a point.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// The head, with the unit.
    pub head: &'static str,
    /// The column in a sentence.
    pub about: &'static str,
    /// The cell of a point, none where the point does not tell.
    pub cell: fn(&Point) -> Option<String>,
}

/// Every column, in the order shown.
pub const COLUMNS: [Column; 24] = [
    Column {
        head: "settings",
        about: "How the search was set. epsilon: a list is read if its head is at most 1 + epsilon times as far \
                from the query as the nearest head; max_lists: the most lists read; rerank: vectors compared exactly after their \
                codes were scanned; rerank_errors: those whose estimate, less so many standard errors, is among the \
                k best.",
        cell: |p| Some(p.settings()).filter(|s| !s.is_empty()),
    },
    Column {
        head: "in flight",
        about: "Queries each thread works on at the same time: more of them raise the rate and lengthen each query.",
        cell: |p| p.in_flight.map(units::count),
    },
    Column {
        head: "rpc",
        about: "How a server was asked: unary, a query a call; batch, 64 queries a call; stream, calls that carry many.",
        cell: |p| p.rpc.clone(),
    },
    Column {
        head: "offered",
        about: "Queries sent in a second, where they were sent at a fixed rate; latencies then count from the moment \
                that a query was due.",
        cell: |p| p.offered_qps.map(units::three_digits),
    },
    Column {
        head: "refused %",
        about: "Queries that got no answer, in percent of those sent.",
        cell: |p| p.refused_share.map(|share| units::three_digits(100.0 * share)),
    },
    Column {
        head: "recall",
        about: "Share of the true k nearest vectors found, the mean over all queries. A returned vector that is as \
                near as the true k-th counts as found.",
        cell: |p| Some(format!("{:.4}", p.recall)),
    },
    Column {
        head: "QPS",
        about: "Queries answered in a second by all threads together.",
        cell: |p| Some(units::three_digits(p.qps)),
    },
    Column {
        head: "spread %",
        about: "Range of the rates of repeated runs, in percent of their median.",
        cell: |p| p.qps_spread.map(|s| format!("{:.1}", 100.0 * s)),
    },
    Column {
        head: "mean ms",
        about: "Mean time from submitting a query to its result, in milliseconds.",
        cell: |p| millis(p.mean_us),
    },
    Column {
        head: "p50 ms",
        about: "Half of the queries took no longer than this, in milliseconds.",
        cell: |p| millis(p.p50_us),
    },
    Column {
        head: "p95 ms",
        about: "95 % of the queries took no longer than this, in milliseconds.",
        cell: |p| millis(p.p95_us),
    },
    Column {
        head: "p99 ms",
        about: "99 % of the queries took no longer than this, in milliseconds.",
        cell: |p| millis(p.p99_us),
    },
    Column {
        head: "p99.9 ms",
        about: "99.9 % of the queries took no longer than this, in milliseconds.",
        cell: |p| millis(p.p999_us),
    },
    Column { head: "lists", about: "Lists read per query.", cell: |p| p.lists.map(units::three_digits) },
    Column {
        head: "vectors",
        about: "Vectors per query whose distance was computed, or estimated from a code.",
        cell: |p| p.vectors_scanned.map(units::three_digits),
    },
    Column {
        head: "candidates",
        about: "Vectors that might be among the nearest, by their estimates, per query.",
        cell: |p| p.candidates.map(units::three_digits),
    },
    Column {
        head: "reranked",
        about: "Vectors per query compared exactly after their codes were scanned.",
        cell: |p| p.reranked.map(units::three_digits),
    },
    Column {
        head: "head dist",
        about: "Distances to heads computed per query, to choose the lists.",
        cell: |p| p.head_distances.map(units::three_digits),
    },
    Column {
        head: "reads",
        about: "Requests to the disk per query, after neighbouring ones were merged.",
        cell: |p| p.reads.map(units::three_digits),
    },
    Column { head: "pages", about: "Pages read per query.", cell: |p| p.pages.map(units::three_digits) },
    Column {
        head: "cached",
        about: "Pages found in the cache per query, for which nothing was read; reads and bytes are those of the last pass.",
        cell: |p| p.cache_hits.map(units::three_digits),
    },
    Column {
        head: "rounds",
        about: "Rounds of reads per query; each has to wait for the one before.",
        cell: |p| p.rounds.map(units::three_digits),
    },
    Column {
        head: "kB read",
        about: "Bytes read per query, in thousands.",
        cell: |p| p.read_bytes.map(|bytes| units::three_digits(bytes / 1e3)),
    },
    Column {
        head: "disk %",
        about: "Reads per second, in percent of what the disk gave by itself just afterwards: random reads of the \
                same mean size on the index's own file, 128 at once.",
        cell: |p| p.disk_share.map(|share| units::three_digits(100.0 * share)),
    },
];

fn millis(micros: Option<f64>) -> Option<String> {
    micros.map(|us| units::three_digits(us / 1e3))
}

/// A table of points, one line each; columns that no point fills are left out.
pub fn points_table(points: &[Point]) -> TextTable {
    let mut table = TextTable::new();
    let shown: Vec<Column> =
        COLUMNS.into_iter().filter(|column| points.iter().any(|p| (column.cell)(p).is_some())).collect();
    for column in &shown {
        table.column(column.head, if column.head == "settings" { Align::Left } else { Align::Right });
    }
    for point in points {
        table.row(shown.iter().map(|column| (column.cell)(point)).collect());
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::point::tests::example;

    #[test]
    fn a_full_point_fills_every_column_but_the_spread() {
        let point = Point::from(&example());
        for column in COLUMNS {
            assert_eq!((column.cell)(&point).is_none(), column.head == "spread %", "{}", column.head);
            assert!(column.about.ends_with('.'));
        }
    }

    #[test]
    fn empty_columns_are_left_out() {
        let point = Point { recall: 0.9, qps: 985.0, p50_us: Some(1630.0), ..Point::default() };
        assert_eq!(points_table(&[point]).to_string(), "recall  QPS  p50 ms\n0.9000  985    1.63\n");
    }
}
