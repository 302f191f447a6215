//! A real server process under real clients: answers, refusals, load, faults, bad clients, replacement, stopping.
#![expect(clippy::unwrap_used, reason = "a test says what went wrong by failing there")]
mod support;

mod admin;
mod answers;
mod approved;
mod attention;
mod changes;
mod column;
mod confined;
mod document_content;
mod documents;
mod embedding;
mod encrypted;
mod filters;
mod head_score;
mod holding;
mod hostile;
mod lifecycle;
mod load;
mod page;
mod ranges;
mod raw;
mod recall;
mod refusals;
mod secure;
mod silent;
#[cfg(feature = "otel")]
mod traces;
mod union;
