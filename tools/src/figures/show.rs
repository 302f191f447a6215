//! How a figure of an operating point is written in a table.
use super::Params;
use super::units;

pub(super) fn settings(params: &Params) -> Option<String> {
    params.words()
}

pub(super) fn text(text: &Option<String>) -> Option<String> {
    text.clone()
}

pub(super) fn count(value: &Option<u64>) -> Option<String> {
    value.map(units::count)
}

pub(super) fn recall(recall: &f64) -> Option<String> {
    Some(format!("{recall:.4}"))
}

pub(super) fn recall_or_none(recall: &Option<f64>) -> Option<String> {
    recall.as_ref().and_then(self::recall)
}

pub(super) fn rate(rate: &f64) -> Option<String> {
    Some(units::three_digits(*rate))
}

pub(super) fn number(value: &Option<f64>) -> Option<String> {
    value.map(units::three_digits)
}

/// Microseconds as milliseconds.
pub(super) fn millis(micros: &Option<f64>) -> Option<String> {
    micros.map(|us| units::three_digits(us / 1e3))
}

/// Bytes in thousands.
pub(super) fn kilobytes(bytes: &Option<f64>) -> Option<String> {
    bytes.map(|bytes| units::three_digits(bytes / 1e3))
}

/// A share in percent.
pub(super) fn percent(share: &Option<f64>) -> Option<String> {
    share.map(|share| units::three_digits(100.0 * share))
}
