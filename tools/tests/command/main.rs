//! The program as a user runs it: exit codes, and which stream says what.
#![expect(clippy::unwrap_used, reason = "helpers of tests, outside of test functions")]
mod binariser;
mod build;
mod cur;
mod data;
mod documents;
mod faults;
mod filters;
mod fuse;
mod join;
mod json;
mod partition;
mod sample;
mod search;
mod settings;
mod support;
mod union;
mod usage;
