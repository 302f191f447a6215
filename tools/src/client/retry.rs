//! Trying again: what may help, and when.
use std::future::Future;
use std::time::{Duration, Instant};

use spandrel_service::{Side, tls_fault};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// When a call that failed is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Calls made in all, the first included.
    pub attempts: u32,
    /// Pause before the second; it doubles from then on, and a random part of it is taken off.
    pub first_pause: Duration,
    /// Longest pause.
    pub longest_pause: Duration,
    /// Whether calls that a loaded server refused are among those made again.
    pub refused: bool,
}

impl Default for RetryPolicy {
    fn default() -> RetryPolicy {
        RetryPolicy {
            attempts: 8,
            first_pause: Duration::from_millis(20),
            longest_pause: Duration::from_secs(1),
            refused: true,
        }
    }
}

impl RetryPolicy {
    /// No second call.
    pub const NEVER: RetryPolicy = RetryPolicy {
        attempts: 1,
        first_pause: Duration::ZERO,
        longest_pause: Duration::ZERO,
        refused: false,
    };

    /// The pause before call number `attempt`, counted from 1, after one that ended with `status`; none if another call
    /// would not help.
    fn pause(&self, status: &Status, attempt: u32, random: f64) -> Option<Duration> {
        if attempt > self.attempts {
            return None;
        }
        // Certificates do not mend themselves. In TLS 1.3 a connection may end before the server's word on them is read: such a
        // call counts as lost and is made again, which reads it.
        if tls_fault_of(status).is_some() {
            return None;
        }
        let asked = time_to_come_back(status);
        match status.code() {
            Code::Unavailable => {}
            _ if is_lost(status) => {}
            // Without a time to come back it is a limit on sizes, which stays.
            Code::ResourceExhausted if asked.is_some() && self.refused => {}
            _ => return None,
        }
        let doubled = self.first_pause.saturating_mul(1 << (attempt - 2).min(20)).min(self.longest_pause);
        // So that clients that were refused together do not come back together.
        Some(doubled.mul_f64(0.5 + random / 2.0).max(asked.unwrap_or_default()))
    }

    /// Makes a call, and again where that may help, until `deadline`.
    ///
    /// # Errors
    /// The status of the last call.
    pub async fn run<T, F: Future<Output = Result<T, Status>>>(
        &self,
        deadline: Instant,
        mut call: impl FnMut() -> F,
    ) -> Result<T, Status> {
        let mut attempt = 1;
        loop {
            let status = match call().await {
                Ok(answer) => return Ok(answer),
                Err(status) => status,
            };
            attempt += 1;
            let Some(pause) = self.pause(&status, attempt, random()) else { return Err(status) };
            if Instant::now() + pause >= deadline {
                return Err(status);
            }
            tokio::time::sleep(pause).await;
        }
    }
}

/// The time after which a server asks to be called again.
pub(crate) fn time_to_come_back(status: &Status) -> Option<Duration> {
    status.get_details_retry_info().and_then(|info| info.retry_delay)
}

/// What is wrong with certificates or TLS, if a call failed for that.
pub(super) fn tls_fault_of(status: &Status) -> Option<String> {
    std::error::Error::source(status).and_then(|cause| tls_fault(cause, Side::Client))
}

/// Whether a status is not the server's word: the connection went while the call was on its way.
pub(super) fn is_lost(status: &Status) -> bool {
    std::error::Error::source(status).is_some_and(|cause| cause.is::<tonic::transport::Error>())
}

/// A number from 0 to 1 that differs between processes and calls.
pub(crate) fn random() -> f64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0) as f64 / u64::MAX as f64 // CAST: any number will do
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tonic_types::ErrorDetails;

    use super::*;

    fn refused(after: Duration) -> Status {
        Status::with_error_details(
            Code::ResourceExhausted,
            "loaded",
            ErrorDetails::with_retry_info(Some(after)),
        )
    }

    #[test]
    fn pauses_grow_and_heed_the_server() {
        let policy = RetryPolicy::default();
        let pause = |status: &Status, attempt| policy.pause(status, attempt, 1.0).map(|p| p.as_millis());
        let unavailable = Status::unavailable("stopping");
        assert_eq!(
            (2..=9).map(|n| pause(&unavailable, n)).collect::<Vec<_>>(),
            [Some(20), Some(40), Some(80), Some(160), Some(320), Some(640), Some(1000), None]
        );
        assert_eq!(policy.pause(&unavailable, 2, 0.0), Some(Duration::from_millis(10)));
        assert_eq!(pause(&refused(Duration::from_millis(300)), 2), Some(300));
        for status in
            [Status::resource_exhausted("too large"), Status::invalid_argument("k"), Status::internal("x")]
        {
            assert_eq!(pause(&status, 2), None);
        }
        assert_eq!(RetryPolicy::NEVER.pause(&unavailable, 2, 1.0), None);
        let unrefused = RetryPolicy { refused: false, ..policy };
        assert_eq!(unrefused.pause(&refused(Duration::from_millis(300)), 2, 1.0), None);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_are_repeated_until_one_works_or_time_is_up() {
        let calls = AtomicU32::new(0);
        let soon = || Instant::now() + Duration::from_secs(60);
        let third = || async {
            match calls.fetch_add(1, Ordering::Relaxed) {
                0 => Err(Status::unavailable("stopping")),
                1 => Err(refused(Duration::from_millis(5))),
                _ => Ok(7),
            }
        };
        assert_eq!(RetryPolicy::default().run(soon(), third).await.unwrap(), 7);
        let never = || async { Err::<(), _>(refused(Duration::from_secs(120))) };
        let ended = RetryPolicy::default().run(soon(), never).await.unwrap_err();
        assert_eq!(ended.code(), Code::ResourceExhausted, "no pause beyond the deadline");
    }
}
