//! API tokens and clients' certificates: who may search and who may manage.
//!
//! A file of lines: `search TOKEN [NAME]` and `admin TOKEN [NAME]`, where the log calls a token by its name, and
//! `search certificate NAME` and `admin certificate NAME`, where NAME is a DNS name, a URI or the common name in a client's
//! certificate, or `*` for any. Empty lines and those beginning with `#` are skipped. Clients send
//! `authorization: Bearer TOKEN`. Tokens are compared in constant time and never logged.
//!
//! Without a file a client with a certificate may search, and where no certificates are asked for everybody may do
//! everything.
mod file;
mod scope;

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use http::HeaderValue;
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};
use tokio::sync::watch;
use tonic::Code;

pub use self::file::TokensError;
use self::file::{ANY, Entries};
pub(crate) use self::scope::Scope;
use crate::fresh::{Stamps, keep_fresh};

/// The name of callers who need to show nothing.
pub(crate) static ANYBODY: LazyLock<Arc<str>> = LazyLock::new(|| "anybody".into());

/// Who makes a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) scope: Scope,
    /// The token's name, or the certificate's; never a secret.
    pub(crate) name: Arc<str>,
}

/// What a call shows of its caller.
#[derive(Debug, Clone, Default)]
pub(crate) struct Credentials {
    /// The `authorization` header.
    pub(crate) header: Option<HeaderValue>,
    /// Names in the client's certificate, where one was asked for.
    pub(crate) certificate: Option<Arc<[String]>>,
}

/// Why a call is refused for what it shows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    #[error("no token; send the header `authorization: Bearer TOKEN`")]
    NoToken,
    #[error("unknown token")]
    UnknownToken,
    #[error("the token's scope is search, this call needs admin")]
    Token { name: Arc<str> },
    #[error(
        "the client's certificate is good for search, this call needs admin; the file of --tokens can allow it"
    )]
    Certificate { name: Arc<str> },
}

impl Denied {
    pub(crate) fn code(&self) -> Code {
        match self {
            Denied::NoToken | Denied::UnknownToken => Code::Unauthenticated,
            Denied::Token { .. } | Denied::Certificate { .. } => Code::PermissionDenied,
        }
    }

    /// Who was refused, where that is known.
    pub(crate) fn caller(&self) -> &str {
        match self {
            Denied::NoToken | Denied::UnknownToken => "unknown",
            Denied::Token { name } | Denied::Certificate { name } => name,
        }
    }
}

/// The tokens of a server, the newest that could be read.
#[derive(Clone, Default)]
pub(crate) struct Tokens {
    entries: watch::Sender<Arc<Entries>>,
    stamps: Arc<Stamps>,
}

impl Tokens {
    /// Reads a file of tokens.
    pub(crate) fn open(path: &Path) -> Result<Tokens, TokensError> {
        // Taken before reading, so that a change meanwhile is seen later.
        let stamps = Stamps::of(vec![path.to_owned()]);
        Ok(Tokens { entries: watch::Sender::new(Arc::new(Entries::read(path)?)), stamps: Arc::new(stamps) })
    }

    /// Reads the file again when it changes.
    pub(crate) async fn keep_fresh(self, path: PathBuf) {
        let read = || Entries::read(&path).map(|fresh| drop(self.entries.send_replace(Arc::new(fresh))));
        keep_fresh("tokens", Stamps::clone(&self.stamps), read).await;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.borrow().is_empty()
    }

    /// Whether the file speaks of certificates.
    pub(crate) fn names_certificates(&self) -> bool {
        !self.entries.borrow().certificates.is_empty()
    }

    /// Refuses a call that shows nothing which gives it a scope of at least `needed`.
    pub(crate) fn check(&self, shown: &Credentials, needed: Scope) -> Result<Caller, Denied> {
        let entries = Arc::clone(&self.entries.borrow());
        if entries.is_empty() {
            return match shown.certificate.as_deref() {
                None => Ok(Caller { scope: Scope::Admin, name: Arc::clone(&ANYBODY) }),
                Some(names) if needed > Scope::Search => {
                    Err(Denied::Certificate { name: first_of(names).into() })
                }
                Some(names) => Ok(Caller { scope: Scope::Search, name: first_of(names).into() }),
            };
        }
        let by_token = match shown.header.as_ref().and_then(|header| bearer(header.as_bytes())) {
            Some(token) => Some(entries.caller_of(token).ok_or(Denied::UnknownToken)?),
            None => None,
        };
        let by_certificate = shown.certificate.as_deref().and_then(|names| entries.certified(names));
        let has_token = by_token.is_some();
        let callers = by_token.into_iter().chain(by_certificate);
        let best = callers.reduce(|a, b| if b.scope > a.scope { b } else { a }).ok_or(Denied::NoToken)?;
        match best {
            best if best.scope >= needed => Ok(best),
            Caller { name, .. } if has_token => Err(Denied::Token { name }),
            Caller { name, .. } => Err(Denied::Certificate { name }),
        }
    }
}

/// What a call was let in with.
#[derive(Clone)]
pub(crate) struct Pass {
    pub(crate) tokens: Tokens,
    pub(crate) shown: Credentials,
    pub(crate) needed: Scope,
}

impl Pass {
    /// Who makes the call, if it may be made.
    pub(crate) fn check(&self) -> Result<Caller, Denied> {
        self.tokens.check(&self.shown, self.needed)
    }

    /// Returns once the call would not be let in any more: why.
    pub(crate) async fn revoked(&self) -> Denied {
        let mut changes = self.tokens.entries.subscribe();
        loop {
            if let Err(denied) = self.check() {
                return denied;
            }
            // The sender lives in `self`, so that waiting cannot fail.
            drop(changes.changed().await);
        }
    }
}

impl Entries {
    fn caller_of(&self, token: &[u8]) -> Option<Caller> {
        let mut found = u64::MAX;
        // All are compared, so that the time tells nothing about which is nearly right.
        for (number, candidate) in (0..).zip(&self.tokens) {
            found.conditional_assign(&number, candidate.secret.ct_eq(token));
        }
        let token = self.tokens.get(usize::try_from(found).ok()?)?;
        Some(Caller { scope: token.scope, name: Arc::clone(&token.name) })
    }

    /// What lines for certificates with these names allow.
    fn certified(&self, names: &[String]) -> Option<Caller> {
        let fitting = self.certificates.iter().filter(|(_, name)| name == ANY || names.contains(name));
        let &(scope, ref name) = fitting.max_by_key(|(scope, _)| *scope)?;
        let name = if name == ANY { first_of(names) } else { format!("certificate {name}") };
        Some(Caller { scope, name: name.into() })
    }
}

fn first_of(names: &[String]) -> String {
    match names.first() {
        Some(name) => format!("certificate {name}"),
        None => "a certificate without names".to_owned(),
    }
}

/// The token in an `authorization` header. The case of its scheme does not matter.
fn bearer(header: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"bearer ";
    let (scheme, token) = header.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then(|| token.trim_ascii_start())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use tokio::time::timeout;

    use super::file::Token;
    use super::*;

    fn read(text: &str) -> Result<Tokens, TokensError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        std::fs::write(&path, text).unwrap();
        Tokens::open(&path)
    }

    fn shown(header: Option<&str>, certificate: Option<&[&str]>) -> Credentials {
        Credentials {
            header: header.map(|text| HeaderValue::from_str(text).unwrap()),
            certificate: certificate.map(|names| names.iter().map(|name| (*name).to_owned()).collect()),
        }
    }

    #[test]
    fn scopes_are_kept_apart() {
        let tokens =
            read("# ours\n\nsearch  0123456789abcdef\nadmin fedcba9876543210  the night shift\n").unwrap();
        let check = |header: Option<&str>, needed| tokens.check(&shown(header, None), needed);
        let name = |header, needed| check(Some(header), needed).unwrap().name.to_string();
        assert_eq!(name("Bearer 0123456789abcdef", Scope::Search), "line 3");
        let refused = check(Some("Bearer 0123456789abcdef"), Scope::Admin).unwrap_err();
        assert_eq!(refused, Denied::Token { name: "line 3".into() });
        assert_eq!(name("Bearer fedcba9876543210", Scope::Admin), "the night shift");
        assert_eq!(name("bearer  fedcba9876543210", Scope::Search), "the night shift");
        for none in [None, Some("0123456789abcdef"), Some("Basic 0123456789abcdef"), Some("")] {
            assert_eq!(check(none, Scope::Search), Err(Denied::NoToken), "{none:?}");
        }
        for wrong in ["Bearer 0123456789abcdeF", "Bearer ", "Bearer 0"] {
            assert_eq!(check(Some(wrong), Scope::Search), Err(Denied::UnknownToken), "{wrong:?}");
        }
        assert_eq!(Tokens::default().check(&shown(None, None), Scope::Admin).unwrap().scope, Scope::Admin);
    }

    #[test]
    fn certificates_allow_what_the_file_says() {
        let (ops, app): (&[&str], &[&str]) = (&["ops.example"], &["app.example", "spiffe://app"]);
        let scope = |tokens: &Tokens, header, names| {
            let allowed = |needed| tokens.check(&shown(header, Some(names)), needed);
            allowed(Scope::Admin).or_else(|_| allowed(Scope::Search)).map(|caller| caller.scope)
        };
        // Without a file a certificate is good for searching.
        let none = Tokens::default();
        assert_eq!(scope(&none, None, ops), Ok(Scope::Search));
        let refused = none.check(&shown(None, Some(ops)), Scope::Admin).unwrap_err();
        assert_eq!(refused, Denied::Certificate { name: "certificate ops.example".into() });

        let named = read("admin certificate ops.example\nsearch certificate spiffe://app\n").unwrap();
        assert_eq!(scope(&named, None, ops), Ok(Scope::Admin));
        assert_eq!(scope(&named, None, app), Ok(Scope::Search));
        assert_eq!(scope(&named, None, &["stranger"]), Err(Denied::NoToken));
        assert_eq!(named.check(&shown(None, None), Scope::Search), Err(Denied::NoToken));
        assert_eq!(scope(&named, Some("Bearer 0123456789abcdef"), ops), Err(Denied::UnknownToken));

        let mixed = read("search certificate *\nadmin 0123456789abcdef\n").unwrap();
        assert_eq!(scope(&mixed, None, &["stranger"]), Ok(Scope::Search));
        assert_eq!(scope(&mixed, Some("Bearer 0123456789abcdef"), app), Ok(Scope::Admin));
    }

    #[tokio::test]
    async fn a_token_that_goes_is_told() {
        let tokens = read("search 0123456789abcdef\nsearch fedcba9876543210\n").unwrap();
        let write = |text: &str| {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("tokens"), text).unwrap();
            let fresh = Entries::read(&folder.path().join("tokens")).unwrap();
            tokens.entries.send_replace(Arc::new(fresh));
        };
        let one = shown(Some("Bearer 0123456789abcdef"), None);
        let pass = Pass { tokens: tokens.clone(), shown: one, needed: Scope::Search };
        let revoked = pass.revoked();
        let mut revoked = std::pin::pin!(revoked);
        let soon = Duration::from_millis(1);
        assert!(timeout(soon, revoked.as_mut()).await.is_err());
        write("search 0123456789abcdef\n");
        assert!(timeout(soon, revoked.as_mut()).await.is_err(), "another one went");
        write("search fedcba9876543210\n");
        assert_eq!(revoked.await, Denied::UnknownToken);
    }

    #[test]
    fn hostile_files_are_read_or_refused_without_telling_tokens() {
        const SECRET: &str = "very-secret-0123456789";
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let good = format!("search {SECRET} alice\nadmin certificate ops\n# a remark\nadmin {SECRET}-too\n");
        let (mut read, mut refused) = (0, 0);
        for _ in 0..2000 {
            let mut bytes = good.clone().into_bytes();
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(0..bytes.len());
                match rng.random_range(0..4) {
                    0 => bytes[at] = rng.random(),
                    1 => bytes[at] = b" \t\n\r\0#"[rng.random_range(0..6)],
                    2 => bytes.truncate(at + 1),
                    _ => drop(bytes.drain(at / 2..at)),
                }
                if bytes.is_empty() {
                    break;
                }
            }
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("tokens");
            std::fs::write(&path, &bytes).unwrap();
            match Entries::read(&path) {
                Ok(entries) => {
                    let is_sound = |token: &Token| {
                        token.secret.len() >= 16
                            && token.secret.iter().all(u8::is_ascii_graphic)
                            && !token.name.chars().any(char::is_control)
                    };
                    assert!(!entries.is_empty() && entries.tokens.iter().all(is_sound), "{bytes:?}");
                    read += 1;
                }
                Err(error) => {
                    assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
                    refused += 1;
                }
            }
        }
        assert!(read > 100 && refused > 100, "{read} read, {refused} refused");
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
            "search 0123456789abcdef\nadmin 0123456789abcdef\n",
            "admin certificate\n",
        ] {
            let error = read(text).map(|_| ()).unwrap_err().to_string();
            assert!(!error.contains("01234"), "{error}");
        }
    }
}
