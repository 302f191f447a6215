//! Watching the search threads: what broke is logged, and an index without any does not count as serving.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use spandrel_engine::ThreadReport;

use crate::registry::Registry;
use crate::stopping::Stopping;

/// Time between two looks.
const INTERVAL: Duration = Duration::from_millis(200);

/// Watches until the server stops.
pub(crate) async fn watch(registry: Arc<Registry>, stopping: Stopping) {
    let mut known = BTreeMap::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = stopping.asked() => return,
        }
        let all = registry.all();
        let now = all.iter().map(|served| (served.config.name.as_str(), served.engine().threads()));
        for (index, serving) in changes(&mut known, now) {
            registry.set_serving(&index, serving && !stopping.is_draining()).await;
        }
    }
}

/// How the threads of an index were at the last look.
struct Known {
    serving: bool,
    replaced: u64,
}

/// The indexes whose health changed since the last look, and whether they serve now. Logs what happened to threads.
fn changes<'a>(
    known: &mut BTreeMap<String, Known>,
    now: impl Iterator<Item = (&'a str, ThreadReport)>,
) -> Vec<(String, bool)> {
    let mut seen = BTreeMap::new();
    let mut changed = Vec::new();
    for (index, threads) in now {
        let ThreadReport { alive, wanted, replaced, failure } = threads;
        // An index is opened with all its threads.
        let before = known.remove(index).unwrap_or(Known { serving: true, replaced: 0 });
        let serving = alive > 0;
        let why = failure.unwrap_or_default();
        if serving != before.serving {
            changed.push((index.to_owned(), serving));
        }
        if !serving && before.serving {
            tracing::error!(index, wanted, why, "no search thread is left; queries are refused");
        } else if replaced > before.replaced {
            tracing::error!(
                index,
                alive,
                wanted,
                replaced,
                why,
                "a search thread broke down and was replaced"
            );
        }
        seen.insert(index.to_owned(), Known { serving, replaced });
    }
    *known = seen;
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_serves_while_it_has_a_thread() {
        let mut known = BTreeMap::new();
        let mut look = |all: &[(&'static str, usize)]| {
            let report = |alive| ThreadReport { alive, wanted: 2, replaced: 0, failure: None };
            changes(&mut known, all.iter().map(|&(index, alive)| (index, report(alive))))
        };
        assert_eq!(look(&[("a", 2), ("b", 2)]), []);
        assert_eq!(look(&[("a", 1), ("b", 2)]), []);
        assert_eq!(look(&[("a", 0), ("b", 2)]), [("a".to_owned(), false)]);
        assert_eq!(look(&[("a", 0), ("b", 2)]), []);
        assert_eq!(look(&[("a", 1), ("b", 0)]), [("a".to_owned(), true), ("b".to_owned(), false)]);
        // Unloaded without threads, loaded with them.
        assert_eq!(look(&[("a", 2)]), []);
        assert_eq!(look(&[("a", 2), ("b", 2)]), []);
    }
}
