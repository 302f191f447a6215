//! Sections that opening reads, whose hashes hold and whose content is wrong all the same: refused by name, and never a
//! panic or an allocation without bound.
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use spandrel_index::Tier;
use spandrel_index::format::{BODY_AT, MAJOR, MINOR, OpenError, SectionKind};

use super::folder::{Whole, check, file};
use super::resealed::{header_with, open_resealed, search_all};

#[test]
fn fields_of_a_header_that_contradict_the_manifest_are_refused() {
    for whole in [Whole::with_graph(), Whole::coded(Tier::Memory)] {
        for kind in whole.kinds() {
            let good = whole.read(&file(kind));
            let open = |at, bytes: &[u8]| whole.open_with(&file(kind), &header_with(&good, at, bytes));
            assert!(open(8, &MAJOR.to_le_bytes()).is_ok());
            for (at, version) in [(8, MAJOR + 1), (8, 0), (10, MINOR + 1)] {
                let error = open(at, &version.to_le_bytes());
                check!(error, OpenError::Version { .. }, "{} version at {at}", kind.name());
            }
            let holds_rows = matches!(kind, SectionKind::Heads | SectionKind::Codes | SectionKind::Vectors);
            let fields: [(&str, usize, Vec<u8>, bool); 12] = [
                ("kind", 12, vec![kind.code() % 7 + 1], true),
                ("kind", 12, vec![99], true),
                ("dtype", 13, vec![0], true),
                ("dtype", 13, vec![3], holds_rows),
                ("metric", 14, vec![9], true),
                ("metric", 14, vec![2], true),
                ("family", 15, vec![7], true),
                ("dim", 16, 0_u32.to_le_bytes().into(), true),
                ("dim", 16, u32::MAX.to_le_bytes().into(), true),
                ("dim", 16, 9_u32.to_le_bytes().into(), holds_rows),
                ("unit_bytes", 20, 1024_u32.to_le_bytes().into(), true),
                ("uuid", 32, vec![1; 16], true),
            ];
            for (field, at, bytes, refused) in fields {
                match refused {
                    true => check!(open(at, &bytes), OpenError::Field { .. }, "{} {field}", kind.name()),
                    // These sections hold no rows, so nothing depends on the shape of one.
                    false => assert!(open(at, &bytes).is_ok(), "{} {field}", kind.name()),
                }
            }
            for count in [0_u64, 1, u64::MAX] {
                check!(
                    open(24, &count.to_le_bytes()),
                    OpenError::Field { .. },
                    "{} count {count}",
                    kind.name()
                );
            }
            for bytes in [0_u64, good.len() as u64, u64::MAX] {
                check!(
                    open(48, &bytes.to_le_bytes()),
                    OpenError::Length { .. },
                    "{} body {bytes}",
                    kind.name()
                );
            }
        }
    }
}

#[test]
fn wrong_content_under_hashes_that_hold_never_panics() {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    for whole in Whole::all().into_iter().chain(Whole::other_families()) {
        let (kinds, mut opened, mut refused) = (whole.resident(), 0, 0);
        for turn in 0..240 {
            let kind = kinds[turn % kinds.len()];
            let mut bytes = whole.read(&file(kind));
            let body = BODY_AT as usize;
            for _ in 0..rng.random_range(1..4) {
                // Counts stand at the front.
                let end = if rng.random() { bytes.len() } else { bytes.len().min(body + 64) };
                let at = rng.random_range(body..end);
                bytes[at] = if rng.random() { 255 } else { rng.random() };
            }
            let index = open_resealed(&whole, kind, &bytes);
            match index {
                Ok(index) => {
                    opened += 1;
                    search_all(&whole, index);
                }
                Err(OpenError::Field { .. }) => refused += 1,
                Err(other) => panic!("{}: {}: {other:?}", whole.name(), kind.name()),
            }
        }
        assert!(opened > 40 && refused > 20, "{}: {opened} opened, {refused} refused", whole.name());
    }
}

#[test]
fn models_of_other_codes_are_refused() {
    let body = BODY_AT as usize;
    // Fields of a model, as `codes::model` lays them out; of the segment the first.
    let (centre, rotation, query, dims, bits) = (8, 12, 20, 32, 36);
    let [axes, binary] = Whole::other_families();
    let rabitq = Whole::coded(Tier::Memory);
    let wrong: [(&Whole, &str, usize, u32); 9] = [
        (&rabitq, "bits", bits, 1),
        (&rabitq, "dims", dims, 64),
        (&rabitq, "rotation", rotation, 0),
        (&axes, "bits", bits, 1),
        (&axes, "bits", bits, 8),
        (&axes, "dims", dims, 64),
        (&binary, "bits", bits, 2),
        (&binary, "dims", dims, 96),
        (&binary, "rotation", rotation, 2),
    ];
    for (whole, field, at, value) in wrong {
        let good = whole.read(&file(SectionKind::Model));
        let mut bytes = good.clone();
        bytes[body + at..][..4].copy_from_slice(&value.to_le_bytes());
        assert_ne!(bytes, good, "{} {field}", whole.name());
        let opened = open_resealed(whole, SectionKind::Model, &bytes);
        check!(opened, OpenError::Field { .. }, "{} {field} = {value}", whole.name());
    }
    // Another way to estimate is no contradiction: it has nothing to do with where codes lie.
    for (at, value) in [(centre, 1_u32), (query, 1)] {
        let mut bytes = rabitq.read(&file(SectionKind::Model));
        bytes[body + at..][..4].copy_from_slice(&value.to_le_bytes());
        search_all(&rabitq, open_resealed(&rabitq, SectionKind::Model, &bytes).unwrap());
    }
}
