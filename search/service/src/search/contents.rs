//! Vectors and attributes by id: of queries, of neighbours, and where they are all that is asked for.
use std::time::Instant;

use spandrel_engine::{Answer, FetchContent, FetchState, Fetched, SearchError};
use spandrel_filter::{Attribute, Cell};
use spandrel_index::VectorsShape;
use spandrel_index::format::VectorsOf;

use super::handed::Handed;
use crate::ask::Rows;
use crate::call::Call;
use crate::ledger::Room;
use crate::refusal::Refusal;
use crate::served::Served;
use crate::turns::{PIECE, Turns};

/// Memory that values of attributes are given first, for each value beside its place and for all. What takes more is fetched once
/// more with the memory of the largest message.
const VALUE_BYTES: usize = 64;
const REST_BYTES: usize = 64 << 10;

/// What the engine notes of each vector of a document that it fetches.
const WANTED_BYTES: usize = 40;

/// Memory of a tag in a message: a text of its own, and the least that an allocation takes.
const TAG_BYTES: usize = size_of::<String>() + 24;

/// What a request wants of vectors.
pub(super) struct Wanted<'w> {
    /// The field that asks for the vectors themselves; none where they are not wanted.
    pub(super) vectors: Option<&'static str>,
    /// Which they are.
    pub(super) of: VectorsOf,
    /// The field that asks for attributes.
    pub(super) field: &'static str,
    /// Names of attributes: all that there are where none is given, and not set where none is wanted.
    pub(super) names: Option<&'w [String]>,
}

/// What is wanted of vectors of an index.
pub(super) struct Contents {
    /// The field that asks for vectors; none where they are not wanted.
    pub(super) vectors: Option<&'static str>,
    /// Which they are.
    of: VectorsOf,
    /// The field that asks for attributes.
    pub(super) field: &'static str,
    /// Numbers of attributes.
    numbers: Vec<usize>,
    pub(super) attributes: Vec<Attribute>,
    /// The server's limit for a message.
    bytes_max: usize,
}

/// Vectors, and the ids that have them: of documents there are more vectors.
#[derive(Clone, Copy)]
struct Counts {
    ids: usize,
    vectors: usize,
}

impl Contents {
    /// What is wanted, of which a message holds `bytes_max` bytes at most.
    pub(super) fn of(served: &Served, wanted: Wanted<'_>, bytes_max: usize) -> Result<Contents, Refusal> {
        let Wanted { vectors, of, field, names } = wanted;
        let schema = served.index().schema();
        let chosen = names.map(|names| schema.choose(names)).transpose();
        let numbers = chosen.map_err(|error| Refusal::field(field, error.to_string()))?.unwrap_or_default();
        let attributes =
            numbers.iter().filter_map(|&number| schema.attributes().get(number).cloned()).collect();
        Ok(Contents { vectors, of, field, numbers, attributes, bytes_max })
    }

    pub(super) fn are_none(&self) -> bool {
        self.vectors.is_none() && self.numbers.is_empty()
    }

    fn content(&self, cell_bytes_max: usize) -> FetchContent {
        let vectors = self.vectors.is_some().then_some(self.of);
        FetchContent { vectors, attributes: self.numbers.clone(), cell_bytes_max }
    }

    /// Vectors of the index that ids have.
    pub(super) async fn vectors_of(
        &self,
        served: &Served,
        ids: &[u64],
        deadline: Instant,
    ) -> Result<usize, Refusal> {
        let (Some(documents), Some(_)) = (served.index().documents(), self.vectors) else {
            return Ok(ids.len());
        };
        let (mut vectors, mut turns) = (0_usize, Turns::until(deadline));
        for piece in ids.chunks(PIECE) {
            turns.take(piece.len()).await?;
            let found = piece.iter().filter_map(|&id| documents.find(id));
            // CAST: widening
            vectors +=
                found.map(|document| documents.offsets().rows_of(document as usize).len()).sum::<usize>();
        }
        Ok(vectors)
    }

    /// Refuses what is over the server's limit for a message.
    fn check(&self, served: &Served, counts: Counts) -> Result<(), Refusal> {
        let row_bytes = served.index().shape_of(self.of).row_bytes();
        let (values, limit) = (self.content(0).cell_bytes(counts.ids), self.bytes_max);
        for (field, what, bytes) in [
            (self.vectors, "vectors", counts.vectors.saturating_mul(row_bytes)),
            (Some(self.field), "values of attributes", values),
        ] {
            if let Some(field) = field.filter(|_| bytes > limit) {
                return Err(Refusal::field(
                    field,
                    format!("{bytes} bytes of {what}, the server's limit is {limit}"),
                ));
            }
        }
        Ok(())
    }

    /// What is wanted of ids, in turns with queries, and the room that values of attributes are kept in, and vectors of documents.
    pub(super) async fn fetch<'a>(
        &self,
        served: &Served,
        ids: Vec<u64>,
        call: Call<'a>,
    ) -> Result<(Fetched, Option<Room<'a>>), Refusal> {
        let (limit, vectors) = (self.bytes_max, self.vectors_of(served, &ids, call.deadline).await?);
        self.check(served, Counts { ids: ids.len(), vectors })?;
        // How many they are was not known before.
        let of_documents = match (self.vectors, served.index().documents()) {
            (Some(field), Some(_)) => {
                let of_document = size_of::<u32>() * ids.len();
                let of_vector = served.index().shape_of(self.of).row_bytes() + WANTED_BYTES;
                let bytes = vectors.saturating_mul(of_vector) + of_document;
                Some(call.entry.room(bytes, field)?)
            }
            _ => None,
        };
        if self.numbers.is_empty() {
            return Ok((Handed::ids(served, ids, self.content(0), call)?.answer().await?, of_documents));
        }
        let values = ids.len() * self.numbers.len();
        let first = self.content(0).cell_bytes(ids.len()) + values * VALUE_BYTES + REST_BYTES;
        let mut bytes_max = first.min(limit);
        loop {
            let mut room = call.entry.room(bytes_max, self.field)?;
            match Handed::ids(served, ids.clone(), self.content(bytes_max), call)?.reply().await? {
                Ok(fetched) => {
                    let bytes = tags(&fetched.cells, call.deadline).await? * TAG_BYTES;
                    room.join(call.entry.room(bytes, self.field)?);
                    of_documents.into_iter().for_each(|more| room.join(more));
                    return Ok((fetched, Some(room)));
                }
                Err(SearchError::Cells { .. }) if bytes_max < limit => bytes_max = limit,
                Err(SearchError::Cells { .. }) => {
                    let message = format!(
                        "more than {limit} bytes of values of attributes, the server's limit; ask for fewer neighbours or attributes"
                    );
                    return Err(Refusal::field(self.field, message));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Rows of these vectors, of which each id that was found has some.
    pub(super) fn rows_of(&self, served: &Served, data: Vec<u8>, row_counts: &[u32]) -> Rows {
        let VectorsShape { dtype, dim, .. } = served.index().shape_of(self.of);
        let offsets = served.index().documents().map(|_| {
            let ends = row_counts.iter().scan(0, |end, count| {
                *end += count;
                Some(*end)
            });
            std::iter::once(0).chain(ends).collect()
        });
        Rows { dtype, dim, data, offsets }
    }

    /// Gives answers what is wanted of their neighbours: the vectors of all. Neighbours of which something cannot be read are left
    /// out of the answers.
    pub(super) async fn hand_out<'a>(
        &self,
        served: &Served,
        answers: &mut [Answer],
        call: Call<'a>,
    ) -> Result<(Option<Rows>, Option<Room<'a>>), Refusal> {
        let (mut ids, mut turns) = (Vec::new(), Turns::until(call.deadline));
        for answer in &*answers {
            turns.take(answer.neighbours.len()).await?;
            ids.extend(answer.neighbours.iter().map(|neighbour| neighbour.id));
        }
        let (mut fetched, room) = self.fetch(served, ids, call).await?;
        if fetched.states.contains(&FetchState::Absent) {
            return Err(Refusal::DamagedIds);
        }
        let mut given = fetched.hand_out(self.numbers.len());
        for answer in answers {
            turns.take(answer.neighbours.len().saturating_mul(1 + self.numbers.len())).await?;
            given.give(answer);
        }
        Ok((self.vectors.map(|_| self.rows_of(served, fetched.rows, &fetched.row_counts)), room))
    }
}

/// How many tags some values have: each becomes a text of its own in a message.
async fn tags(cells: &[Cell], deadline: Instant) -> Result<usize, Refusal> {
    let (mut count, mut turns) = (0, Turns::until(deadline));
    for piece in cells.chunks(PIECE) {
        turns.take(piece.len()).await?;
        for cell in piece {
            if let Cell::Tags(tags) = cell {
                count += tags.len();
            }
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use spandrel_filter::Tags;

    use super::*;

    #[tokio::test]
    async fn every_tag_is_counted() {
        let of = |texts: &[&str]| Cell::Tags(Tags::of_texts(texts.iter().copied()));
        let cells = [Cell::Null, of(&["a", "b"]), Cell::Keyword("text".to_owned()), of(&[]), of(&["a"])];
        let soon = Instant::now() + Duration::from_secs(60);
        assert_eq!(tags(&cells, soon).await.unwrap(), 3);
    }
}
