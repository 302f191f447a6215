//! What a search and a look-up give.
use std::sync::Arc;
use std::time::Instant;

use spandrel_engine::{Answer, FetchState};
use spandrel_filter::{Attribute, Cell};
use spandrel_index::DType;
use spandrel_index::attributes::FilterPart;

use crate::ledger::Room;

/// The answers to queries, all from one version of an index.
pub(crate) struct Found<'a> {
    /// In the order of the queries.
    pub(crate) answers: Vec<Answer>,
    /// The vectors of all neighbours back to back, where they were asked for.
    pub(crate) vectors: Option<Rows>,
    pub(crate) version: Version,
    /// Vectors of the index.
    pub(crate) held: u64,
    /// When the queries came.
    pub(crate) arrival: Instant,
    /// The attributes of the neighbours that answers hold.
    pub(crate) attributes: Vec<Attribute>,
    /// The filter, where answers are explained.
    pub(crate) filter: Option<FilterTold>,
    /// Set where the server, under load, allowed fewer lists than asked for.
    pub(crate) lowered: Option<Lowered>,
    /// Where several indexes answered as one.
    pub(crate) united: Option<United>,
    /// The attention mass that each answer holds; none where it was not asked for.
    pub(crate) attention: Vec<f64>,
    /// Kept in the ledger for the message that carries this.
    pub(crate) room: Room<'a>,
}

impl Found<'_> {
    /// How thoroughly the query of one of these answers, by its number, was searched; none if as it was asked. One that its distances
    /// pruned before the lowered limit did was.
    pub(crate) fn effort(&self, number: usize) -> Option<Effort> {
        if let Some(united) = &self.united {
            return united.efforts.get(number).copied().flatten();
        }
        let answer = self.answers.get(number)?;
        let Lowered { asked, allowed, expected } = self.lowered?;
        let searched_lists = answer.work.lists;
        let is_fewer = searched_lists >= allowed && searched_lists < asked;
        let promised = answer.promise.and_then(|promise| promise.expected);
        let is_less = expected.zip(promised).is_some_and(|(expected, promised)| promised < expected);
        (is_fewer || is_less).then_some(Effort { asked_lists: asked, searched_lists })
    }
}

/// What is told of several indexes that answered as one.
#[derive(Debug, Default)]
pub(crate) struct United {
    /// Names and versions of the indexes, in the order in which they were asked for.
    pub(crate) versions: Vec<(String, Version)>,
    /// For each answer the number of the index of each neighbour.
    pub(crate) indexes: Vec<Vec<u32>>,
    /// For each answer, the neighbours left out that another index has at another distance.
    pub(crate) unlike: Vec<u32>,
    /// For each answer, how thoroughly the indexes were searched that were searched less thoroughly than asked for.
    pub(crate) efforts: Vec<Option<Effort>>,
    /// For each answer that is explained that of each index, without neighbours.
    pub(crate) explained: Vec<Vec<Answer>>,
    /// Of each index the filter, where answers are explained.
    pub(crate) filters: Vec<Option<FilterTold>>,
    /// Vectors of each index.
    pub(crate) held: Vec<u64>,
}

/// What is told of a filter.
#[derive(Debug)]
pub(crate) struct FilterTold {
    /// As text; of a long one the beginning.
    pub(crate) text: Arc<str>,
    pub(crate) parts: Vec<FilterPart>,
}

/// How thoroughly a query was searched under load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Effort {
    /// Most lists that it asks for, or by default.
    pub(crate) asked_lists: u32,
    /// Lists that were searched instead.
    pub(crate) searched_lists: u32,
}

/// Most lists of queries that are searched less thoroughly: as asked for, and as the server allows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Lowered {
    pub(crate) asked: u32,
    pub(crate) allowed: u32,
    /// Recall that they would expect otherwise, where that is known.
    pub(crate) expected: Option<f64>,
}

/// Which version of an index answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) number: u64,
    /// 32 hexadecimal digits.
    pub(crate) uuid: Arc<str>,
}

/// Vectors back to back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rows {
    pub(crate) dtype: DType,
    pub(crate) dim: usize,
    pub(crate) data: Vec<u8>,
    /// Which of them are one document, of an index of these.
    pub(crate) offsets: Option<Vec<u32>>,
}

/// Vectors by id.
pub(crate) struct Fetched<'a> {
    /// Those that were found, in the order of the ids.
    pub(crate) rows: Rows,
    /// Attributes of those, and what they have there: id by id, in the order of the attributes.
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) cells: Vec<Cell>,
    /// One for each id.
    pub(crate) states: Vec<FetchState>,
    pub(crate) version: Version,
    /// Kept in the ledger for the message that carries this.
    pub(crate) room: Room<'a>,
}
