//! The command line as a whole. Each sub-command defines its own flags.
use clap::{Parser, Subcommand};

use crate::commands::{build, data, plan, report};

const EXAMPLES: &str = "\
Examples:
  spandrel data generate sift --vectors 200000 --out base.u8bin --queries 1000 --queries-out queries.u8bin
  spandrel data truth --base base.u8bin --queries queries.u8bin --metric l2 --out truth.ibin
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
    /// Fetch, make, convert and describe files of vectors.
    Data(data::DataArgs),
    /// Say what a build would take: memory, disk, and what searching keeps in memory.
    Plan(plan::PlanArgs),
    /// Build an index from a file of vectors.
    Build(Box<build::BuildArgs>),
    /// Compare the figures of several runs.
    Report(report::ReportArgs),
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
