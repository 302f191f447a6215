//! Names of calls, by which a client's log and the server's find each other.
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header of the request and of its answer.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longer ones are replaced.
const BYTES_MAX: usize = 128;

/// Gives names to calls that come without one: a number of the process, drawn at its start, and one that counts.
#[derive(Debug)]
pub(crate) struct RequestIds {
    process: u32,
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new() -> RequestIds {
        let process = RandomState::new().hash_one(()) as u32; // CAST: any half will do
        RequestIds { process, next: AtomicU64::new(1) }
    }

    /// The client's name for its call, or one of ours.
    pub(crate) fn of(&self, headers: &HeaderMap) -> HeaderValue {
        let given = headers.get(REQUEST_ID).filter(|id| id.len() <= BYTES_MAX && id.to_str().is_ok());
        given.cloned().unwrap_or_else(|| {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let Ok(ours) = HeaderValue::try_from(format!("{:08x}-{number:x}", self.process)) else {
                unreachable!("hexadecimal digits may be sent")
            };
            ours
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_keep_their_names_or_get_one() {
        let ids = RequestIds::new();
        let of = |given: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_bytes(given).unwrap());
            ids.of(&headers)
        };
        assert_eq!(of(b"order-17"), "order-17");
        let ours = [of(&[b'x'; 129]), of(b"caf\xe9"), ids.of(&HeaderMap::new())];
        assert!(ours.iter().all(|id| id.len() >= 10 && id.to_str().is_ok()));
        assert!(ours[0] != ours[1] && ours[1] != ours[2]);
    }
}
