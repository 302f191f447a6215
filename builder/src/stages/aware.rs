//! Codes that know the queries of a sample: whether they pay, and what they are made for.
//!
//! Codes are made for one half of the queries, and the other half tells how far their estimates are off, beside those of the plain
//! code. The final code is made for both halves. What is held back for calibration is not looked at.
use spandrel_index::codes::{CodeSpec, QueryMoments};
use spandrel_index::format::QueryCodeRecord;

use super::judge::Judge;
use super::training::{CodingQueries, Form, Training};
use crate::BuildError;
use crate::measured::sample::{ERROR_SHARE_MAX, RIDGES};
use crate::query_sample::half_of;
use crate::state::BuildState;

/// Residuals that a code is trained with while codes are compared.
const COMPARED_ROWS: usize = 8192;

/// Compares codes, and gives what the better one is made for: nothing where that is the plain code.
pub(super) fn compare(
    state: &BuildState<'_>,
    training: &Training<'_>,
) -> Result<Option<(Option<QueryMoments>, QueryCodeRecord)>, BuildError> {
    let context = state.context;
    let Some(of) = training.params.coding_sample() else { return Ok(None) };
    context.progress.phase("compare codes", RIDGES.len() as u64 + 2, "codes"); // CAST: widening
    let queries = CodingQueries::read(state, training, of)?;
    let count = queries.len();
    let half =
        |number: u64| -> Vec<usize> { (0..count).filter(|&at| half_of(at, count) == number).collect() };
    let judge = Judge::new(training, &queries, &half(1));
    let some = some_residuals(training.residuals, training.params.dim);
    let learned = half(0);
    let error = |form: Option<Form>| -> Result<f64, BuildError> {
        context.check_stop()?;
        let moments = form.map(|form| training.moments(&queries, &learned, form));
        let train = || training.train(some.clone(), moments.as_ref());
        let model = context.pool.install(train).map_err(std::io::Error::other)?;
        context.progress.advance(1);
        // A code that could not be made for queries is the plain one.
        if form.is_some() && !model.knows_queries() {
            return Ok(f64::INFINITY);
        }
        Ok(context.pool.install(|| judge.error(&model)))
    };
    let plain = error(None)?;
    let mut best = (f64::INFINITY, Form { anchored: false, ridge: RIDGES[0] });
    for anchored in [false, true] {
        let form = Form { anchored, ridge: RIDGES[0] };
        let found = error(Some(form))?;
        if found < best.0 {
            best = (found, form);
        }
    }
    let anchored = best.1.anchored;
    for &ridge in &RIDGES[1..] {
        let form = Form { anchored, ridge };
        let found = error(Some(form))?;
        if found < best.0 {
            best = (found, form);
        }
    }
    let (least, form) = best;
    let used = least <= ERROR_SHARE_MAX * plain;
    let all: Vec<usize> = (0..count).collect();
    let moments = used.then(|| training.moments(&queries, &all, form));
    // A code that cannot be made has no error to tell.
    let [plain_error, error] =
        [plain, least].map(|error| if error.is_finite() { rounded(error) } else { 0.0 });
    let record = QueryCodeRecord { plain_error, error, ridge: form.ridge, anchored: form.anchored, used };
    Ok(Some((moments, record)))
}

/// To the seven digits behind the point that are stored: a number is then read as it was written.
fn rounded(error: f64) -> f64 {
    (error * 1e7).round() / 1e7
}

/// What was found, for people.
pub(super) fn note(code: CodeSpec, record: &QueryCodeRecord) -> String {
    let [plain, error] = [record.plain_error, record.error].map(|error| 100.0 * error);
    let verdict = match (record.used, record.anchored) {
        (true, true) => "it is made for the queries, and exact at their mean",
        (true, false) => "it is made for the queries",
        (false, _) => "it stays as it is",
    };
    format!(
        "code {code}: estimates of the nearest of other queries of the sample are off by {plain:.3} % of the distance, by {error:.3} % with a \
         code that knows queries: {verdict}"
    )
}

/// Some residuals from all over.
fn some_residuals(residuals: &[f32], dim: usize) -> Vec<f32> {
    let all = residuals.len() / dim;
    let count = all.min(COMPARED_ROWS);
    (0..count).flat_map(|at| &residuals[at * all / count * dim..][..dim]).copied().collect()
}
