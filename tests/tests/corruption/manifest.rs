//! Manifests whose hash holds and whose content is wrong all the same: refused by the name of the field.
use serde_json::{Value, json};
use spandrel_index::Tier;
use spandrel_index::format::{MAJOR, MINOR, OpenError};

use super::folder::{VECTORS, Whole, check};
use super::resealed::{manifest_json, open_json, open_manifest};

#[test]
fn other_versions_of_the_manifest_are_refused() {
    let whole = Whole::small();
    let json = serde_json::to_vec(&manifest_json(&whole)).unwrap();
    assert!(open_manifest(&whole, &format!("{MAJOR}.{MINOR}"), &json).is_ok());
    for (major, minor) in [(MAJOR + 1, 0), (MAJOR - 1, 0), (MAJOR, MINOR + 1), (u16::MAX, u16::MAX)] {
        let error = open_manifest(&whole, &format!("{major}.{minor}"), &json);
        let found = (major, minor);
        check!(error, OpenError::Version { major, minor, .. } if (major, minor) == found, "{found:?}");
    }
    for version in ["1", "1.0.0", "-1.0", "1.x", "", "65536.0"] {
        check!(open_manifest(&whole, version, &json), OpenError::NotOurs { .. }, "'{version}'");
    }
}

#[test]
fn sections_of_unknown_kinds_are_refused_only_when_required() {
    let whole = Whole::small();
    let mut json = manifest_json(&whole);
    let mut section = json["segments"][0]["sections"][0].clone();
    section["kind"] = "tombstones".into();
    json["segments"][0]["sections"].as_array_mut().unwrap().push(section);
    let error = open_json(&whole, &json);
    check!(error, OpenError::UnknownSection { ref kind, .. } if kind == "tombstones", "required");
    let last = json["segments"][0]["sections"].as_array().unwrap().len() - 1;
    json["segments"][0]["sections"][last]["required"] = false.into();
    assert!(open_json(&whole, &json).is_ok());
}

#[test]
fn a_manifest_without_a_section_is_refused() {
    let whole = Whole::small();
    let json = manifest_json(&whole);
    for at in 0..json["segments"][0]["sections"].as_array().unwrap().len() {
        let mut json = json.clone();
        let gone = json["segments"][0]["sections"].as_array_mut().unwrap().remove(at);
        let error = open_json(&whole, &json);
        check!(error, OpenError::MissingSection { kind, .. } if gone["kind"] == kind, "{gone}");
    }
}

/// Checks that a manifest is refused by its field with each of these values in place of its own.
fn refuse_each(whole: &Whole, good: &Value, wrong: &[(&str, Value)]) {
    for (field, value) in wrong {
        let mut json = good.clone();
        *json.pointer_mut(field).unwrap_or_else(|| panic!("no field {field}")) = value.clone();
        check!(open_json(whole, &json), OpenError::Field { .. }, "{field} = {value}");
    }
}

#[test]
fn fields_of_a_manifest_that_cannot_be_are_refused() {
    let whole = Whole::small();
    let good = manifest_json(&whole);
    let mut both = good["segments"].clone();
    both.as_array_mut().unwrap().push(good["segments"][0].clone());
    let wrong = [
        ("/version", json!(2)),
        ("/uuid", json!("12")),
        ("/segments/0/uuid", json!("00000000000000000000000000000001")),
        ("/segments/0/uuid", json!("1")),
        ("/metric", json!("euclid")),
        ("/metric", json!("ip")),
        ("/dtype", json!("f64")),
        ("/dtype", json!("i8")),
        ("/dim", json!(0)),
        ("/dim", json!(9)),
        ("/dim", json!(1_000_000_000)),
        ("/id_bytes", json!(5)),
        ("/id_bytes", json!(8)),
        ("/head_space", json!("normalised")),
        ("/search_default/epsilon", json!(-1.0)),
        ("/search_default/max_lists", json!(0)),
        ("/build/code", json!("pq")),
        ("/segments", json!([])),
        ("/segments", both),
        ("/segments/0/vectors", json!(0)),
        ("/segments/0/vectors", json!(VECTORS - 1)),
        ("/segments/0/vectors", json!(u64::MAX)),
        ("/segments/0/lists", json!(0)),
        ("/segments/0/lists", json!(3)),
        ("/segments/0/lists", json!(VECTORS + 1)),
        ("/segments/0/lists", json!(u64::MAX)),
        ("/segments/0/sections/0/file", json!("../heads-1")),
        ("/segments/0/sections/0/file", json!("/etc/passwd")),
        ("/segments/0/sections/0/file", json!("")),
        ("/segments/0/sections/0/hash", json!("none")),
        ("/dim", json!("eight")),
        ("/build", json!(null)),
    ];
    refuse_each(&whole, &good, &wrong);
    let mut json = good.clone();
    json["recall"] = json["segments"][0]["sections"][0].clone();
    json["recall"]["file"] = "../recall-1".into();
    check!(open_json(&whole, &json), OpenError::Field { .. }, "recall");
    for (field, value) in [("bytes", json!(4096)), ("bytes", json!(0)), ("bytes", json!(u64::MAX))] {
        let mut json = good.clone();
        json["segments"][0]["sections"][0][field] = value.clone();
        check!(open_json(&whole, &json), OpenError::Length { .. }, "{field} = {value}");
    }
    let mut json = good;
    json["segments"][0]["sections"][0]["hash"] = "00000000000000000000000000000001".into();
    check!(open_json(&whole, &json), OpenError::Checksum { .. }, "another hash");
}

#[test]
fn fields_of_a_manifest_that_contradict_its_lists_of_codes_are_refused() {
    let whole = Whole::coded(Tier::Memory);
    let good = manifest_json(&whole);
    assert!(open_json(&whole, &good).is_ok());
    let wrong = [
        ("/build/code", json!("full")),
        ("/build/code", json!("rabitq:1")),
        ("/build/code", json!("rabitq:9")),
        ("/build/code", json!("binary")),
        ("/build/code", json!("axes:4")),
        ("/build/code", json!("axes:4294967292")),
        ("/build/codes", json!("tape")),
        ("/search_default/rerank_errors", json!(-1.0)),
        ("/search_default/rerank_errors", json!(null)),
    ];
    refuse_each(&whole, &good, &wrong);
    let whole = Whole::small();
    let mut json = manifest_json(&whole);
    json["build"]["codes"] = "memory".into();
    check!(open_json(&whole, &json), OpenError::Tier { tier: Tier::Memory, .. }, "exact vectors");
}

#[test]
fn fields_of_a_column_that_cannot_be_are_refused() {
    let whole = Whole::with_column();
    let good = manifest_json(&whole);
    assert!(open_json(&whole, &good).is_ok());
    let vectors = good["segments"][0]["sections"].as_array().unwrap();
    let vectors = vectors.iter().position(|section| section["column"] == "fine").unwrap();
    let of_column = format!("/segments/0/sections/{vectors}/column");
    let wrong = [
        ("/column/name", json!("")),
        ("/column/name", json!("3d")),
        ("/column/name", json!("../fine")),
        ("/column/name", json!("f".repeat(65))),
        ("/column/metric", json!("euclid")),
        ("/column/dtype", json!("f64")),
        ("/column/dtype", json!("f32")),
        ("/column/dim", json!(0)),
        ("/column/dim", json!(24)),
        ("/column/dim", json!(1_000_000_000)),
        ("/column/dim", json!("twenty")),
        ("/column/input_hash", json!("none")),
        ("/column", json!("fine")),
        ("/build/code", json!("full")),
    ];
    refuse_each(&whole, &good, &wrong);
    // Another column than that of the section of vectors, or none.
    for (field, value) in [
        ("/column/name", json!("coarse")),
        ("/column", json!(null)),
        (&of_column, json!("coarse")),
        (&of_column, json!("")),
    ] {
        let mut json = good.clone();
        *json.pointer_mut(field).unwrap() = value.clone();
        assert!(open_json(&whole, &json).is_err(), "{field} = {value}");
    }
}
