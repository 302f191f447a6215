//! The section of ids: sorted, without gaps or repetition, and leading to every position once.
use std::path::Path;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::error::VerifyError;
use super::watch::Watch;
use crate::Segment;
use crate::bitmap::Bitmap;
use crate::format::{ID_PAGE_BYTES, OpenError, SectionKind};
use crate::open::ids::{IdFinder, IdPage, IdReader};

/// What the section of ids says, kept for the checks of the other sections.
pub(super) struct FirstIds {
    /// Of all pairs, in any order.
    pub(super) pair_sum: u64,
    pub(super) finder: IdFinder,
}

/// What a pair of id and position adds to a sum over all of them.
pub(super) fn pair_hash(id: u64, position: u32) -> u64 {
    let mut pair = [0; 12];
    let (id_half, position_half) = pair.split_at_mut(8);
    id_half.copy_from_slice(&id.to_le_bytes());
    position_half.copy_from_slice(&position.to_le_bytes());
    xxh3_64(&pair)
}

/// Checks the section from end to end.
pub(super) fn check(segment: &Segment, watch: &mut Watch<'_>) -> Result<FirstIds, VerifyError> {
    watch.name("ids");
    let (layout, count) = (segment.ids.layout, segment.count);
    let mut pages = IdReader::new(segment.read(SectionKind::Ids)?, layout, count);
    let path = pages.path().to_owned();
    let mut firsts = Vec::new();
    let mut positions = Bitmap::new(count);
    let mut last_id = None;
    let mut pair_sum = 0_u64;
    while let Some(IdPage { number, bytes, pairs }) = pages.next()? {
        let used = pairs.len() * (layout.id_bytes.get() + 4);
        check_zeros(&path, bytes, used, format!("ids page {number}"))?;
        firsts.extend(pairs.first().map(|&(id, _)| id));
        for (id, position) in pairs {
            if last_id.is_some_and(|last| last >= id) {
                let field = format!("id in page {number}");
                return Err(OpenError::field(&path, field, id, "ids in ascending order, each once").into());
            }
            last_id = Some(id);
            if !positions.set(position) {
                let field = format!("position of id {id} in page {number}");
                let expected = format!("a position below {count} that no other id has");
                return Err(OpenError::field(&path, field, position, expected).into());
            }
            pair_sum = pair_sum.wrapping_add(pair_hash(id, position));
        }
        watch.step(ID_PAGE_BYTES as u64)?;
    }
    let blob = Arc::clone(pages.blob());
    if pages.tail()? != layout.tail(&firsts) {
        let field = "first ids of the pages";
        return Err(OpenError::field(&path, field, "another content", "those of the pages").into());
    }
    pages.finish()?;
    Ok(FirstIds { pair_sum, finder: IdFinder::of(blob, layout, count, firsts) })
}

/// Checks that nothing but zeros follows what a page holds, its checksum apart.
pub(super) fn check_zeros(path: &Path, page: &[u8], used: usize, what: String) -> Result<(), OpenError> {
    let end = page.len().saturating_sub(4);
    match page.get(used..end).and_then(|rest| rest.iter().position(|&b| b != 0)) {
        Some(at) => Err(OpenError::field(
            path,
            format!("padding of {what} at byte {}", used + at),
            "not zero",
            "zero",
        )),
        None => Ok(()),
    }
}
