//! Tables for a terminal.
use std::fmt;

/// Where the text of a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Rows of cells with aligned columns. A cell that is missing is shown as `-`.
#[derive(Debug, Clone, Default)]
pub struct TextTable {
    heads: Vec<(String, Align)>,
    rows: Vec<Vec<Option<String>>>,
}

impl TextTable {
    /// A table without columns and rows.
    pub fn new() -> TextTable {
        TextTable::default()
    }

    /// Adds a column.
    pub fn column(&mut self, head: &str, align: Align) {
        self.heads.push((head.to_owned(), align));
    }

    /// Adds a row.
    ///
    /// # Panics
    /// If it has not one cell for each column.
    pub fn row(&mut self, cells: Vec<Option<String>>) {
        assert_eq!(cells.len(), self.heads.len(), "one cell for each column");
        let clean =
            |cell: String| cell.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        self.rows.push(cells.into_iter().map(|cell| cell.map(clean)).collect());
    }
}

impl fmt::Display for TextTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width_of = |text: &str| text.chars().count();
        let mut widths: Vec<usize> = self.heads.iter().map(|(head, _)| width_of(head)).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.as_deref().map_or(1, width_of));
            }
        }
        let mut write_row = |cells: &mut dyn Iterator<Item = &str>| -> fmt::Result {
            let mut line = String::new();
            for (at, ((cell, &width), (_, align))) in cells.zip(&widths).zip(&self.heads).enumerate() {
                let gap = if at == 0 { "" } else { "  " };
                line += &match align {
                    Align::Left => format!("{gap}{cell:<width$}"),
                    Align::Right => format!("{gap}{cell:>width$}"),
                };
            }
            writeln!(f, "{}", line.trim_end())
        };
        write_row(&mut self.heads.iter().map(|(head, _)| head.as_str()))?;
        for row in &self.rows {
            write_row(&mut row.iter().map(|cell| cell.as_deref().unwrap_or("-")))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = TextTable::new();
        table.column("name", Align::Left);
        table.column("n", Align::Right);
        table.row(vec![Some("a\nlong one".to_owned()), Some("1".to_owned())]);
        table.row(vec![Some("b".to_owned()), None]);
        table.row(vec![Some("é".to_owned()), Some("1 000".to_owned())]);
        let text = table.to_string();
        assert_eq!(
            text,
            "name            n\na\u{fffd}long one      1\nb               -\né           1 000\n"
        );
    }
}
