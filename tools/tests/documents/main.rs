//! What the documents say is so: commands and flags exist, commands run and print what is shown, links lead somewhere.
#![expect(clippy::unwrap_used, reason = "helpers of tests, outside of test functions")]
mod architecture;
mod commands;
mod decisions;
mod guarantees;
mod links;
mod names;
mod output;
mod text;
