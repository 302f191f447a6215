//! Trying again: what may help, and when.
use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable as _};
use tonic::{Code, Status};

use crate::status::{is_lost, time_to_come_back, tls_fault_of};

/// When a call that failed is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Calls made in all, the first included.
    pub attempts: u32,
    /// Pause before the second; it doubles from then on, and a random part of it is added.
    pub first_pause: Duration,
    /// Longest pause, before that part is added.
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

    /// Whether another call may help after one that ended with `status`.
    fn helps(&self, status: &Status) -> bool {
        // Certificates do not mend themselves. In TLS 1.3 a connection may end before the server's word on them is read: such a
        // call counts as lost and is made again, which reads it.
        if tls_fault_of(status).is_some() {
            return false;
        }
        match status.code() {
            Code::Unavailable => true,
            // Without a time to come back it is a limit on sizes, which stays.
            Code::ResourceExhausted if self.refused => time_to_come_back(status).is_some(),
            _ => is_lost(status),
        }
    }

    /// Makes a call, and again where that may help, until `deadline`.
    ///
    /// # Errors
    /// The status of the last call.
    pub async fn run<T, F: Future<Output = Result<T, Status>>>(
        &self,
        deadline: Instant,
        call: impl FnMut() -> F,
    ) -> Result<T, Status> {
        let retries = self.attempts.saturating_sub(1) as usize; // CAST: widening
        let pauses = ExponentialBuilder::new()
            .with_min_delay(self.first_pause)
            .with_max_delay(self.longest_pause)
            .with_max_times(retries)
            // So that clients that were refused together do not come back together.
            .with_jitter();
        call.retry(pauses)
            .sleep(tokio::time::sleep)
            .when(|status| self.helps(status))
            .adjust(|status, pause| {
                let pause = pause?.max(time_to_come_back(status).unwrap_or_default());
                (Instant::now() + pause < deadline).then_some(pause)
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;

    fn refused(after: Duration) -> Status {
        Status::with_error_details(
            Code::ResourceExhausted,
            "loaded",
            ErrorDetails::with_retry_info(Some(after)),
        )
    }

    fn in_a_minute() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    /// How long a policy waits between calls that all end with `status`.
    async fn pauses(policy: RetryPolicy, status: &Status) -> Vec<Duration> {
        let calls = std::sync::Mutex::new(Vec::new());
        let call = || async {
            calls.lock().unwrap().push(tokio::time::Instant::now());
            Err::<(), _>(status.clone())
        };
        assert_eq!(policy.run(in_a_minute(), call).await.unwrap_err().code(), status.code());
        let calls = calls.into_inner().unwrap();
        calls.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_and_heed_the_server() {
        let policy = RetryPolicy::default();
        let unavailable = Status::unavailable("stopping");
        let grown = pauses(policy, &unavailable).await;
        let expected = [20, 40, 80, 160, 320, 640, 1000];
        assert_eq!(grown.len(), expected.len());
        for (pause, ms) in grown.into_iter().zip(expected) {
            let shortest = Duration::from_millis(ms);
            // The clock of tests goes by milliseconds.
            let longest = 2 * shortest + Duration::from_millis(2);
            assert!((shortest..=longest).contains(&pause), "{pause:?} for {shortest:?}");
        }
        let asked = pauses(RetryPolicy { attempts: 3, ..policy }, &refused(Duration::from_secs(3))).await;
        assert!(asked.len() == 2 && asked.iter().all(|pause| pause.as_secs() == 3), "{asked:?}");
        for status in
            [Status::resource_exhausted("too large"), Status::invalid_argument("k"), Status::internal("x")]
        {
            assert_eq!(pauses(policy, &status).await, [], "{status}");
        }
        assert_eq!(pauses(RetryPolicy::NEVER, &unavailable).await, []);
        let unrefused = RetryPolicy { refused: false, ..policy };
        assert_eq!(pauses(unrefused, &refused(Duration::from_millis(300))).await, []);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_are_repeated_until_one_works_or_time_is_up() {
        let calls = AtomicU32::new(0);
        let third = || async {
            match calls.fetch_add(1, Ordering::Relaxed) {
                0 => Err(Status::unavailable("stopping")),
                1 => Err(refused(Duration::from_millis(5))),
                _ => Ok(7),
            }
        };
        assert_eq!(RetryPolicy::default().run(in_a_minute(), third).await.unwrap(), 7);
        let never = || async { Err::<(), _>(refused(Duration::from_secs(120))) };
        let ended = RetryPolicy::default().run(in_a_minute(), never).await.unwrap_err();
        assert_eq!(ended.code(), Code::ResourceExhausted, "no pause beyond the deadline");
    }
}
