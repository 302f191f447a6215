//! What may be meant by a command line that cannot be, and errors of bearable length.
use std::ffi::OsString;

use clap::CommandFactory as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use spandrel_names::{QUOTED_MAX, cut};

use crate::cli::{Cli, OF_A_FOLDER};

/// Says, of an argument that a command does not take, which command has that flag, or that the folder stands behind `--index`: flags of
/// similar spelling mean something else.
pub fn say_what_is_meant(mut error: clap::Error, words: &[OsString]) -> clap::Error {
    let Some(ContextValue::String(unknown)) = error.get(ContextKind::InvalidArg) else { return error };
    if error.kind() != ErrorKind::UnknownArgument {
        return error;
    }
    let mut all = Cli::command();
    all.build();
    let mut words = words.iter();
    let Some(asked) = words.find_map(|word| all.find_subcommand(word)) else { return error };
    if unknown == "--index" && OF_A_FOLDER.contains(&asked.get_name()) {
        return error;
    }
    let asked = words.find_map(|word| asked.find_subcommand(word)).unwrap_or(asked);
    let has = |of: &clap::Command, flag: &str| of.get_arguments().any(|arg| arg.get_long() == Some(flag));
    let tip = match unknown.strip_prefix("--") {
        Some(flag) => {
            let others = all
                .get_subcommands()
                .filter(|of| has(of, flag))
                .map(|of| format!("'spandrel {}'", of.get_name()));
            let others: Vec<String> = others.collect();
            (!others.is_empty()).then(|| format!("--{flag} is a flag of {}", others.join(", ")))
        }
        None if !unknown.starts_with('-') && has(asked, "index") => Some(format!(
            "the folder of the index stands behind its flag: 'spandrel {} --index DIR'",
            asked.get_name()
        )),
        None => None,
    };
    if let Some(tip) = tip {
        error.remove(ContextKind::SuggestedArg);
        // That with the flag of similar spelling.
        error.insert(ContextKind::Usage, ContextValue::StyledStr(asked.clone().render_usage()));
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

/// Shortens the words that an error quotes where they are long: a value may be a filter of a megabyte.
pub fn cut_quotes(mut error: clap::Error) -> clap::Error {
    let long = error.context().filter_map(|(kind, value)| match value {
        ContextValue::String(text) => Some((kind, cut(text, QUOTED_MAX).into_owned())),
        _ => None,
    });
    for (kind, text) in long.collect::<Vec<_>>() {
        error.insert(kind, ContextValue::String(text));
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parse;
    use clap::Parser as _;

    /// `calibrate DIR` was told of no index, and `bench --explain` of `--embedding-version`.
    #[test]
    fn what_another_command_takes_is_said() {
        for (line, says) in [
            ("calibrate there", "'spandrel calibrate --index DIR'"),
            ("join there --self --out o.ibin", "'spandrel join --index DIR'"),
            ("bench --index i --queries q --truth t --explain", "--explain is a flag of 'spandrel query'"),
            ("build --base b --metric l2 --out o --explain", "--explain is a flag of 'spandrel query'"),
            ("build --base b --metric l2 --out o --memori 1GiB", "--memory"),
            ("join data --self --out o.ibin", "'spandrel join --index DIR'"),
            ("bench --index build --queries q --truth t --explain", "Usage: spandrel bench"),
            ("data truth --base b --explain", "Usage: spandrel data truth"),
        ] {
            let words: Vec<OsString> =
                ["spandrel"].into_iter().chain(line.split(' ')).map(Into::into).collect();
            let text = say_what_is_meant(parse(words.clone(), None).unwrap_err(), &words).to_string();
            assert!(text.contains(says), "{text}");
            assert!(text.matches("tip:").count() == 1 && !text.contains("--plain-codes"), "{text}");
        }
    }

    #[test]
    fn long_words_are_quoted_in_part() {
        let long = "x".repeat(200_000);
        for (words, says) in [
            (
                &["query", "--index", "i", "--queries", "q", "--filter", &long][..],
                "at byte 200000 of the filter",
            ),
            (&["query", "--index", "i", "--queries", "q", "--k", &long], "invalid digit"),
            (&["inspect", "i", &long], "unexpected argument 'xxx"),
            (&[&long], "unrecognized subcommand 'xxx"),
        ] {
            let error = Cli::try_parse_from([&["spandrel"], words].concat()).unwrap_err();
            let text = cut_quotes(error).to_string();
            assert!(text.len() < 2000 && text.contains(says), "{text}");
        }
    }
}
