//! What the address of a server says: a host and a port, and perhaps whether TLS is used.

/// What is no address of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{address}' is no address of a server: {what}")]
pub struct BadAddress {
    /// Address as the caller gave it.
    pub address: String,
    /// What to write in its place.
    pub what: &'static str,
}

/// An address that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Address<'a> {
    /// Host and port.
    pub(crate) authority: &'a str,
    /// Whether it was written with `https://`.
    pub(crate) asks_tls: bool,
}

impl<'a> Address<'a> {
    /// Reads `HOST:PORT`, also as the beginning of a URL: `http://HOST:PORT` without TLS, `https://HOST:PORT` with it.
    ///
    /// # Errors
    /// [`BadAddress`] of anything else, and of `http://` where `with_tls` says that TLS was asked for.
    pub(crate) fn read(text: &'a str, with_tls: bool) -> Result<Address<'a>, BadAddress> {
        let wrong = |what: &'static str| BadAddress { address: text.to_owned(), what };
        let (scheme, rest) = match text.trim().split_once("://") {
            Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
            None => (None, text.trim()),
        };
        let asks_tls = match scheme.as_deref() {
            Some("http") if with_tls => {
                return Err(wrong(
                    "http:// is without TLS, which was asked for; write https://HOST:PORT or HOST:PORT",
                ));
            }
            Some("https") => true,
            None | Some("http") => false,
            Some(_) => return Err(wrong("write HOST:PORT, or https://HOST:PORT for TLS")),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '@', '?', '#']) {
            return Err(wrong("write HOST:PORT and nothing behind or before it"));
        }
        let Some((host, port)) = authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) else {
            return Err(wrong("the port is missing: write HOST:PORT, such as 127.0.0.1:7700"));
        };
        if host.is_empty() {
            return Err(wrong("the host is missing: write HOST:PORT, such as 127.0.0.1:7700"));
        }
        if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
            return Err(wrong("write HOST:PORT, an address of IPv6 in brackets, such as [::1]:7700"));
        }
        match port.parse::<u16>() {
            Ok(1..) => Ok(Address { authority, asks_tls }),
            _ => Err(wrong("the port is no number from 1 to 65535: write HOST:PORT, such as 127.0.0.1:7700")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_may_begin_as_urls() {
        for (text, authority, asks_tls) in [
            ("127.0.0.1:7700", "127.0.0.1:7700", false),
            ("there:7700", "there:7700", false),
            ("[::1]:7700", "[::1]:7700", false),
            ("http://there:7700", "there:7700", false),
            ("http://there:7700/", "there:7700", false),
            ("there:7700/", "there:7700", false),
            ("HTTPS://there:7700/", "there:7700", true),
        ] {
            let read = Address::read(text, false).unwrap();
            assert_eq!(read, Address { authority, asks_tls }, "{text}");
        }
        assert!(Address::read("https://there:1", true).is_ok());
    }

    #[test]
    fn what_is_no_address_says_what_to_write() {
        for (text, with_tls, says) in [
            ("there", false, "the port is missing"),
            ("http://there", false, "the port is missing"),
            ("[::1]", false, "the port is missing"),
            ("::1:7700", false, "in brackets"),
            (":7700", false, "the host is missing"),
            ("", false, "the port is missing"),
            ("there:http", false, "no number from 1 to 65535"),
            ("there:0", false, "no number from 1 to 65535"),
            ("there:70000", false, "no number from 1 to 65535"),
            ("http://there:7700/v1", false, "nothing behind"),
            ("me@there:7700", false, "nothing behind"),
            ("grpc://there:7700", false, "https://HOST:PORT for TLS"),
            ("http://there:7700", true, "http:// is without TLS"),
        ] {
            let error = Address::read(text, with_tls).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains("HOST:PORT"), "{text}: {error}");
        }
    }
}
