//! Queries of which a thread takes several at once: their heads are scored together, before the first is started.
use spandrel_index::Index;
use spandrel_index::heads::{HeadScores, Scratch};

/// Queries taken at once at most: heads are read once for all of them, and a query waits for the others.
pub(crate) const TOGETHER: usize = 4;

/// The scores of heads for queries that are about to start. One per worker and index.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    rows: Vec<u8>,
    scores: HeadScores,
    /// The one of them that was started.
    started: Option<usize>,
}

impl Ahead {
    /// Scores heads for queries, if that is done faster together: whether it was.
    pub(crate) fn score<'a>(&mut self, index: &Index, queries: impl Iterator<Item = &'a [u8]>) -> bool {
        self.rows.clear();
        let [segment, others @ ..] = index.segments() else { return false };
        if others.iter().any(|other| other.heads_of != 0) {
            return false;
        }
        queries.for_each(|row| index.space().map_query(index.dtype(), row, &mut self.rows));
        segment.head_index.score_together(&self.rows, &mut self.scores)
    }

    /// Says which of the queries is searched for from now on; none where it was not among them.
    pub(crate) fn set_started(&mut self, query: Option<usize>) {
        self.started = query;
    }

    /// The heads nearest to the query that was started, if it is one of these: how many were scored for it.
    pub(crate) fn nearest(
        &self,
        heads: usize,
        scratch: &mut Scratch,
        out: &mut Vec<(f32, u32)>,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Option<u32> {
        Some(self.scores.nearest_while(self.started?, heads, scratch, out, go_on))
    }
}
