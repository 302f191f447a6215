//! Vectors are chosen whose exact distances are needed.
use spandrel_index::format::PageLayout;
use spandrel_index::order::{PIECE, sort_while};
use spandrel_index::{Location, Tier};

use crate::answer::Limit;
use crate::collect::Candidate;
use crate::damage::DamagedPart;
use crate::kept;
use crate::pages::{PageKey, PageRead, assign, plan_pages};
use crate::query::explaining::vector;
use crate::query::step::Step;

/// Matches that are read and compared together, each on a page of its own at most.
const MATCHES_PIECE: usize = 1024;

/// What is to be compared in one burst.
#[derive(Debug, Default)]
pub(super) struct Choosing {
    /// Where they lie, ascending.
    pub(super) locations: Vec<Location>,
    /// The pages they lie on, and which lie on each.
    pub(super) reads: Vec<PageRead>,
    /// Pages that are not read any more, ascending.
    left_out: Vec<PageKey>,
    /// Where the next matches begin, of those that are all compared.
    next_match: Location,
}

impl Choosing {
    /// Chooses what is undecided, within the vectors that may be compared and the bytes that may be asked.
    pub(super) fn choose(&mut self, step: &mut Step<'_>) {
        self.locations.clear();
        self.reads.clear();
        self.take_undecided(step);
        step.progress.work.candidates = step.found.candidates();
        if step.is_over() {
            return;
        }
        let layout = step.query.shape().pages;
        plan_pages(&self.locations, &layout, step.query.index.merging(), |read| self.reads.push(read));
        self.take_beside(step, &layout);
        if step.progress.end.is_some() {
            return;
        }
        assign(&self.locations, &layout, self.reads.iter_mut());
        step.progress.clock.lap(|times| &mut times.plan_us);
    }

    /// Chooses the next of all matches, within the bytes that may be asked: whether there are more.
    pub(super) fn choose_matches(&mut self, step: &mut Step<'_>) -> bool {
        self.locations.clear();
        self.reads.clear();
        self.take_matches(step);
        let is_more = !self.locations.is_empty();
        let index = step.query.index;
        if index.vectors_tier() == Tier::Ssd {
            self.keep_readable(step);
        }
        let layout = step.query.shape().pages;
        plan_pages(&self.locations, &layout, index.merging(), |read| self.reads.push(read));
        assign(&self.locations, &layout, self.reads.iter_mut());
        step.progress.work.candidates += self.locations.len() as u32; // CAST: a piece of them
        step.progress.clock.lap(|times| &mut times.plan_us);
        // Of a piece without a readable page nothing is compared, and the next is taken.
        is_more && (step.progress.limited_by.is_none() || !self.locations.is_empty())
    }

    /// Takes the next matches, a piece of them.
    fn take_matches(&mut self, step: &Step<'_>) {
        let Some(matches) = step.query.accept.matches() else { return };
        for (number, segment) in (0..).zip(matches.segments()).skip(self.next_match.segment().into()) {
            let first = if number == self.next_match.segment() { self.next_match.position() } else { 0 };
            let room = MATCHES_PIECE - self.locations.len();
            let next = segment.within(first..u32::MAX).take(room);
            self.locations.extend(next.map(|position| Location::new(number, position)));
            if self.locations.len() == MATCHES_PIECE {
                break;
            }
        }
        let Some(&last) = self.locations.last() else { return };
        // Those of the last page come along, so that no page is read twice.
        let (layout, number) = (step.query.shape().pages, last.segment());
        let page = PageKey::of(last, &layout);
        let rest = matches.segments()[usize::from(number)].within(last.position() + 1..u32::MAX);
        let rest = rest.map(|position| Location::new(number, position));
        self.locations.extend(rest.take_while(|&at| PageKey::of(at, &layout) == page));
        let last = self.locations.last().unwrap_or(&last).position();
        self.next_match = Location::new(number, last + 1);
    }

    /// Leaves those matches out that lie on damaged pages, and from where on no more bytes may be asked.
    fn keep_readable(&mut self, step: &mut Step<'_>) {
        let layout = step.query.shape().pages;
        let (damage, of, progress) = (step.damage, step.query.compare_by, &mut *step.progress);
        let page_bytes = layout.page_bytes() as u64; // CAST: widening
        let mut last: Option<(PageKey, bool)> = None;
        self.locations.retain(|&location| {
            let page = PageKey::of(location, &layout);
            if let Some((_, is_kept)) = last.filter(|(before, _)| *before == page) {
                return is_kept;
            }
            let is_damaged = damage.is_quarantined(page.segment(), DamagedPart::page(of, page.number()));
            // The first is read in any case.
            let is_first = progress.work.reranked == 0 && last.is_none();
            let has_room = progress.bytes_left >= page_bytes || is_first;
            if is_damaged {
                progress.missing.pages += 1;
            } else if has_room {
                progress.bytes_left = progress.bytes_left.saturating_sub(page_bytes);
            } else {
                (progress.limited_by, progress.is_uncompared) = (Some(Limit::MaxBytes), true);
            }
            last = Some((page, has_room && !is_damaged));
            has_room && !is_damaged
        });
    }

    fn take_undecided(&mut self, step: &mut Step<'_>) {
        let index = step.query.index;
        let Some(verify) = step.plan.verify else { return };
        let layout = step.query.shape().pages;
        let page_bytes = layout.page_bytes() as u64;
        let is_read = index.vectors_tier() == Tier::Ssd;
        let (query, progress, terms) = (step.query, &mut *step.progress, step.running.job.terms());
        let compared = progress.work.reranked as usize;
        let mut room = step.plan.compared_max(&verify).saturating_sub(compared);
        let mut is_limited = false;
        if is_read {
            // Each may need a page of its own. The best is compared in any case.
            let pages = usize::try_from(progress.bytes_left / page_bytes).unwrap_or(usize::MAX);
            let pages = pages.max(usize::from(compared == 0));
            is_limited = pages < room;
            room = room.min(pages);
        }
        let burst = 1 + u32::from(compared > 0);
        // An explanation tells the likeliest first.
        let sorted_over = if progress.explanation.is_some() { 0 } else { room };
        for (number, candidate) in step.found.undecided(&query, sorted_over).enumerate() {
            if number % PIECE == PIECE - 1 && !progress.go_on(terms) {
                return;
            }
            if self.locations.len() == room {
                if is_limited {
                    (progress.limited_by, progress.is_uncompared) = (Some(Limit::MaxBytes), true);
                }
                break;
            }
            candidate.compared = true;
            let page = is_read.then(|| PageKey::of(candidate.location, &layout));
            let part = |page: &PageKey| DamagedPart::page(query.compare_by, page.number());
            let damaged = page.filter(|page| step.damage.is_quarantined(page.segment(), part(page)));
            if let Some(page) = damaged {
                if let Err(at) = self.left_out.binary_search(&page) {
                    self.left_out.insert(at, page);
                    progress.missing.pages += 1;
                }
                continue;
            }
            self.locations.push(candidate.location);
            if let Some(explanation) = &mut progress.explanation {
                explanation.compared.push(vector(candidate, &query, burst, false));
            }
        }
        if !sort_while(&mut self.locations, Location::cmp, &mut || progress.go_on(terms)) {
            return;
        }
        if is_read {
            let pages =
                self.locations.chunk_by(|&a, &b| PageKey::of(a, &layout) == PageKey::of(b, &layout)).count();
            progress.bytes_left = progress.bytes_left.saturating_sub(pages as u64 * page_bytes); // CAST: widening
        }
    }

    /// Candidates that lie in the pages anyway are compared as well, wherever vectors are, so that answers do not depend on
    /// that.
    fn take_beside(&mut self, step: &mut Step<'_>, layout: &PageLayout) {
        let Choosing { locations, reads, .. } = self;
        // Reads ascend.
        let is_read = |page: PageKey| {
            let after = reads.partition_point(|read| read.first_page <= page);
            after.checked_sub(1).is_some_and(|at| reads[at].holds(page))
        };
        let (query, progress, terms) = (step.query, &mut *step.progress, step.running.job.terms());
        let burst = 1 + u32::from(progress.work.reranked > 0);
        let is_beside = |candidate: &Candidate| is_read(PageKey::of(candidate.location, layout));
        for (number, candidate) in step.found.uncompared().enumerate() {
            if number % PIECE == PIECE - 1 && !progress.go_on(terms) {
                return;
            }
            if is_beside(candidate) {
                candidate.compared = true;
                if let Some(explanation) = &mut progress.explanation {
                    explanation.compared.push(vector(candidate, &query, burst, true));
                }
                locations.push(candidate.location);
            }
        }
        sort_while(locations, Location::cmp, &mut || progress.go_on(terms));
    }

    pub(super) fn clear(&mut self) {
        kept::clear(&mut self.locations);
        kept::clear(&mut self.reads);
        kept::clear(&mut self.left_out);
        self.next_match = Location::default();
    }
}
