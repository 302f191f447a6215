//! The lists against their hashes, and against the vectors and ids.
use super::ids::{FirstIds, pair_hash};
use super::records::Records;
use super::replicas::Replicas;
use super::watch::Watch;
use super::{VerifyError, open};
use crate::codes::{CodeBlocks, Encoder};
use crate::format::{
    BODY_AT, CodedList, DirectoryEntry, FullList, ListLayout, OpenError, Record, SectionKind, UNIT_BYTES,
    list_hash,
};
use crate::kernels::Variant;
use crate::kernels::scan::{BLOCK_VECTORS, FACTOR_BYTES};
use crate::open::section::SectionReader;
use crate::{DType, Index, Metric, for_each_element, inverse_norm};

/// A stored norm may differ from ours by the rounding of a sum.
const NORM_TOLERANCE: f32 = 1e-5;

/// Reads lists and vectors side by side, since primaries lie in the order of positions: how many replicas
/// there were.
pub(super) fn check(index: &Index, ids: &FirstIds, watch: &mut Watch<'_>) -> Result<u64, VerifyError> {
    watch.name("lists and vectors");
    let mut lists = Lists::open(index)?;
    let mut primaries = Primaries::open(index)?;
    let replicas = match index.list_layout() {
        ListLayout::Full(layout) => {
            let mut replicas = Replicas::new(index, ids)?;
            while let Some((list, entry, bytes)) = lists.next(index, watch)? {
                let view = layout.view(bytes, entry.count());
                check_full(index, (list, entry.primaries), &view, &mut primaries, &mut replicas, watch)?;
            }
            Some(replicas)
        }
        ListLayout::Coded(layout) => {
            let mut again = Recoder::new(index);
            while let Some((list, entry, bytes)) = lists.next(index, watch)? {
                let view = layout.view(bytes, entry.primaries, entry.replicas);
                again.check(index, (list, entry), &view, &mut primaries, watch)?;
            }
            None
        }
    };
    lists.section.finish()?;
    primaries.finish(index, ids)?;
    match replicas {
        Some(replicas) => {
            watch.name("replicas");
            replicas.finish(watch)
        }
        None => Ok(0),
    }
}

/// A list's number, entry and bytes.
type CheckedList<'a> = (u32, DirectoryEntry, &'a [u8]);

/// The lists from front to back, each checked by its hash.
struct Lists {
    section: SectionReader,
    next: u32,
    bytes: Vec<u8>,
}

impl Lists {
    fn open(index: &Index) -> Result<Lists, OpenError> {
        Ok(Lists { section: open(index, SectionKind::Codes)?, next: 0, bytes: Vec::new() })
    }

    fn next(&mut self, index: &Index, watch: &mut Watch<'_>) -> Result<Option<CheckedList<'_>>, VerifyError> {
        let list = self.next;
        if list == index.lists() {
            return Ok(None);
        }
        self.next += 1;
        let (entry, layout) = (index.directory().entry(list), index.list_layout());
        self.bytes.resize(layout.list_bytes(entry.primaries, entry.replicas), 0);
        self.section.read(&mut self.bytes)?;
        let path = self.section.path();
        let found = list_hash(index.uuid(), list, &self.bytes);
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
        Ok(Some((list, entry, &self.bytes)))
    }
}

/// The vectors in position order, and what their ids and positions add up to.
struct Primaries {
    records: Records,
    position: u32,
    pair_sum: u64,
}

impl Primaries {
    fn open(index: &Index) -> Result<Primaries, OpenError> {
        Ok(Primaries { records: Records::open(index)?, position: 0, pair_sum: 0 })
    }

    /// The next record and its position.
    fn next(&mut self, watch: &mut Watch<'_>) -> Result<(Record<'_>, u32), VerifyError> {
        let record = self.records.next(watch)?;
        let position = self.position;
        self.pair_sum = self.pair_sum.wrapping_add(pair_hash(record.id, position));
        self.position = position.wrapping_add(1);
        Ok((record, position))
    }

    fn finish(self, index: &Index, ids: &FirstIds) -> Result<(), VerifyError> {
        self.records.finish()?;
        if self.pair_sum != ids.pair_sum {
            let expected = "the id at each position to be that of the vectors";
            return Err(OpenError::field(index.ids_path(), "positions of ids", "others", expected).into());
        }
        Ok(())
    }
}

/// Compares the entries of a list of exact vectors with the vectors.
fn check_full(
    index: &Index,
    (list, primary_count): (u32, u32),
    view: &FullList<'_>,
    primaries: &mut Primaries,
    replicas: &mut Replicas<'_>,
    watch: &mut Watch<'_>,
) -> Result<(), VerifyError> {
    for (at, vector) in view.vectors.chunks_exact(index.row_bytes()).enumerate() {
        let id = view.id(at);
        let norm = (index.metric() == Metric::Cosine).then(|| view.inverse_norm(at));
        let place = || format!("entry {at} (id {id}) of list {list}");
        check_values(index, vector, norm)
            .map_err(|(found, expected)| OpenError::field(index.codes_path(), place(), found, expected))?;
        if at >= primary_count as usize {
            replicas.add(list, id, vector, norm, watch)?;
            continue;
        }
        let (record, position) = primaries.next(watch)?;
        let norms_agree = record.inverse_norm.map(f32::to_bits) == norm.map(f32::to_bits);
        if record.vector != vector || record.id != id || !norms_agree {
            let found = format!("{} at position {position} with id {}", "another record", record.id);
            return Err(OpenError::field(index.vectors_path(), place(), found, "the same record").into());
        }
    }
    Ok(())
}

/// Makes the codes of lists once more, where this machine rounds as the one that built the index.
struct Recoder<'a> {
    encoder: Option<Encoder<'a>>,
    rows: Vec<f32>,
    head: Vec<f32>,
    blocks: CodeBlocks,
}

impl<'a> Recoder<'a> {
    fn new(index: &'a Index) -> Recoder<'a> {
        let same = index.manifest().build.kernels == Variant::best().name();
        let encoder = index.model().filter(|_| same).map(Encoder::new);
        Recoder { encoder, rows: Vec::new(), head: Vec::new(), blocks: CodeBlocks::default() }
    }

    /// Compares the codes of a list's primaries with those of the vectors.
    fn check(
        &mut self,
        index: &Index,
        (list, entry): (u32, DirectoryEntry),
        view: &CodedList<'_>,
        primaries: &mut Primaries,
        watch: &mut Watch<'_>,
    ) -> Result<(), VerifyError> {
        self.rows.clear();
        for _ in 0..entry.primaries {
            let (record, position) = primaries.next(watch)?;
            check_values(index, record.vector, record.inverse_norm).map_err(|(found, expected)| {
                OpenError::field(index.vectors_path(), format!("vector at {position}"), found, expected)
            })?;
            index.space().float_vector(index.dtype(), record.vector, &mut self.rows);
        }
        for at in 0..entry.replicas as usize {
            let position = view.position(at);
            if u64::from(position) >= index.vectors() {
                let field = format!("replica {at} of list {list}");
                let expected = format!("a position below {}", index.vectors());
                return Err(OpenError::field(index.codes_path(), field, position, expected).into());
            }
        }
        let Some(encoder) = &mut self.encoder else { return Ok(()) };
        self.head.clear();
        let heads = index.heads();
        for_each_element(heads.dtype(), heads.row(list), |x| self.head.push(x));
        encoder.encode(&self.rows, &self.head, &mut self.blocks);
        // A last block that replicas share holds more than the primaries' codes.
        let blocks = if entry.replicas == 0 {
            entry.primaries.div_ceil(BLOCK_VECTORS as u32) // CAST: a constant
        } else {
            entry.primaries / BLOCK_VECTORS as u32 // CAST: as above
        } as usize;
        let rows = ..blocks * encoder.block_bytes();
        let factors = ..blocks * FACTOR_BYTES;
        let same = self.blocks.rows.get(rows) == view.rows.get(rows)
            && self.blocks.factors.get(factors) == view.factors.get(factors);
        if same {
            return Ok(());
        }
        let field = format!("codes of list {list}");
        Err(OpenError::field(index.codes_path(), field, "others", "those of its vectors").into())
    }
}

/// Checks that the elements are numbers and the norm is theirs: what was found and expected if not.
fn check_values(index: &Index, vector: &[u8], norm: Option<f32>) -> Result<(), (String, String)> {
    if matches!(index.dtype(), DType::F32 | DType::F16) {
        let mut wrong = None;
        for_each_element(index.dtype(), vector, |x| {
            if !x.is_finite() {
                wrong = Some(x);
            }
        });
        if let Some(x) = wrong {
            return Err((format!("an element {x}"), "finite elements".into()));
        }
    }
    if index.metric() == Metric::Cosine {
        let (found, expected) = (norm.unwrap_or_default(), inverse_norm(index.dtype(), vector));
        if !(expected > 0.0 && (found - expected).abs() <= expected * NORM_TOLERANCE) {
            return Err((format!("an inverse norm of {found}"), format!("{expected}, above 0")));
        }
    }
    Ok(())
}
