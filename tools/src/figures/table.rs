//! A table of operating points.
use super::point::{COLUMNS, Column, Point};
use super::text_table::{Align, TextTable};

/// A table of points, one line each; columns that no point fills are left out.
pub fn points_table(points: &[Point]) -> TextTable {
    let mut table = TextTable::new();
    let shown: Vec<&Column> =
        COLUMNS.iter().filter(|column| points.iter().any(|p| (column.cell)(p).is_some())).collect();
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

    #[test]
    fn empty_columns_are_left_out() {
        let point = Point { recall: 0.9, qps: 985.0, p50_us: Some(1630.0), ..Point::default() };
        assert_eq!(points_table(&[point]).to_string(), "recall  QPS  p50 ms\n0.9000  985    1.63\n");
    }
}
