//! In which of a query's lists its true neighbours are.
use std::collections::{HashMap, HashSet};

use rayon::ThreadPool;
use rayon::prelude::*;
use spandrel_index::format::ListLayout;
use spandrel_index::{Index, Location, Segment, Tier};
use spandrel_io::Direct;

use super::error::CalibrateError;
use super::queries::Queries;
use super::truth::TrueNeighbours;
use crate::fetch::{ListPlace, NearList};
use crate::files::open_file;
use crate::probe::Prober;
use crate::scan::{ReadList, check};

/// Lists read before the caller is asked whether to go on.
const LISTS: u32 = 1024;
/// Queries that each thread takes before the caller is asked.
const BATCH: usize = 256;
/// Nearest lists among which neighbours are looked for first: to put these heads in order takes a fifth of the time of all.
const LISTS_FIRST: u32 = 1024;

/// Whose neighbours are looked for in how many lists.
#[derive(Clone, Copy)]
pub(super) struct RanksOf<'a> {
    pub(super) index: &'a Index,
    pub(super) queries: &'a Queries,
    /// Lists looked at, nearest first.
    pub(super) lists_max: u32,
}

/// Of each query and each of its neighbours, how many of the nearest lists are read before it is found: the place of the
/// first list that holds it, counted from 0, or `u32::MAX` where none of the `lists_max` nearest does.
pub(super) fn ranks(
    of: RanksOf<'_>,
    nearest: &[TrueNeighbours],
    pool: &ThreadPool,
    go_on: &mut dyn FnMut() -> bool,
) -> Result<Vec<Vec<u32>>, CalibrateError> {
    let holders = Holders::find(of.index, nearest, go_on)?;
    let mut ranks = Vec::with_capacity(nearest.len());
    for batch in (0..nearest.len()).collect::<Vec<_>>().chunks(BATCH * pool.current_num_threads()) {
        if !go_on() {
            return Err(CalibrateError::Stopped);
        }
        let found = batch
            .par_iter()
            .map_init(|| Ranker::new(of), |ranker, &query| ranker.ranks(query, &nearest[query], &holders));
        ranks.extend(pool.install(|| found.collect::<Vec<_>>()));
    }
    Ok(ranks)
}

/// Finds the places of lists for one query after the other.
struct Ranker<'a> {
    of: RanksOf<'a>,
    row: Vec<u8>,
    prober: Prober,
    /// Of each list found, by segment.
    rank_of_list: Vec<Vec<u32>>,
}

impl<'a> Ranker<'a> {
    fn new(of: RanksOf<'a>) -> Ranker<'a> {
        // Those that values of a partition share are always searched.
        let ranks = |segment: &Segment| {
            let mut ranks = vec![u32::MAX; segment.lists() as usize]; // CAST: widening, here and below
            ranks[segment.found_lists() as usize..].fill(0);
            ranks
        };
        let rank_of_list = of.index.segments().iter().map(ranks).collect();
        Ranker { of, row: Vec::new(), prober: Prober::default(), rank_of_list }
    }

    /// The places for the neighbours of one query. Few lists hold all of them for most.
    fn ranks(&mut self, query: usize, nearest: &TrueNeighbours, holders: &Holders) -> Vec<u32> {
        let RanksOf { index, queries, lists_max: most, .. } = self.of;
        // Those that only say what to expect of codes are searched for it.
        if !query.is_multiple_of(queries.times) && matches!(index.list_layout(), ListLayout::Coded(_)) {
            return Vec::new();
        }
        let ranks = self.among(LISTS_FIRST.min(most), query, nearest, holders);
        let are_all = most <= LISTS_FIRST || ranks.iter().all(|&rank| rank < u32::MAX);
        if are_all { ranks } else { self.among(most, query, nearest, holders) }
    }

    fn among(&mut self, lists: u32, query: usize, nearest: &TrueNeighbours, holders: &Holders) -> Vec<u32> {
        let RanksOf { index, queries, .. } = self.of;
        let Ranker { row, prober, rank_of_list, .. } = self;
        row.clear();
        index.space().map_query(index.dtype(), queries.row(query), row);
        prober.search(index, row, lists, &mut || true);
        for (rank, near) in (0..).zip(prober.nearest()) {
            rank_of_list[usize::from(near.segment)][near.list as usize] = rank; // CAST: widening, here and below
        }
        let rank = |(segment, list): (u16, u32)| rank_of_list[usize::from(segment)][list as usize];
        let of = |&name: &u64| holders.lists(index, name).map(rank).min().unwrap_or(u32::MAX);
        let ranks = nearest.names.iter().map(of).collect();
        for near in prober.nearest() {
            rank_of_list[usize::from(near.segment)][near.list as usize] = u32::MAX;
        }
        ranks
    }
}

/// The lists that hold some vectors, each by its segment and its number there.
struct Holders {
    /// Whether vectors are named by their locations: the list of a primary follows from it.
    by_location: bool,
    others: HashMap<u64, Vec<(u16, u32)>>,
}

impl Holders {
    /// Reads lists where it takes that: for replicas, and where lists name vectors by their ids.
    fn find(
        index: &Index,
        nearest: &[TrueNeighbours],
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Holders, CalibrateError> {
        let by_location = matches!(index.list_layout(), ListLayout::Coded(_));
        let mut holders = Holders { by_location, others: HashMap::new() };
        // Where codes are meant for memory, copies are not there.
        let build = &index.manifest().build;
        if by_location && (build.codes == Tier::Memory || build.max_replicas < 2) {
            return Ok(holders);
        }
        let wanted: HashSet<u64> = nearest.iter().flat_map(|nearest| &nearest.names).copied().collect();
        for number in (0..).take(index.segments().len()) {
            holders.read(index, number, &wanted, go_on)?;
        }
        Ok(holders)
    }

    /// Reads the lists of one segment.
    fn read(
        &mut self,
        index: &Index,
        number: u16,
        wanted: &HashSet<u64>,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<(), CalibrateError> {
        let segment = &index.segments()[usize::from(number)];
        let file = open_file(&*segment.codes.blob, segment.codes.body_bytes, Direct::Off)?;
        let mut bytes = Vec::new();
        for list in 0..segment.lists() {
            if list % LISTS == 0 && !go_on() {
                return Err(CalibrateError::Stopped);
            }
            let place = ListPlace::of(NearList { distance: 0.0, segment: number, list }, segment);
            bytes.resize(place.bytes as usize, 0); // CAST: a list fits in memory
            file.read_into(place.offset, &mut bytes)?;
            let damaged = || CalibrateError::damaged_list(&file, list);
            if check(segment, ReadList { place: &place, bytes: &bytes }, &mut || None).is_err() {
                return Err(damaged());
            }
            let mut add = |name: u64| {
                if wanted.contains(&name) {
                    self.others.entry(name).or_default().push((number, list));
                }
            };
            match index.list_layout() {
                ListLayout::Coded(layout) => {
                    let view = layout.view(&bytes, place.primaries, place.replicas, segment.count);
                    let view = view.map_err(|_| damaged())?;
                    let copies = 0..place.replicas as usize; // CAST: widening
                    copies.for_each(|at| add(Location::new(number, view.position(at)).bits()));
                }
                ListLayout::Full(layout) => {
                    let view = layout.view(&bytes, place.primaries, place.replicas, segment.count);
                    let view = view.map_err(|_| damaged())?;
                    (0..place.count()).for_each(|at| add(view.id(at)));
                }
            }
        }
        Ok(())
    }

    fn lists(&self, index: &Index, name: u64) -> impl Iterator<Item = (u16, u32)> {
        let primary = self.by_location.then(|| {
            let location = Location::of_bits(name);
            let segment = &index.segments()[usize::from(location.segment())];
            (location.segment(), segment.directory.list_of(location.position(), 0))
        });
        self.others.get(&name).into_iter().flatten().copied().chain(primary)
    }
}
