//! Tests that need more than one package. One binary, so that it is linked once.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing there")]
mod support;

mod answers;
mod attributes;
mod aware;
mod binariser;
mod cache;
mod calibrate;
mod codebooks;
mod column;
mod corruption;
mod crash;
mod default_recall;
mod documents;
mod encoded;
mod estimates;
mod explain;
mod faults;
mod filter;
mod filter_plans;
mod golden;
mod measured;
mod mixtures;
mod odd;
mod outliers;
mod partition;
mod promise;
mod ranges;
mod recalibrated;
mod recall;
mod runs;
mod scorer;
mod segments;
mod sweep;
mod words;
