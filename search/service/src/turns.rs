//! Work on a thread of the runtime, piece by piece, so that others have their turn and it ends at its deadline.
use std::time::Instant;

use tokio::task::yield_now;

use crate::refusal::Refusal;

/// Numbers that are converted, or neighbours that are written down, in about a tenth of a millisecond.
pub(crate) const PIECE: usize = 1 << 15;

/// Turns of a call that works.
#[derive(Debug)]
pub(crate) struct Turns {
    deadline: Instant,
    /// Items until the end of the turn.
    left: usize,
}

impl Turns {
    pub(crate) fn until(deadline: Instant) -> Turns {
        Turns { deadline, left: PIECE }
    }

    /// Begins a piece of work of at most [`PIECE`] items. Refuses it at the deadline.
    pub(crate) async fn take(&mut self, items: usize) -> Result<(), Refusal> {
        if items > self.left {
            self.left = PIECE;
            yield_now().await;
            if Instant::now() >= self.deadline {
                return Err(Refusal::Deadline);
            }
        }
        self.left = self.left.saturating_sub(items);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn work_ends_at_its_deadline_and_others_have_their_turn() {
        let mut turns = Turns::until(Instant::now());
        for _ in 0..PIECE {
            turns.take(1).await.unwrap();
        }
        assert!(matches!(turns.take(1).await, Err(Refusal::Deadline)));
        let long = tokio::spawn(async {
            let mut turns = Turns::until(Instant::now() + Duration::from_secs(60));
            for pieces in 0.. {
                turns.take(PIECE).await?;
                if pieces == 100 {
                    break;
                }
            }
            Ok::<_, Refusal>(())
        });
        // On the one thread of this runtime.
        let mut looked = 0;
        while !long.is_finished() {
            looked += 1;
            yield_now().await;
        }
        assert!(looked > 50, "{looked}");
        long.await.unwrap().unwrap();
    }
}
