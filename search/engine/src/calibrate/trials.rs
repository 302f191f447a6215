//! Searches of the rows held out under one setting after the other, each made once.
use std::collections::HashMap;

use spandrel_index::{Metric, Tier};

use super::{CalibrateError, HeldOut, K};
use crate::{Answer, Engine, Rerank, SearchParams};

/// One row in so many is enough to compare settings with each other.
const FEW: usize = 8;
/// Standard errors of the search that is taken for the truth.
const REFERENCE_ERRORS: f32 = 4.0;
/// Codes scanned in memory in the time that a page costs.
const CODES_PER_PAGE: f64 = 6000.0;
/// Codes scanned in memory in the time that a vector in memory takes to be compared.
const CODES_PER_VECTOR: f64 = 100.0;
/// Bytes of a page on which codes lie on SSD.
const PAGE_BYTES: f64 = 4096.0;

/// Which rows a setting is tried on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum On {
    Few,
    All,
}

/// How to search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Setting {
    pub(super) lists: u32,
    /// Tenths of standard errors.
    pub(super) tenths: u8,
}

impl Setting {
    pub(super) fn errors(self) -> f32 {
        f32::from(self.tenths) / 10.0
    }
}

/// What a setting came to, as means over the rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Outcome {
    pub(super) recall: f64,
    pub(super) reranked: f64,
    pub(super) vectors_scanned: f64,
}

/// Rows with their ids, and the distance within which each has its true neighbours.
struct Rows {
    bytes: Vec<u8>,
    ids: Vec<u64>,
    kth: Vec<f32>,
}

pub(super) struct Trials<'a> {
    engine: &'a Engine,
    rows: [Rows; 2],
    reference_lists: u32,
    codes_per_page: f64,
    tried: HashMap<(On, Setting), Outcome>,
    tell: &'a mut dyn FnMut(u64) -> bool,
}

impl<'a> Trials<'a> {
    /// Makes the search that is taken for the truth.
    pub(super) fn new(
        engine: &'a Engine,
        held_out: HeldOut<'_>,
        reference_lists: u32,
        tell: &'a mut dyn FnMut(u64) -> bool,
    ) -> Result<Trials<'a>, CalibrateError> {
        let index = engine.index();
        let codes_per_page = match index.manifest().build.codes {
            Tier::Memory => CODES_PER_PAGE,
            Tier::Ssd => {
                let entries: usize =
                    (0..index.lists()).map(|list| index.directory().entry(list).count()).sum();
                PAGE_BYTES * entries as f64 / index.codes_bytes() as f64 // CAST: a ratio
            }
        };
        let all = Rows { bytes: held_out.rows.to_vec(), ids: held_out.ids.to_vec(), kth: Vec::new() };
        let none = Rows { bytes: Vec::new(), ids: Vec::new(), kth: Vec::new() };
        let mut trials = Trials {
            engine,
            rows: [none, all],
            reference_lists,
            codes_per_page,
            tried: HashMap::new(),
            tell,
        };
        let answers = trials.search(On::All, reference_lists, REFERENCE_ERRORS)?;
        let kth = |(answer, &own): (&Answer, &u64)| {
            others(answer, own).nth(K - 1).unwrap_or(worst(engine.index().metric()))
        };
        let kths: Vec<f32> = answers.iter().zip(held_out.ids).map(kth).collect();
        let row_bytes = engine.index().row_bytes();
        trials.rows[0] = Rows {
            bytes: held_out.rows.chunks_exact(row_bytes).step_by(FEW).flatten().copied().collect(),
            ids: held_out.ids.iter().copied().step_by(FEW).collect(),
            kth: kths.iter().copied().step_by(FEW).collect(),
        };
        trials.rows[1].kth = kths;
        Ok(trials)
    }

    pub(super) fn has_codes(&self) -> bool {
        self.engine.index().model().is_some()
    }

    /// Numbers of lists worth trying, four to an octave.
    pub(super) fn lists(&self) -> Vec<u32> {
        let octaves = (0..10).map(|octave| 2_u32 << octave);
        octaves
            .flat_map(|quarter| (4..8).map(move |quarters| quarters * quarter))
            .filter(|&lists| lists <= self.reference_lists)
            .collect()
    }

    /// Searches under a setting, unless that was done before.
    pub(super) fn outcome(&mut self, on: On, setting: Setting) -> Result<Outcome, CalibrateError> {
        if let Some(&outcome) = self.tried.get(&(on, setting)) {
            return Ok(outcome);
        }
        let answers = self.search(on, setting.lists, setting.errors())?;
        let (rows, metric) = (&self.rows[on as usize], self.engine.index().metric());
        let (mut hits, mut reranked, mut vectors_scanned) = (0_usize, 0_u64, 0_u64);
        for ((answer, &own), &kth) in answers.iter().zip(&rows.ids).zip(&rows.kth) {
            hits += others(answer, own).take(K).filter(|&d| no_worse(metric, d, kth)).count();
            reranked += u64::from(answer.work.reranked);
            vectors_scanned += answer.work.vectors_scanned;
        }
        let queries = answers.len() as f64; // CAST: a mean, here and below
        let outcome = Outcome {
            recall: hits as f64 / (queries * K as f64),
            reranked: reranked as f64 / queries,
            vectors_scanned: vectors_scanned as f64 / queries,
        };
        self.tried.insert((on, setting), outcome);
        Ok(outcome)
    }

    /// Work in vectors compared exactly. With vectors on SSD that is about a page for each, and codes scanned are worth what
    /// they take of the time of one, or where they lie on SSD the pages that they lie on.
    pub(super) fn work(&self, outcome: Outcome, vectors: Tier) -> f64 {
        let codes = match vectors {
            Tier::Ssd => self.codes_per_page,
            Tier::Memory => CODES_PER_VECTOR,
        };
        outcome.reranked + outcome.vectors_scanned / codes
    }

    fn search(&mut self, on: On, lists: u32, errors: f32) -> Result<Vec<Answer>, CalibrateError> {
        if !(self.tell)(0) {
            return Err(CalibrateError::Stopped);
        }
        let rows = &self.rows[on as usize];
        // No epsilon: it is of use to queries far from all heads, and a row of the index may be a head itself.
        let params = SearchParams {
            max_lists: Some(lists),
            rerank: Some(Rerank::Errors(errors)),
            ..SearchParams::new(K + 1)
        };
        let answers = self.engine.search(&rows.bytes, &params)?;
        match answers.iter().map(|answer| u64::from(answer.damaged)).sum() {
            0 => {}
            parts => return Err(CalibrateError::Damaged { parts }),
        }
        if !(self.tell)(answers.len() as u64) {
            return Err(CalibrateError::Stopped);
        }
        Ok(answers)
    }
}

/// Distances of the neighbours that are not the query itself, best first.
fn others(answer: &Answer, own: u64) -> impl Iterator<Item = f32> {
    answer.neighbours.iter().filter(move |n| n.id != own).map(|n| n.distance)
}

fn no_worse(metric: Metric, distance: f32, limit: f32) -> bool {
    match metric {
        Metric::InnerProduct => distance >= limit,
        Metric::L2 | Metric::Cosine => distance <= limit,
    }
}

/// What every distance is as good as.
fn worst(metric: Metric) -> f32 {
    if metric == Metric::InnerProduct { f32::NEG_INFINITY } else { f32::INFINITY }
}
