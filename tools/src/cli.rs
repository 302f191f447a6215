//! The command line as a whole. Each sub-command defines its own flags.
use std::error::Error as _;
use std::ffi::OsString;
use std::num::{ParseFloatError, ParseIntError};

use clap::error::{ContextKind, ContextValue, ErrorKind};
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

/// What a command takes in the place of an argument that it misses.
pub const ALTERNATIVES: [Alternative; 6] = [
    Alternative { command: "query", missing: "--index <DIR>", other: "--server <HOST:PORT>" },
    Alternative {
        command: "bench",
        missing: "--index <DIR>",
        other: "--server <HOST:PORT>, or --disk <DIR>",
    },
    Alternative { command: "join", missing: "--queries <FILE>", other: "--self" },
    Alternative { command: "plan", missing: "--vectors <N>", other: "--base <FILE>" },
    Alternative { command: "cur", missing: "--scores <FILE>", other: "--query-scores <FILE>" },
    Alternative { command: "data", missing: "<NAME>", other: "--list" },
];

/// Another argument that a command takes.
#[derive(Debug, Clone, Copy)]
pub struct Alternative {
    /// The command.
    pub command: &'static str,
    /// The argument, as an error names it.
    pub missing: &'static str,
    /// What stands in its place.
    pub other: &'static str,
}

/// Names, in an error about arguments that are missing from a command line of these words, what may stand in their place.
pub fn name_alternatives(mut error: clap::Error, words: &[OsString]) -> clap::Error {
    let Some(ContextValue::Strings(missing)) = error.get(ContextKind::InvalidArg) else { return error };
    if error.kind() != ErrorKind::MissingRequiredArgument {
        return error;
    }
    let named = missing.iter().map(|missing| {
        let is_its = |of: &&Alternative| of.missing == missing && words.iter().any(|word| word == of.command);
        match ALTERNATIVES.iter().find(is_its) {
            Some(Alternative { other, .. }) => format!("{missing} or {other}"),
            None => missing.clone(),
        }
    });
    let named = named.collect();
    error.insert(ContextKind::InvalidArg, ContextValue::Strings(named));
    error
}

/// What to write in the place of a word that is no number, or a negative one.
pub fn expected_number(error: &clap::Error, words: &[OsString]) -> Option<String> {
    match error.kind() {
        ErrorKind::ValueValidation => match error.source()? {
            cause if cause.is::<ParseIntError>() => Some("a whole number is expected".to_owned()),
            cause if cause.is::<ParseFloatError>() => Some("a number is expected, such as 0.5".to_owned()),
            _ => None,
        },
        ErrorKind::UnknownArgument => {
            let Some(ContextValue::String(unknown)) = error.get(ContextKind::InvalidArg) else { return None };
            // Of `-12` the parser names `-1`.
            let is_it = |word: &str| word.starts_with(unknown) && word.parse::<f64>().is_ok();
            let at = words.iter().position(|word| word.to_str().is_some_and(is_it))?;
            let flag = words.get(at.checked_sub(1)?)?.to_str().filter(|flag| flag.starts_with("--"))?;
            Some(format!("{flag} takes no negative number"))
        }
        _ => None,
    }
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

    #[test]
    fn what_may_stand_in_the_place_of_a_missing_argument_is_named() {
        for (line, says) in [
            ("query --queries q", "--index <DIR> or --server <HOST:PORT>"),
            ("bench --queries q", "--index <DIR> or --server <HOST:PORT>, or --disk <DIR>"),
            ("join --index i --out o", "--queries <FILE> or --self"),
            ("plan", "--vectors <N> or --base <FILE>"),
            ("cur", "--scores <FILE> or --query-scores <FILE>"),
            ("data get", "<NAME> or --list"),
        ] {
            let words: Vec<OsString> =
                ["spandrel", "-q"].into_iter().chain(line.split(' ')).map(Into::into).collect();
            let text = name_alternatives(parse(words.clone(), None).unwrap_err(), &words).to_string();
            assert!(text.contains(says), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_says_what_is_expected() {
        for (line, says) in [
            ("query --queries q --index i --k lots", Some("a whole number is expected")),
            ("query --queries q --index i --radius far", Some("a number is expected, such as 0.5")),
            ("query --queries q --index i --k -12", Some("--k takes no negative number")),
            ("query --queries q --index i -k 3", None),
            ("query --queries q --index i --k 0", None),
        ] {
            let words: Vec<OsString> =
                ["spandrel"].into_iter().chain(line.split(' ')).map(Into::into).collect();
            let error = parse(words.clone(), None).unwrap_err();
            assert_eq!(expected_number(&error, &words).as_deref(), says, "{line}");
        }
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
