//! The charts of a comparison.
use crate::figures::{Point, units};

use super::axis::Axis;
use super::chart::{Chart, Line, Mark, Size, recall_label, style};
use super::equal_recall::qps_at;
use super::front::{Better, front};
use super::series::Comparison;

/// The curve of rate over recall alone, as a file of its own.
pub fn recall_qps_svg(comparison: &Comparison) -> String {
    with_style(&recall_qps(comparison, &recall_axis(comparison)))
}

/// The rate at one recall over the memory that runs take, as a file of its own: a line for each program. Without runs
/// that tell their memory and reach the recall there is none.
pub fn memory_qps_svg(comparison: &Comparison, recall: f64) -> Option<String> {
    let mut lines: Vec<Line> = Vec::new();
    for series in &comparison.series {
        let memory = series.points.iter().find_map(|point| point.memory_bytes);
        let rate = qps_at(&series.recall_qps(), recall).rate();
        let (Some(at), Some(value)) = (memory, rate) else { continue };
        let name = series.points.iter().find_map(|point| point.peer.as_deref()).unwrap_or(OURS);
        let tip = vec![
            series.name.clone(),
            format!("{} in memory, {} QPS", units::bytes(at), units::three_digits(value)),
        ];
        let mark = Mark { at, value, tip, on_front: true };
        match lines.iter_mut().find(|line| line.name == name) {
            Some(line) => line.marks.push(mark),
            None => lines.push(Line { name: name.to_owned(), number: lines.len(), marks: vec![mark] }),
        }
    }
    if lines.is_empty() {
        return None;
    }
    lines.iter_mut().for_each(|line| line.marks.sort_by(|a, b| a.at.total_cmp(&b.at)));
    let x = Axis::log(lines.iter().flat_map(|line| &line.marks).map(|mark| mark.at));
    let chart = Chart {
        size: Size::WIDE,
        title: format!("queries in a second over memory, at {} {recall}", comparison.recall_name()),
        x_name: "memory while searching, megabytes (log scale)".to_owned(),
        y_name: format!("queries per second at {} {recall} (log scale)", comparison.recall_name()),
        x: &x,
        y: Axis::log(values(&lines)),
        lines,
        x_label: |bytes| trimmed(bytes / 1e6),
        y_label: units::three_digits,
    };
    Some(with_style(&chart.svg()))
}

/// What runs of ours are called beside those of other programs.
const OURS: &str = "spandrel";

/// A chart that stands by itself.
fn with_style(svg: &str) -> String {
    let sheet = format!("<style>\n{}</style>\n", style());
    // The sheet goes in behind the opening tag.
    match svg.split_once(">\n") {
        Some((opening, rest)) => format!("{opening}>\n{sheet}{rest}"),
        None => svg.to_owned(),
    }
}

/// The axis that all charts of a comparison share.
pub(super) fn recall_axis(comparison: &Comparison) -> Axis {
    Axis::recall(comparison.points().map(|p| p.recall))
}

/// Queries in a second over recall.
pub(super) fn recall_qps(comparison: &Comparison, x: &Axis) -> String {
    let what = What { value: Point::reached_qps, better: Better::Higher };
    let lines = lines(comparison, what);
    Chart {
        size: Size::WIDE,
        title: "queries in a second over recall".to_owned(),
        x_name: x_name(comparison),
        y_name: "queries per second (log scale)".to_owned(),
        x,
        y: Axis::log(values(&lines)),
        lines,
        x_label: recall_label,
        y_label: units::three_digits,
    }
    .svg()
}

/// A percentile of latency over recall, none where no point tells it.
pub(super) fn latency(
    comparison: &Comparison,
    x: &Axis,
    name: &str,
    value: fn(&Point) -> Option<f64>,
) -> Option<String> {
    let lines = lines(comparison, What { value, better: Better::Lower });
    if lines.is_empty() {
        return None;
    }
    let chart = Chart {
        size: Size::HALF,
        title: format!("{name} latency over recall"),
        x_name: x_name(comparison),
        y_name: format!("{name} latency, milliseconds (log scale)"),
        x,
        y: Axis::log(values(&lines)),
        lines,
        x_label: recall_label,
        y_label: |micros| trimmed(micros / 1e3),
    };
    Some(chart.svg())
}

/// Bytes read per query over recall, none where no point tells it.
pub(super) fn read_bytes(comparison: &Comparison, x: &Axis) -> Option<String> {
    let lines = lines(comparison, What { value: |p| p.read_bytes, better: Better::Lower });
    if lines.is_empty() {
        return None;
    }
    let chart = Chart {
        size: Size::HALF,
        title: "bytes read per query over recall".to_owned(),
        x_name: x_name(comparison),
        y_name: "read per query, kilobytes (from zero)".to_owned(),
        x,
        y: Axis::from_zero(values(&lines)),
        lines,
        x_label: recall_label,
        y_label: |bytes| trimmed(bytes / 1e3),
    };
    Some(chart.svg())
}

#[derive(Clone, Copy)]
struct What {
    value: fn(&Point) -> Option<f64>,
    better: Better,
}

fn lines(comparison: &Comparison, what: What) -> Vec<Line> {
    let mut lines = Vec::new();
    for (number, series) in comparison.series.iter().enumerate() {
        let told: Vec<(&Point, f64)> =
            series.points.iter().filter_map(|p| (what.value)(p).map(|v| (p, v))).collect();
        if told.is_empty() {
            continue;
        }
        let places: Vec<(f64, f64)> = told.iter().map(|(p, v)| (p.recall, *v)).collect();
        let kept = front(&places, what.better);
        let marks = told.iter().enumerate().map(|(at, (point, value))| Mark {
            at: point.recall,
            value: *value,
            tip: tip(&series.name, point),
            on_front: kept.contains(&at),
        });
        lines.push(Line { name: series.name.clone(), number, marks: marks.collect() });
    }
    lines
}

fn values(lines: &[Line]) -> impl Iterator<Item = f64> {
    lines.iter().flat_map(|line| &line.marks).map(|mark| mark.value)
}

fn x_name(comparison: &Comparison) -> String {
    format!("{} (axis spread towards 1)", comparison.recall_name())
}

fn tip(name: &str, point: &Point) -> Vec<String> {
    let mut lines = vec![name.to_owned()];
    lines.extend(point.params.words());
    lines.push(format!("recall {:.4}, {} QPS", point.recall, units::three_digits(point.qps)));
    let times = [("p50", point.p50_us), ("p99", point.p99_us)];
    let times: Vec<String> =
        times.into_iter().filter_map(|(n, us)| us.map(|us| format!("{n} {}", units::micros(us)))).collect();
    if !times.is_empty() {
        lines.push(times.join(", "));
    }
    lines.extend(point.read_bytes.map(|bytes| format!("{} read", units::bytes(bytes))));
    lines
}

/// A label without digits that say nothing: `0.5`, `20`, `1 500`.
fn trimmed(value: f64) -> String {
    if value >= 1000.0 {
        return units::three_digits(value);
    }
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels() {
        assert_eq!([0.0, 0.5, 0.05, 20.0, 1500.0].map(trimmed), ["0", "0.5", "0.05", "20", "1 500"]);
    }

    #[test]
    fn rates_at_equal_recall_are_drawn_over_memory() {
        let point = |peer: Option<&str>, label: &str, memory: f64, recall: f64| Point {
            peer: peer.map(str::to_owned),
            label: Some(label.to_owned()),
            memory_bytes: Some(memory),
            recall,
            qps: memory / recall,
            ..Point::default()
        };
        let run =
            |peer, label, memory| vec![point(peer, label, memory, 0.94), point(peer, label, memory, 0.96)];
        let runs = [run(None, "a", 4e7), run(None, "b", 8e7), run(Some("other"), "", 5e8)];
        let low = vec![point(None, "c", 1e7, 0.5)];
        let comparison = Comparison::of(vec![("f".to_owned(), [runs.concat(), low].concat())]);
        let svg = memory_qps_svg(&comparison, 0.95).unwrap();
        assert_eq!(svg.matches("class=\"mark\"").count(), 3, "the fourth does not reach the recall");
        assert!(svg.contains(">spandrel<") && svg.contains(">other<") && !svg.contains("NaN"));
        assert!(memory_qps_svg(&comparison, 0.999).is_none());
    }

    #[test]
    fn every_point_is_drawn() {
        let point = |recall: f64, qps: f64| Point { recall, qps, p50_us: Some(0.0), ..Point::default() };
        let points =
            vec![point(0.9, 10.0), point(0.95, 5.0), point(0.92, 1.0), point(1.0, 0.5), point(0.0, 20.0)];
        let comparison = Comparison::of(vec![("run".to_owned(), points)]);
        let svg = recall_qps_svg(&comparison);
        assert_eq!(svg.matches("class=\"mark\"").count(), 5);
        assert_eq!(svg.matches("hollow\"").count(), 1);
        assert!(svg.contains("<style>") && !svg.contains("NaN") && !svg.contains("inf"));
        let axis = recall_axis(&comparison);
        let latency = latency(&comparison, &axis, "p50", |p| p.p50_us).unwrap();
        assert!(!latency.contains("NaN") && !latency.contains("inf"));
        assert!(read_bytes(&comparison, &axis).is_none());
    }
}
