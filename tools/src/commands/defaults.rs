//! What an index says of the recall of its queries, in words.
use spandrel_engine::{Aim, COLUMN_CANDIDATES, Calibrated, DocumentDefaults, Pruning, RECALL_DEFAULT};
use spandrel_index::Tier;
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::{Manifest, RecallCurve, RecallCurves, RecallSource, SearchDefault, VectorsOf};

use super::partition;
use crate::figures::units;

/// Shares of the vectors within a radius that are told of.
const SHARES: [f64; 3] = [0.8, 0.9, 0.95];
/// Recalls told of.
const RECALLS: [f64; 4] = [0.80, 0.90, 0.95, 0.99];

/// What a query for 10 neighbours gets that names no pruning, with vectors on SSD.
pub(super) fn at_ten(manifest: &Manifest, recall: Option<&RecallCurves>) -> SearchDefault {
    let Pruning { epsilon, max_lists, rerank_errors, .. } =
        Calibrated { manifest, recall, vectors: Tier::Ssd }.pruning(10, Aim::at(RECALL_DEFAULT));
    SearchDefault { epsilon, max_lists, rerank_errors }
}

/// The same in a line.
pub(super) fn at_ten_text(manifest: &Manifest, recall: Option<&RecallCurves>) -> String {
    if let Some(usual) = DocumentDefaults::of(manifest) {
        return of_documents(usual);
    }
    let default = at_ten(manifest, recall);
    let epsilon = default.epsilon.map(|epsilon| format!("epsilon {epsilon}, ")).unwrap_or_default();
    let rerank = match default.rerank_errors {
        _ if is_exact(manifest) => String::new(),
        _ if !manifest.holds(VectorsOf::Main) => {
            format!(", the nearest {COLUMN_CANDIDATES} by their codes compared in the column")
        }
        0.0 => ", the nearest by their estimates reranked".to_owned(),
        errors => format!(", reranked within {} errors", rounded(errors)),
    };
    let lists = units::count(default.max_lists.into());
    let recall = recall.map(|_| format!(" for --recall {RECALL_DEFAULT}")).unwrap_or_default();
    format!("{epsilon}at most {lists} lists{rerank}{recall}, unless asked otherwise")
}

/// What a query document takes that does not say.
pub(super) fn of_documents(usual: DocumentDefaults) -> String {
    let DocumentDefaults { by_encodings, lists, compared } = usual;
    let (lists, each) = (units::count(lists.into()), if by_encodings { "query document" } else { "token" });
    format!("{lists} lists for each {each}, {compared} documents compared, unless asked otherwise")
}

/// Errors to two places.
fn rounded(errors: f32) -> f32 {
    (100.0 * errors).round() / 100.0
}

/// The errors that go with a number of lists; nothing where lists hold exact vectors.
fn and_errors(manifest: &Manifest, errors: f32) -> String {
    match rounded(errors) {
        _ if is_exact(manifest) => String::new(),
        0.0 => " and the nearest by their estimates reranked".to_owned(),
        errors => format!(" and {errors} errors"),
    }
}

fn is_exact(manifest: &Manifest) -> bool {
    manifest.build.code == CodeSpec::Full.to_string()
}

/// A warning for each number of neighbours whose usual recall is out of reach, and for a partition that most queries pay for.
pub(super) fn warnings(manifest: &Manifest, recall: Option<&RecallCurves>) -> impl Iterator<Item = String> {
    let curves = recall.into_iter().flat_map(|recall| &recall.curves);
    let short = curves.filter(|curve| is_short(curve)).filter_map(move |curve| {
        let &RecallCurve { k, vectors, .. } = curve;
        let point = curve.points.last()?;
        let neighbours = if k == 1 { "neighbour" } else { "neighbours" };
        let knob = knob(is_exact(manifest), u64::from(point.lists) < manifest.found_lists());
        Some(format!(
            "queries for {k} {neighbours}, vectors in {vectors}: recall {:.3} is to be expected where {RECALL_DEFAULT} was \
             looked for, with {} of {} lists{}; {knob}",
            point.recall,
            units::count(point.lists.into()),
            units::count(manifest.found_lists()),
            and_errors(manifest, point.rerank_errors)
        ))
    });
    short.chain(recall.and_then(few_queries)).chain(partition::warnings(manifest))
}

/// Queries that a promise needs at least: with fewer the standard error of a recall of 0.95 may be over 0.01, a fifth of what such a recall
/// allows to be missed. At most it is `sqrt(R (1 - R) / n)`, where each query finds all of its neighbours or none.
const BACKING_MIN: u32 = 500;
/// Queries to give for that: about a third of those given tell where searches end, and back nothing.
const GIVEN_MIN: u32 = 1000;

/// A warning where recalls are promised by few given queries. How many rows stand in for queries is decided by the calibration itself.
pub(super) fn few_queries(recall: &RecallCurves) -> Option<String> {
    // Of many neighbours fewer queries are asked, each of which tells more.
    let most = recall.curves.iter().map(|curve| curve.queries).max()?;
    (recall.source == RecallSource::Queries && most < BACKING_MIN).then(|| {
        let error = (RECALL_DEFAULT * (1.0 - RECALL_DEFAULT) / f64::from(most)).sqrt();
        format!(
            "recalls are promised by {most} queries alone: one of {RECALL_DEFAULT} may have a standard error of {error:.3}; \
             give {} or more (`spandrel calibrate --queries`)",
            units::count(GIVEN_MIN.into())
        )
    })
}

/// What gives more recall than the end of a curve, where lists are left or not. It ends where more lists find no more: of codes, the number
/// of vectors that are compared is in the way.
const fn knob(is_exact: bool, are_left: bool) -> &'static str {
    match (is_exact, are_left) {
        (false, _) => {
            "a longer code estimates better (--code, --search-memory), and --rerank of queries compares more"
        }
        (true, true) => "--max-lists of queries reads more of them",
        (true, false) => "max_bytes of queries may be in the way",
    }
}

/// Whether the usual recall is out of reach because of what queries miss, rather than for their being few.
fn is_short(curve: &RecallCurve) -> bool {
    let most = 1.0 - 1.0 / (f64::from(curve.queries) + 1.0);
    most >= RECALL_DEFAULT && curve.points.last().is_some_and(|point| point.recall < RECALL_DEFAULT)
}

/// Each number of neighbours with what some recalls take.
pub(super) fn curves<'a>(
    manifest: &'a Manifest,
    recall: Option<&'a RecallCurves>,
) -> impl Iterator<Item = String> + 'a {
    recall.into_iter().flat_map(|recall| &recall.curves).filter_map(move |curve| {
        let &RecallCurve { k, vectors, queries, .. } = curve;
        let most = curve.points.last()?.recall;
        let calibrated = Calibrated { manifest, recall, vectors };
        let reached = RECALLS.into_iter().filter(|&recall| recall <= most).map(|recall| {
            let Pruning { max_lists, rerank_errors, .. } = calibrated.pruning(k as usize, Aim::at(recall));
            let (lists, errors) = (units::count(max_lists.into()), and_errors(manifest, rerank_errors));
            format!("{recall:.2} with {lists} lists{errors}, ")
        });
        Some(format!(
            "k {k}, vectors in {vectors}: {}at most {most:.4}, by {queries} queries",
            reached.collect::<String>()
        ))
    })
}

/// Each radius with what some shares of the vectors within it take.
pub(super) fn ranges(recall: Option<&RecallCurves>) -> impl Iterator<Item = String> + '_ {
    recall.into_iter().flat_map(|recall| &recall.ranges).map(|range| {
        let shares = range.points.iter().filter(|point| SHARES.contains(&point.completeness)).map(|point| {
            let codes = point.vectors_scanned.round() as u64; // CAST: a count
            format!("{:.2} in {} codes", point.completeness, units::count(codes))
        });
        let shares = shares.collect::<Vec<_>>().join(", ");
        let radius = units::three_digits(range.radius.into());
        format!("within {radius}: {shares}, by {} queries", range.queries)
    })
}

/// Says so where the lists told of are not those that searches take.
pub(super) fn ends_early(recall: &RecallCurves) -> Option<&'static str> {
    recall.curves.iter().any(|curve| curve.stop.is_some()).then_some(
        "with codes in memory a search ends when it has found enough: after fewer lists, or up to half as many more",
    )
}

/// What stands behind all that.
pub(super) fn source(recall: &RecallCurves) -> String {
    let confidence =
        recall.confidence.map(|share| format!(", with a confidence of {share}")).unwrap_or_default();
    format!("{}{confidence}", recall.source)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More lists were advised where they found nothing: of uniform data in 256 dimensions, 184 of 269 lists and all of them find 0.67.
    #[test]
    fn more_lists_are_not_advised_where_codes_are_in_the_way() {
        for are_left in [false, true] {
            assert!(
                knob(false, are_left).contains("--rerank") && !knob(false, are_left).contains("--max-lists")
            );
        }
        assert!(knob(true, true).contains("--max-lists") && !knob(true, false).contains("--max-lists"));
    }
}
