//! Names of files, and numbers in names and manifests.
use super::SectionKind;

/// Whether a text is a hash or uuid as [`hash_hex`] writes it.
pub(super) fn is_hash(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// A 128-bit hash or uuid as 32 hex digits.
pub fn hash_hex(hash: u128) -> String {
    format!("{hash:032x}")
}

/// File name of the manifest of a version.
pub fn manifest_name(version: u64) -> String {
    format!("manifest-{version}")
}

/// File name of the section of attribute number `attribute` of a version.
pub fn attribute_name(attribute: u16, version: u64) -> String {
    format!("{}.{attribute}-{version}", SectionKind::Attributes.name())
}

/// File name of a section of a version, but for those of attributes.
pub fn section_name(kind: SectionKind, version: u64) -> String {
    format!("{}-{version}", kind.name())
}
