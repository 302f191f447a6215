//! The catalogue as a table for people.
use std::fmt;

use super::{Catalogue, Entry};

impl Catalogue {
    /// A table of names, rows, dimension, element type, metric, bytes to fetch, truth, and whether the entry
    /// was ever fetched whole; ends with what "no" in the last column means.
    pub fn table(&self) -> impl fmt::Display + '_ {
        Table(&self.entries)
    }
}

struct Table<'a>(&'a [Entry]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name_width = self.0.iter().map(|e| e.name.len()).max().unwrap_or(0).max("name".len());
        writeln!(
            f,
            "{:name_width$} {:>13} {:>5} {:>5} {:>6} {:>10} {:>5} {:>7}",
            "name", "rows", "dim", "dtype", "metric", "size", "truth", "checked"
        )?;
        for entry in self.0 {
            writeln!(
                f,
                "{:name_width$} {:>13} {:>5} {:>5} {:>6} {:>10} {:>5} {:>7}",
                entry.name,
                entry.base.rows,
                entry.dim,
                entry.dtype.name(),
                entry.metric.name(),
                size(entry.bytes()),
                yes_or_no(entry.truth.is_some()),
                yes_or_no(entry.checked)
            )?;
        }
        if self.0.iter().any(|e| e.truth.is_none()) {
            writeln!(f, "truth no: none is published for that crop, `spandrel data truth` computes it")?;
        }
        if self.0.iter().any(|e| !e.checked) {
            writeln!(
                f,
                "checked no: never fetched with these facts; sizes and headers are checked on arrival"
            )?;
        }
        Ok(())
    }
}

fn yes_or_no(answer: bool) -> &'static str {
    if answer { "yes" } else { "no" }
}

/// A number of bytes in decimal units, three digits or more: `1.29 GB`.
pub(crate) fn size(bytes: u64) -> String {
    let mut unit = 1_u64;
    let mut name = "B";
    for (next, next_name) in
        [(1_000, "kB"), (1_000_000, "MB"), (1_000_000_000, "GB"), (1_000_000_000_000, "TB")]
    {
        if bytes >= next {
            (unit, name) = (next, next_name);
        }
    }
    if unit == 1 {
        return format!("{bytes} B");
    }
    format!("{:.2} {name}", bytes as f64 / unit as f64) // CAST: shown to three digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_one_line_for_each_entry() {
        let catalogue = Catalogue::builtin();
        let text = catalogue.table().to_string();
        assert_eq!(text.lines().count(), 1 + catalogue.entries().len() + 2);
        let line = text.lines().find(|l| l.starts_with("bigann-10M ")).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words, ["bigann-10M", "10000000", "128", "u8", "l2", "1.29", "GB", "yes", "no"]);
        assert!(text.contains("never fetched"));
    }

    #[test]
    fn sizes_read_well() {
        assert_eq!(size(999), "999 B");
        assert_eq!(size(8_000_008), "8.00 MB");
        assert_eq!(size(384_000_000_008), "384.00 GB");
        assert_eq!(size(1_500_000_000_000), "1.50 TB");
    }
}
