//! Codes that know the queries of a sample: whether they pay, and what they are made for.
//!
//! Codes are made for one half of the queries, and the other half tells how far their estimates are off, beside those of the plain
//! code. The final code is made for both halves. What is held back for calibration is not looked at.
use spandrel_index::codes::{CodeSpec, QueryMoments};
use spandrel_index::format::{QueryCodeForm, QueryCodeRecord};

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
    // None where the code cannot be made, or there is no distance to measure by.
    let error = |form: Option<Form>| -> Result<Option<f64>, BuildError> {
        context.check_stop()?;
        let moments = form.map(|form| training.moments(&queries, &learned, form));
        let train = || training.train(some.clone(), moments.as_ref());
        let model = context.pool.install(train).map_err(std::io::Error::other)?;
        context.progress.advance(1);
        // A code that could not be made for queries is the plain one.
        if form.is_some() && !model.knows_queries() {
            return Ok(None);
        }
        Ok(judge.error(&model, context)?.map(rounded))
    };
    let plain_error = error(None)?;
    let mut best: Option<QueryCodeForm> = None;
    let weigh = |best: &mut Option<QueryCodeForm>, form: Form| -> Result<(), BuildError> {
        if let Some(error) = error(Some(form))?
            && best.is_none_or(|best| error < best.error)
        {
            *best = Some(QueryCodeForm { error, ridge: form.ridge, anchored: form.anchored });
        }
        Ok(())
    };
    for anchored in [false, true] {
        weigh(&mut best, Form { anchored, ridge: RIDGES[0] })?;
    }
    let anchored = best.is_some_and(|best| best.anchored);
    for &ridge in &RIDGES[1..] {
        weigh(&mut best, Form { anchored, ridge })?;
    }
    let taken = best.filter(|best| pays(plain_error, best.error));
    let all: Vec<usize> = (0..count).collect();
    let moments = taken.map(|QueryCodeForm { ridge, anchored, .. }| {
        training.moments(&queries, &all, Form { anchored, ridge })
    });
    Ok(Some((moments, QueryCodeRecord { plain_error, best, used: taken.is_some() })))
}

/// Whether a code is enough better than the plain one. Where the plain one is not off at all nothing is.
fn pays(plain_error: Option<f64>, error: f64) -> bool {
    plain_error.is_some_and(|plain| error < plain && error <= ERROR_SHARE_MAX * plain)
}

/// To the seven digits behind the point that are stored: a number is then read as it was written.
fn rounded(error: f64) -> f64 {
    (error * 1e7).round() / 1e7
}

/// What was found, for people.
pub(super) fn note(code: CodeSpec, record: &QueryCodeRecord) -> String {
    let percent = |error: f64| format!("{:.3} %", 100.0 * error);
    let Some(plain) = record.plain_error.map(percent) else {
        return format!(
            "code {code}: it stays as it is, since queries of the sample are at no distance to measure errors by"
        );
    };
    let Some(best) = record.best else {
        return format!(
            "code {code}: it stays as it is, since none can be made for the queries of the sample"
        );
    };
    let verdict = match (record.used, best.anchored) {
        (true, true) => "it is made for the queries, and exact at their mean",
        (true, false) => "it is made for the queries",
        (false, _) => "it stays as it is",
    };
    format!(
        "code {code}: estimates of the nearest of other queries of the sample are off by {plain} of the distance, by {} with a \
         code that knows queries: {verdict}",
        percent(best.error)
    )
}

/// Some residuals from all over.
fn some_residuals(residuals: &[f32], dim: usize) -> Vec<f32> {
    let all = residuals.len() / dim;
    let count = all.min(COMPARED_ROWS);
    (0..count).flat_map(|at| &residuals[at * all / count * dim..][..dim]).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_for_queries_pay_where_the_plain_one_is_off_by_more() {
        for (plain, error, expected) in [
            (Some(0.10), 0.09, true),
            (Some(0.10), 0.091, false),
            (Some(0.0), 0.0, false),
            (None, 0.0, false),
            (None, f64::INFINITY, false),
        ] {
            assert_eq!(pays(plain, error), expected, "{plain:?}, {error}");
        }
    }
}
