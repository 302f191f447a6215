//! API tokens: who may search and who may manage.
//!
//! A file of lines `scope token`, scope `search` or `admin`; empty lines and those beginning with `#` are skipped.
//! Clients send `authorization: Bearer TOKEN`. Tokens are compared in constant time and never logged.
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use subtle::{Choice, ConstantTimeEq as _};
use tonic::Status;

use crate::fresh::keep_fresh;

/// What a token allows. Admin allows everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    Search,
    Admin,
}

/// Shortest token accepted: shorter ones can be guessed.
const TOKEN_BYTES_MIN: usize = 16;

/// Why a file of tokens was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokensError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] std::io::Error),
    /// A line is no token. Its text is kept back.
    #[error("{path}: line {line}: {problem}, expected `search TOKEN` or `admin TOKEN`")]
    Line {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong.
        problem: &'static str,
    },
    /// Nobody could use the server.
    #[error("{path}: no tokens in it")]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// The tokens of a server, the newest that could be read; none means that everybody may do everything.
#[derive(Clone, Default)]
pub(crate) struct Tokens(Arc<ArcSwap<Entries>>);

/// What each allows, and its bytes.
type Entries = Vec<(Scope, Vec<u8>)>;

impl Tokens {
    /// Reads a file of tokens.
    pub(crate) fn open(path: &Path) -> Result<Tokens, TokensError> {
        Ok(Tokens(Arc::new(ArcSwap::from_pointee(read(path)?))))
    }

    /// Reads the file again when it changes.
    pub(crate) async fn keep_fresh(self, path: PathBuf) {
        let read = || read(&path).map(|fresh| self.0.store(Arc::new(fresh)));
        keep_fresh("tokens", vec![path.clone()], read).await;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.load().is_empty()
    }

    /// Refuses a call whose `authorization` header does not give it a scope of at least `needed`.
    pub(crate) fn check(&self, header: Option<&[u8]>, needed: Scope) -> Result<(), Status> {
        if self.is_empty() {
            return Ok(());
        }
        let Some(token) = header.and_then(|header| header.strip_prefix(b"Bearer ")) else {
            return Err(Status::unauthenticated("no token; send the header `authorization: Bearer TOKEN`"));
        };
        let (mut known, mut allowed) = (Choice::from(0), Choice::from(0));
        // All are compared, so that the time tells nothing about which is nearly right.
        for (scope, candidate) in self.0.load().iter() {
            let same = candidate.ct_eq(token);
            known |= same;
            allowed |= same & Choice::from(u8::from(*scope >= needed));
        }
        if bool::from(allowed) {
            Ok(())
        } else if bool::from(known) {
            Err(Status::permission_denied("the token's scope is search, this call needs admin"))
        } else {
            Err(Status::unauthenticated("unknown token"))
        }
    }
}

fn read(path: &Path) -> Result<Entries, TokensError> {
    let text = fs_err::read_to_string(path)?;
    let mut tokens = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let refused = |problem| TokensError::Line { path: path.to_owned(), line, problem };
        let (scope, token) = text.split_once(char::is_whitespace).ok_or(refused("one word"))?;
        let scope = match scope {
            "search" => Scope::Search,
            "admin" => Scope::Admin,
            _ => return Err(refused("unknown scope")),
        };
        let token = token.trim().as_bytes();
        if token.len() < TOKEN_BYTES_MIN {
            return Err(refused("a token of less than 16 characters"));
        }
        if !token.iter().all(u8::is_ascii_graphic) {
            return Err(refused("a token with characters that no header may hold"));
        }
        tokens.push((scope, token.to_vec()));
    }
    if tokens.is_empty() {
        return Err(TokensError::Empty { path: path.to_owned() });
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn read(text: &str) -> Result<Tokens, TokensError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        std::fs::write(&path, text).unwrap();
        Tokens::open(&path)
    }

    #[test]
    fn scopes_are_kept_apart() {
        let tokens = read("# ours\n\nsearch  0123456789abcdef\nadmin fedcba9876543210\n").unwrap();
        let code = |header: Option<&str>, needed| {
            tokens.check(header.map(str::as_bytes), needed).map_err(|s| s.code())
        };
        assert_eq!(code(Some("Bearer 0123456789abcdef"), Scope::Search), Ok(()));
        assert_eq!(code(Some("Bearer 0123456789abcdef"), Scope::Admin), Err(Code::PermissionDenied));
        assert_eq!(code(Some("Bearer fedcba9876543210"), Scope::Admin), Ok(()));
        assert_eq!(code(Some("Bearer fedcba9876543210"), Scope::Search), Ok(()));
        for wrong in [
            None,
            Some("0123456789abcdef"),
            Some("Bearer 0123456789abcdeF"),
            Some("Bearer "),
            Some("Bearer 0"),
        ] {
            assert_eq!(code(wrong, Scope::Search), Err(Code::Unauthenticated), "{wrong:?}");
        }
        assert!(Tokens::default().check(None, Scope::Admin).is_ok());
    }

    #[test]
    fn bad_files_are_refused_without_telling_tokens() {
        for text in [
            "",
            "# none\n",
            "search short\n",
            "root 0123456789abcdef\n",
            "0123456789abcdef\n",
            "search 0123456789abcde\u{e9}\n",
        ] {
            let error = read(text).map(|_| ()).unwrap_err().to_string();
            assert!(!error.contains("01234"), "{error}");
        }
    }
}
