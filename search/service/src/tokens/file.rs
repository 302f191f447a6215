//! The file of tokens and of certificates' names.
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::scope::Scope;

/// Shortest token accepted: shorter ones can be guessed.
const TOKEN_BYTES_MIN: usize = 16;
/// The word that a certificate's name follows; too short for a token.
const CERTIFICATE: &str = "certificate";
/// Stands for the name of any certificate.
pub(super) const ANY: &str = "*";

/// Why a file of tokens was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokensError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] std::io::Error),
    /// A line is no token and no certificate. Its text is kept back.
    #[error(
        "{path}: line {line}: {problem}, expected `search TOKEN [NAME]`, `admin TOKEN [NAME]`, `search certificate NAME` or `admin certificate NAME`",
        path = path.display()
    )]
    Line {
        /// File of tokens.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong.
        problem: &'static str,
    },
    /// Nobody could use the server.
    #[error("{path}: no tokens in it", path = path.display())]
    Empty {
        /// File of tokens.
        path: PathBuf,
    },
}

pub(super) struct Token {
    pub(super) scope: Scope,
    pub(super) secret: Vec<u8>,
    /// What the log calls it: the name behind it, or its line.
    pub(super) name: Arc<str>,
}

/// What a file says.
#[derive(Default)]
pub(super) struct Entries {
    pub(super) tokens: Vec<Token>,
    /// Certificates by a name in them.
    pub(super) certificates: Vec<(Scope, String)>,
}

impl Entries {
    pub(super) fn is_empty(&self) -> bool {
        self.tokens.is_empty() && self.certificates.is_empty()
    }

    pub(super) fn read(path: &Path) -> Result<Entries, TokensError> {
        let text = fs_err::read_to_string(path)?;
        let mut entries = Entries::default();
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let taken = entries.take(line, text);
            taken.map_err(|problem| TokensError::Line { path: path.to_owned(), line, problem })?;
        }
        match entries.is_empty() {
            true => Err(TokensError::Empty { path: path.to_owned() }),
            false => Ok(entries),
        }
    }

    fn take(&mut self, line: usize, text: &str) -> Result<(), &'static str> {
        let (scope, rest) = text.split_once(char::is_whitespace).ok_or("one word")?;
        let scope = match scope {
            "search" => Scope::Search,
            "admin" => Scope::Admin,
            _ => return Err("unknown scope"),
        };
        let (secret, name) = rest.trim().split_once(char::is_whitespace).unwrap_or((rest.trim(), ""));
        let name = name.trim();
        if name.chars().any(char::is_control) {
            return Err("a name with control characters");
        }
        if secret == CERTIFICATE {
            if name.is_empty() {
                return Err("a certificate without a name");
            }
            self.certificates.push((scope, name.to_owned()));
            return Ok(());
        }
        if secret.len() < TOKEN_BYTES_MIN {
            return Err("a token of less than 16 characters");
        }
        if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("a token with characters that no header may hold");
        }
        let secret = secret.as_bytes().to_vec();
        if self.tokens.iter().any(|token| token.secret == secret) {
            return Err("a token for the second time");
        }
        let name = if name.is_empty() { format!("line {line}").into() } else { name.into() };
        self.tokens.push(Token { scope, secret, name });
        Ok(())
    }
}
