//! Clients built against an older interface go on working: nothing that was there may change or go.
#![expect(clippy::unwrap_used, reason = "a test says what went wrong by failing there")]
use std::collections::BTreeSet;
use std::path::Path;

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};

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
    for range in &message.reserved_range {
        lines.insert(format!("reserved {name} {} to {}", range.start(), range.end() - 1));
    }
    lines.extend(message.reserved_name.iter().map(|reserved| format!("reserved {name} {reserved}")));
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

#[test]
fn the_interface_only_grows() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interface.txt");
    let now = interface();
    if std::env::var_os("SPANDREL_WRITE_INTERFACE").is_some() {
        let lines: Vec<String> = now.iter().cloned().collect();
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    }
    let committed: BTreeSet<String> =
        std::fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
    let gone: Vec<&String> = committed.difference(&now).collect();
    assert!(gone.is_empty(), "changed or removed, which breaks clients: {gone:#?}");
    let new: Vec<&String> = now.difference(&committed).collect();
    assert!(new.is_empty(), "new; run once with SPANDREL_WRITE_INTERFACE=1 and commit: {new:#?}");
}
