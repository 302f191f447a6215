//! The command line as a whole. Each sub-command defines its own flags.
use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::commands::{
    admin, bench, build, calibrate, completions, cur, data, demo, fuse, inspect, join, man, plan, query,
    recall, report, serve, switch, verify,
};
use crate::values::OutputFormat;

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

/// Where flags of every command stand in its help: behind its own.
const LAST: usize = 900;

/// Vector search over more vectors than memory holds: codes in memory, vectors on SSD.
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
    #[arg(long, short, global = true, display_order = LAST)]
    pub quiet: bool,
    /// What results on standard output look like: text for people, or json for programs.
    #[arg(
        long,
        global = true,
        display_order = LAST,
        value_enum,
        value_name = "text|json",
        default_value_t,
        hide_possible_values = true
    )]
    pub format: OutputFormat,
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
    /// Find again what recall to expect of an index, without building it anew.
    Calibrate(Box<calibrate::CalibrateArgs>),
    /// Say what an index consists of.
    Inspect(inspect::InspectArgs),
    /// Read an index from end to end and say whether it is whole.
    Verify(verify::VerifyArgs),
    /// Put a version of an index in force that its folder still has.
    #[command(disable_version_flag = true)]
    Switch(switch::SwitchArgs),
    /// Find the nearest vectors of each query.
    Query(Box<query::QueryArgs>),
    /// Find the nearest vectors of every row of a file, or of the index itself, list by list.
    Join(Box<join::JoinArgs>),
    /// Make vectors of items and queries from scores, so that an index finds candidates for a scorer.
    Cur(Box<cur::CurArgs>),
    /// Fuse files of answers to the same queries by their ranks.
    Fuse(fuse::FuseArgs),
    /// Measure an index: recall, queries per second, latency, reads; or measure a disk.
    Bench(Box<bench::BenchArgs>),
    /// Measure the recall of an index against exact search.
    Recall(Box<recall::RecallArgs>),
    /// Compare the figures of several runs.
    Report(report::ReportArgs),
    /// Serve indexes over gRPC.
    Serve(Box<serve::ServeArgs>),
    /// Manage the indexes of a server.
    Admin(Box<admin::AdminArgs>),
    /// Print a script that lets a shell complete commands and flags.
    Completions(completions::CompletionsArgs),
    /// Write a manual page for each command.
    Man(man::ManArgs),
}

/// Reads a command line. Where it needs a server and names none, the one that `SPANDREL_SERVER` names is asked.
///
/// # Errors
/// What cannot be meant, as clap tells it, and requests for help.
pub fn parse(words: Vec<OsString>, server: Option<OsString>) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(&words).or_else(|error| {
        let Some(server) = server.filter(|_| error.kind() == ErrorKind::MissingRequiredArgument) else {
            return Err(error);
        };
        let flag = [OsString::from("--server"), server];
        let again = Cli::try_parse_from(words.into_iter().chain(flag));
        again.map_err(|again| if again.kind() == ErrorKind::UnknownArgument { error } else { again })
    })
}

/// The commands that take the folder of an index by itself, without a flag.
pub const OF_A_FOLDER: [&str; 3] = ["inspect", "verify", "switch"];

/// The sub-command that a word means which names none.
pub fn meant_by(word: &str) -> Option<&'static str> {
    match word {
        "search" | "find" => Some("query"),
        "index" => Some("build"),
        "info" => Some("inspect"),
        "check" => Some("verify"),
        _ => None,
    }
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
    fn the_environment_names_a_server_where_no_index_is_given() {
        let server = |line: &str| {
            let words = line.split(' ').map(OsString::from).collect();
            match parse(words, Some("there:1".into()))?.command {
                Command::Query(args) => Ok::<_, clap::Error>(args.server.server),
                _ => Ok(None),
            }
        };
        assert_eq!(server("spandrel query --queries q").unwrap().as_deref(), Some("there:1"));
        assert_eq!(server("spandrel query --queries q --rpc unary").unwrap().as_deref(), Some("there:1"));
        assert_eq!(server("spandrel query --queries q --server here:2").unwrap().as_deref(), Some("here:2"));
        assert_eq!(server("spandrel query --queries q --index i").unwrap(), None);
        let missing = server("spandrel query").unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::MissingRequiredArgument);
        assert!(missing.to_string().contains("--queries"), "{missing}");
        assert!(server("spandrel inspect").unwrap_err().to_string().contains("<DIR>"));
    }

    /// A heading of a group went on to the flags behind it: `--out` stood under how the index is read.
    #[test]
    fn flags_stand_under_their_own_heading() {
        fn check(command: &clap::Command) {
            for arg in command.get_arguments() {
                let own: &[&str] = match arg.get_help_heading() {
                    Some("How files of vectors are read") => &["input_format", "dtype", "allow_truncated"],
                    Some("How the index is read") => {
                        &["codes", "vectors", "distances", "cache", "cache_policy", "threads", "io", "direct"]
                    }
                    Some("How thoroughly to search") => &[
                        "recall",
                        "epsilon",
                        "max_lists",
                        "min_head_score",
                        "rerank",
                        "rerank_errors",
                        "completeness",
                    ],
                    _ => continue,
                };
                assert!(own.contains(&arg.get_id().as_str()), "{} {}", command.get_name(), arg.get_id());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
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
