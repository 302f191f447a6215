//! Exact scores of single vectors, each found once for a query.
use spandrel_index::{Index, Location};

use super::error::CalibrateError;
use super::queries::{Pages, only_segment};
use crate::rerank::Reranker;
use crate::subject::Prepared;

/// Scores vectors where they are: in memory, or on pages that are read one by one.
pub(super) struct Scores<'a> {
    index: &'a Index,
    reranker: Reranker,
    pages: Pages,
    /// The page read last.
    page: Vec<u8>,
    number: Option<u64>,
}

impl<'a> Scores<'a> {
    pub(super) fn open(index: &'a Index) -> Result<Scores<'a>, CalibrateError> {
        let pages = Pages::open(only_segment(index))?;
        Ok(Scores { index, reranker: Reranker::new(index), pages, page: Vec::new(), number: None })
    }

    /// Appends the scores of vectors, whose locations ascend, to `out`. `known` ascend too.
    pub(super) fn of(
        &mut self,
        query: Prepared<'_>,
        locations: &[Location],
        known: &mut Vec<(Location, f32)>,
        out: &mut Vec<f32>,
    ) -> Result<(), CalibrateError> {
        let (mut at, before) = (0, known.len());
        for &location in locations {
            at += known[at..before].iter().take_while(|&&(known, _)| known < location).count();
            let score = match known[..before].get(at) {
                Some(&(known, score)) if known == location => score,
                _ => {
                    let score = self.score(query, location.position())?;
                    known.push((location, score));
                    score
                }
            };
            out.push(score);
        }
        if known.len() > before {
            known.sort_unstable_by_key(|&(location, _)| location);
        }
        Ok(())
    }

    fn score(&mut self, query: Prepared<'_>, position: u32) -> Result<f32, CalibrateError> {
        if let Some(vectors) = &only_segment(self.index).vectors.resident {
            return Ok(self.reranker.score(vectors.record(position), query));
        }
        let (number, slot) = self.pages.layout.place(position);
        if self.number != Some(number) {
            self.number = None;
            self.pages.read(number..number + 1, &mut self.page)?;
            self.number = Some(number);
        }
        Ok(self.reranker.score(self.pages.layout.record(&self.page, slot), query))
    }
}
