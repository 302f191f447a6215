//! Clients built against an older interface go on working: nothing that was there may change or go.
#![expect(clippy::unwrap_used, reason = "a test says what went wrong by failing there")]
use std::collections::BTreeSet;
use std::path::Path;

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use xxhash_rust::xxh3::xxh3_64;

/// What a peer relies on, a line each, sorted.
fn interface() -> BTreeSet<String> {
    let set = FileDescriptorSet::decode(spandrel_proto::DESCRIPTOR).unwrap();
    let mut lines = BTreeSet::new();
    for file in &set.file {
        let package = file.package();
        file.message_type.iter().for_each(|message| message_lines(package, message, &mut lines));
        file.enum_type.iter().for_each(|of| enum_lines(package, of, &mut lines));
        for service in &file.service {
            for method in &service.method {
                let stream = |is: bool| if is { "stream " } else { "" };
                lines.insert(format!(
                    "rpc {package}.{}/{} {}{} -> {}{}",
                    service.name(),
                    method.name(),
                    stream(method.client_streaming()),
                    method.input_type(),
                    stream(method.server_streaming()),
                    method.output_type()
                ));
            }
        }
    }
    lines
}

fn message_lines(scope: &str, message: &DescriptorProto, lines: &mut BTreeSet<String>) {
    let name = format!("{scope}.{}", message.name());
    for field in &message.field {
        lines.insert(format!("field {name} {} = {}: {}", field.name(), field.number(), kind(field)));
    }
    message.nested_type.iter().for_each(|nested| message_lines(&name, nested, lines));
    message.enum_type.iter().for_each(|nested| enum_lines(&name, nested, lines));
}

fn enum_lines(scope: &str, of: &EnumDescriptorProto, lines: &mut BTreeSet<String>) {
    for value in &of.value {
        lines.insert(format!("value {scope}.{} {} = {}", of.name(), value.name(), value.number()));
    }
}

fn kind(field: &FieldDescriptorProto) -> String {
    let mut words = Vec::new();
    if field.label() == Label::Repeated {
        words.push("repeated");
    }
    if field.proto3_optional() {
        words.push("optional");
    } else if field.oneof_index.is_some() {
        words.push("oneof");
    }
    let of = match field.r#type() {
        Type::Message | Type::Enum => field.type_name().to_owned(),
        scalar => format!("{scalar:?}").to_lowercase(),
    };
    words.push(&of);
    words.join(" ")
}

/// Compares what is recorded with what there is, and gives what to record: a part that went or changed is refused whether
/// or not new ones are to be recorded.
fn grown(recorded: &BTreeSet<String>, now: &BTreeSet<String>, record: bool) -> Result<String, String> {
    let gone: Vec<&String> = recorded.difference(now).collect();
    if !gone.is_empty() {
        return Err(format!("changed or removed, which breaks clients: {gone:#?}"));
    }
    let new: Vec<&String> = now.difference(recorded).collect();
    if !new.is_empty() && !record {
        return Err(format!("new; run once with SPANDREL_WRITE_INTERFACE=1 and commit: {new:#?}"));
    }
    Ok(now.iter().map(|line| format!("{line}\n")).collect())
}

#[test]
fn the_interface_only_grows() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interface.txt");
    let recorded = std::fs::read_to_string(&path).unwrap();
    let record = std::env::var_os("SPANDREL_WRITE_INTERFACE").is_some();
    let lines = recorded.lines().map(str::to_owned).collect();
    let grown = grown(&lines, &interface(), record).unwrap_or_else(|refused| panic!("{refused}"));
    if record {
        std::fs::write(&path, grown).unwrap();
    }
}

#[test]
fn what_breaks_clients_is_refused_even_while_recording() {
    let lines = |lines: &[&str]| lines.iter().map(|&line| line.to_owned()).collect::<BTreeSet<_>>();
    let recorded = lines(&["field a = 1: uint32", "field b = 2: string"]);
    for record in [false, true] {
        let removed = grown(&recorded, &lines(&["field a = 1: uint32"]), record).unwrap_err();
        assert!(removed.contains("field b"), "{removed}");
        let changed = lines(&["field a = 1: uint64", "field b = 2: string"]);
        assert!(grown(&recorded, &changed, record).unwrap_err().contains("field a"));
    }
    let more = lines(&["field a = 1: uint32", "field b = 2: string", "field c = 3: bool"]);
    assert!(grown(&recorded, &more, false).unwrap_err().contains("field c"));
    assert_eq!(grown(&recorded, &more, true).unwrap().lines().count(), 3);
}

#[test]
fn reserved_numbers_may_be_taken_into_use() {
    assert!(interface().iter().all(|line| !line.starts_with("reserved")));
}

/// The compiler of the `.proto` files takes too long to build to run here; `.ci/run` runs it.
#[test]
fn the_code_was_generated_from_the_files_as_they_are() {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR"));
    let hashes = std::fs::read_to_string(proto.join("generated/hashes.txt")).unwrap();
    let files: Vec<_> = hashes.lines().map(|line| line.split_once(' ').unwrap()).collect();
    assert_eq!(files.len(), 5);
    for (hash, file) in files {
        let found = format!("{:016x}", xxh3_64(&std::fs::read(proto.join(file)).unwrap()));
        assert_eq!(found, hash, "{file} changed: cargo run --manifest-path proto/generate/Cargo.toml");
    }
}
