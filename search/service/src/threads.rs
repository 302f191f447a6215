//! Watching the search threads: what broke is logged, and without any no index counts as serving.
use std::sync::Arc;
use std::time::Duration;

use spandrel_engine::ThreadReport;

use crate::registry::Registry;
use crate::stopping::Stopping;

/// Time between two looks.
const INTERVAL: Duration = Duration::from_millis(200);

/// Watches until the server stops.
pub(crate) async fn watch(registry: Arc<Registry>, stopping: Stopping) {
    let mut known = Known { serving: true, replaced: 0 };
    loop {
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = stopping.asked() => return,
        }
        let Some(serving) = known.look(registry.threads()) else { continue };
        for served in registry.all() {
            registry.set_serving(&served.config.name, serving && !stopping.is_draining()).await;
        }
    }
}

/// How the threads were at the last look.
struct Known {
    serving: bool,
    replaced: u64,
}

impl Known {
    /// Whether indexes serve, if they have to be told: when that changed, and while they do not, since an index may have been
    /// opened meanwhile. Logs what happened to threads.
    fn look(&mut self, now: ThreadReport) -> Option<bool> {
        let ThreadReport { alive, wanted, replaced, failure } = now;
        let serving = alive > 0;
        let why = failure.unwrap_or_default();
        if !serving && self.serving {
            tracing::error!(wanted, why, "no search thread is left; queries are refused");
        } else if replaced > self.replaced {
            tracing::error!(alive, wanted, replaced, why, "a search thread broke down and was replaced");
        }
        let before = std::mem::replace(self, Known { serving, replaced });
        (serving != before.serving || !serving).then_some(serving)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_serve_while_there_is_a_thread() {
        let mut known = Known { serving: true, replaced: 0 };
        let mut look = |alive| known.look(ThreadReport { alive, wanted: 2, replaced: 0, failure: None });
        assert_eq!(
            [2, 1, 0, 0, 1, 2].map(&mut look),
            [None, None, Some(false), Some(false), Some(true), None]
        );
    }
}
