//! One chart as SVG: recall or memory to the right, a cost or a rate upwards.
use std::fmt::Write as _;

use crate::figures::shortened;

use super::axis::Axis;
use super::escape::escape;

const LEFT: f64 = 64.0;
const RIGHT: f64 = 22.0;
const BOTTOM: f64 = 48.0;
const LEGEND_ROW: f64 = 20.0;
/// Room one character of a legend takes, a little more than the mean of common fonts.
const CHAR_WIDTH: f64 = 6.9;
const LEGEND_CHARS_MAX: usize = 60;
/// Number of colours in the style sheet.
const COLOURS: usize = 8;

/// Room for a chart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    width: f64,
    plot_height: f64,
}

impl Size {
    /// Across the page.
    pub(super) const WIDE: Size = Size { width: 760.0, plot_height: 340.0 };
    /// Two beside each other.
    pub(super) const HALF: Size = Size { width: 480.0, plot_height: 250.0 };
}

/// What is drawn.
pub(super) struct Chart<'a> {
    pub(super) size: Size,
    /// What the chart shows, for those who do not see it.
    pub(super) title: String,
    /// What is written below the lower axis.
    pub(super) x_name: String,
    /// What is written above the left axis, with the unit.
    pub(super) y_name: String,
    pub(super) x: &'a Axis,
    pub(super) y: Axis,
    pub(super) lines: Vec<Line>,
    /// How a value below the lower axis is written.
    pub(super) x_label: fn(f64) -> String,
    /// How a value beside the left axis is written.
    pub(super) y_label: fn(f64) -> String,
}

/// One run, or what runs have in common.
pub(super) struct Line {
    pub(super) name: String,
    /// Number of the run, which settles colour and shape.
    pub(super) number: usize,
    pub(super) marks: Vec<Mark>,
}

/// One operating point.
pub(super) struct Mark {
    /// Place along the lower axis.
    pub(super) at: f64,
    pub(super) value: f64,
    /// Shown while the pointer rests on the mark, line by line.
    pub(super) tip: Vec<String>,
    /// Whether the line of the run goes through it.
    pub(super) on_front: bool,
}

impl Chart<'_> {
    /// The element `svg`; the style sheet comes from [`style`].
    pub(super) fn svg(&self) -> String {
        let Size { width, plot_height } = self.size;
        let legend = legend_places(&self.lines, width);
        let legend_rows = legend.last().map_or(0.0, |(_, y)| y / LEGEND_ROW + 1.0);
        let top = 30.0 + legend_rows * LEGEND_ROW;
        let height = top + plot_height + BOTTOM;
        let frame = Frame { top, size: self.size };
        let mut svg = String::new();
        // Writing to a string does not fail, here and below.
        let _ = write!(
            svg,
            "<svg class=\"chart\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             role=\"img\" aria-label=\"{}\">\n<rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>\n",
            escape(&self.title)
        );
        for (line, (x, y)) in self.lines.iter().zip(legend) {
            let name = escape(&shortened(&line.name, LEGEND_CHARS_MAX));
            let _ = writeln!(
                svg,
                "<g class=\"{}\"><path class=\"line\" d=\"M{:.1} {mid:.1}h20\"/>{}<text x=\"{:.1}\" y=\"{:.1}\">{name}</text></g>",
                colour(line.number),
                x,
                shape(line.number, x + 10.0, y + 12.0, true),
                x + 27.0,
                y + 16.0,
                mid = y + 12.0,
            );
        }
        self.write_axes(&mut svg, &frame);
        for line in &self.lines {
            self.write_line(&mut svg, &frame, line);
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn write_axes(&self, svg: &mut String, frame: &Frame) {
        let (bottom, right) = (frame.y(0.0), frame.x(1.0));
        let _ = writeln!(
            svg,
            "<text class=\"name\" x=\"8\" y=\"{:.1}\">{}</text>",
            frame.top - 12.0,
            escape(&self.y_name)
        );
        for tick in self.y.ticks(0.06) {
            let y = frame.y(self.y.place(tick));
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right:.1}\"/><text class=\"tick end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                LEFT - 8.0,
                y + 4.0,
                escape(&(self.y_label)(tick)),
            );
        }
        for tick in self.x.ticks(46.0 / self.size.width) {
            let x = frame.x(self.x.place(tick));
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{x:.1} {:.1}V{bottom:.1}\"/><text class=\"tick middle\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
                frame.top,
                bottom + 18.0,
                escape(&(self.x_label)(tick)),
            );
        }
        let _ = writeln!(
            svg,
            "<path class=\"axis\" d=\"M{LEFT} {:.1}V{bottom:.1}H{right:.1}\"/>\
             <text class=\"name middle\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            frame.top,
            f64::midpoint(LEFT, right),
            bottom + 38.0,
            escape(&self.x_name),
        );
    }

    fn write_line(&self, svg: &mut String, frame: &Frame, line: &Line) {
        let place = |mark: &Mark| (frame.x(self.x.place(mark.at)), frame.y(self.y.place(mark.value)));
        let _ = write!(svg, "<g class=\"{}\">", colour(line.number));
        let mut path = String::new();
        for mark in line.marks.iter().filter(|m| m.on_front) {
            let (x, y) = place(mark);
            let _ = write!(path, "{}{x:.1} {y:.1}", if path.is_empty() { 'M' } else { 'L' });
        }
        if !path.is_empty() {
            let _ = write!(svg, "<path class=\"line\" d=\"{path}\"/>");
        }
        for mark in &line.marks {
            let (x, y) = place(mark);
            let tip: Vec<String> = mark.tip.iter().map(|line| escape(line)).collect();
            let _ = write!(
                svg,
                "\n<g class=\"mark\"><title>{}</title>{}</g>",
                tip.join("\n"),
                shape(line.number, x, y, mark.on_front)
            );
        }
        svg.push_str("</g>\n");
    }
}

/// Where the plot is.
struct Frame {
    top: f64,
    size: Size,
}

impl Frame {
    fn x(&self, place: f64) -> f64 {
        LEFT + place * (self.size.width - LEFT - RIGHT)
    }

    fn y(&self, place: f64) -> f64 {
        self.top + (1.0 - place) * self.size.plot_height
    }
}

/// The left upper corner of each entry of the legend, row by row.
fn legend_places(lines: &[Line], room: f64) -> Vec<(f64, f64)> {
    let (mut x, mut y) = (8.0, 0.0);
    let mut places = Vec::new();
    for line in lines {
        let chars = line.name.chars().count().min(LEGEND_CHARS_MAX) as f64; // CAST: at most 60
        let entry = 27.0 + chars * CHAR_WIDTH + 18.0;
        if x > 8.0 && x + entry > room {
            (x, y) = (8.0, y + LEGEND_ROW);
        }
        places.push((x, y));
        x += entry;
    }
    places
}

/// The class of a run's colour.
pub(super) fn colour(number: usize) -> String {
    format!("s{}", number % COLOURS)
}

/// A mark; shapes tell runs apart where colours do not.
pub(super) fn shape(number: usize, x: f64, y: f64, filled: bool) -> String {
    let class = if filled { "dot" } else { "dot hollow" };
    match (number + number / COLOURS) % 4 {
        0 => format!("<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\"/>"),
        1 => format!("<path class=\"{class}\" d=\"M{:.1} {:.1}h8v8h-8z\"/>", x - 4.0, y - 4.0),
        2 => format!("<path class=\"{class}\" d=\"M{x:.1} {:.1}l5.5 5.5l-5.5 5.5l-5.5 -5.5z\"/>", y - 5.5),
        _ => format!("<path class=\"{class}\" d=\"M{x:.1} {:.1}l5.2 9h-10.4z\"/>", y - 5.5),
    }
}

/// A recall beside an axis.
pub(super) fn recall_label(recall: f64) -> String {
    let text = format!("{recall:.3}");
    let short = text.strip_suffix('0').unwrap_or(&text);
    short.to_owned()
}

/// The style sheet that charts need, in a page and on their own.
pub(super) fn style() -> &'static str {
    include_str!("chart.css")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_tips_are_escaped() {
        let x = Axis::recall([0.9].into_iter());
        let mark = Mark { at: 0.9, value: 5.0, tip: vec!["</title><b>".to_owned()], on_front: true };
        let chart = Chart {
            size: Size::HALF,
            title: "\"t\"".to_owned(),
            x_name: "<x>".to_owned(),
            y_name: "<y>".to_owned(),
            x: &x,
            y: Axis::log([5.0].into_iter()),
            lines: vec![Line { name: "<script>".to_owned(), number: 9, marks: vec![mark] }],
            x_label: recall_label,
            y_label: |v| format!("{v}"),
        };
        let svg = chart.svg();
        assert!(
            !svg.contains("<script>") && !svg.contains("<x>") && !svg.contains("<y>") && !svg.contains("<b>")
        );
        assert!(svg.contains("&lt;script&gt;") && svg.contains("&lt;/title&gt;&lt;b&gt;"));
        assert!(svg.contains("aria-label=\"&quot;t&quot;\""));
        assert!(svg.contains("class=\"s1\""));
    }

    #[test]
    fn recalls_are_short() {
        assert_eq!([0.0, 0.9, 0.995, 1.0].map(recall_label), ["0.00", "0.90", "0.995", "1.00"]);
    }

    #[test]
    fn legends_wrap() {
        let line = |name: &str| Line { name: name.repeat(10), number: 0, marks: Vec::new() };
        let places = legend_places(&[line("long "), line("longer "), line("long ")], 760.0);
        assert_eq!(places[0], (8.0, 0.0));
        assert!(places[2].1 > 0.0 && places.iter().all(|(x, _)| *x < 760.0));
    }
}
