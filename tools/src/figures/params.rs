//! How a search was set: our own knobs, or what another program calls its own.
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use spandrel_engine::{Rerank, SearchParams};

/// The knobs of a search of ours; what is not given is left to the index.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointParams {
    /// Recall asked for; the knobs below are then what that comes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recall: Option<f64>,
    /// A list is read if its head is at most `1 + epsilon` times as far as the nearest one; none: no such bound.
    pub epsilon: Option<f32>,
    /// Most lists read.
    pub max_lists: Option<u32>,
    /// Lists with heads of a smaller inner product are not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_head_score: Option<f32>,
    /// Vectors compared exactly after their codes were scanned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rerank: Option<u32>,
    /// Standard errors by which estimates may be too large.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rerank_errors: Option<f32>,
}

impl PointParams {
    /// A search for `k` neighbours with these.
    pub fn search(&self, k: usize) -> SearchParams {
        SearchParams {
            recall: self.recall,
            epsilon: self.epsilon,
            max_lists: self.max_lists,
            min_head_score: self.min_head_score,
            rerank: self.rerank.map(Rerank::Count).or(self.rerank_errors.map(Rerank::Errors)),
            ..SearchParams::new(k)
        }
    }
}

/// The settings of any program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Params {
    /// Ours.
    Ours(PointParams),
    /// Those of another library's script, as JSON of any form.
    Other(Value),
}

/// Longest text of settings shown.
const SETTINGS_CHARS_MAX: usize = 120;

impl Params {
    /// Our own knobs, all unset where another program was measured.
    pub fn ours(&self) -> PointParams {
        match self {
            Params::Ours(params) => *params,
            Params::Other(_) => PointParams::default(),
        }
    }

    /// The settings in a few words: `epsilon=0.2 max_lists=64`; none where there are none.
    pub fn words(&self) -> Option<String> {
        let words = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let text = match self {
            Params::Ours(params) => params.to_string(),
            Params::Other(Value::Null) => String::new(),
            Params::Other(Value::Object(map)) => {
                let set = map.iter().filter(|(_, value)| !value.is_null());
                set.map(|(name, value)| format!("{name}={}", words(value))).collect::<Vec<_>>().join(" ")
            }
            Params::Other(other) => words(other),
        };
        Some(shortened(&text, SETTINGS_CHARS_MAX)).filter(|text| !text.is_empty())
    }
}

impl Default for Params {
    fn default() -> Params {
        Params::Ours(PointParams::default())
    }
}

impl From<PointParams> for Params {
    fn from(params: PointParams) -> Params {
        Params::Ours(params)
    }
}

impl fmt::Display for PointParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = [
            ("recall", self.recall.map(|value| value.to_string())),
            ("epsilon", self.epsilon.map(|value| value.to_string())),
            ("max_lists", self.max_lists.map(|value| value.to_string())),
            ("min_head_score", self.min_head_score.map(|value| value.to_string())),
            ("rerank", self.rerank.map(|value| value.to_string())),
            ("rerank_errors", self.rerank_errors.map(|value| value.to_string())),
        ];
        let set = named.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?)));
        f.write_str(&set.collect::<Vec<_>>().join(" "))
    }
}

/// The text, cut to a number of characters.
pub(crate) fn shortened(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    text.chars().take(chars_max - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_short() {
        let words = |text: &str| serde_json::from_str::<Params>(text).unwrap().words();
        assert_eq!(words(r#"{"ef": 40, "name": "x", "none": null}"#).unwrap(), "ef=40 name=x");
        assert_eq!(words(r#"{"epsilon": 0.2, "max_lists": null}"#).unwrap(), "epsilon=0.2");
        assert_eq!(words(r#""complexity 30""#).unwrap(), "complexity 30");
        assert_eq!(words("null"), None);
        assert_eq!(words("{}"), None);
        assert_eq!(words(&format!("\"{}\"", "y".repeat(1000))).unwrap().chars().count(), SETTINGS_CHARS_MAX);
    }
}
