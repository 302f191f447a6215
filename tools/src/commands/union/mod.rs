//! Several indexes searched as one: opened, checked, asked together.
mod bench;
mod query;
mod within;

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use clap::Args;
use spandrel_engine::{
    Answer, Duplicates, Engine, EngineConfig, Executor, QueryRows, SearchError, SearchParams, UnionAnswer,
    UnionError, check_union, union,
};
use spandrel_index::Index;
use spandrel_index::format::VectorsOf;

use super::filter::{Compiler, FilterArgs, Searching};
use super::neighbour_attributes::AttributeReader;
use super::search::{PlaceArgs, open_index, refuse_damage, tell_reading};
use crate::{Advised, Session, UsageError};

pub(super) use bench::bench;
pub(super) use query::query;

/// Heading of the flags of several indexes.
const HEADING: &str = "Several indexes as one";

/// How several indexes are searched as one.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct UnionArgs {
    /// What an id means that several indexes have: best takes it for one thing and gives it once, at its best distance;
    /// keep takes it for a thing of each and gives all [default: best].
    #[arg(long, value_name = "best|keep", help_heading = HEADING)]
    pub duplicates: Option<Duplicates>,
}

impl UnionArgs {
    /// Refuses what says nothing about one index.
    pub(super) fn refuse_alone(self) -> anyhow::Result<()> {
        match self.duplicates {
            Some(_) => {
                Err(UsageError("--duplicates takes more than one --index, or --index-name".to_owned()).into())
            }
            None => Ok(()),
        }
    }
}

/// Several indexes that can be searched as one.
pub(super) struct Union {
    pub(super) indexes: Vec<Arc<Index>>,
    /// Their folders, as they were given.
    pub(super) names: Vec<String>,
    pub(super) duplicates: Duplicates,
}

/// What is asked of all of them.
#[derive(Debug, Clone, Copy)]
struct Asked {
    compare_by: VectorsOf,
    /// Whether attributes are, by a filter or with answers.
    attributes: bool,
}

impl Union {
    /// Opens the indexes in these folders.
    fn open(dirs: &[PathBuf], places: &PlaceArgs, args: UnionArgs, asked: Asked) -> anyhow::Result<Union> {
        let indexes = dirs.iter().map(|dir| open_index(dir, places)).collect::<anyhow::Result<Vec<_>>>()?;
        let names = dirs.iter().map(|dir| dir.display().to_string()).collect();
        let union = Union { indexes, names, duplicates: args.duplicates.unwrap_or_default() };
        check_union(&union.indexes, asked.compare_by, asked.attributes)
            .map_err(|error| union.named(&error))?;
        Ok(union)
    }

    /// An error that names the folders that it numbers.
    fn named(&self, error: &UnionError) -> anyhow::Error {
        let all = self.names.iter().enumerate().map(|(at, name)| format!("index {}: {name}", at + 1));
        let help = all.collect::<Vec<_>>().join(", ");
        Advised::new(error.to_string(), help).into()
    }

    /// Refuses documents of many vectors: an index of these is searched alone.
    fn refuse_documents(&self, are_asked: bool) -> anyhow::Result<()> {
        if are_asked || self.indexes.iter().any(|index| index.documents().is_some()) {
            return Err(
                UsageError("an index of documents is searched alone: give one --index".to_owned()).into()
            );
        }
        Ok(())
    }

    /// Refuses what is of one index alone, by the name of its flag.
    fn refuse_flag(is_given: bool, flag: &str) -> anyhow::Result<()> {
        match is_given {
            true => Err(UsageError(format!("{flag} is of one index: give one --index")).into()),
            false => Ok(()),
        }
    }

    /// Starts threads that search all of them. They share the memory for a cache evenly.
    pub(super) fn engines(&self, config: EngineConfig, session: &Session) -> anyhow::Result<Vec<Engine>> {
        let parts = self.indexes.len().max(1) as u64; // CAST: a small count
        let config = EngineConfig { cache_bytes: config.cache_bytes / parts, ..config };
        let executor = Executor::new(config)?;
        let register = |index: &Arc<Index>| executor.register(Arc::clone(index));
        let engines = self.indexes.iter().map(register).collect::<Result<Vec<_>, _>>()?;
        if let Some(first) = engines.first() {
            tell_reading(first, config, session);
        }
        Ok(engines)
    }

    /// The filters of queries, for each index.
    fn compilers<'a>(
        &'a self,
        filter: &FilterArgs,
        queries: u64,
        session: &'a Session,
    ) -> anyhow::Result<Vec<Compiler<'a>>> {
        let mut compilers = Vec::new();
        for index in &self.indexes {
            let asked = filter.bind(index.schema(), queries)?;
            compilers.extend(asked.map(|asked| Compiler::new(index, asked, &session.stop)));
        }
        Ok(compilers)
    }
}

/// What is searched together.
struct Together<'a> {
    union: &'a Union,
    /// Each index with the filters of its queries.
    parts: Vec<Searching<'a>>,
    /// What reads attributes of answers, for each index; empty where none are wanted.
    readers: Vec<AttributeReader>,
}

impl<'a> Together<'a> {
    fn new(
        union: &'a Union,
        engines: &'a [Engine],
        filters: &'a [Compiler<'a>],
        callers: usize,
        session: &'a Session,
    ) -> Together<'a> {
        let part = |(at, engine)| Searching { engine, filters: filters.get(at), callers, session };
        let parts = engines.iter().enumerate().map(part).collect();
        Together { union, parts, readers: Vec::new() }
    }

    /// The answers of all indexes together to queries, of which the first is number `first` of all. All are asked at the same time.
    ///
    /// # Errors
    /// As [`Searching::answers`], of the first index that has none.
    fn answers(
        &self,
        first: usize,
        rows: QueryRows<'_>,
        params: &SearchParams,
    ) -> anyhow::Result<Vec<UnionAnswer>> {
        let ask = |at: usize| -> anyhow::Result<Vec<Answer>> {
            let mut answers = self.parts[at].answers(first, rows, params)?;
            if let Some(reader) = self.readers.get(at) {
                reader.hand_out(self.parts[at].engine, &mut answers)?;
            }
            Ok(answers)
        };
        let Some(first) = self.union.indexes.first() else { return Ok(Vec::new()) };
        let metric = first.shape_of(params.compare_by).metric;
        self.merged(ask, |parts| union(parts, metric, params.k, self.union.duplicates))
    }

    /// What `merge` makes of the answers of all indexes to each query. `ask` gives those of an index by its place; all are asked at the same
    /// time.
    fn merged(
        &self,
        ask: impl Fn(usize) -> anyhow::Result<Vec<Answer>> + Sync,
        merge: impl Fn(Vec<Answer>) -> UnionAnswer,
    ) -> anyhow::Result<Vec<UnionAnswer>> {
        let found: Vec<anyhow::Result<Vec<Answer>>> = thread::scope(|scope| {
            let ask = &ask;
            let threads: Vec<_> = (0..self.parts.len()).map(|at| scope.spawn(move || ask(at))).collect();
            let closed = |_| Err(SearchError::Closed.into());
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(closed)).collect()
        });
        let mut of_parts = Vec::with_capacity(found.len());
        for answers in found {
            of_parts.push(answers?.into_iter());
        }
        let mut united = Vec::new();
        loop {
            let parts: Vec<Answer> = of_parts.iter_mut().filter_map(Iterator::next).collect();
            if parts.is_empty() {
                return Ok(united);
            }
            united.push(merge(parts));
        }
    }
}

/// Says so where ids seem to mean other things in each index.
pub(super) fn note_unlike(answers: &[UnionAnswer], session: &Session) {
    let unlike: u64 = answers.iter().map(|answer| u64::from(answer.unlike)).sum();
    if unlike > 0 {
        session.note(&format!(
            "warning: {unlike} neighbours were left out since another index has their id at another distance; where ids mean other things in \
             each index, give --duplicates keep, or build with --ids"
        ));
    }
}

/// Fails if lists or pages of one of the indexes had to be left out.
fn refuse_damages(engines: &[Engine], incomplete: usize) -> anyhow::Result<()> {
    // Where none is counted any more, the answers are not whole all the same.
    let damaged = engines.iter().find(|engine| engine.damage_count() > 0).or(engines.first());
    damaged.map_or(Ok(()), |engine| refuse_damage(engine, incomplete))
}
