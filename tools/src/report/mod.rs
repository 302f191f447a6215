//! Comparing operating points of several runs: tables for a terminal, a page and a plot for people.
//!
//! Promises: nothing from a file reaches a page unescaped; the page needs nothing from outside; every point of
//! a file is shown. It measures nothing.
mod axis;
mod chart;
mod equal_recall;
mod escape;
mod front;
mod json;
mod load;
mod page;
mod plots;
mod series;
mod text;

pub use equal_recall::{AtRecall, RECALLS, qps_at};
pub use front::{Better, front};
pub use json::json;
pub use load::{LoadError, load};
pub use page::page;
pub use plots::{memory_qps_svg, recall_qps_svg};
pub use series::{Comparison, Series};
pub use text::text;
