//! That no two segments have an id in common.
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::AtomicBool;
use std::vec::IntoIter;

use super::ids::IdReader;
use super::segment::Segment;
use crate::format::{OpenError, SectionKind};

/// Refuses an id that two segments have. Ids ascend in each, so that one pass over all of them side by side finds it.
pub(super) fn check(segments: &[Segment], stop: &AtomicBool) -> Result<(), OpenError> {
    let mut cursors = Vec::with_capacity(segments.len());
    let mut heads = BinaryHeap::with_capacity(segments.len());
    for (number, segment) in segments.iter().enumerate() {
        let section = segment.read_until(SectionKind::Ids, stop)?;
        let reader = IdReader::new(section, segment.ids.layout, segment.count);
        let mut cursor = Cursor { reader, pairs: Vec::new().into_iter(), last: None };
        heads.extend(cursor.next()?.map(|id| Reverse((id, number))));
        cursors.push(cursor);
    }
    let mut last: Option<(u64, usize)> = None;
    while let Some(Reverse((id, number))) = heads.pop() {
        let Some(cursor) = cursors.get_mut(number) else { unreachable!("a cursor for each segment") };
        if let Some((_, other)) = last.filter(|&(last, _)| last == id) {
            let found = format!("{id}, which segment {other} has too");
            let field = format!("id in segment {number}");
            return Err(OpenError::field(cursor.reader.path(), field, found, "ids of no other segment"));
        }
        last = Some((id, number));
        heads.extend(cursor.next()?.map(|id| Reverse((id, number))));
    }
    cursors.into_iter().try_for_each(|Cursor { mut reader, .. }| {
        reader.tail()?;
        reader.finish()
    })
}

/// The ids of a segment, one after the other.
struct Cursor<'a> {
    reader: IdReader<'a>,
    pairs: IntoIter<(u64, u32)>,
    last: Option<u64>,
}

impl Cursor<'_> {
    fn next(&mut self) -> Result<Option<u64>, OpenError> {
        if self.pairs.len() == 0 {
            let Some(page) = self.reader.next()? else { return Ok(None) };
            self.pairs = page.pairs.into_iter();
        }
        let id = self.pairs.next().map(|(id, _)| id);
        if let (Some(last), Some(id)) = (self.last, id)
            && last >= id
        {
            let path = self.reader.path();
            return Err(OpenError::field(path, "id", id, "ids in ascending order, each once"));
        }
        self.last = id;
        Ok(id)
    }
}
