//! Points of one run under one name.
use std::path::{Path, PathBuf};

use crate::figures::{Point, shortened, units};

use super::front::{Better, front};
use super::load::{LoadError, load};

/// Longest name shown.
const NAME_CHARS_MAX: usize = 72;

/// Points that differ in their search settings alone, in rising order of recall.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What the legend says.
    pub name: String,
    /// At least one, in rising order of recall.
    pub points: Vec<Point>,
}

/// The runs to compare; the first is what the others are measured against.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Comparison {
    /// The runs, in the order of the files.
    pub series: Vec<Series>,
}

/// What tells one run from another inside a file.
#[derive(Debug, Clone, PartialEq)]
struct Key {
    name: String,
    k: Option<u64>,
    threads: Option<u64>,
    in_flight: Option<u64>,
    io: Option<String>,
    direct: Option<bool>,
}

impl Comparison {
    /// Reads files in the order given.
    ///
    /// # Errors
    /// The first file that cannot be read.
    pub fn load(paths: &[PathBuf]) -> Result<Comparison, LoadError> {
        let mut files = Vec::new();
        for path in paths {
            files.push((stem(path), load(path)?));
        }
        Ok(Comparison::of(files))
    }

    /// Sorts points into runs. Each set of points comes with a name for those that bring none.
    pub fn of(files: Vec<(String, Vec<Point>)>) -> Comparison {
        let many_files = files.len() > 1;
        let mut runs: Vec<(Key, Vec<Point>)> = Vec::new();
        for (file, points) in files {
            let first = runs.len();
            for point in points {
                let key = Key::of(&file, &point, many_files);
                match runs[first..].iter_mut().find(|(k, _)| *k == key) {
                    Some((_, run)) => run.push(point),
                    None => runs.push((key, vec![point])),
                }
            }
        }
        let names = names(&runs.iter().map(|(key, _)| key).collect::<Vec<_>>());
        let sorted = |mut points: Vec<Point>| {
            points.sort_by(|a, b| a.recall.total_cmp(&b.recall).then(b.qps.total_cmp(&a.qps)));
            points
        };
        let series = names.into_iter().zip(runs);
        Comparison {
            series: series.map(|(name, (_, points))| Series { name, points: sorted(points) }).collect(),
        }
    }

    /// Every point, run by run.
    pub fn points(&self) -> impl Iterator<Item = &Point> + Clone {
        self.series.iter().flat_map(|s| &s.points)
    }

    /// `recall@10` where every point has the same k, otherwise `recall`.
    pub fn recall_name(&self) -> String {
        match self.only(|p| p.k) {
            Some(k) => format!("recall@{k}"),
            None => "recall".to_owned(),
        }
    }

    /// The value that all points share, if they do.
    pub fn only<T: PartialEq>(&self, field: impl Fn(&Point) -> Option<T>) -> Option<T> {
        let mut values = self.points().map(field);
        let first = values.next()??;
        values.all(|v| v.as_ref() == Some(&first)).then_some(first)
    }

    /// Sentences on what makes the runs unlike, besides what was to be compared.
    pub fn cautions(&self) -> Vec<String> {
        let mut cautions = Vec::new();
        if self.differ(|p| p.k) {
            cautions.push(
                "the runs ask for different numbers of neighbours (k): their recalls are not comparable",
            );
        }
        if self.differ(|p| p.threads) {
            cautions.push("the runs use different numbers of threads: their rates are not comparable");
        }
        if self.differ(|p| p.machine.clone()) {
            cautions.push("the runs were measured on different machines");
        }
        if self.differ(|p| p.direct) {
            cautions.push(
                "some runs read past the page cache and some through it: their rates are not comparable",
            );
        }
        if self.points().any(|p| p.reached_qps().is_none()) {
            cautions.push(
                "points whose queries were sent at a fixed rate are left out where rates are compared: their QPS is that rate",
            );
        }
        cautions.into_iter().map(str::to_owned).collect()
    }

    /// Whether two points give different values; a point that gives none differs from nobody.
    fn differ<T: PartialEq>(&self, field: impl Fn(&Point) -> Option<T>) -> bool {
        let mut values = self.points().filter_map(field);
        let Some(first) = values.next() else { return false };
        values.any(|v| v != first)
    }
}

impl Series {
    /// Recall and rate of each point, but for those of a fixed rate.
    pub fn recall_qps(&self) -> Vec<(f64, f64)> {
        self.points.iter().filter_map(|p| Some((p.recall, p.reached_qps()?))).collect()
    }

    /// Whether each point is beaten in recall and rate by another; one of a fixed rate is not compared.
    pub fn beaten(&self) -> Vec<bool> {
        let kept = front(&self.recall_qps(), Better::Higher);
        let (mut compared, mut beaten) = (0, Vec::with_capacity(self.points.len()));
        for point in &self.points {
            let is_compared = point.reached_qps().is_some();
            beaten.push(is_compared && !kept.contains(&compared));
            compared += usize::from(is_compared);
        }
        beaten
    }

    /// The largest value of a field that describes the index rather than a query.
    pub fn largest(&self, field: impl Fn(&Point) -> Option<f64>) -> Option<f64> {
        self.points.iter().filter_map(field).max_by(f64::total_cmp)
    }
}

impl Key {
    fn of(file: &str, point: &Point, many_files: bool) -> Key {
        let own = point.peer.as_ref().or(point.label.as_ref());
        let own = own.or(if many_files { None } else { point.index.as_ref() });
        Key {
            name: own.map_or(file, String::as_str).to_owned(),
            k: point.k,
            threads: point.threads,
            in_flight: point.in_flight,
            io: point.io.clone(),
            direct: point.direct,
        }
    }
}

/// Names that tell the runs apart: the own name, and what else is not the same for all.
fn names(keys: &[&Key]) -> Vec<String> {
    type Detail = fn(&Key) -> Option<String>;
    let details: [Detail; 5] = [
        |key| key.k.map(|k| format!("k {k}")),
        |key| key.threads.map(|n| format!("{n} {}", if n == 1 { "thread" } else { "threads" })),
        |key| key.in_flight.map(|n| format!("{} in flight", units::count(n))),
        |key| key.io.clone(),
        |key| key.direct.map(|direct| if direct { "direct" } else { "page cache" }.to_owned()),
    ];
    // What some runs do not tell does not set them apart from those that do.
    let is_telling = |detail: &Detail| {
        let mut told = keys.iter().filter_map(|key| detail(key));
        told.next().is_some_and(|first| told.any(|other| other != first))
    };
    let telling: Vec<Detail> = details.into_iter().filter(is_telling).collect();
    let mut names: Vec<String> = Vec::new();
    for key in keys {
        let parts: Vec<String> = telling.iter().filter_map(|detail| detail(key)).collect();
        let name = shortened(&key.name, NAME_CHARS_MAX);
        let name = if parts.is_empty() { name } else { format!("{name}, {}", parts.join(", ")) };
        let same = names.iter().filter(|n| **n == name || n.starts_with(&format!("{name} ("))).count();
        names.push(if same == 0 { name } else { format!("{name} ({})", same + 1) });
    }
    names
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(recall: f64, threads: u64, in_flight: Option<u64>) -> Point {
        Point { recall, qps: 100.0 / recall, threads: Some(threads), in_flight, ..Point::default() }
    }

    fn names_of(comparison: &Comparison) -> Vec<&str> {
        comparison.series.iter().map(|s| s.name.as_str()).collect()
    }

    #[test]
    fn runs_are_told_apart_by_what_differs() {
        let ours = vec![point(0.95, 2, Some(1)), point(0.9, 2, Some(8)), point(0.9, 2, Some(1))];
        let theirs = vec![Point { peer: Some("diskann".to_owned()), ..point(0.9, 2, None) }];
        let comparison = Comparison::of(vec![("ours".to_owned(), ours), ("peers".to_owned(), theirs)]);
        assert_eq!(names_of(&comparison), ["ours, 1 in flight", "ours, 8 in flight", "diskann"]);
        assert_eq!(comparison.series[0].points[0].recall, 0.9);
        assert!(comparison.cautions().is_empty());
    }

    #[test]
    fn equal_names_are_numbered() {
        let file = || ("run".to_owned(), vec![point(0.9, 2, None)]);
        assert_eq!(names_of(&Comparison::of(vec![file(), file(), file()])), ["run", "run (2)", "run (3)"]);
    }

    #[test]
    fn unlike_runs_are_cautioned_about() {
        let points = vec![point(0.9, 2, None), Point { k: Some(10), ..point(0.9, 1, None) }];
        let comparison = Comparison::of(vec![("run".to_owned(), points)]);
        assert_eq!(comparison.cautions().len(), 1);
        assert!(comparison.cautions()[0].contains("threads"));
        assert_eq!(comparison.recall_name(), "recall");
        assert_eq!(comparison.only(|p| p.threads), None);
    }

    #[test]
    fn fixed_rates_are_not_compared() {
        let fixed = Point { offered_qps: Some(1000.0), qps: 1000.0, ..point(0.97, 2, None) };
        let points = vec![point(0.9, 2, None), Point { qps: 1.0, ..point(0.8, 2, None) }, fixed];
        let comparison = Comparison::of(vec![("run".to_owned(), points)]);
        let series = &comparison.series[0];
        assert_eq!(series.recall_qps(), [(0.8, 1.0), (0.9, 100.0 / 0.9)]);
        assert_eq!(series.beaten(), [true, false, false]);
        assert!(comparison.cautions()[0].contains("fixed rate"), "{:?}", comparison.cautions());
    }
}
