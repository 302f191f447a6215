//! Exact scores of single vectors, each found once for a query.
use spandrel_index::format::VectorsOf;
use spandrel_index::{Index, Location};

use super::error::CalibrateError;
use super::queries::Pages;
use crate::pages::PageKey;
use crate::rerank::Reranker;
use crate::subject::Prepared;

/// Vectors that are fetched ahead of their comparison.
const TOGETHER: usize = 64;

/// How many are before `location`: known scores are many, and those asked for lie close together.
fn count_before(known: &[(Location, f32)], location: Location) -> usize {
    let mut end = 1;
    while end < known.len() && known[end - 1].0 < location {
        end *= 2;
    }
    let start = end / 2;
    start + known[start..end.min(known.len())].partition_point(|&(known, _)| known < location)
}

/// Scores vectors where they are: in memory, or on pages that are read one by one.
pub(super) struct Scores<'a> {
    index: &'a Index,
    reranker: Reranker,
    /// Of each segment.
    pages: Vec<Pages>,
    /// The page read last.
    page: Vec<u8>,
    key: Option<PageKey>,
}

impl<'a> Scores<'a> {
    pub(super) fn open(index: &'a Index) -> Result<Scores<'a>, CalibrateError> {
        let pages = index.segments().iter().map(Pages::open).collect::<Result<_, _>>()?;
        Ok(Scores { index, reranker: Reranker::new(index), pages, page: Vec::new(), key: None })
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
        for locations in locations.chunks(TOGETHER) {
            let mut score_of = |location: Location| {
                at += count_before(&known[at..before], location);
                known[..before].get(at).filter(|(known, _)| *known == location).map(|&(_, score)| score)
            };
            let found: Vec<Option<f32>> = locations.iter().map(|&location| score_of(location)).collect();
            for (location, _) in locations.iter().zip(&found).filter(|(_, score)| score.is_none()) {
                if let Some(vectors) =
                    &self.index.segments()[usize::from(location.segment())].vectors(VectorsOf::Main).resident
                {
                    vectors.prefetch(location.position());
                }
            }
            for (&location, score) in locations.iter().zip(found) {
                let score = match score {
                    Some(score) => score,
                    None => {
                        let score = self.score(query, location)?;
                        known.push((location, score));
                        score
                    }
                };
                out.push(score);
            }
        }
        if known.len() > before {
            // A stable sort finds the two runs, and merges them.
            known.sort_by_key(|&(location, _)| location);
        }
        Ok(())
    }

    fn score(&mut self, query: Prepared<'_>, location: Location) -> Result<f32, CalibrateError> {
        let (at, position) = (usize::from(location.segment()), location.position());
        if let Some(vectors) = &self.index.segments()[at].vectors(VectorsOf::Main).resident {
            return Ok(self.reranker.score(vectors.record(position), query));
        }
        let pages = &self.pages[at];
        let (number, slot) = pages.layout.place(position);
        let key = PageKey::new(location.segment(), number);
        if self.key != Some(key) {
            self.key = None;
            pages.read(number..number + 1, &mut self.page)?;
            self.key = Some(key);
        }
        Ok(self.reranker.score(pages.layout.record(&self.page, slot), query))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_before_a_location_are_counted() {
        for count in 0..40 {
            let known: Vec<(Location, f32)> =
                (0..count).map(|at| (Location::new(0, 2 * at + 1), 0.0)).collect();
            for position in 0..2 * count + 3 {
                let before = known.iter().filter(|(known, _)| *known < Location::new(0, position)).count();
                assert_eq!(count_before(&known, Location::new(0, position)), before, "{position} of {count}");
            }
        }
    }
}
