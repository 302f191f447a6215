//! `spandrel data get`: public sets.
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use spandrel_datasets::catalogue::{Catalogue, Entry};
use spandrel_datasets::get::{Backoff, Options, Step, get};

use crate::figures::{Align, TextTable, units};
use crate::{Meter, Session};

/// Fetch a public set, whole or its first rows: base, queries and, where it is published, truth.
///
/// An interrupted download goes on where it stopped when the same command is run again.
#[derive(Debug, Args)]
pub struct GetArgs {
    /// Which set, such as bigann-10M.
    #[arg(value_name = "NAME", required_unless_present = "list", conflicts_with = "list")]
    pub name: Option<String>,
    /// Folder to write to; made if it is missing.
    #[arg(long, value_name = "DIR", required_unless_present = "list", conflicts_with = "list")]
    pub out: Option<PathBuf>,
    /// A mirror to ask instead: BASE/SET/FILE is what is fetched.
    #[arg(long, value_name = "URL", conflicts_with = "list")]
    pub url_base: Option<String>,
    /// List the sets there are.
    #[arg(long)]
    pub list: bool,
}

pub(super) fn run(args: &GetArgs, session: &Session) -> anyhow::Result<()> {
    let catalogue = Catalogue::builtin();
    let (Some(name), Some(out)) = (&args.name, &args.out) else {
        return session.show(&list_text(&catalogue), &list_json(&catalogue));
    };
    let entry = catalogue.find(name)?;
    let meter = session.meter();
    let mut progress = |step: Step<'_>| show(&meter, &step);
    let options = Options {
        url_base: args.url_base.clone(),
        progress: &mut progress,
        stop: &session.stop,
        backoff: Backoff::default(),
    };
    let fetched = get(entry, out, options)?;
    meter.finish();
    let mut text = format!("base    {}\nqueries {}\n", fetched.base.display(), fetched.queries.display());
    if let Some(truth) = &fetched.truth {
        text += &format!("truth   {}\n", truth.display());
    }
    text += &format!("fetched {}\n", units::bytes(fetched.received_bytes as f64)); // CAST: shown to three digits
    let json = json!({
        "base": fetched.base,
        "queries": fetched.queries,
        "truth": fetched.truth,
        "received_bytes": fetched.received_bytes,
    });
    session.show(&text, &json)
}

/// The sets there are, and what "no" in the last columns means.
fn list_text(catalogue: &Catalogue) -> String {
    let mut table = TextTable::new();
    table.column("name", Align::Left);
    for head in ["rows", "dim", "dtype", "metric", "size", "truth", "checked"] {
        table.column(head, Align::Right);
    }
    let yes_or_no = |answer| if answer { "yes" } else { "no" }.to_owned();
    for entry in catalogue.entries() {
        let cells = [
            entry.name.clone(),
            units::count(entry.base.rows.into()),
            entry.dim.to_string(),
            entry.dtype.to_string(),
            entry.metric.to_string(),
            units::bytes(entry.bytes() as f64), // CAST: shown to three digits
            yes_or_no(entry.truth.is_some()),
            yes_or_no(entry.checked),
        ];
        table.row(cells.map(Some).to_vec());
    }
    let mut text = table.to_string();
    if catalogue.entries().iter().any(|entry| entry.truth.is_none()) {
        text += "truth no: none is published for that crop, `spandrel data truth` computes it\n";
    }
    if catalogue.entries().iter().any(|entry| !entry.checked) {
        text += "checked no: never fetched with these facts; sizes and headers are checked on arrival\n";
    }
    text
}

fn list_json(catalogue: &Catalogue) -> Value {
    let of = |entry: &Entry| {
        json!({
            "name": entry.name,
            "rows": entry.base.rows,
            "dim": entry.dim,
            "dtype": entry.dtype.to_string(),
            "metric": entry.metric.to_string(),
            "bytes": entry.bytes(),
            "truth": entry.truth.is_some(),
            "checked": entry.checked,
        })
    };
    json!({ "sets": catalogue.entries().iter().map(of).collect::<Vec<_>>() })
}

fn show(meter: &Meter, step: &Step<'_>) {
    match step {
        Step::Unchecked(entry) => meter.note(&format!(
            "note: {} was never fetched with the catalogue's facts; sizes and headers are checked on arrival",
            entry.name
        )),
        Step::NoTruth(entry) => meter.note(&format!(
            "note: no truth is published for {}; `spandrel data truth` computes it",
            entry.name
        )),
        Step::Present(path) => meter.note(&format!("{}: already there", path.display())),
        Step::Begin { url, have, total } => {
            meter.note(&format!("fetching {url}"));
            meter.phase("fetched", "bytes");
            meter.set(*have, *total);
        }
        Step::Bytes { have, total } => meter.set(*have, *total),
        Step::Retry { cause, wait, .. } => {
            meter.note(&format!("{cause}; trying again in {}", units::seconds(wait.as_secs_f64())));
        }
        Step::Restart { cause, .. } => meter.note(&format!("beginning anew: {cause}")),
        Step::Finished(path) => {
            meter.finish();
            meter.note(&format!("{}: complete", path.display()));
        }
        _ => {}
    }
}
