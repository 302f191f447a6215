//! Lists formed once for a set, and the heads that each query finds.
use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use spandrel_builder::filing::ReplicaRule;
use spandrel_builder::{BuildConfig, Choice, Input, Silent, VectorShape, build};
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::VectorsOf;
use spandrel_index::heads::Scratch;
use spandrel_index::{
    HeadIndex, HeadQuery, Index, OpenOptions, Segment, Tier, VectorSource, for_each_element,
};

use spandrel_benches::set::{K, Set};

/// Vectors of a list, as an index of codes has them.
const LIST_SIZE: u32 = 120;
/// Share of the true neighbours that lie in the lists searched: what is missed above is missed by codes.
const LEAST_CEILING: f64 = 0.998;

/// An index of a set, all of it in memory, and what its lists are to the queries.
pub(crate) struct Lists {
    pub(crate) index: Index,
    /// Position of each row of the base.
    pub(crate) positions: Vec<u32>,
    /// Squared distances and numbers of the heads nearest to each query, nearest first.
    pub(crate) ranked: Vec<Vec<(f32, u32)>>,
    /// Lists searched.
    pub(crate) searched: usize,
    /// Share of the true neighbours in them.
    pub(crate) ceiling: f64,
}

/// Builds an index with code `code` in `out`.
pub(crate) fn build_index(set: &Set, code: CodeSpec, out: &Path, threads: usize) -> Result<()> {
    let choice = Choice::of(VectorShape::of(&set.base, set.metric), code, Tier::Memory);
    let choice = Choice { list_size: LIST_SIZE, replicas: ReplicaRule::None, ..choice };
    let config = BuildConfig { max_replicas: 1, ..set.config(&choice, out, threads) };
    let input = Input::of(&set.base);
    build(input, &config, &Silent, &AtomicBool::new(false)).context("building lists")?;
    Ok(())
}

impl Lists {
    pub(crate) fn open(set: &Set, folder: &Path) -> Result<Lists> {
        let options = OpenOptions { vectors: Some(Tier::Memory), ids: true, ..OpenOptions::default() };
        let index = Index::open_with(folder, options)?;
        let segment = &index.segments()[0];
        let ids = segment.ids.resident.as_ref().context("ids were asked for")?;
        let mut positions = vec![0; index.vectors() as usize];
        for position in 0..positions.len() as u32 {
            positions[ids.id(position) as usize] = position;
        }
        let mut scratch = Scratch::new();
        let (mut row, mut ranked) = (Vec::new(), Vec::new());
        for query in 0..set.queries.len() as usize {
            row.clear();
            index.space().map_query(index.dtype(), set.queries.row(query), &mut row);
            let mut found = Vec::new();
            let all = HeadQuery { row: &row, k: index.lists() as usize, ef: 0 };
            HeadIndex::Flat.search(&segment.heads, &all, &mut scratch, &mut found);
            ranked.push(found);
        }
        let mut lists = Lists { index, positions, ranked, searched: 32, ceiling: 0.0 };
        while lists.ceiling < LEAST_CEILING && lists.searched < lists.index.lists() as usize {
            lists.searched = (2 * lists.searched).min(lists.index.lists() as usize);
            lists.ceiling = lists.ceiling_of(set, lists.searched);
        }
        Ok(lists)
    }

    /// The one segment that a build writes.
    pub(crate) fn segment(&self) -> &Segment {
        &self.index.segments()[0]
    }

    /// The share of true neighbours in the nearest lists.
    fn ceiling_of(&self, set: &Set, searched: usize) -> f64 {
        let mut found = 0;
        for (query, ranked) in self.ranked.iter().enumerate() {
            let nearest = &ranked[..searched];
            let inside = |row: &&u64| {
                let list = self.list_of(self.positions[**row as usize]);
                nearest.iter().any(|&(_, near)| near == list)
            };
            found += set.near(query)[..K].iter().filter(inside).count();
        }
        found as f64 / (K * self.ranked.len()) as f64
    }

    /// The list that holds a position.
    pub(crate) fn list_of(&self, position: u32) -> u32 {
        let directory = &self.segment().directory;
        let (mut low, mut high) = (0, self.index.lists());
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if directory.first_position(middle) <= position { low = middle } else { high = middle }
        }
        low
    }

    /// Positions of a list: the first, and how many.
    pub(crate) fn range(&self, list: u32) -> (u32, usize) {
        let directory = &self.segment().directory;
        (directory.first_position(list), directory.entry(list).primaries as usize)
    }

    /// A head's elements, in head space.
    pub(crate) fn head(&self, list: u32, out: &mut Vec<f32>) {
        out.clear();
        for_each_element(self.segment().heads.dtype(), self.segment().heads.row(list), |x| out.push(x));
    }

    /// Appends the elements of a vector, in head space.
    pub(crate) fn vector(&self, position: u32, out: &mut Vec<f32>) {
        let vectors =
            self.segment().vectors(VectorsOf::Main).resident.as_ref().expect("vectors are in memory");
        self.index.space().float_vector(self.index.dtype(), vectors.record(position).vector, out);
    }
}
