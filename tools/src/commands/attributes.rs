//! What is known of vectors, from a file: flags of `build` and `plan`, and how they tell of it.
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};
use spandrel_builder::{Attributes, Plan, PlannedAttribute};
use spandrel_datasets::{BaseRows, Watch, open_attributes, read_schema};
use spandrel_index::AttributeSource;

use crate::Session;
use crate::figures::units;

/// A file of what is known of the vectors.
#[derive(Debug, Clone, Default, Args)]
pub struct AttributeFileArgs {
    /// What is known of the vectors, for filters: JSON lines (.jsonl) with an id each, a sparse matrix whose columns are tags
    /// (.spmat), or a folder of npy files, one an attribute.
    #[arg(long, value_name = "FILE|DIR")]
    pub attributes: Option<PathBuf>,
    /// Names and types of the attributes: a JSON object such as {"price": "f64"} [default: as the values show].
    #[arg(long, value_name = "FILE", requires = "attributes")]
    pub schema: Option<PathBuf>,
}

/// What is known of the vectors.
#[derive(Debug, Clone, Default, Args)]
pub struct AttributeArgs {
    /// The file.
    #[command(flatten)]
    pub file: AttributeFileArgs,
    /// An attribute of which searching keeps all in memory, rather than its values alone; may be given more than once.
    #[arg(long, value_name = "NAME", requires = "attributes")]
    pub resident_attribute: Vec<String>,
    /// The attribute by whose values vectors are put in lists, for searches of one value: a keyword, a bool or an i64. Values
    /// of 2 000 vectors or more have lists of their own; all others share lists, which every query without the attribute scans.
    #[arg(long, value_name = "NAME", requires = "attributes")]
    pub partition_by: Option<String>,
}

impl AttributeArgs {
    /// What they come to for a build from `source`.
    pub(super) fn of<'a>(&'a self, source: Option<&'a dyn AttributeSource>) -> Option<Attributes<'a>> {
        let partition_by = self.partition_by.as_deref();
        source.map(|source| Attributes { source, resident: &self.resident_attribute, partition_by })
    }
}

impl AttributeFileArgs {
    /// Opens the file, which reads it once, if there is one.
    pub(super) fn open<'a>(
        &self,
        base: BaseRows<'a>,
        session: &Session,
    ) -> anyhow::Result<Option<Box<dyn AttributeSource + 'a>>> {
        let Some(path) = &self.attributes else { return Ok(None) };
        let schema = self.schema.as_deref().map(read_schema).transpose()?;
        let meter = session.meter();
        meter.phase("attributes", "rows");
        let progress = |done, total| meter.set(done, total);
        let watch = Watch { progress: &progress, stop: &session.stop };
        let source = open_attributes(path, base, schema, watch).context("attributes");
        meter.finish();
        source.map(Some)
    }
}

/// What attributes will take, for programs.
pub(super) fn plan_json(plan: &Plan) -> Value {
    let attribute = |attribute: &PlannedAttribute| {
        json!({
            "name": attribute.name,
            "type": attribute.kind.to_string(),
            "resident": attribute.resident,
            "index_bytes": attribute.index_bytes,
            "search_memory": attribute.search_memory,
        })
    };
    plan.attributes.iter().map(attribute).collect()
}

/// What attributes will take, in a line; none where there are none.
pub(super) fn plan_text(plan: &Plan) -> Option<String> {
    let sum = |bytes: fn(&PlannedAttribute) -> u64| {
        units::bytes(plan.attributes.iter().map(bytes).sum::<u64>() as f64) // CAST: shown to three digits
    };
    let count = plan.attributes.len() as u64; // CAST: widening
    (count > 0).then(|| {
        format!(
            "{}: about {} of the index and {} of the search memory, as the first rows say",
            units::count(count),
            sum(|attribute| attribute.index_bytes),
            sum(|attribute| attribute.search_memory)
        )
    })
}
