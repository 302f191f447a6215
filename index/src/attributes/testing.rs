//! Sections of attributes for tests that must not need a builder.
use std::collections::BTreeMap;
use std::path::Path;

use fs_err as fs;
use roaring::RoaringBitmap;
use spandrel_filter::{Attribute, AttributeType, Cell};
use spandrel_io::FileWriter;

use super::writer::{AttributeSpec, NumberWriter, PostingWriter};

/// An attribute and what each vector has in it.
#[derive(Debug, Clone)]
pub struct TestAttribute {
    /// Name and type.
    pub attribute: Attribute,
    /// By vector.
    pub cells: Vec<Cell>,
    /// Whether all of it is kept in memory.
    pub resident: bool,
}

/// The body of a section of `cells` by position; `dir` is where it is written meanwhile.
///
/// # Panics
/// When anything fails.
pub fn section_body(dir: &Path, spec: AttributeSpec, cells: &[&Cell]) -> Vec<u8> {
    let path = dir.join("body");
    let file = FileWriter::create(&path).expect("a file");
    let file = match spec.kind {
        AttributeType::I64 | AttributeType::F64 | AttributeType::Timestamp => {
            let mut writer = NumberWriter::new(file, spec);
            cells.iter().for_each(|cell| writer.write(cell.key()).expect("a number"));
            writer.finish().expect("the end")
        }
        AttributeType::Keyword | AttributeType::Tags | AttributeType::Bool => {
            let mut values: BTreeMap<&str, RoaringBitmap> = BTreeMap::new();
            for (position, cell) in (0..).zip(cells) {
                for text in cell.texts() {
                    values.entry(text).or_default().insert(position);
                }
            }
            let (mut writer, mut entries) = (PostingWriter::new(file, spec), Vec::new());
            for (value, positions) in &values {
                writer.write(value, positions, &mut entries).expect("a posting");
            }
            let mut writer = writer.finish();
            let numbers: BTreeMap<&str, u32> = values.keys().copied().zip(0..).collect();
            for cell in cells {
                let mut found: Vec<u32> =
                    cell.texts().filter_map(|text| numbers.get(text).copied()).collect();
                found.sort_unstable();
                writer.write(&found).expect("a position");
            }
            let mut writer = writer.finish().expect("blocks");
            writer.append(&entries).expect("the dictionary");
            writer.finish().expect("the end")
        }
    };
    file.finish().expect("a body");
    let body = fs::read(&path).expect("what was written");
    fs::remove_file(&path).expect("its removal");
    body
}
