//! What an index says of its default of queries, in words.
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::{CalibrationPoint, Manifest, SearchCell};
use spandrel_index::{Index, Tier};

use crate::figures::units;

/// The default for 10 neighbours, in a line.
pub(super) fn at_ten(manifest: &Manifest) -> String {
    let default = manifest.search_default(10, Tier::Ssd);
    let epsilon = default.epsilon.map(|epsilon| format!("epsilon {epsilon}, ")).unwrap_or_default();
    let rerank = match default.rerank_errors {
        _ if manifest.build.code == CodeSpec::Full.to_string() => String::new(),
        0.0 => ", the nearest by their estimates reranked".to_owned(),
        errors => format!(", reranked within {errors} errors"),
    };
    let lists = units::count(default.max_lists.into());
    format!("{epsilon}at most {lists} lists{rerank}, unless asked otherwise")
}

/// A warning for each default that falls short of its recall.
pub(super) fn warnings(manifest: &Manifest) -> impl Iterator<Item = String> {
    let lists: u64 = manifest.segments.iter().map(|segment| segment.lists).sum();
    manifest.search_cells.iter().filter(|cell| cell.is_short()).map(move |cell| {
        let &SearchCell { k, vectors, max_lists, rerank_errors, target, recall, .. } = cell;
        let errors = rerank_errors.map(|errors| format!(" and {errors} errors")).unwrap_or_default();
        let knob = match rerank_errors {
            _ if u64::from(max_lists) < lists => "--max-lists of queries reads more of them",
            Some(_) => "a longer code estimates better (--code, --search-memory), and --rerank of queries compares more",
            None => "--max-bytes of queries may be in the way",
        };
        format!(
            "queries for {k} neighbours, vectors in {vectors}: recall {recall:.3} is to be expected where {target} was \
             looked for, with {} of {} lists{errors}; {knob}",
            units::count(max_lists.into()),
            units::count(lists)
        )
    })
}

/// Each number of neighbours with its default, as flags.
pub(super) fn cells(manifest: &Manifest) -> impl Iterator<Item = String> {
    manifest.search_cells.iter().map(|cell| {
        let epsilon = cell.epsilon.map(|epsilon| format!("--epsilon {epsilon} ")).unwrap_or_default();
        let flags = flags(cell.max_lists, cell.rerank_errors);
        format!(
            "k {}, vectors in {}: {epsilon}{flags} for recall {:.3} at least",
            cell.k, cell.vectors, cell.recall
        )
    })
}

/// The settings for several recalls at 10 neighbours; none where the statistics of the build are gone.
pub(super) fn points(index: &Index) -> Vec<CalibrationPoint> {
    #[derive(serde::Deserialize)]
    struct Stats {
        calibration: Vec<CalibrationPoint>,
    }
    let path = index.dir().join(format!("build-stats-{}.json", index.manifest().version));
    let stats: Option<Stats> = fs_err::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    stats.map(|stats| stats.calibration).unwrap_or_default()
}

/// A setting as flags.
pub(super) fn point_text(point: &CalibrationPoint) -> String {
    let flags = flags(point.max_lists, point.rerank_errors);
    format!("recall {} at k 10, vectors in {}: {flags}", point.recall, point.vectors)
}

fn flags(max_lists: u32, rerank_errors: Option<f32>) -> String {
    let errors = rerank_errors.map(|errors| format!(" --rerank-errors {errors}")).unwrap_or_default();
    format!("--max-lists {max_lists}{errors}")
}
