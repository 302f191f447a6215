//! `spandrel data info`: what a file holds.
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use spandrel_datasets::{Contents, Truth, ValueScan, info, scan_values};

use super::files::watched;
use crate::Session;
use crate::commands::input::InputArgs;
use crate::figures::{short, units};

/// Say what a file holds.
#[derive(Debug, Args)]
pub struct InfoArgs {
    /// File of vectors or of true neighbours.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Read every value too: least and largest, norms, rows of zeros, NaN and infinities, outliers; of ids, whether rows
    /// are whole.
    #[arg(long)]
    pub scan: bool,
    /// How the file is read.
    #[command(flatten)]
    pub input: InputArgs,
}

pub(super) fn run(args: &InfoArgs, session: &Session) -> anyhow::Result<()> {
    let found = info(args.input.of(&args.file))?;
    let mut text = format!("file      {}\nformat    {}\n", args.file.display(), found.format);
    let mut json = json!({ "file": args.file, "format": found.format.to_string(), "rows": found.rows, "dim": found.dim });
    let rows = units::count(found.rows);
    // Writing to a string does not fail.
    let _ = match found.contents {
        Contents::Vectors { dtype, .. } => {
            json["dtype"] = dtype.to_string().into();
            writeln!(text, "holds     {rows} vectors of {} x {dtype}", found.dim)
        }
        Contents::Ids { distances, .. } => {
            json["distances"] = distances.into();
            let with = if distances { "with distances" } else { "without distances" };
            writeln!(text, "holds     the {} nearest for each of {rows} queries, {with}", found.dim)
        }
    };
    json["bytes"] = found.bytes.into();
    let _ = writeln!(text, "size      {} bytes", units::count(found.bytes));
    match found.contents {
        Contents::Vectors { .. } if args.scan => {
            let file = args.input.open(&args.file)?;
            let scan = watched(session, "scanning", |watch| scan_values(&file, watch))?;
            write_scan(&mut text, &scan);
            json["scan"] = scan_json(&scan);
        }
        // Nothing to count, but the rows have to be of one length, and distances numbers.
        Contents::Ids { .. } if args.scan => Truth::open(&args.file)?.validate(found.rows, u64::MAX)?,
        _ => {}
    }
    session.show(&text, &json)
}

fn scan_json(scan: &ValueScan) -> Value {
    let ValueScan { min, max, zero_rows, nan_count, infinite_count, norms, outliers } = scan;
    json!({
        "min": short(*min),
        "max": short(*max),
        "zero_rows": zero_rows,
        "nan": nan_count,
        "infinite": infinite_count,
        "norm_min": norms.min,
        "norm_max": norms.max,
        "norm_mean": norms.mean,
        "outliers": outliers.count,
    })
}

fn write_scan(text: &mut String, scan: &ValueScan) {
    let ValueScan { min, max, zero_rows, nan_count, infinite_count, norms, outliers } = scan;
    let _ = writeln!(text, "values    {min} to {max}");
    if norms.min.is_finite() {
        let _ = writeln!(text, "norms     {:.4} to {:.4}, mean {:.4}", norms.min, norms.max, norms.mean);
    }
    let _ = writeln!(text, "zero rows {}", units::count(*zero_rows));
    let _ = writeln!(text, "NaN       {}", units::count(*nan_count));
    let _ = writeln!(text, "infinite  {}", units::count(*infinite_count));
    let found = if outliers.count == 0 { "0".to_owned() } else { outliers.to_string() };
    let _ = writeln!(text, "outliers  {found}");
}
