//! One HTTP request, its answer arriving through a bounded queue.
//!
//! The request runs on a thread of its own, so that a caller waiting for a silent server still sees its stop
//! flag ten times a second. Dropping a [`Wire`] abandons the request; its thread ends with the next bytes or
//! the next timeout.
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use ureq::http::HeaderMap;
use ureq::{Agent, Error};

use super::part::Version;

const CHUNK_BYTES: usize = 256 << 10;
const CHUNKS_IN_QUEUE: usize = 4;
const STOP_LOOK: Duration = Duration::from_millis(100);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);
const REDIRECTS_MAX: u32 = 8;

/// What to ask for.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) url: String,
    /// First and last byte wanted, both included; none for the whole file.
    pub(super) range: Option<(u64, u64)>,
    /// The version the range must belong to.
    pub(super) if_range: Option<String>,
}

/// The part of an answer that comes before its body.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) content_length: Option<u64>,
    /// First byte, last byte, and bytes of the whole file if told.
    pub(super) content_range: Option<(u64, u64, Option<u64>)>,
    pub(super) content_encoding: Option<String>,
    pub(super) version: Version,
    pub(super) retry_after: Option<Duration>,
}

/// What arrives, in this order.
pub(super) enum Arrival {
    Head(Box<Head>),
    Bytes(Vec<u8>),
    End,
}

/// Why nothing more arrives.
#[derive(Debug)]
pub(super) enum WireError {
    /// The stop flag is set.
    Stopped,
    /// A failure that may pass.
    Passing(String),
    /// A failure that will come again.
    Lasting(String),
}

/// A request under way.
pub(super) struct Wire {
    arrivals: Receiver<Result<Arrival, WireError>>,
}

impl Wire {
    /// Sends a request.
    pub(super) fn open(request: Request) -> Result<Wire, WireError> {
        let (sender, arrivals) = sync_channel(CHUNKS_IN_QUEUE);
        let work = move || {
            if let Err(error) = exchange(&request, &sender) {
                // The caller may be gone: then nobody is left to tell.
                let _ = sender.send(Err(error));
            }
        };
        std::thread::Builder::new()
            .name("download".to_owned())
            .spawn(work)
            .map_err(|error| WireError::Passing(format!("starting a thread: {error}")))?;
        Ok(Wire { arrivals })
    }

    /// The next arrival, waiting for it unless the stop flag is set.
    pub(super) fn next(&self, stop: &AtomicBool) -> Result<Arrival, WireError> {
        loop {
            if stop.load(Ordering::Relaxed) {
                return Err(WireError::Stopped);
            }
            match self.arrivals.recv_timeout(STOP_LOOK) {
                Ok(arrival) => return arrival,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(WireError::Passing("the download's thread has ended".to_owned()));
                }
            }
        }
    }
}

/// Sends the request and passes on what comes, until the end or until nobody listens.
fn exchange(request: &Request, sender: &SyncSender<Result<Arrival, WireError>>) -> Result<(), WireError> {
    let mut call = agent(&request.url).get(&request.url).header("Accept-Encoding", "identity");
    if let Some((first, last)) = request.range {
        call = call.header("Range", format!("bytes={first}-{last}"));
    }
    if let Some(version) = &request.if_range {
        call = call.header("If-Range", version);
    }
    let response = call.call().map_err(|error| classify(&error))?;
    let (parts, body) = response.into_parts();
    let head = read_head(parts.status.as_u16(), &parts.headers);
    if sender.send(Ok(Arrival::Head(Box::new(head)))).is_err() {
        return Ok(());
    }
    let mut reader = body.into_reader();
    loop {
        let mut chunk = vec![0; CHUNK_BYTES];
        let len = match reader.read(&mut chunk) {
            Ok(len) => len,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(WireError::Passing(format!("reading the body: {error}"))),
        };
        chunk.truncate(len);
        let arrival = if len == 0 { Arrival::End } else { Arrival::Bytes(chunk) };
        if sender.send(Ok(arrival)).is_err() || len == 0 {
            return Ok(());
        }
    }
}

fn agent(url: &str) -> Agent {
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .https_only(url.starts_with("https://")) // a redirect must not leave TLS
        .max_redirects(REDIRECTS_MAX)
        .timeout_resolve(Some(CONNECT_TIMEOUT))
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_recv_response(Some(SILENCE_TIMEOUT))
        .timeout_per_read(Some(SILENCE_TIMEOUT))
        .user_agent(concat!("spandrel/", env!("CARGO_PKG_VERSION")));
    if is_loopback(url) {
        config = config.proxy(None);
    }
    config.build().new_agent()
}

/// Whether a proxy named by the environment could not reach this address anyway.
fn is_loopback(url: &str) -> bool {
    let host = url.split("://").nth(1).unwrap_or("");
    ["127.0.0.1", "localhost", "[::1]"].iter().any(|name| {
        host.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
    })
}

fn classify(error: &Error) -> WireError {
    let text = error.to_string();
    match error {
        Error::Io(_) | Error::Timeout(_) | Error::HostNotFound | Error::ConnectionFailed => {
            WireError::Passing(text)
        }
        _ => WireError::Lasting(text),
    }
}

fn read_head(status: u16, headers: &HeaderMap) -> Head {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    Head {
        status,
        content_length: text("content-length").and_then(|t| t.parse().ok()),
        content_range: text("content-range").and_then(parse_content_range),
        content_encoding: text("content-encoding").map(str::to_owned),
        version: Version {
            etag: text("etag").map(str::to_owned),
            last_modified: text("last-modified").map(str::to_owned),
        },
        retry_after: text("retry-after").and_then(|t| t.parse().ok()).map(Duration::from_secs),
    }
}

/// Reads `bytes FIRST-LAST/TOTAL`, where TOTAL may be `*`.
fn parse_content_range(text: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.trim().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let total = match total.trim() {
        "*" => None,
        known => Some(known.parse().ok()?),
    };
    (first <= last && total.is_none_or(|t| last < t)).then_some((first, last, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges() {
        assert_eq!(parse_content_range("bytes 0-7/100"), Some((0, 7, Some(100))));
        assert_eq!(parse_content_range("bytes 5-7/*"), Some((5, 7, None)));
        for bad in
            ["", "bytes", "bytes */100", "bytes 7-5/100", "bytes 0-100/100", "items 0-7/100", "bytes a-b/c"]
        {
            assert_eq!(parse_content_range(bad), None, "{bad}");
        }
    }

    #[test]
    fn loopback_addresses() {
        assert!(is_loopback("http://127.0.0.1:80/x") && is_loopback("http://localhost/x"));
        assert!(!is_loopback("http://127.0.0.1.example.org/x") && !is_loopback("https://h/localhost"));
    }
}
