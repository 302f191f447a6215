//! A file of settings: `[server]` with the keys of [`Settings`], and `[[index]]`.
use std::fmt::Display;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::anyhow;
use serde::{Deserialize, Deserializer};
use spandrel_engine::Distances;
use spandrel_index::Tier;

use super::declared::Settings;
use super::layers::{File, Flags, Keys};
use crate::values::parse_index_name;

/// A file of settings that was read.
#[derive(Debug, Default)]
pub(in crate::commands) struct SettingsFile {
    path: PathBuf,
    text: String,
    tables: Tables,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Tables {
    index: Vec<IndexEntry>,
    server: Keys,
}

/// An index in a file of settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::commands) struct IndexEntry {
    #[serde(deserialize_with = "name")]
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// The version to serve; if none is named, the one that was approved, else the one in force.
    #[serde(default, deserialize_with = "number")]
    pub(super) version: Option<u64>,
    #[serde(default, deserialize_with = "parsed")]
    pub(super) codes: Option<Tier>,
    #[serde(default, deserialize_with = "parsed")]
    pub(super) vectors: Option<Tier>,
    #[serde(default, deserialize_with = "parsed")]
    pub(super) distances: Option<Distances>,
}

/// A value written as a word.
fn parsed<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(from: D) -> Result<Option<T>, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map(Some).map_err(|e| serde::de::Error::custom(format!("'{text}': {e}")))
}

/// A name that an index can be served under.
fn name<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    parse_index_name(&String::deserialize(from)?).map_err(serde::de::Error::custom)
}

/// A version of an index.
fn number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    match NonZeroU64::deserialize(from) {
        Ok(version) => Ok(Some(version.get())),
        Err(_) => Err(serde::de::Error::custom("expected a whole number of 1 or more")),
    }
}

impl SettingsFile {
    /// Reads a file; the paths in it count from its folder.
    pub(in crate::commands) fn read(path: &Path) -> anyhow::Result<SettingsFile> {
        let text = fs_err::read_to_string(path)?;
        let file = File { path, text: &text };
        let mut tables: Tables = toml::from_str(&text).map_err(|error| {
            let at = error.span().map_or(0, |at| at.start);
            let (line, key) = (file.line(at), file.key(at).map(|key| format!("{key}: ")).unwrap_or_default());
            anyhow!("{line}: {key}{}", error.message().replace('\n', "; "))
        })?;
        tables.index.iter_mut().for_each(|index| index.path = file.folder().join(&index.path));
        Ok(SettingsFile { path: path.to_owned(), text, tables })
    }

    /// The settings of a server, by these flags, the environment and this file.
    ///
    /// # Errors
    /// A value that cannot be meant, with its place.
    pub(in crate::commands) fn settings(&self, flags: &Flags<Settings>) -> anyhow::Result<Settings> {
        flags.resolve(&self.tables.server, File { path: &self.path, text: &self.text })
    }

    /// Indexes to be served.
    pub(in crate::commands) fn indexes(&self) -> &[IndexEntry] {
        &self.tables.index
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::commands::serve::settings::layers::parse;

    fn read(text: &str) -> anyhow::Result<(Settings, SettingsFile)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("serve.toml");
        std::fs::write(&path, text).unwrap();
        let file = SettingsFile::read(&path)?;
        Ok((file.settings(&parse::<Flags<Settings>>([""; 0])?)?, file))
    }

    #[test]
    fn files_say_what_flags_say() {
        let (settings, file) = read(
            "[server]\nlisten = '127.0.0.1:1'\nmax_k = 5\nmax_lists = 6\nmax_rerank = 7\nmax_documents = 8\nmax_document_vectors = 9\nmetrics = 'off'\nhealth = true\ntokens = 'tokens'\n\
             [[index]]\nname = 'a'\npath = 'there'\nvectors = 'memory'\n[[index]]\nname = 'b'\npath = '/abs'\n",
        )
        .unwrap();
        let dirs = ["a=here".parse().unwrap()];
        let config = settings.config(&dirs, file.indexes()).unwrap();
        assert_eq!(config.listen.port(), 1);
        assert_eq!((config.limits.k_max, config.metrics), (5, None));
        assert_eq!((config.limits.lists_max, config.limits.rerank_max), (6, 7));
        assert_eq!((config.limits.documents_max, config.limits.document_vectors_max), (8, 9));
        assert!(config.tokens.unwrap().is_absolute(), "counted from the file's folder");
        let paths: Vec<(&str, &Path)> =
            config.indexes.iter().map(|i| (i.name.as_str(), i.path.as_path())).collect();
        assert_eq!(paths, [("a", Path::new("here")), ("b", Path::new("/abs"))]);
    }

    #[test]
    fn switches_are_written_in_many_ways() {
        for (word, is_on) in
            [("'on'", true), ("'yes'", true), ("1", true), ("true", true), ("'no'", false), ("0", false)]
        {
            let names = ["health", "reflection", "insecure", "metrics_insecure", "recall_correct"];
            let lines = names.map(|name| format!("{name} = {word}\n")).concat();
            let text = format!("[server]\ndirect = {word}\n{lines}[[index]]\nname = 'a'\npath = 'b'\n");
            let (settings, file) = read(&text).unwrap();
            let corrects = settings.recall_correct;
            let config = settings.config(&[], file.indexes()).unwrap();
            let found =
                [config.health, config.reflection, config.insecure, config.metrics_insecure, corrects];
            assert_eq!(found, [is_on; 5], "{word}");
            assert_eq!(config.engine.direct.to_string(), if is_on { "on" } else { "off" });
        }
    }

    #[test]
    fn hostile_files_are_read_or_refused_with_their_line() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let good = "[server]\nlisten = '127.0.0.1:1'\nmax_k = 5\nqueue_delay_ms = 20\nmax_message = '4MiB'\n\
                    [[index]]\nname = 'a'\npath = 'there'\nvectors = 'memory'\n";
        let (mut read_well, mut refused) = (0, 0);
        for _ in 0..2000 {
            let mut text: Vec<char> = good.chars().collect();
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(0..text.len());
                let char = ['0', '9', '\'', '\n', '[', '=', '-', 'é', '\0', 'x'][rng.random_range(0..10)];
                match rng.random_range(0..3) {
                    0 => text[at] = char,
                    1 => text.insert(at, char),
                    _ => drop(text.remove(at)),
                }
            }
            match read(&text.into_iter().collect::<String>()) {
                Ok(_) => read_well += 1,
                Err(error) => {
                    assert!(error.to_string().contains("line "), "{error}");
                    refused += 1;
                }
            }
        }
        assert!(read_well > 50 && refused > 1000, "{read_well} read, {refused} refused");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (text, says) in [
            ("[server]\nlisten = 'here'", "line 2: listen is 'here': expected an address"),
            ("[server]\nunknown = 1", "line 2: unknown key 'unknown'"),
            ("listen = '127.0.0.1:1'", "line 1: unknown field"),
            ("[[index]]\nname = 'a'", "missing field `path`"),
            ("[[index]]\nname = 'a'\npath = 'b'\ncodes = 'tape'", "line 4: codes: 'tape': "),
            ("[[index]]\nname = 7\npath = 'b'", "line 2: name: invalid type: integer `7`, expected a string"),
            (
                "[[index]]\nname = 'a b'\npath = 'b'",
                "line 2: name: 'a b' is no name of an index, expected 1 to 64 of A-Z",
            ),
            (
                "[[index]]\nname = 'a'\npath = 'b'\nversion = 'new'",
                "line 4: version: expected a whole number of 1 or more",
            ),
            ("[[index]]\nname = 'a'\npath = 'b'\nversion = 0", "line 4: version: expected a whole number"),
            (
                "[server]\nmax_k = 'lots'",
                "line 2: max_k is 'lots': expected a whole number from 1 to 4294967295",
            ),
            ("[server]\nthreads = 'all'", "line 2: threads is 'all': expected a whole number from 1 to 1024"),
            ("[server]\ncodes = 'tape'", "line 2: codes is 'tape': "),
            ("[server]\nhealth = 'sick'", "line 2: health is 'sick': expected true or false, on or off, yes"),
            ("[server]\ninsecure = 'so'", "line 2: insecure is 'so': expected true or false, on or off, yes"),
            ("[server]\n\nmax_k = 0", "line 3: max_k is '0': expected a whole number from 1 to"),
            ("[server]\nmax_message = '1'", "line 2: max_message is '1': 1 bytes, expected 1024 to"),
            (
                "[server]\ndegrade_effort_min = 0.0",
                "line 2: degrade_effort_min is '0': expected a number above 0",
            ),
            ("x", "line 1: "),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
