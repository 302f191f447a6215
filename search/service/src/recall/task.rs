//! Comparing kept queries with every vector, piece by piece.
use std::sync::Arc;
use std::time::Duration;

use spandrel_engine::{Answer, ExactSearch, Truth, recalls};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::comparing::{Comparing, Recall};
use super::kept::Asked;
use super::tally::{Compared, Correction};
use crate::registry::Registry;
use crate::served::Served;
use crate::stopping::Stopping;

/// Time after which it is looked again whether anything was kept.
const LOOK: Duration = Duration::from_millis(200);
/// Time that an index is held for a piece. What takes longer is looked for again: an index may be closed meanwhile.
const HOLD: Duration = Duration::from_millis(100);

/// What may be spent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    /// Share of the time of search threads, above 0 to 1.
    pub(crate) share: f32,
    /// Search threads.
    pub(crate) threads: usize,
}

impl Budget {
    /// How long to rest after work that took this time.
    fn rest(self, work: Duration) -> Duration {
        let of_one = (1.0 / self.share - 1.0).max(0.0);
        work.mul_f32(of_one / self.threads.max(1) as f32) // CAST: a count of threads
    }
}

/// Compares what is kept of all indexes until the server stops.
pub(crate) async fn measure(registry: Arc<Registry>, budget: Budget, stopping: Stopping) {
    loop {
        let mut pause = LOOK;
        for served in registry.all() {
            if let Some(micros) = step(&served).await {
                drop(served);
                sleep(budget.rest(Duration::from_secs_f32(micros / 1e6))).await;
                pause = Duration::ZERO;
            }
        }
        tokio::select! {
            () = sleep(pause) => {}
            () = stopping.asked() => return,
        }
    }
}

/// Has one piece compared, if anything is kept: the microseconds it took.
async fn step(served: &Served) -> Option<f32> {
    let recall = served.recall.as_ref()?;
    let mut comparing = match recall.lock().take() {
        Some(comparing) => comparing,
        None => begin(served, recall)?,
    };
    let mut piece = match comparing.under_way.take() {
        Some(piece) => piece,
        None => {
            let (sender, piece) = oneshot::channel();
            let reply = move |result| drop(sender.send(result));
            // Given up where no thread is left.
            served.engine().submit_exact(&comparing.search, comparing.piece, reply).ok()?;
            piece
        }
    };
    match timeout(HOLD, &mut piece).await {
        Err(_) => {
            comparing.under_way = Some(piece);
            *recall.lock() = Some(comparing);
            None
        }
        Ok(Ok(Ok(micros))) => {
            comparing.piece += 1;
            if comparing.piece < comparing.search.pieces() {
                *recall.lock() = Some(comparing);
            } else {
                finish(served, recall, &comparing);
            }
            served.metrics.measuring_seconds.inc_by(f64::from(micros) / 1e6);
            Some(micros)
        }
        Ok(_) => None,
    }
}

/// Takes what is kept.
fn begin(served: &Served, recall: &Recall) -> Option<Comparing> {
    let kept = recall.reservoir.take();
    let k = kept.iter().map(|kept| kept.asked.k).max()?;
    let rows: Vec<u8> = kept.iter().flat_map(|kept| &kept.row).copied().collect();
    // They were searched with before.
    let search = Arc::new(ExactSearch::new(served.index(), rows.into(), k, Vec::new()).ok()?);
    Some(Comparing { kept, search, piece: 0, under_way: None })
}

/// Counts the recall of queries that were compared with every vector.
fn finish(served: &Served, measuring: &Recall, comparing: &Comparing) {
    let nearest = comparing.search.finish();
    if nearest.missing_pages > 0 {
        // Nothing is exact then.
        served.log_damage();
        return;
    }
    let metric = served.index().metric();
    for (kept, nearest) in comparing.kept.iter().zip(nearest.neighbours) {
        let ids: Vec<u64> = nearest.iter().map(|neighbour| neighbour.id).collect();
        let distances: Vec<f32> = nearest.iter().map(|neighbour| neighbour.distance).collect();
        let truth = Truth { ids: &ids, distances: &distances, columns: ids.len() };
        let answer = Answer { neighbours: kept.neighbours.clone(), ..Answer::default() };
        let k = kept.asked.k.min(ids.len());
        if let Some(&recall) = recalls(metric, &[answer], truth, k).unwrap_or_default().first() {
            measuring.tally.add(&kept.caller, kept.asked, Compared { recall, is_promised: kept.is_promised });
        }
    }
    for (caller, measured) in measuring.tally.to_warn_of() {
        let (asked, estimate) = (measured.asked, measured.promised);
        let (index, target) = (&served.config.name, asked.target);
        let (recall, low, high, queries) = (estimate.recall, estimate.low, estimate.high, estimate.queries);
        tracing::warn!(
            index,
            %caller,
            k = asked.k,
            target,
            recall,
            low,
            high,
            queries,
            "recall is under its target; calibrate the index with queries like these"
        );
    }
    if measuring.corrects {
        for Correction { caller, measured, misses } in measuring.tally.correct() {
            // A fall is one of the queries that were promised their target.
            let told = if measured.is_under() { measured.promised } else { measured.estimate };
            let Asked { k, target, misses: before } = measured.asked;
            let (index, recall) = (&served.config.name, told.recall);
            let aim = if misses > before { "higher" } else { "lower again" };
            tracing::info!(
                index,
                %caller,
                k,
                target,
                recall,
                misses,
                "queries aim {aim} from now on, by what they missed"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_takes_its_share_of_the_time_of_all_threads() {
        for (share, threads) in [(0.01, 1), (0.01, 8), (0.5, 2), (1.0, 4)] {
            let work = Duration::from_millis(3);
            let rest = Budget { share, threads }.rest(work);
            // One thread of them works meanwhile.
            let spent = work.as_secs_f32() / (work.as_secs_f32() + threads as f32 * rest.as_secs_f32());
            assert!((spent - share).abs() < 1e-3, "{share} of {threads} threads: {spent}");
        }
    }
}
