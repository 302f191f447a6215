//! The command line as a whole. Each sub-command defines its own flags.
use clap::{Parser, Subcommand};

use crate::commands::{bench, build, data, demo, inspect, plan, query, report, serve, verify};

const EXAMPLES: &str = "\
Examples:
  spandrel demo
  spandrel build --base base.fbin --metric l2 --out index --memory 4GiB
  spandrel query --index index --queries queries.fbin --k 10
  spandrel data truth --base base.fbin --queries queries.fbin --metric l2 --out truth.ibin
  spandrel bench --index index --queries queries.fbin --truth truth.ibin --max-lists 16,32,64 --json ours.json
  spandrel serve --index vectors=index
  spandrel report ours.json theirs.json --html report.html

Results go to standard output, progress to standard error.
Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.";

/// Search among more vectors than memory holds: an index on disk, its heads in memory.
#[derive(Debug, Parser)]
#[command(
    name = "spandrel",
    version,
    after_help = EXAMPLES,
    arg_required_else_help = true,
    propagate_version = true,
    max_term_width = 110
)]
pub struct Cli {
    /// Show no progress and no remarks.
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// A sub-command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Try everything once: make vectors, build, verify, search, report, serve.
    Demo(Box<demo::DemoArgs>),
    /// Fetch, make, convert and describe files of vectors.
    Data(data::DataArgs),
    /// Say what a build would take: memory, disk, and what searching keeps in memory.
    Plan(plan::PlanArgs),
    /// Build an index from a file of vectors.
    Build(Box<build::BuildArgs>),
    /// Say what an index consists of.
    Inspect(inspect::InspectArgs),
    /// Read an index from end to end and say whether it is whole.
    Verify(verify::VerifyArgs),
    /// Find the nearest vectors of each query.
    Query(Box<query::QueryArgs>),
    /// Measure an index: recall, queries per second, latency, reads; or measure a disk.
    Bench(Box<bench::BenchArgs>),
    /// Compare the figures of several runs.
    Report(report::ReportArgs),
    /// Serve indexes over gRPC.
    Serve(Box<serve::ServeArgs>),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_is_explained() {
        fn check(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for arg in command.get_arguments() {
                assert!(arg.get_help().is_some(), "{} {}", command.get_name(), arg.get_id());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn wrong_command_lines_are_refused() {
        for line in [
            "spandrel",
            "spandrel fly",
            "spandrel data truth --base b --queries q --metric l3 --out t.ibin",
            "spandrel data truth --base b --queries q --metric l2 --out t.ibin --k 0",
            "spandrel data crop a.fbin b.fbin --rows 5..5",
            "spandrel data get",
            "spandrel report",
            "spandrel data info a.fbin --unknown",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
        assert!(Cli::try_parse_from("spandrel data info a.fbin -q".split(' ')).is_ok_and(|cli| cli.quiet));
    }
}
