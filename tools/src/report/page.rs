//! The comparison as one page of HTML that needs nothing from outside.
use std::fmt::Write as _;

use crate::figures::{COLUMNS, Column, Point};

use super::chart::{colour, shape, style};
use super::equal_recall::{AtRecall, RECALLS, qps_at};
use super::escape::escape;
use super::plots;
use super::series::{Comparison, Series};
use super::text::{FACTS, Fact, rate_cell, ratio_cell};

/// A page with charts, tables and the explanation of every column shown.
pub fn page(comparison: &Comparison) -> String {
    let mut html = String::new();
    // Writing to a string does not fail, here and below.
    let _ = write!(
        html,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Spandrel: recall and cost</title>\n<style>\n{}{}</style>\n</head>\n<body>\n<main>\n",
        include_str!("page.css"),
        style()
    );
    write_head(&mut html, comparison);
    write_equal_recall(&mut html, comparison);
    write_charts(&mut html, comparison);
    write_points(&mut html, comparison);
    write_columns(&mut html, comparison);
    html.push_str("</main>\n</body>\n</html>\n");
    html
}

fn write_head(html: &mut String, comparison: &Comparison) {
    let (runs, points) = (comparison.series.len(), comparison.points().count());
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let mut about = format!("{runs} run{}, {points} operating point{}", plural(runs), plural(points));
    if let Some(threads) = comparison.only(|p| p.threads) {
        about += &format!(", {threads} thread{}", if threads == 1 { "" } else { "s" });
    }
    if let Some(io) = comparison.only(|p| p.io.clone()) {
        about += &format!(", reads by {io}");
    }
    if let Some(direct) = comparison.only(|p| p.direct) {
        about += if direct { ", past the page cache" } else { ", through the page cache" };
    }
    let _ = writeln!(html, "<h1>Recall and cost</h1>\n<p class=\"dim\">{}</p>", escape(&about));
    if let Some(machine) = comparison.only(|p| p.machine.clone()) {
        let _ = writeln!(html, "<p class=\"dim\">{}</p>", escape(&machine));
    }
    for caution in comparison.cautions() {
        let _ = writeln!(html, "<p class=\"note\">Caution: {}.</p>", escape(&caution));
    }
}

fn write_equal_recall(html: &mut String, comparison: &Comparison) {
    let with_ratios = comparison.series.len() > 1;
    let recall_name = escape(&comparison.recall_name());
    let facts: Vec<Fact> =
        FACTS.into_iter().filter(|(_, cell)| comparison.series.iter().any(|s| cell(s).is_some())).collect();
    let _ = write!(
        html,
        "<h2>Queries per second at equal {recall_name}</h2>\n<div class=\"scroll\"><table>\n<thead><tr><th class=\"word\">run</th>"
    );
    for recall in RECALLS {
        let _ = write!(html, "<th>at {recall:.2}</th>");
        if with_ratios {
            html.push_str("<th>ratio</th>");
        }
    }
    for (name, _) in &facts {
        let _ = write!(html, "<th>{name}</th>");
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    let best = RECALLS.map(|recall| {
        let rates = comparison.series.iter().filter_map(|s| qps_at(&s.recall_qps(), recall).rate());
        rates.fold(0.0, f64::max)
    });
    for (number, series) in comparison.series.iter().enumerate() {
        let _ = write!(html, "<tr><td class=\"word wide\">{}{}</td>", swatch(number), escape(&series.name));
        for (recall, best) in RECALLS.into_iter().zip(best) {
            let at = qps_at(&series.recall_qps(), recall);
            let is_best = with_ratios && at == AtRecall::Rate(best);
            write_cell(html, rate_cell(at), if is_best { " class=\"best\"" } else { "" });
            if with_ratios {
                write_cell(html, ratio_cell(series, &comparison.series[0], recall), "");
            }
        }
        for (_, cell) in &facts {
            write_cell(html, cell(series), "");
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody></table></div>\n<p class=\"dim\">");
    html.push_str(
        "Between two measured points of a run's best line, the logarithm of the rate is interpolated over recall; \
         nothing is extrapolated. &ge;: every point measured has more recall, and the fastest gives this rate; \
         &ndash;: no point has that much recall.",
    );
    if with_ratios {
        let _ = write!(html, " Ratios are to the first run, {}.", escape(&comparison.series[0].name));
    }
    html.push_str("</p>\n");
}

fn write_charts(html: &mut String, comparison: &Comparison) {
    let x = plots::recall_axis(comparison);
    let _ = write!(
        html,
        "<h2>Curves</h2>\n<figure>\n{}<figcaption>Higher and further right is better. A line joins the points of a \
         run that no other point of it beats in both; points beaten are hollow. Rest the pointer on a point for its \
         settings.</figcaption>\n</figure>\n<div class=\"charts\">\n",
        plots::recall_qps(comparison, &x)
    );
    let p50 = plots::latency(comparison, &x, "p50", |p| p.p50_us);
    let p99 = plots::latency(comparison, &x, "p99", |p| p.p99_us);
    let bytes = plots::read_bytes(comparison, &x);
    for (svg, caption) in [
        (p50, "Half of the queries took no longer. Lower and further right is better."),
        (p99, "99 of 100 queries took no longer. Lower and further right is better."),
        (bytes, "What a query costs the disk. Lower and further right is better."),
    ] {
        if let Some(svg) = svg {
            let _ = write!(html, "<figure>\n{svg}<figcaption>{caption}</figcaption>\n</figure>\n");
        }
    }
    html.push_str("</div>\n");
}

fn shown_columns<'a>(points: impl Iterator<Item = &'a Point> + Clone) -> Vec<&'static Column> {
    let is_told = |column: &&Column| points.clone().any(|p| (column.cell)(p).is_some());
    COLUMNS.iter().filter(is_told).collect()
}

fn write_points(html: &mut String, comparison: &Comparison) {
    html.push_str("<h2>Operating points</h2>\n");
    for (number, series) in comparison.series.iter().enumerate() {
        let _ = writeln!(html, "<h3>{}{}</h3>", swatch(number), escape(&series.name));
        write_series(html, series);
    }
    html.push_str("<p class=\"dim\">Grey rows are beaten in recall and rate by another row.</p>\n");
}

fn write_series(html: &mut String, series: &Series) {
    let columns = shown_columns(series.points.iter());
    html.push_str("<div class=\"scroll\"><table>\n<thead><tr>");
    for column in &columns {
        let _ = write!(html, "<th{}>{}</th>", word_class(column), escape(column.head));
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for (point, is_beaten) in series.points.iter().zip(series.beaten()) {
        html.push_str(if is_beaten { "<tr class=\"beaten\">" } else { "<tr>" });
        for column in &columns {
            write_cell(html, (column.cell)(point), word_class(column));
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody></table></div>\n");
}

fn write_columns(html: &mut String, comparison: &Comparison) {
    html.push_str("<h2>What the columns mean</h2>\n<dl>\n");
    for column in shown_columns(comparison.points()) {
        let _ = writeln!(html, "<dt>{}</dt><dd>{}</dd>", escape(column.head), escape(column.about()));
    }
    for (name, about) in [
        ("build", "How long building the index took."),
        ("on disk", "Bytes of the index's files."),
        ("memory", "Bytes the open index accounts for: heads, head index, directory, ids, codes, caches."),
        (
            "anonymous",
            "Anonymous memory of the whole process once warm, queries and truth included, as the kernel counts it.",
        ),
    ] {
        let _ = writeln!(html, "<dt>{name}</dt><dd>{about}</dd>");
    }
    html.push_str("</dl>\n");
}

fn word_class(column: &Column) -> &'static str {
    if column.head == "settings" { " class=\"word wide\"" } else { "" }
}

fn write_cell(html: &mut String, cell: Option<String>, class: &str) {
    let text = cell.map_or_else(|| "&ndash;".to_owned(), |c| escape(&c).replace("&gt;=", "&ge;"));
    let _ = write!(html, "<td{class}>{text}</td>");
}

/// The mark of a run beside its name.
fn swatch(number: usize) -> String {
    let mark = shape(number, 8.0, 8.0, true);
    format!(
        "<svg class=\"swatch {}\" viewBox=\"0 0 16 16\" aria-hidden=\"true\">{mark}</svg>",
        colour(number)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::{Params, example};

    #[test]
    fn nothing_from_a_file_becomes_markup() {
        let evil = "<script>alert(1)</script>\"'&";
        let point = Point {
            label: Some(evil.to_owned()),
            machine: Some(evil.to_owned()),
            io: Some(evil.to_owned()),
            params: Params::Other(serde_json::json!({ evil: evil })),
            ..example()
        };
        let other = Point { recall: 0.9, qps: 1.0, ..Point::default() };
        let html =
            page(&Comparison::of(vec![(evil.to_owned(), vec![point]), (evil.to_owned(), vec![other])]));
        assert!(!html.contains("<script"));
        assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;"));
    }

    #[test]
    fn the_page_needs_nothing_from_outside() {
        let html =
            page(&Comparison::of(vec![("run".to_owned(), vec![Point { qps_spread: None, ..example() }])]));
        let without_namespace = html.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
        for outside in ["http:", "https:", "url(", "@import", "src=", "href=", "<link"] {
            assert!(!without_namespace.contains(outside), "{outside}");
        }
        assert_eq!(html.matches("<figure>").count(), html.matches("</figure>").count());
        assert_eq!(html.matches("<figure>").count(), 4);
        assert!(html.contains("<dt>kB read</dt>") && !html.contains("<dt>spread %</dt>"));
    }
}
