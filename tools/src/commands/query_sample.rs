//! A sample of real queries that an index learns from: its flag, its file, and what is told of it.
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use spandrel_builder::{BuildError, Plan, calibrating_rows};
use spandrel_datasets::{Converted, VectorFile};
use spandrel_index::format::{Manifest, QuerySampleRecord};
use spandrel_index::{DType, VectorSource};

use super::input::InputArgs;
use super::search::note_rounding;
use crate::Session;
use crate::figures::units;

/// What queries will be like.
#[derive(Debug, Clone, Args)]
pub struct QuerySampleArgs {
    /// Real queries, 2 000 or more and others than those to measure with: where they come from elsewhere than the vectors, those that
    /// they want get lists of their own. A tenth, 1 000 at least, is held back, and the index is calibrated with 3 000 of these at most.
    #[arg(long, value_name = "FILE")]
    pub query_sample: Option<PathBuf>,
    /// Leave codes plain, even where codes that know the queries of the sample are found to be better
    #[arg(long, requires = "query_sample")]
    pub plain_codes: bool,
}

impl QuerySampleArgs {
    /// The file, if there is one, as vectors of this element type.
    pub(super) fn open(
        &self,
        dtype: DType,
        input: &InputArgs,
        session: &Session,
    ) -> anyhow::Result<Option<Converted<VectorFile>>> {
        let Some(path) = &self.query_sample else { return Ok(None) };
        let sample = Converted::new(input.open(path)?, dtype);
        note_rounding(&sample, session);
        Ok(Some(sample))
    }
}

/// The rows of a sample that an index is calibrated with, back to back: few of those that shape nothing.
///
/// # Errors
/// [`BuildError::Stopped`], and what reading fails with.
pub(super) fn calibrating(sample: &dyn VectorSource, session: &Session) -> Result<Vec<u8>, BuildError> {
    let numbers: Vec<u64> = calibrating_rows(sample.len()).collect();
    let mut rows = vec![0; numbers.len() * sample.row_bytes()];
    for (number, row) in numbers.into_iter().zip(rows.chunks_exact_mut(sample.row_bytes())) {
        if session.is_stopped() {
            return Err(BuildError::Stopped);
        }
        sample.read_rows(number, row)?;
    }
    Ok(rows)
}

/// What is planned, for programs.
pub(super) fn plan_json(plan: &Plan) -> Value {
    let Some(sample) = &plan.query_sample else { return Value::Null };
    json!({ "queries": sample.queries, "held_back": sample.held_back, "lists_most": sample.lists_most })
}

/// What is planned, in a line; none without a sample.
pub(super) fn plan_text(plan: &Plan) -> Option<String> {
    let sample = plan.query_sample.as_ref()?;
    let [queries, held_back, lists] = [sample.queries, sample.held_back, sample.lists_most].map(units::count);
    Some(format!("{queries} queries, {held_back} held back for calibration; {lists} lists at most"))
}

/// What an index learned from a sample, in a line; none without one.
pub(super) fn text(manifest: &Manifest) -> Option<String> {
    let sample: &QuerySampleRecord = manifest.build.query_sample.as_ref()?;
    // CAST: shown to one digit
    let percent = |part: u64, of: u64| format!("{:.1} %", 100.0 * part as f64 / of.max(1) as f64);
    let lists =
        if sample.own_lists { "which have lists of their own" } else { "which share lists with all others" };
    Some(format!(
        "learnt from {} queries, {} held back: {} of the vectors are wanted, {lists}; {} of what queries want was foreseen by others",
        units::count(sample.queries),
        units::count(sample.held_back),
        percent(sample.wanted, manifest.vectors()),
        percent(sample.foreseen, sample.foreseen_of)
    ))
}

/// What was measured of codes that know the queries of a sample, in a line; none where none was to be made.
pub(super) fn code_text(manifest: &Manifest) -> Option<String> {
    let code = manifest.build.query_sample.as_ref()?.code.as_ref()?;
    let percent = |share: f64| format!("{:.3} %", 100.0 * share);
    let Some(plain) = code.plain_error.map(percent) else {
        return Some("plain: queries of the sample are at no distance to measure errors by".to_owned());
    };
    let Some(best) = code.best else {
        return Some(format!(
            "plain: their estimates are off by {plain} of the distance, and none can be made for the queries"
        ));
    };
    let made = percent(best.error);
    Some(match (code.used, best.anchored) {
        (false, _) => format!(
            "plain: their estimates are off by {plain} of the distance, by {made} if made for the queries"
        ),
        (true, anchored) => format!(
            "made for the queries{}, ridge {}: estimates are off by {made} of the distance, by {plain} with plain codes",
            if anchored { ", exact at their mean" } else { "" },
            best.ridge
        ),
    })
}
