//! Every way a file can be wrong, each matched to the error that says so.
mod attributes;
mod folder;
mod later;
mod manifest;
mod mutated;
mod resealed;
mod sections;

use folder::{Whole, check, file};
use spandrel_engine::DamagedPart;
use spandrel_index::format::{BODY_AT, CURRENT, HEADER_BYTES, OpenError, SectionKind, UNIT_BYTES};
use spandrel_index::{Index, OpenOptions, Tier, VerifyError};

use crate::support::{every_list, open_engine, verify_index};

const BODY: usize = BODY_AT as usize;

#[test]
fn a_file_that_is_too_short_or_too_long_is_refused_at_opening() {
    for whole in Whole::flat() {
        for kind in whole.kinds() {
            let good = whole.read(&file(kind));
            let name = format!("{}: {}", whole.name(), kind.name());
            let cuts = [0, 1, 8, HEADER_BYTES - 1, HEADER_BYTES, BODY - 1, BODY, BODY + 1, good.len() / 2];
            for len in cuts.into_iter().chain([good.len() - UNIT_BYTES.min(good.len()), good.len() - 1]) {
                let error = whole.open_with(&file(kind), &good[..len]);
                check!(error, OpenError::Length { found, .. } if found == len as u64, "{name} cut at {len}");
            }
            for more in [1, UNIT_BYTES, 4096] {
                let longer = [&good[..], &vec![0; more]].concat();
                let error = whole.open_with(&file(kind), &longer);
                check!(error, OpenError::Length { .. }, "{name} and {more} more");
            }
        }
    }
}

#[test]
fn a_manifest_cut_or_extended_anywhere_is_refused() {
    let whole = Whole::small();
    let good = whole.read("manifest-1");
    let line = good.iter().position(|&b| b == b'\n').unwrap();
    for len in 0..good.len() {
        let error = whole.open_with("manifest-1", &good[..len]);
        match len {
            _ if len <= line => check!(error, OpenError::NotOurs { .. }, "cut at {len}"),
            _ => check!(error, OpenError::Checksum { .. }, "cut at {len}"),
        }
    }
    let error = whole.open_with("manifest-1", &[&good[..], b"\n"].concat());
    check!(error, OpenError::Checksum { .. }, "a line more");
    let error = whole.open_with("manifest-1", &vec![b' '; (16 << 20) + 1]);
    check!(error, OpenError::Length { .. }, "far too long");
}

#[test]
fn a_flipped_byte_of_the_manifest_is_refused() {
    let whole = Whole::small();
    let good = whole.read("manifest-1");
    let word = "spandrel-manifest ".len();
    let line = good.iter().position(|&b| b == b'\n').unwrap();
    for at in 0..good.len() {
        let error = whole.open_flipped("manifest-1", at).unwrap_err();
        match at {
            _ if at < word => check!(Err::<(), _>(error), OpenError::NotOurs { .. }, "byte {at}"),
            // Digits that turn into other digits, or into none.
            _ if at < word + 3 => {
                let ours = matches!(error, OpenError::NotOurs { .. } | OpenError::Version { .. });
                assert!(ours, "byte {at}: {error:?}");
            }
            _ if at == word + 3 || at == line => {
                let refused = matches!(error, OpenError::NotOurs { .. } | OpenError::Checksum { .. });
                assert!(refused, "byte {at}: {error:?}");
            }
            _ => check!(Err::<(), _>(error), OpenError::Checksum { .. }, "byte {at}"),
        }
    }
}

#[test]
fn current_damaged_anywhere_is_refused() {
    let whole = Whole::small();
    let good = whole.read(CURRENT);
    for len in 0..good.len() {
        let error = whole.open_with(CURRENT, &good[..len]);
        check!(error, OpenError::Field { .. }, "cut at {len}");
    }
    check!(whole.open_with(CURRENT, &[&good[..], b" "].concat()), OpenError::Field { .. }, "longer");
    let version = "manifest-".len();
    for at in 0..good.len() {
        let error = whole.open_flipped(CURRENT, at).unwrap_err();
        // Another version, which is not there, or another hash, which does not hold.
        let refused = match at {
            _ if at == version => matches!(error, OpenError::MissingFile { .. } | OpenError::Field { .. }),
            _ if at > version + 1 => matches!(error, OpenError::Checksum { .. } | OpenError::Field { .. }),
            _ => matches!(error, OpenError::Field { .. }),
        };
        assert!(refused, "byte {at}: {error:?}");
    }
}

#[test]
fn a_missing_file_is_named() {
    for whole in Whole::flat() {
        for kind in whole.kinds() {
            let error = whole.open_without(&file(kind)).unwrap_err();
            assert!(error.to_string().contains(&file(kind)), "{error}");
            assert!(error.to_string().ends_with("restore the file from a copy or rebuild"), "{error}");
            check!(Err::<(), _>(error), OpenError::MissingFile { .. }, "{}: {}", whole.name(), kind.name());
        }
        check!(whole.open_without("manifest-1"), OpenError::MissingFile { .. }, "manifest");
        check!(whole.open_without(CURRENT), OpenError::NoCurrent { version: 1, .. }, "CURRENT");
    }
}

#[test]
fn a_flipped_byte_of_any_header_field_is_refused_at_opening() {
    for whole in Whole::all() {
        for kind in whole.kinds() {
            let after = [HEADER_BYTES, 100, BODY - 1];
            for at in (0..HEADER_BYTES).chain(after) {
                let error = whole.open_flipped(&file(kind), at);
                let what = format!("{}: {} byte {at}", whole.name(), kind.name());
                match at {
                    0..8 => check!(error, OpenError::NotOurs { .. }, "{what}"),
                    8..12 => check!(error, OpenError::Version { .. }, "{what}"),
                    12..HEADER_BYTES => {
                        check!(error, OpenError::Checksum { ref what, .. } if what == "header", "{what}")
                    }
                    _ => check!(error, OpenError::Field { .. }, "{what}"),
                }
            }
        }
    }
}

#[test]
fn a_flipped_byte_of_what_stays_in_memory_is_refused_at_opening() {
    for whole in Whole::all() {
        for kind in whole.resident() {
            let good = whole.read(&file(kind));
            let step = ((good.len() - BODY) / 60).max(1) | 1;
            for at in (BODY..good.len()).step_by(step).chain([good.len() - 1]) {
                let error = whole.open_flipped(&file(kind), at).unwrap_err();
                // Never as a number out of range, though some are looked at before the hash is known.
                let refused = matches!(&error, OpenError::Checksum { what, .. } if what == "body");
                assert!(refused, "{}: {} byte {at}: {error:?}", whole.name(), kind.name());
            }
        }
    }
}

/// The first and the last byte of each list, page of vectors and page of ids: file, place, what to call it.
fn regions(index: &Index) -> Vec<(SectionKind, usize, String)> {
    let mut regions = Vec::new();
    for list in 0..index.lists() {
        let entry = index.segments()[0].directory.entry(list);
        let bytes = index.list_layout().list_bytes(entry.primaries, entry.replicas);
        let at = BODY + entry.offset_units as usize * UNIT_BYTES;
        // What it is followed by keeps 1 from being taken for 10.
        regions.extend([at, at + bytes - 1].map(|at| (SectionKind::Codes, at, format!("list {list} "))));
    }
    let page = index.page_layout().page_bytes();
    for number in 0..index.page_layout().pages(index.vectors()) as usize {
        let at = BODY + number * page;
        let ends = [at, at + page - 5, at + page - 1];
        regions.extend(ends.map(|at| (SectionKind::Vectors, at, format!("page {number} "))));
    }
    for number in 0..index.segments()[0].ids.layout.pages(index.vectors()) as usize {
        let at = BODY + number * 4096;
        regions.extend([at, at + 4095].map(|at| (SectionKind::Ids, at, format!("ids page {number} "))));
    }
    regions
}

#[test]
fn a_flipped_byte_of_a_list_or_page_is_found_and_named() {
    for whole in Whole::flat() {
        let regions = regions(&Index::open(whole.dir()).unwrap());
        assert!(regions.len() > 40);
        for (kind, at, place) in regions {
            let name = whole.name();
            whole.with_flipped(&file(kind), at, |dir| {
                let refused = whole.resident().contains(&kind);
                assert_eq!(Index::open(dir).is_err(), refused, "{name}: {place}: read when opening, or later");
                let shallow = verify_index(dir, false);
                assert!(
                    matches!(&shallow, Err(VerifyError::Open(OpenError::Checksum { what, .. })) if what == "body"),
                    "{name}: {place} byte {at}: {shallow:?}"
                );
                match verify_index(dir, true) {
                    Err(VerifyError::Open(OpenError::Checksum { what, path, .. })) => {
                        assert!(format!("{what} ").starts_with(&place), "{name}: {place} byte {at}: {what}");
                        assert!(path.ends_with(file(kind)));
                    }
                    other => panic!("{name}: {place} byte {at}: {other:?}"),
                }
            });
        }
    }
}

#[test]
fn the_end_of_the_ids_is_checked() {
    let whole = Whole::small();
    let name = file(SectionKind::Ids);
    let good = whole.read(&name);
    for back in [1, 8, 9, 16] {
        whole.with_flipped(&name, good.len() - back, |dir| {
            let deep = verify_index(dir, true);
            assert!(matches!(deep, Err(VerifyError::Open(OpenError::Field { .. }))), "{back}: {deep:?}");
            let shallow = verify_index(dir, false);
            assert!(matches!(shallow, Err(VerifyError::Open(OpenError::Checksum { .. }))), "{shallow:?}");
        });
    }
}

#[test]
fn lists_that_changed_places_are_found() {
    let whole = Whole::small();
    let index = Index::open(whole.dir()).unwrap();
    let place = |list| {
        let entry = index.segments()[0].directory.entry(list);
        let at = BODY + entry.offset_units as usize * UNIT_BYTES;
        at..at + index.list_layout().list_bytes(entry.primaries, entry.replicas)
    };
    let pairs = (0..index.lists()).flat_map(|a| (a + 1..index.lists()).map(move |b| (a, b)));
    let (a, b) = pairs.into_iter().find(|&(a, b)| place(a).len() == place(b).len()).expect("two of a size");
    let mut bytes = whole.read(&file(SectionKind::Codes));
    let (first, second) = (bytes[place(a)].to_vec(), bytes[place(b)].to_vec());
    bytes[place(a)].copy_from_slice(&second);
    bytes[place(b)].copy_from_slice(&first);
    whole.with(&file(SectionKind::Codes), &bytes, |dir| {
        let deep = verify_index(dir, true);
        assert!(matches!(deep, Err(VerifyError::Open(OpenError::Checksum { .. }))), "{deep:?}");
        let engine = open_engine(dir);
        let query = whole.base.rows.row(0);
        assert_eq!(engine.search(query, &every_list(3)).unwrap()[0].missing.parts(), 2);
        assert_eq!(engine.damage().iter().map(|d| d.part).collect::<Vec<_>>(), [a, b].map(DamagedPart::List));
    });
}

#[test]
fn files_of_another_index_are_refused() {
    let pairs = [(Whole::small(), Whole::other()), (Whole::coded(Tier::Ssd), Whole::other_codes())];
    for (whole, other) in &pairs {
        let mut of_equal_length = 0;
        for kind in whole.kinds() {
            let foreign = other.read(&file(kind));
            let error = whole.open_with(&file(kind), &foreign).unwrap_err();
            let what = format!("{}: {}", whole.name(), kind.name());
            // The length may give it away first.
            if foreign.len() == whole.read(&file(kind)).len() {
                of_equal_length += 1;
                check!(Err::<(), _>(error), OpenError::Field { ref field, .. } if field == "uuid", "{what}");
            } else {
                check!(Err::<(), _>(error), OpenError::Length { .. }, "{what}");
            }
        }
        assert!(of_equal_length >= 3, "few were compared by uuid");
        for name in ["manifest-1", CURRENT] {
            check!(whole.open_with(name, &other.read(name)), OpenError::Checksum { .. }, "{name}");
        }
    }
    let (whole, _) = &pairs[0];
    // A section in place of another of the same index.
    for (kind, foreign) in
        [(SectionKind::Vectors, SectionKind::Codes), (SectionKind::Heads, SectionKind::Ids)]
    {
        let error = whole.open_with(&file(kind), &whole.read(&file(foreign))).unwrap_err();
        let refused = matches!(error, OpenError::Length { .. } | OpenError::Field { .. });
        assert!(refused, "{}: {error:?}", kind.name());
    }
}

#[test]
fn vectors_to_be_kept_in_memory_are_verified_at_opening() {
    let whole = Whole::coded(Tier::Ssd);
    let name = file(SectionKind::Vectors);
    let good = whole.read(&name);
    let options = OpenOptions { codes: None, vectors: Some(Tier::Memory), ids: false };
    for at in (BODY..good.len()).step_by(997) {
        let opened = whole.with_flipped(&name, at, |dir| Index::open_with(dir, options));
        check!(opened, OpenError::Checksum { ref what, .. } if what == "body", "byte {at}");
    }
    assert!(Index::open_with(whole.dir(), options).is_ok());
    // Lists of exact vectors have nothing to search by in memory.
    let whole = Whole::small();
    for options in [options, OpenOptions { codes: Some(Tier::Memory), vectors: None, ids: false }] {
        let refused = Index::open_with(whole.dir(), options);
        check!(refused, OpenError::Tier { tier: Tier::Memory, .. }, "{options:?}");
    }
}
