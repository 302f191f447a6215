//! Sections as phases write them and read them again.
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::{
    BODY_AT, CodedLayout, FullLayout, Header, IdBytes, ListLayout, MAIN_COLUMN, PageLayout, SectionKind,
    attribute_name, column_name, column_uuid, hash_hex, section_name,
};
use spandrel_io::{FileWriter, Store, StoreError};
use xxhash_rust::xxh3::xxh3_128;

use crate::checkpoint::{Checked, Section};
use crate::column::ColumnParams;
use crate::config::Params;
use crate::{BuildError, Target};

/// Shapes that the whole index shares.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layouts {
    pub(super) id_bytes: IdBytes,
    pub(super) list: ListLayout,
    pub(super) page: PageLayout,
}

impl Layouts {
    pub(super) fn new(params: &Params, checked: &Checked) -> Layouts {
        let id_bytes = IdBytes::holding(checked.id_max);
        Layouts {
            id_bytes,
            list: match params.code {
                CodeSpec::Full => {
                    ListLayout::Full(FullLayout::new(params.row_bytes(), params.metric, id_bytes))
                }
                code => ListLayout::Coded(CodedLayout::of(code, params.dim)),
            },
            page: PageLayout::new(params.row_bytes(), params.metric, id_bytes),
        }
    }
}

/// What is in a file that an earlier phase wrote, from a place on.
pub(crate) struct Content<'a> {
    /// Bytes of the file.
    pub(crate) bytes: u64,
    pub(crate) from: u64,
    /// Of what is from there on, in hex digits.
    pub(crate) hash: &'a str,
}

/// Reads what an earlier phase wrote, and compares it with its hash.
pub(crate) fn read_checked(
    store: &dyn Store,
    name: &str,
    expected: Content<'_>,
) -> Result<Vec<u8>, BuildError> {
    let Content { bytes, from, hash } = expected;
    let damaged = |what| BuildError::Scratch { path: store.path(name), what };
    let blob = store.open(name)?;
    if blob.len() != bytes || bytes < from {
        return Err(damaged(format!("{} bytes, expected {bytes}", blob.len())));
    }
    let mut content = vec![0; (bytes - from) as usize]; // CAST: usize is 64 bits
    blob.read_into(from, &mut content).map_err(StoreError::from)?;
    let found = hash_hex(xxh3_128(&content));
    if found == hash { Ok(content) } else { Err(damaged(format!("hash {found}, expected {hash}"))) }
}

/// The body of a section that an earlier phase wrote, checked by its hash.
pub(super) fn read_section(target: Target<'_>, section: &Section) -> Result<Vec<u8>, BuildError> {
    let Section { file, bytes, hash, .. } = section;
    read_checked(target.store, file, Content { bytes: *bytes, from: BODY_AT, hash })
}

/// What a header says beside the index's own facts.
pub(super) struct SectionShape<'a> {
    pub(super) kind: SectionKind,
    pub(super) unit_bytes: u32,
    pub(super) count: u64,
    pub(super) of: SectionOf<'a>,
}

/// What a section is of.
#[derive(Clone, Copy)]
pub(super) enum SectionOf<'a> {
    /// The vectors that are searched.
    Main,
    /// The attribute of this number.
    Attribute(u16),
    Column(&'a ColumnParams),
}

/// Writes the header over the gap left for it and makes the file durable.
pub(super) fn finish_section(
    params: &Params,
    target: Target<'_>,
    shape: SectionShape<'_>,
    writer: FileWriter,
) -> Result<Section, BuildError> {
    let SectionShape { kind, unit_bytes, count, of } = shape;
    let (dtype, dim) = match (kind, of) {
        (SectionKind::Heads | SectionKind::Graph, _) => (params.head_dtype(), params.head_dim()),
        (_, SectionOf::Column(column)) => (column.dtype, column.dim),
        _ => (params.dtype, params.dim),
    };
    let (metric, uuid, column) = match of {
        SectionOf::Column(ColumnParams { name, metric, .. }) => {
            (*metric, column_uuid(target.uuid, name), name.as_str())
        }
        SectionOf::Main | SectionOf::Attribute(_) => (params.metric, target.uuid, MAIN_COLUMN),
    };
    let header = Header {
        kind,
        dtype,
        metric,
        family: match kind {
            SectionKind::Codes | SectionKind::Model => params.code.family(),
            _ => 0,
        },
        dim: dim as u32, // CAST: at most DIM_MAX + 1
        unit_bytes,
        count,
        uuid,
        body_bytes: writer.bytes(),
    };
    let written = writer.finish_with_head(&header.to_bytes())?;
    Ok(Section {
        kind: kind.name().to_owned(),
        column: column.to_owned(),
        file: match of {
            SectionOf::Main => section_name(kind, target.version),
            SectionOf::Attribute(attribute) => attribute_name(attribute, target.version),
            SectionOf::Column(column) => column_name(&column.name, target.version),
        },
        bytes: written.bytes,
        hash: hash_hex(written.hash),
    })
}
