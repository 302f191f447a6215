//! The lists against their hashes, and against the vectors and ids.
use super::ids::{FirstIds, pair_hash};
use super::records::Records;
use super::replicas::Replicas;
use super::watch::Watch;
use super::{VerifyError, open};
use crate::format::{BODY_AT, OpenError, SectionKind, UNIT_BYTES, list_hash};
use crate::{DType, Index, Metric, for_each_element, inverse_norm};

/// A stored norm may differ from ours by the rounding of a sum.
const NORM_TOLERANCE: f32 = 1e-5;

/// Reads lists and vectors side by side, since primaries lie in the order of positions: how many replicas
/// there were.
pub(super) fn check(index: &Index, ids: &FirstIds, watch: &mut Watch<'_>) -> Result<u64, VerifyError> {
    watch.name("lists and vectors");
    let mut section = open(index, SectionKind::Codes)?;
    let path = section.path().to_owned();
    let layout = index.list_layout();
    let mut records = Records::open(index)?;
    let mut replicas = Replicas::new(index, ids)?;
    let mut pair_sum = 0_u64;
    let mut position = 0_u32;
    let mut bytes = Vec::new();
    for list in 0..index.lists() {
        let entry = index.directory().entry(list);
        let count = entry.count();
        bytes.resize(layout.list_bytes(count), 0);
        section.read(&mut bytes)?;
        let found = list_hash(index.uuid(), list, &bytes);
        if found != entry.hash {
            let offset = BODY_AT + u64::from(entry.offset_units) * UNIT_BYTES as u64;
            return Err(VerifyError::Open(OpenError::Checksum {
                path,
                what: format!("list {list} ({} bytes at {offset})", bytes.len()),
                found: format!("{found:016x}"),
                expected: format!("{:016x}", entry.hash),
            }));
        }
        let used = count * layout.entry_bytes();
        if bytes.get(used..).is_some_and(|rest| rest.iter().any(|&b| b != 0)) {
            let field = format!("padding of list {list}");
            return Err(OpenError::field(&path, field, "not zero", "zero").into());
        }
        let view = layout.view(&bytes, count);
        for (at, vector) in view.vectors.chunks_exact(layout.row_bytes).enumerate() {
            let id = view.id(at);
            let norm = layout.norms.then(|| view.inverse_norm(at));
            let place = || format!("entry {at} (id {id}) of list {list}");
            check_values(index, vector, norm)
                .map_err(|(found, expected)| OpenError::field(&path, place(), found, expected))?;
            if at >= entry.primaries as usize {
                replicas.add(list, id, vector, norm, watch)?;
                continue;
            }
            let record = records.next(watch)?;
            let norms_agree = record.inverse_norm.map(f32::to_bits) == norm.map(f32::to_bits);
            if record.vector != vector || record.id != id || !norms_agree {
                let found = format!("{} at position {position} with id {}", "another record", record.id);
                return Err(OpenError::field(records.path(), place(), found, "the same record").into());
            }
            pair_sum = pair_sum.wrapping_add(pair_hash(id, position));
            position = position.wrapping_add(1);
        }
        watch.step(bytes.len() as u64)?;
    }
    section.finish()?;
    records.finish()?;
    if pair_sum != ids.pair_sum {
        let expected = "the id at each position to be that of the vectors";
        return Err(OpenError::field(index.ids_path(), "positions of ids", "others", expected).into());
    }
    watch.name("replicas");
    replicas.finish(watch)
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
