//! The lists against their hashes, and against the vectors and ids.
use super::codes::Recoder;
use super::error::VerifyError;
use super::ids::FirstIds;
use super::primaries::Primaries;
use super::radii::Radii;
use super::replicas::{Copied, Replicas};
use super::values::check_values;
use super::watch::Watch;
use crate::format::{
    BODY_AT, FullList, ListLayout, OpenError, SectionKind, UNIT_BYTES, VectorsOf, list_hash,
};
use crate::open::section::SectionReader;
use crate::{Metric, Segment};

/// Reads lists and vectors side by side, since primaries lie in the order of positions: how many replicas were
/// compared.
///
/// Codes are compared with their vectors where these are kept and this machine makes the `same_codes`.
pub(super) fn check(
    segment: &Segment,
    ids: &FirstIds,
    same_codes: bool,
    watch: &mut Watch<'_>,
) -> Result<u64, VerifyError> {
    watch.name("lists and vectors");
    let mut lists = Lists::open(segment)?;
    let of = VectorsOf::Main;
    let mut primaries = segment.held(of).map(|_| Primaries::open(segment, of)).transpose()?;
    let copies = match segment.codes.layout {
        ListLayout::Full(layout) => {
            let Some(primaries) = &mut primaries else {
                unreachable!("exact lists were checked to have their vectors")
            };
            let (mut replicas, mut radii) = (Replicas::new(segment, ids), Radii::default());
            while let Some((list, bytes)) = lists.next(segment, watch)? {
                let entry = segment.directory.entry(list);
                let view = layout.view(bytes, entry.primaries, entry.replicas, segment.count);
                let view = view.map_err(|e| OpenError::stray(&segment.codes.path, list, e, segment.count))?;
                check_full(segment, list, &view, primaries, &mut replicas, watch)?;
                let bytes = entry.primaries as usize * segment.shape().row_bytes();
                radii.check(segment, list, view.vectors.get(..bytes).unwrap_or_default())?;
            }
            Copies::Vectors(replicas)
        }
        ListLayout::Coded(layout) => {
            let mut again = Recoder::new(segment, layout, same_codes);
            while let Some((list, bytes)) = lists.next(segment, watch)? {
                again.add(list, bytes, primaries.as_mut(), watch)?;
            }
            Copies::Codes(Box::new(again))
        }
    };
    lists.section.finish()?;
    if let Some(primaries) = primaries {
        primaries.finish(segment, ids)?;
    }
    watch.name("replicas");
    match copies {
        Copies::Vectors(replicas) => replicas.finish(watch),
        Copies::Codes(again) => again.finish(watch),
    }
}

/// What is left to compare after the last list.
enum Copies<'a> {
    Vectors(Replicas<'a>),
    Codes(Box<Recoder<'a>>),
}

/// A list's number and bytes.
type CheckedList<'a> = (u32, &'a [u8]);

/// The lists from front to back, each checked by its hash.
struct Lists {
    section: SectionReader<'static>,
    next: u32,
    bytes: Vec<u8>,
}

impl Lists {
    fn open(segment: &Segment) -> Result<Lists, OpenError> {
        Ok(Lists { section: segment.read(SectionKind::Codes)?, next: 0, bytes: Vec::new() })
    }

    fn next(
        &mut self,
        segment: &Segment,
        watch: &mut Watch<'_>,
    ) -> Result<Option<CheckedList<'_>>, VerifyError> {
        let list = self.next;
        if list == segment.lists() {
            return Ok(None);
        }
        self.next += 1;
        let (entry, layout) = (segment.directory.entry(list), segment.codes.layout);
        self.bytes.resize(layout.list_bytes(entry.primaries, entry.replicas), 0);
        self.section.read(&mut self.bytes)?;
        let path = self.section.path();
        let found = list_hash(segment.uuid, list, &self.bytes);
        if found != entry.hash {
            let offset = BODY_AT + u64::from(entry.offset_units) * UNIT_BYTES as u64;
            return Err(VerifyError::Open(OpenError::Checksum {
                path: path.to_owned(),
                what: format!("list {list} ({} bytes at {offset})", self.bytes.len()),
                found: format!("{found:016x}"),
                expected: format!("{:016x}", entry.hash),
            }));
        }
        let used = layout.used_bytes(entry.primaries, entry.replicas);
        if self.bytes.get(used..).is_some_and(|rest| rest.iter().any(|&b| b != 0)) {
            let field = format!("padding of list {list}");
            return Err(OpenError::field(path, field, "not zero", "zero").into());
        }
        watch.step(self.bytes.len() as u64)?;
        Ok(Some((list, &self.bytes)))
    }
}

/// Compares the entries of a list of exact vectors with the vectors.
fn check_full(
    segment: &Segment,
    list: u32,
    view: &FullList<'_>,
    primaries: &mut Primaries,
    replicas: &mut Replicas<'_>,
    watch: &mut Watch<'_>,
) -> Result<(), VerifyError> {
    let primary_count = segment.directory.entry(list).primaries;
    for (at, vector) in view.vectors.chunks_exact(segment.shape().row_bytes()).enumerate() {
        let id = view.id(at);
        let norm = (segment.shape().metric == Metric::Cosine).then(|| view.inverse_norm(at));
        let place = || format!("entry {at} (id {id}) of list {list}");
        check_values(segment.shape().vectors(VectorsOf::Main), vector, norm)
            .map_err(|(found, expected)| OpenError::field(&segment.codes.path, place(), found, expected))?;
        if let Some(replica) = at.checked_sub(primary_count as usize) {
            let position = view.position(replica);
            replicas.add(Copied { list, id, position, vector, inverse_norm: norm }, watch)?;
            continue;
        }
        let (record, position) = primaries.next(watch)?;
        let norms_agree = record.inverse_norm.map(f32::to_bits) == norm.map(f32::to_bits);
        if record.vector != vector || record.id != id || !norms_agree {
            let found = format!("{} at position {position} with id {}", "another record", record.id);
            let path = &segment.vectors(VectorsOf::Main).path;
            return Err(OpenError::field(path, place(), found, "the same record").into());
        }
    }
    Ok(())
}
