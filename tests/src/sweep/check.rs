//! One case: build, search in every way, and compare with brute force.
use std::collections::HashMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, sync_channel};

use bytes::Bytes;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use spandrel_builder::{Calibrate, Silent};
use spandrel_datasets::Rows;
use spandrel_engine::{
    Answer, CalibrateLimits, CalibrateParams, Distances, Engine, EngineConfig, Executor, Limit, Request,
    Rerank, SearchError, SearchParams,
};
use spandrel_index::codes::CodeSpec;
use spandrel_index::{Index, Metric, OpenOptions, Tier, verify};
use spandrel_io::faults::InlineReader;

use super::case::{Case, QUERIES};
use super::exact::Truth;
use super::filtered;
use super::findings::{Fault, Findings, Trend};
use super::within::Asked;
use crate::{Base, Calibrator};

/// Standard errors at which the property is looked at.
const ERRORS: [f32; 5] = [0.0, 0.5, 1.0, 2.0, 4.0];

/// Builds and searches a case in a folder that is empty, and is left for the caller to remove.
pub(super) fn check(case: &Case, folder: &Path) -> Findings {
    let mut findings = Findings::default();
    if let Err(e) = Checker::new(case).and_then(|checker| checker.all(folder, &mut findings)) {
        findings.fault(Fault::Refused, chain(&*e));
    }
    findings
}

/// An error with its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// An index of a case, and the ways in which it is open.
#[derive(Debug, Clone, Copy)]
struct Place {
    codes: Option<Tier>,
    vectors: Tier,
    ids: bool,
}

struct Checker<'a> {
    case: &'a Case,
    base: Base,
    queries: Rows,
    truth: Truth,
    rows_of_ids: HashMap<u64, usize>,
    /// Searches every index of the case.
    executor: Executor,
}

/// An index that is open, where to note what is found, and what to say of the way it is searched.
struct Search<'a> {
    of: &'a Checker<'a>,
    engine: Engine,
    what: String,
    findings: &'a mut Findings,
}

impl<'a> Checker<'a> {
    fn new(case: &'a Case) -> Result<Checker<'a>, Box<dyn Error>> {
        let (base, queries) = case.data()?;
        let truth = Truth::of(case.metric, &base.rows, &queries);
        let rows_of_ids = (0..case.vectors).map(|row| (base.id(row), row)).collect();
        let config = EngineConfig { threads: 1, ..EngineConfig::default() };
        let executor = match case.inline {
            true => Executor::with_readers(config, || Ok(Box::<InlineReader>::default()))?,
            false => Executor::new(config)?,
        };
        Ok(Checker { case, base, queries, truth, rows_of_ids, executor })
    }

    fn all(&self, folder: &Path, findings: &mut Findings) -> Result<(), Box<dyn Error>> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.case.searches_seed);
        let coded = self.case.code != CodeSpec::Full;
        let tier = |coin: bool| if coin { Tier::Memory } else { Tier::Ssd };
        for two_copies in [false, true] {
            let out = folder.join(if two_copies { "two" } else { "one" });
            let config = self.case.build(&out, two_copies, tier(!two_copies && rng.random()));
            let limits = CalibrateLimits { threads: 1, memory_bytes: 1 << 30 };
            let calibrator = Calibrator(CalibrateParams::new(limits));
            let calibrate = self.case.calibrated.then_some(&calibrator as &dyn Calibrate);
            self.base.build_watched(&config, calibrate, &Silent)?;
            if rng.random_range(0..8) == 0 {
                verify(&out, true, &mut |_| {}, &AtomicBool::new(false))?;
            }
            let codes: &[Option<Tier>] = match (coded, two_copies) {
                (false, _) => &[None],
                (true, false) => &[Some(Tier::Memory), Some(Tier::Ssd)],
                (true, true) => &[Some(Tier::Ssd)],
            };
            for &codes in codes {
                let place = Place { codes, vectors: tier(coded && rng.random()), ids: rng.random() };
                let engine = self.open(&out, place)?;
                let what = format!("{} copies, {place:?}", 1 + u32::from(two_copies));
                Search { of: self, engine, what, findings }.every_way(place, &mut rng);
            }
        }
        Ok(())
    }

    fn open(&self, out: &Path, place: Place) -> Result<Engine, Box<dyn Error>> {
        let options = OpenOptions { codes: place.codes, vectors: Some(place.vectors), ids: place.ids };
        let index = Arc::new(Index::open_with(out, options)?);
        Ok(self.executor.register(index)?)
    }
}

impl Search<'_> {
    fn every_way(&mut self, place: Place, rng: &mut ChaCha8Rng) {
        let k = self.of.case.k;
        let plain = || SearchParams::new(k);
        let lists = self.engine.index().lists();
        let coded = self.of.case.code != CodeSpec::Full;
        let epsilon = Some([0.0, 0.1, 0.5, 2.0][rng.random_range(0..4)]);
        let max_lists = Some(rng.random_range(1..=lists));
        let max_bytes = Some(1 << rng.random_range(9..22));
        let asked = self.ask(vec![
            ("default", plain()),
            ("epsilon", SearchParams { epsilon, ..plain() }),
            ("epsilon and max_lists", SearchParams { epsilon, max_lists, ..plain() }),
            ("max_bytes", SearchParams { max_bytes, ..plain() }),
            ("max_lists and max_bytes", SearchParams { max_lists, max_bytes, ..plain() }),
        ]);
        if let Some(Some(recall)) = asked.into_iter().next() {
            self.findings.default_recall(self.of.case, recall);
        }
        self.lists_grow(lists);
        if coded {
            self.rerank_grows(max_lists);
            self.errors_grow(max_lists);
        }
        if coded && place.ids {
            self.estimates(rng);
        }
        self.within(rng);
        if place.ids {
            self.filtered(rng);
        }
    }

    /// Among random vectors, every plan finds `k` of them or all, and where everything is compared the nearest.
    fn filtered(&mut self, rng: &mut ChaCha8Rng) {
        let Checker { case, base, queries, truth, .. } = self.of;
        let ids: Vec<u64> = (0..case.vectors).map(|row| base.id(row)).collect();
        let query = rng.random_range(0..QUERIES);
        let asked = Asked { metric: case.metric, queries, query, truth, ids: &ids };
        match filtered::search(&asked, &self.engine, case.k, rng) {
            Err(e) => self.fault(Fault::Refused, format!("filtered, query {query}: {}", chain(&e))),
            Ok(faults) => {
                for (fault, what) in faults {
                    self.fault(fault, format!("query {query} {what}"));
                }
            }
        }
    }

    /// All vectors within a radius are found, each once, and of a share no less than that on average.
    fn within(&mut self, rng: &mut ChaCha8Rng) {
        let Checker { case, base, queries, truth, .. } = self.of;
        let ids: Vec<u64> = (0..case.vectors).map(|row| base.id(row)).collect();
        let query = rng.random_range(0..QUERIES);
        let asked = Asked { metric: case.metric, queries, query, truth, ids: &ids };
        match asked.search(&self.engine, rng) {
            Err(e) => self.fault(Fault::Refused, format!("within a radius, query {query}: {}", chain(&e))),
            Ok(told) => {
                for (fault, what) in told.faults {
                    self.fault(fault, format!("query {query} {what}"));
                }
                if let Some(rise) = told.rise {
                    self.findings.trend(Trend::within(case), rise);
                }
            }
        }
    }

    /// With everything compared, recall never falls with more lists, and is 1 with all.
    fn lists_grow(&mut self, lists: u32) {
        let rerank = Some(Rerank::Count(u32::MAX));
        let steps = std::iter::successors(Some(1), |lists| Some(lists * 3)).take_while(|&step| step < lists);
        let steps: Vec<u32> = steps.chain([lists]).collect();
        let of_step = |&step: &u32| {
            let params = SearchParams { max_lists: Some(step), rerank, ..SearchParams::new(self.of.case.k) };
            ("everything of some lists", params)
        };
        let asked = self.ask(steps.iter().map(of_step).collect());
        let mut before = None;
        for (step, recall) in steps.into_iter().zip(asked) {
            let Some(recall) = recall else { return };
            let what = format!("at {step} of {lists} lists");
            self.compare(Fault::FellWithLists, before.as_ref(), &recall, what);
            before = Some(recall);
        }
        let least = before.iter().flatten().copied().fold(1.0, f64::min);
        if least < 1.0 {
            self.fault(
                Fault::NotExact,
                format!("all {lists} lists and all vectors compared: recall {least:.3}"),
            );
        }
    }

    /// At fixed lists, recall never falls as more is compared.
    fn rerank_grows(&mut self, max_lists: Option<u32>) {
        let k = self.of.case.k as u32; // CAST: at most the vectors and five
        let counts = [1, k, 2 * k, 4 * k + 16, u32::MAX];
        let asked = self.ask_with(max_lists, "rerank", counts.map(Rerank::Count));
        let mut before = None;
        for (count, recall) in counts.into_iter().zip(asked) {
            let Some(recall) = recall else { return };
            let what = format!("at {max_lists:?} lists, rerank {count}");
            self.compare(Fault::FellWithRerank, before.as_ref(), &recall, what);
            before = Some(recall);
        }
    }

    /// At fixed lists, mean recall never falls as errors grow: judged over many cases.
    fn errors_grow(&mut self, max_lists: Option<u32>) {
        let asked = self.ask_with(max_lists, "rerank_errors", ERRORS.map(Rerank::Errors));
        let mut before: Option<Vec<f64>> = None;
        for (errors, recall) in ERRORS.into_iter().zip(asked) {
            let Some(recall) = recall else { return };
            if let Some(before) = &before {
                let rise = mean(&recall) - mean(before);
                self.findings.trend(Trend::errors(self.of.case, errors), rise);
                if rise < -0.25 {
                    self.fault(
                        Fault::FellFarWithErrors,
                        format!("at {max_lists:?} lists, {errors} errors: {rise:.3}"),
                    );
                }
            }
            before = Some(recall);
        }
    }

    /// Estimates where they decide cost little recall, by any rule.
    fn estimates(&mut self, rng: &mut ChaCha8Rng) {
        let k = self.of.case.k as u32; // CAST: at most the vectors and five
        let rule = [Rerank::Errors(2.0), Rerank::Count(k), Rerank::Count(4 * k + 16)][rng.random_range(0..3)];
        let exact = SearchParams { rerank: Some(rule), ..SearchParams::new(self.of.case.k) };
        let any = SearchParams { distances: Distances::Any, ..exact.clone() };
        let asked = self.ask(vec![("exact distances", exact), ("any distances", any)]);
        if let [Some(exact), Some(any)] = &asked[..] {
            self.findings.trend(Trend::estimates(self.of.case, rule), mean(any) - mean(exact));
        }
    }

    /// Notes a query that found less than before although it compared more.
    fn compare(&mut self, fault: Fault, before: Option<&Vec<f64>>, after: &[f64], what: String) {
        let fell =
            before.into_iter().flatten().zip(after).enumerate().find(|(_, (before, after))| after < before);
        if let Some((query, (before, after))) = fell {
            self.fault(fault, format!("{what}, query {query}: {before:.3} to {after:.3}"));
        }
    }

    fn fault(&mut self, fault: Fault, what: String) {
        self.findings.fault(fault, format!("{}, {what}", self.what));
    }

    /// Searches with some rules of what is compared, at some lists.
    fn ask_with(
        &mut self,
        max_lists: Option<u32>,
        way: &'static str,
        rules: [Rerank; 5],
    ) -> Vec<Option<Vec<f64>>> {
        let k = self.of.case.k;
        let of_rule = |rule| (way, SearchParams { max_lists, rerank: Some(rule), ..SearchParams::new(k) });
        self.ask(rules.map(of_rule).into())
    }

    /// Searches in some ways at once, checks the answers, and gives their recall in each way; none where it is refused.
    fn ask(&mut self, ways: Vec<(&'static str, SearchParams)>) -> Vec<Option<Vec<f64>>> {
        let queries = Bytes::copy_from_slice(self.of.queries.bytes());
        let submit = |(way, params): (&'static str, SearchParams)| {
            let (sender, receiver) = sync_channel(1);
            let (queries, params_of) = (queries.clone(), params.clone());
            let request =
                Request { queries, column_queries: None, params: params_of, deadline: None, stop: None };
            let refused = self.engine.submit(request, move |result| drop(sender.send(result))).err();
            (way, params, refused.map_or(Ok(receiver), Err))
        };
        let submitted: Vec<_> = ways.into_iter().map(submit).collect();
        let taken = |(way, params, receiver): (&str, _, Result<Receiver<_>, SearchError>)| {
            let found = receiver.and_then(|receiver| receiver.recv().unwrap_or(Err(SearchError::Closed)));
            self.answers(way, &params, found)
        };
        submitted.into_iter().map(taken).collect()
    }

    /// Checks answers: their recall.
    fn answers(
        &mut self,
        way: &str,
        params: &SearchParams,
        found: Result<Vec<Answer>, SearchError>,
    ) -> Option<Vec<f64>> {
        match found {
            Err(e) => {
                let fault =
                    if self.of.case.k > self.of.case.vectors { Fault::RefusedK } else { Fault::Refused };
                self.fault(fault, format!("{way}: {}", chain(&e)));
                None
            }
            Ok(answers) => {
                if answers.len() != QUERIES {
                    self.fault(Fault::TooFew, format!("{way}: {} answers", answers.len()));
                }
                let recall = |(query, answer)| self.answer(way, params, query, answer);
                Some(answers.iter().enumerate().map(recall).collect())
            }
        }
    }

    /// Checks one answer: its recall.
    fn answer(&mut self, way: &str, params: &SearchParams, query: usize, answer: &Answer) -> f64 {
        let case = self.of.case;
        let what = format!("{way} by {params:?}, query {query}");
        let wanted = case.k.min(case.vectors);
        let count = answer.neighbours.len();
        if count == 0 || count > case.k || count < wanted && answer.limited_by.is_none() {
            self.fault(Fault::TooFew, format!("{what}: {count} of {wanted}"));
        }
        let is_named_rightly = match answer.limited_by {
            None => true,
            Some(Limit::MaxLists) => params.max_lists.is_some() && count < wanted,
            Some(Limit::MaxBytes) => params.max_bytes.is_some(),
            Some(Limit::MaxResults) => false,
            Some(Limit::MinHeadScore) => params.min_head_score.is_some() && count < wanted,
        };
        if !is_named_rightly {
            let named = answer.limited_by;
            self.fault(Fault::WrongLimit, format!("{what}: {count} of {wanted}, limited by {named:?}"));
        }
        if answer.missing.parts() > 0 {
            self.fault(Fault::Damaged, format!("{what}: {} damaged parts", answer.missing.parts()));
        }
        if params.max_lists.is_some_and(|max| answer.work.lists > max) {
            self.fault(Fault::OverLimit, format!("{what}: {} lists", answer.work.lists));
        }
        let mut rows = Vec::with_capacity(count);
        for neighbour in &answer.neighbours {
            let Some(&row) = self.of.rows_of_ids.get(&neighbour.id) else {
                self.fault(Fault::NoSuchId, format!("{what}: {neighbour:?}"));
                continue;
            };
            let exact = self.of.truth.exact(query, row);
            if neighbour.estimated {
                if params.distances == Distances::Exact {
                    self.fault(Fault::WrongDistance, format!("{what}: {neighbour:?} is an estimate"));
                }
            } else if !exact.is(neighbour.distance) {
                self.fault(Fault::WrongDistance, format!("{what}: {neighbour:?}, truly {}", exact.distance));
            }
            rows.push(row);
        }
        // Smaller is nearer, but for inner products; ties go by id.
        let sign = if case.metric == Metric::InnerProduct { -1.0 } else { 1.0 };
        let keys: Vec<(f32, u64)> = answer.neighbours.iter().map(|n| (sign * n.distance, n.id)).collect();
        if let Some(pair) = keys.windows(2).find(|pair| pair[0] >= pair[1]) {
            self.fault(Fault::WrongOrder, format!("{what}: {pair:?}"));
        }
        let recall = self.of.truth.recall(query, &rows, case.k);
        rows.sort_unstable();
        if rows.windows(2).any(|pair| pair[0] == pair[1]) {
            self.fault(Fault::Repeated, what);
        }
        recall
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
