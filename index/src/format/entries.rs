//! What a manifest says of a segment and of its files.
use std::path::Path;

use serde::{Deserialize, Serialize};
use spandrel_filter::{Attribute, Schema};
use spandrel_names::UnknownName;

use super::column::ColumnEntry;
use super::names::is_hash;
use super::partition::PartitionEntry;
use super::{OpenError, SectionKind};

/// The column of the vectors that are searched.
pub const MAIN_COLUMN: &str = "";

/// A part of the index with its own heads, lists and vectors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentEntry {
    /// 32 hex digits that its sections carry, and that seed the hashes of its lists and pages. No other segment has them.
    pub uuid: String,
    /// Number of an earlier segment whose heads, head index and model it shares, in place of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heads_of: Option<u16>,
    /// Vectors of the segment, replicas not counted.
    pub vectors: u64,
    /// Lists of the segment.
    pub lists: u64,
    /// How its lists follow the values of an attribute, if they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<PartitionEntry>,
    /// The files of the segment, one a section.
    pub sections: Vec<SectionEntry>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SectionEntry {
    /// Name of the kind.
    pub kind: String,
    /// The column of vectors it belongs to: [`MAIN_COLUMN`] of those that are searched.
    pub column: String,
    /// The attribute that a section of attributes holds; all segments have the same, in the same order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribute: Option<AttributeEntry>,
    /// Whether a reader that does not know the kind, or the column, must refuse the index; it ignores the section if not.
    pub required: bool,
    /// File name inside the index's directory.
    pub file: String,
    /// Length of the file.
    pub bytes: u64,
    /// xxh3-128 of the body, from `BODY_AT` to the end; the header carries its own.
    pub hash: String,
}

/// An attribute and where it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttributeEntry {
    /// What filters call it.
    pub name: String,
    /// Name of its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether all of it is kept in memory.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resident: bool,
}

impl SegmentEntry {
    /// The uuid as a number.
    pub(crate) fn uuid(&self) -> u128 {
        u128::from_str_radix(&self.uuid, 16).unwrap_or_default()
    }

    /// Lists that are found by their heads, the first of all. Queries look at all others besides.
    pub(crate) fn found_lists(&self) -> u64 {
        self.partition.as_ref().map_or(self.lists, |partition| partition.found_lists(self.lists))
    }

    /// The section of a kind and column, if there is one.
    pub fn section(&self, kind: SectionKind, column: &str) -> Option<&SectionEntry> {
        self.sections.iter().find(|section| section.kind == kind.name() && section.column == column)
    }

    /// The sections of attributes with their attributes, in the order of the schema.
    pub fn attributes(&self) -> impl Iterator<Item = (&SectionEntry, &AttributeEntry)> {
        self.sections.iter().filter_map(|section| Some((section, section.attribute.as_ref()?)))
    }

    /// The attributes.
    ///
    /// # Errors
    /// [`OpenError::Field`] for types that are none, and names that no schema has.
    pub(crate) fn schema(&self, path: &Path) -> Result<Schema, OpenError> {
        let mut attributes = Vec::new();
        for (_, AttributeEntry { name, kind, .. }) in self.attributes() {
            let kind = kind.parse().map_err(|e: UnknownName| {
                OpenError::field(path, format!("type of attribute {name}"), &e.found, e.choice())
            })?;
            attributes.push(Attribute { name: name.clone(), kind });
        }
        Schema::new(attributes).map_err(|e| OpenError::field(path, "attributes", e, "those of a schema"))
    }

    /// The section of a kind and a column that every segment has.
    ///
    /// # Errors
    /// [`OpenError::MissingSection`].
    pub(crate) fn required(
        &self,
        path: &Path,
        kind: SectionKind,
        column: &str,
    ) -> Result<&SectionEntry, OpenError> {
        let missing = || OpenError::MissingSection { path: path.to_owned(), kind: kind.name() };
        self.section(kind, column).ok_or_else(missing)
    }

    /// Checks it, the segment that comes after those `before`, of an index with a column besides or without.
    pub(super) fn check(
        &self,
        path: &Path,
        before: &[SegmentEntry],
        column: Option<&ColumnEntry>,
    ) -> Result<(), OpenError> {
        let refused = |field: &str, found: &dyn ToString, expected: &str| {
            let field = format!("{field} of segment {}", before.len());
            Err(OpenError::field(path, field, found.to_string(), expected))
        };
        if !is_hash(&self.uuid) {
            return refused("uuid", &self.uuid, "32 hex digits");
        }
        if before.iter().any(|other| other.uuid == self.uuid) {
            return refused("uuid", &self.uuid, "one of its own");
        }
        if self.vectors == 0 || self.vectors > u64::from(u32::MAX) {
            return refused("vectors", &self.vectors, &format!("1 to {}", u32::MAX));
        }
        if self.lists == 0 || self.lists > u64::from(u32::MAX) {
            return refused("lists", &self.lists, &format!("1 to {}", u32::MAX));
        }
        match self.heads_of.map(|of| (of, before.get(usize::from(of)))) {
            // Lists of few vectors under the heads of many may be empty.
            None if self.lists > self.vectors => {
                return refused("lists", &self.lists, &format!("1 to {}", self.vectors));
            }
            None => {}
            Some((_, Some(owner))) if owner.partition.is_some() || self.partition.is_some() => {
                let partitions = [owner, self].map(|segment| segment.partition.as_ref());
                let attribute = partitions.into_iter().flatten().map(|by| &by.attribute).next();
                let found = attribute.cloned().unwrap_or_default();
                return refused("partition", &found, "none where segments share heads");
            }
            Some((_, Some(owner))) if owner.heads_of.is_none() && owner.lists == self.lists => {
                let is_own =
                    |section: &&SectionEntry| SectionKind::SHARED.iter().any(|k| k.name() == section.kind);
                if let Some(own) = self.sections.iter().find(is_own) {
                    return refused("sections", &own.kind, "none of heads, since it shares those of another");
                }
            }
            Some((of, _)) => {
                return refused(
                    "heads_of",
                    &of,
                    "an earlier segment with heads of its own, one for each list",
                );
            }
        }
        for (at, section) in self.sections.iter().enumerate() {
            section.check(path, column)?;
            let key = |section: &SectionEntry| {
                let name = section.attribute.as_ref().map(|attribute| attribute.name.clone());
                (section.kind.clone(), section.column.clone(), name)
            };
            if self.sections.iter().take(at).any(|other| key(other) == key(section)) {
                return refused("sections", &section.kind, "one of each kind, column and attribute");
            }
            if section.attribute.is_some() != (section.kind == SectionKind::Attributes.name()) {
                return refused("sections", &section.kind, "an attribute with each section of attributes");
            }
        }
        let schema = self.schema(path)?;
        if let Some(partition) = &self.partition
            && let Err((field, found, expected)) = partition.check(self.lists, self.vectors, &schema)
        {
            return refused(field, &found, &expected);
        }
        match before.first() {
            Some(first) if first.schema(path)? != schema => {
                let names = schema.attributes().iter().map(|attribute| attribute.name.as_str());
                refused("attributes", &names.collect::<Vec<_>>().join(", "), "those of the first segment")
            }
            _ => Ok(()),
        }
    }
}

impl SectionEntry {
    pub(super) fn check(&self, path: &Path, column: Option<&ColumnEntry>) -> Result<(), OpenError> {
        let is_main = self.column == MAIN_COLUMN && SectionKind::ALL.iter().any(|k| k.name() == self.kind);
        let is_column =
            column.is_some_and(|of| of.name == self.column) && self.kind == SectionKind::Vectors.name();
        let known = is_main || is_column;
        if !known && self.required {
            let kind = match self.column.as_str() {
                MAIN_COLUMN => self.kind.clone(),
                column => format!("{} of column {column}", self.kind),
            };
            return Err(OpenError::UnknownSection { path: path.to_owned(), kind });
        }
        // A file name from a manifest never leaves the index's directory.
        if self.file.contains('/') || self.file.is_empty() || self.file.starts_with('.') {
            return Err(OpenError::field(path, "file", &self.file, "a plain file name"));
        }
        if !is_hash(&self.hash) {
            return Err(OpenError::field(path, "hash", &self.hash, "32 hex digits"));
        }
        Ok(())
    }

    /// The hash as a number.
    pub(crate) fn hash(&self) -> u128 {
        u128::from_str_radix(&self.hash, 16).unwrap_or_default()
    }
}
