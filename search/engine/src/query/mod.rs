//! One query on its way through a worker: probed, scanning, choosing, fetching, done.
mod choosing;
mod done;
mod explaining;
mod fetching;
mod probed;
mod scanning;
mod step;
#[cfg(test)]
mod tests;
mod tools;

use spandrel_index::Tier;
use spandrel_io::{Read, ReadBuf, ReadError};

use crate::collect::{Bound, Collect, Collecting, Tokens, TopK, Within};
use crate::error::SearchError;
use crate::filter_plan::FilterPlan;
use crate::job::Running;
use crate::plan::CollectPlan;
use crate::progress::Progress;
use crate::reads::{Outbox, number_of, slot_of};
use crate::scan::QueryRow;
use crate::subject::Subject;
use choosing::Choosing;
use fetching::Fetching;
use probed::ProbedLists;
use scanning::Scanning;
use step::Step;

pub(crate) use tools::Tools;

/// A place for a query in flight. Its buffers are used again by the queries that follow.
#[derive(Default)]
pub(crate) struct QuerySlot {
    /// The query, while there is one.
    running: Option<Running>,
    subject: Subject,
    top_k: TopK,
    within: Within,
    tokens: Tokens,
    progress: Progress,
    states: States,
}

/// Where a query is, and what it has there.
#[derive(Default)]
struct States {
    now: State,
    probed: ProbedLists,
    scanning: Scanning,
    choosing: Choosing,
    fetching: Fetching,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// Lists are chosen.
    Probed,
    /// Lists are scanned, and may be awaited.
    Scanning,
    /// What needs an exact comparison is about to be chosen.
    Choosing,
    /// Vectors are compared exactly, and their pages may be awaited.
    Fetching,
    /// The answer is complete.
    #[default]
    Done,
}

impl States {
    /// Goes on from state to state while nothing is awaited and the query is wanted.
    fn advance(&mut self, step: &mut Step<'_>) {
        while step.progress.reads_left == 0 && step.progress.end.is_none() {
            self.now = match self.now {
                State::Probed => {
                    self.scanning.begin(&mut self.probed, step);
                    State::Scanning
                }
                State::Scanning => State::Choosing,
                State::Choosing if step.filter_plan() == Some(FilterPlan::Exact) && !step.is_over() => {
                    if self.choosing.choose_matches(step) {
                        self.fetching.begin(&mut self.choosing, step);
                        State::Fetching
                    } else {
                        State::Done
                    }
                }
                State::Choosing if step.found.is_undecided() && !step.is_over() => {
                    self.choosing.choose(step);
                    if !step.is_over() {
                        self.fetching.begin(&mut self.choosing, step);
                    }
                    State::Fetching
                }
                State::Choosing => State::Done,
                State::Fetching => State::Choosing,
                State::Done => return,
            };
        }
    }

    fn clear(&mut self) {
        self.probed.clear();
        self.scanning.clear();
        self.choosing.clear();
        self.fetching.clear();
    }
}

impl QuerySlot {
    /// Probes and prunes, scans what is in memory, and appends the reads that the query needs, for `slot` of the worker.
    pub(crate) fn start(&mut self, running: Running, tools: &mut Tools, slot: u32, reads: &mut Vec<Read>) {
        let index = &*tools.index;
        let plan = &running.job.plan;
        self.progress.begin(plan, running.started);
        if matches!(plan.collect, CollectPlan::Nearest { .. }) {
            let copies = index.codes_tier() == Tier::Ssd && index.manifest().build.max_replicas > 1;
            let follows = plan.stop.rule.is_some() && plan.stop.followed.is_none();
            self.top_k.reset(plan, Collecting { copies, follows, terms: running.job.terms() });
            if let Some(left_out) = running.job.left_out.get(running.number) {
                self.top_k.leave_out(left_out);
            }
        }
        if let CollectPlan::Tokens { keep } = plan.collect {
            self.tokens.reset(keep);
        }
        self.subject.set(index, running.row());
        self.subject.set_column(index, running.column_row());
        self.running = Some(running);
        if let Some((states, mut step)) = self.step(tools, slot, reads) {
            states.probed.begin(&mut step);
            states.now = State::Probed;
        }
        self.bound_within(tools);
        if let Some(running) = &self.running {
            let finds_all =
                matches!(&running.job.plan.collect, CollectPlan::Within(range) if range.pruning.finds_all());
            for &(number, nearest) in tools.prober.nearest_heads() {
                let owner = &tools.index.segments()[usize::from(number)];
                let query = QueryRow { row: running.row(), nearest };
                let code = self.subject.code(number);
                tools.scan.prepare(&tools.index, owner, query, code);
                if finds_all {
                    code.trust_no_average();
                }
            }
        }
        if let Some((states, mut step)) = self.step(tools, slot, reads) {
            states.advance(&mut step);
        }
    }

    /// Sets what is within the radius, once lists were chosen by it.
    fn bound_within(&mut self, tools: &Tools) {
        let Some(running) = &self.running else { return };
        let plan = &running.job.plan;
        let CollectPlan::Within(range) = &plan.collect else { return };
        let query = self.subject.query(&tools.index, running.row(), &plan.accept);
        self.within.reset(Bound {
            score: range.score,
            distance: query.distance_of_score(range.score),
            slack: range.cursor().lists.as_ref().map_or(0.0, |lists| lists.slack),
            errors: range.pruning.errors,
            verify: plan.verify,
        });
    }

    /// Takes in one read, unless the query is no longer wanted. Says whether that was just found out: what else was asked for
    /// is of no use then.
    pub(crate) fn arrive(
        &mut self,
        tag: u64,
        result: &Result<ReadBuf, ReadError>,
        tools: &mut Tools,
        reads: &mut Vec<Read>,
    ) -> bool {
        self.progress.reads_left -= 1;
        let was_over = self.progress.end.is_some();
        self.progress.clock.lap(|times| &mut times.wait_us);
        let Some((states, mut step)) = self.step(tools, slot_of(tag), reads) else {
            unreachable!("a query waits for all of its reads")
        };
        if step.is_over() {
            return !was_over;
        }
        match states.now {
            State::Scanning => {
                states.scanning.arrive(number_of(tag), result, &mut states.probed, &mut step);
                if step.progress.reads_left == 0 {
                    states.scanning.replace(&mut states.probed, &mut step);
                }
            }
            State::Fetching => states.fetching.arrive(number_of(tag), result, &mut step),
            state => unreachable!("{state:?} awaits no reads"),
        }
        states.advance(&mut step);
        step.progress.end.is_some()
    }

    /// The states of the query that is there, and what they work with.
    fn step<'a>(
        &'a mut self,
        tools: &'a mut Tools,
        slot: u32,
        reads: &'a mut Vec<Read>,
    ) -> Option<(&'a mut States, Step<'a>)> {
        let running = self.running.as_ref()?;
        let query = self.subject.query(&tools.index, running.row(), &running.job.plan.accept);
        let query = self.subject.query_by(query, running.column_row());
        let step = Step {
            plan: &running.job.plan,
            running,
            query,
            prober: &mut tools.prober,
            scan: &mut *tools.scan,
            reranker: tools.rerankers.of(query.compare_by),
            damage: &tools.damage,
            cache: tools.cache.as_deref().filter(|_| tools.cached == query.compare_by),
            found: match &running.job.plan.collect {
                CollectPlan::Nearest { .. } => &mut self.top_k,
                CollectPlan::Within(_) => &mut self.within,
                CollectPlan::Tokens { .. } => &mut self.tokens,
            },
            progress: &mut self.progress,
            out: Outbox { slot, files: &tools.files, reads },
        };
        Some((&mut self.states, step))
    }

    /// When nothing is awaited any more: hands in the answer. Says whether that freed the slot.
    pub(crate) fn finish_if_done(&mut self, tools: &Tools) -> bool {
        if self.progress.reads_left > 0 {
            return false;
        }
        let Some(running) = self.running.take() else { return false };
        let collect = &running.job.plan.collect;
        if let CollectPlan::Within(range) = collect {
            range.cursor().bytes_left = self.progress.bytes_left;
        }
        let found: &mut dyn Collect = match collect {
            CollectPlan::Nearest { .. } => &mut self.top_k,
            CollectPlan::Within(_) => &mut self.within,
            CollectPlan::Tokens { .. } => &mut self.tokens,
        };
        let answer = match self.progress.end {
            Some(end) => Err(end),
            None => done::answer(&running, &tools.index, found, &mut self.progress),
        };
        match answer {
            Ok(answer) => running.finish(answer),
            Err(end) => running.abandon(end),
        }
        self.states.clear();
        true
    }

    /// Gives up the query that is there, if any, because the thread cannot go on.
    pub(crate) fn fail(&mut self, error: impl FnOnce() -> SearchError) {
        if let Some(running) = self.running.take() {
            running.fail(error());
        }
    }
}
