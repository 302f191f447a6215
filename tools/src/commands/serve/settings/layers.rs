//! Settings in three layers by one declaration: a flag, before the variable of its name, before the key of its name.
//!
//! Each value is read by the parser of the flag, wherever it stands: words and ranges hold in all three, and an error
//! says which variable, or which line of which file, has to change. Errors of flags are those of clap.
use std::collections::BTreeMap;
use std::env;
use std::error::Error as _;
use std::ffi::{OsStr, OsString};
use std::marker::PhantomData;
use std::path::Path;

use anyhow::bail;
use clap::builder::ValueParser;
use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, Id};
use serde::Deserialize;
use spandrel_names::{QUOTED_MAX, cut};
use toml::{Spanned, Value};

use super::values::Switch;
use crate::UsageError;

/// The flags of `T` that a command line gives, before the other layers are looked at.
#[derive(Debug, Clone)]
pub struct Flags<T> {
    given: BTreeMap<Id, Vec<OsString>>,
    of: PhantomData<T>,
}

/// A table of a file: keys with their values, and where they stand.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Keys(BTreeMap<String, Spanned<Value>>);

/// The file that a table is from.
#[derive(Debug, Clone, Copy)]
pub(super) struct File<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

/// The values of one setting, and the words for where they were found.
struct Found {
    values: Vec<OsString>,
    place: String,
    in_file: bool,
}

/// The settings that these flags give, and defaults for the others.
///
/// # Errors
/// Those of clap: unknown flags, and values that cannot be meant.
pub(in crate::commands) fn parse<T: Args>(
    words: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<T, clap::Error> {
    T::from_arg_matches(&command::<T>().try_get_matches_from(words)?)
}

impl<T: Args> Flags<T> {
    /// The settings, by all three layers.
    ///
    /// # Errors
    /// A value that its flag would not take, and a key without a flag.
    pub(super) fn resolve(&self, keys: &Keys, file: File<'_>) -> anyhow::Result<T> {
        let command = command::<T>();
        if let Some((key, value)) =
            keys.0.iter().find(|(key, _)| command.get_arguments().all(|arg| arg.get_id() != *key))
        {
            bail!("{}: unknown key '{key}'", file.place(value));
        }
        let mut words = Vec::new();
        for arg in command.get_arguments() {
            let Some(found) = self.find(arg, keys, file)? else { continue };
            let own = found.values.iter().filter_map(|value| word(arg, value)).collect::<Vec<_>>();
            if let Err(error) = check(&command, arg, &found.values, &own) {
                let shown: Vec<_> = found.values.iter().map(|value| value.to_string_lossy()).collect();
                let shown = shown.join("', '");
                let message = format!("{} is '{}': {error}", found.place, cut(&shown, QUOTED_MAX));
                if found.in_file {
                    bail!(message);
                }
                return Err(UsageError(message).into());
            }
            words.extend(own);
        }
        Ok(parse(words)?)
    }

    fn find(&self, arg: &Arg, keys: &Keys, file: File<'_>) -> anyhow::Result<Option<Found>> {
        if let Some(values) = self.given.get(arg.get_id()) {
            let place = format!("--{}", arg.get_long().unwrap_or_default());
            return Ok(Some(Found { values: values.clone(), place, in_file: false }));
        }
        let name = variable(arg);
        if let Some(value) = env::var_os(&name) {
            let values = split(arg, value);
            // An empty list says nothing.
            if !values.is_empty() {
                return Ok(Some(Found { values, place: name, in_file: false }));
            }
        }
        let Some(value) = keys.0.get(arg.get_id().as_str()) else { return Ok(None) };
        let place = format!("{}: {}", file.place(value), arg.get_id());
        let values = match value.get_ref() {
            Value::Array(all) if matches!(arg.get_action(), ArgAction::Append) => {
                all.iter().map(text).collect()
            }
            one => text(one).map(|one| vec![one]),
        };
        let Some(mut values) = values else { bail!("{place}: expected a word, a number, true or false") };
        if arg.get_value_parser().type_id() == ValueParser::path_buf().type_id() {
            values.iter_mut().for_each(|path| *path = file.folder().join(&*path).into());
        }
        Ok(Some(Found { values, place, in_file: true }))
    }
}

impl File<'_> {
    /// The folder that paths in the file count from.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// The line of a byte of the file.
    pub(super) fn line(&self, at: usize) -> String {
        let number = 1 + self.text.get(..at).unwrap_or_default().matches('\n').count();
        format!("{}: line {number}", self.path.display())
    }

    /// The key that a byte of the file belongs to, where its line gives one a value.
    pub(super) fn key(&self, at: usize) -> Option<&str> {
        let before = self.text.get(..at)?.rsplit('\n').next()?;
        let key = before.split_once('=')?.0.trim();
        Some(key).filter(|key| !key.is_empty())
    }

    fn place(&self, value: &Spanned<Value>) -> String {
        self.line(value.span().start)
    }
}

/// The values of a variable: several paths as in `PATH`.
fn split(arg: &Arg, value: OsString) -> Vec<OsString> {
    match arg.get_action() {
        ArgAction::Append => {
            let named = env::split_paths(&value).filter(|path| !path.as_os_str().is_empty());
            named.map(Into::into).collect()
        }
        _ => vec![value],
    }
}

/// The variable of a setting, by the name of its flag.
fn variable(arg: &Arg) -> String {
    format!("SPANDREL_{}", arg.get_id().as_str().to_uppercase())
}

fn command<T: Args>() -> Command {
    T::augment_args(Command::new("settings").no_binary_name(true))
}

/// The flag with a value; none for a switch that is off.
fn word(arg: &Arg, value: &OsStr) -> Option<OsString> {
    let mut word = OsString::from("--");
    word.push(arg.get_long().unwrap_or_default());
    if is_switch(arg) {
        return (switch(value) == Some(Switch::On)).then_some(word);
    }
    word.push("=");
    word.push(value);
    Some(word)
}

fn is_switch(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

fn switch(value: &OsStr) -> Option<Switch> {
    Switch::of(value.to_str()?)
}

/// Why these values cannot be meant, if so.
fn check(command: &Command, arg: &Arg, values: &[OsString], words: &[OsString]) -> Result<(), String> {
    if is_switch(arg) && values.iter().any(|value| switch(value).is_none()) {
        return Err(Switch::EXPECTED.to_owned());
    }
    let Err(error) = command.clone().try_get_matches_from(words) else { return Ok(()) };
    if let Some(ContextValue::Strings(known)) = error.get(ContextKind::ValidValue) {
        if known.iter().all(|word| Switch::of(word).is_some()) {
            return Err(Switch::EXPECTED.to_owned());
        }
        return Err(format!("expected {}", known.join(" or ")));
    }
    Err(error.source().map_or_else(|| error.kind().to_string(), ToString::to_string))
}

/// A value of a file as a flag would be given it.
fn text(value: &Value) -> Option<OsString> {
    match value {
        Value::String(text) => Some(text.into()),
        Value::Integer(number) => Some(number.to_string().into()),
        Value::Float(number) => Some(number.to_string().into()),
        Value::Boolean(on) => Some(on.to_string().into()),
        Value::Datetime(_) | Value::Array(_) | Value::Table(_) => None,
    }
}

impl<T: Args> FromArgMatches for Flags<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Flags<T>, clap::Error> {
        let on_command_line =
            |arg: &&Arg| matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
        let raw = |arg: &Arg| {
            let values = matches.get_raw(arg.get_id().as_str()).into_iter().flatten();
            (arg.get_id().clone(), values.map(OsStr::to_owned).collect())
        };
        let given = command::<T>().get_arguments().filter(on_command_line).map(raw).collect();
        Ok(Flags { given, of: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Flags::from_arg_matches(matches)?;
        Ok(())
    }
}

impl<T: Args> Args for Flags<T> {
    fn augment_args(command: Command) -> Command {
        let named = |mut command: Command, arg: &Arg| {
            let help = format!("{} [env: {}]", arg.get_help().cloned().unwrap_or_default(), variable(arg));
            command = command.mut_arg(arg.get_id(), |arg| arg.help(help));
            command
        };
        self::command::<T>().get_arguments().fold(T::augment_args(command), named)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Flags::<T>::augment_args(command)
    }

    fn group_id() -> Option<Id> {
        T::group_id()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::serve::settings::values::whole;
    use std::path::PathBuf;

    /// Settings of a few kinds.
    #[derive(Debug, PartialEq, Args)]
    struct Kinds {
        /// A number.
        #[arg(long, default_value_t = 7, value_parser = whole::<u32>(1..=u32::MAX.into()))]
        layers_test_count: u32,
        /// Folders.
        #[arg(long)]
        folder: Vec<PathBuf>,
        /// A switch.
        #[arg(long)]
        layers_test_on: bool,
    }

    fn resolve(words: &[&str], text: &str) -> anyhow::Result<Kinds> {
        let command = Flags::<Kinds>::augment_args(Command::new("test").no_binary_name(true));
        let flags = Flags::<Kinds>::from_arg_matches(&command.try_get_matches_from(words)?)?;
        flags.resolve(&toml::from_str(text)?, File { path: Path::new("/etc/kinds.toml"), text })
    }

    #[test]
    fn flags_go_before_variables_before_the_file() {
        let all = "folder = ['a', '/b']\nlayers_test_count = 3\nlayers_test_on = true";
        let found = resolve(&[], all).unwrap();
        let expected =
            Kinds { layers_test_count: 3, folder: vec!["/etc/a".into(), "/b".into()], layers_test_on: true };
        assert_eq!(found, expected);
        let flags = resolve(&["--layers-test-count", "5", "--folder", "c"], all).unwrap();
        assert_eq!(flags, Kinds { layers_test_count: 5, folder: vec!["c".into()], ..expected });
        let none = resolve(&[], "layers_test_on = false").unwrap();
        assert_eq!(none, Kinds { layers_test_count: 7, folder: vec![], layers_test_on: false });
    }

    #[test]
    fn what_cannot_be_meant_names_its_line() {
        for (text, says) in [
            (
                "folder = 'a'\nlayers_test_count = 0",
                "/etc/kinds.toml: line 2: layers_test_count is '0': expected a whole number from 1 to",
            ),
            (
                "layers_test_count = 'x'",
                "line 1: layers_test_count is 'x': expected a whole number from 1 to",
            ),
            ("layers_test_on = 'perhaps'", "line 1: layers_test_on is 'perhaps': expected true or false"),
            ("\n\nlayers_test_count = {}", "line 3: layers_test_count: expected a word, a number"),
            ("\nlayers_test_kount = 1", "line 2: unknown key 'layers_test_kount'"),
        ] {
            let error = format!("{:#}", resolve(&[], text).unwrap_err());
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_variable_names_several_folders_as_path_does() {
        let command = command::<Kinds>();
        let of = |id: &str, value: &str| {
            let arg = command.get_arguments().find(|arg| arg.get_id() == id).unwrap();
            split(arg, value.into())
        };
        assert_eq!(of("folder", ":/a:/b c:"), ["/a", "/b c"]);
        assert!(of("folder", "").is_empty());
        assert_eq!(of("layers_test_count", "1:2"), ["1:2"]);
    }

    #[test]
    fn help_names_the_variable() {
        let help = Flags::<Kinds>::augment_args(Command::new("test")).render_help().to_string();
        assert!(help.contains("A number [env: SPANDREL_LAYERS_TEST_COUNT] [default: 7]"), "{help}");
    }
}
