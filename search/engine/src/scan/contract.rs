//! What every scan of lists does.
use spandrel_index::codes::CodeQuery;
use spandrel_index::format::list_hash_while;
use spandrel_index::{Index, Segment};
use spandrel_io::Merging;

use crate::collect::Collect;
use crate::damage::DamageReason;
use crate::fetch::ListPlace;
use crate::progress::Progress;
use crate::stop::StopRule;
use crate::subject::Query;
use crate::terms::End;

/// Scans lists of one kind for one query after the other. One per worker.
pub(crate) trait Scan: Send {
    /// Bytes between two lists that are read for nothing to save a request, where the store is as `merging` says.
    fn gap_bytes(&self, merging: Merging) -> u64;

    /// Makes ready what codes by the model of `owner` are compared with, for a query and its nearest head there.
    fn prepare(&mut self, index: &Index, owner: &Segment, query: QueryRow<'_>, out: &mut CodeQuery);

    /// Scans those of the lists that are in memory, nearest first so that the bound is good early. `end` is asked now and then
    /// whether to go on; why not, if not.
    fn scan_resident(
        &mut self,
        query: &Query<'_>,
        places: &[ListPlace],
        sink: Sink<'_>,
        end: &mut dyn FnMut() -> Option<End>,
    ) -> Option<End>;

    /// Scans the codes of all vectors that match the query's filter, which are in memory. `end` is asked now and then whether to
    /// go on; why not, if not.
    fn scan_matches(
        &mut self,
        query: &Query<'_>,
        sink: Sink<'_>,
        end: &mut dyn FnMut() -> Option<End>,
    ) -> Option<End>;

    /// Checks a list as it was read, and scans it. `end` is asked now and then whether to go on; why not, if not.
    fn scan_read(
        &mut self,
        query: &Query<'_>,
        list: ReadList<'_>,
        sink: Sink<'_>,
        end: &mut dyn FnMut() -> Option<End>,
    ) -> Result<Option<End>, DamageReason>;
}

/// A query as given, and its nearest head.
#[derive(Clone, Copy)]
pub(crate) struct QueryRow<'a> {
    pub(crate) row: &'a [u8],
    pub(crate) nearest: u32,
}

/// Where what a scan finds goes, and what it took.
pub(crate) struct Sink<'a> {
    pub(crate) found: &'a mut dyn Collect,
    pub(crate) progress: &'a mut Progress,
    /// When to end before the last list.
    pub(crate) stop: Option<&'a StopRule>,
    /// Whether these lists are searched besides those that come nearest first: they count as part of the first of them.
    pub(crate) is_beside: bool,
}

/// A list as it was read.
#[derive(Clone, Copy)]
pub(crate) struct ReadList<'a> {
    pub(crate) place: &'a ListPlace,
    pub(crate) bytes: &'a [u8],
}

/// Checks the hash of a list, before which nothing else may be done with its bytes. `end` is asked after each MiB of a longer
/// one whether to go on; why not, if not.
pub(crate) fn check(
    segment: &Segment,
    list: ReadList<'_>,
    end: &mut dyn FnMut() -> Option<End>,
) -> Result<Option<End>, DamageReason> {
    let ReadList { place, bytes } = list;
    let mut ended = None;
    let found = list_hash_while(segment.uuid, place.list, bytes, &mut || {
        ended = end();
        ended.is_none()
    });
    match found {
        Some(found) if found != place.hash => Err(DamageReason::Hash { found, expected: place.hash }),
        _ => Ok(ended),
    }
}
