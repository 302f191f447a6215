//! Whether an index is what a build would make.
use spandrel_index::format::{AttributeEntry, Manifest, SectionEntry, SegmentEntry};

use crate::attributes::AttributeParams;
use crate::column::ColumnParams;
use crate::config::Params;
use crate::documents::DocumentsParams;

impl Params {
    /// Whether a manifest is that of an index with these parameters; its input is not looked at.
    pub(crate) fn made(&self, manifest: &Manifest) -> bool {
        let build = &manifest.build;
        let vectors = manifest.vectors();
        manifest.metric == self.metric.name()
            && manifest.dtype == self.dtype.name()
            && (manifest.dim, vectors) == (self.dim, self.vectors)
            && (build.lists, build.seed) == (self.lists, self.seed)
            && (build.replicas.as_str(), build.max_replicas) == (self.replicas.name(), self.max_copies)
            && build.heads == self.heads.name()
            && (build.code == self.code.to_string() && build.codes == self.codes)
            && build.codebooks == self.codebooks_hash()
            && (&build.binariser, &manifest.embedding) == (&self.binariser, &self.embedding)
            && ColumnParams::is_of(self.column.as_ref(), manifest)
            && self.documents.as_ref().map(DocumentsParams::entry) == manifest.documents
            && build.query_sample.as_ref().map(|sample| sample.queries)
                == self.query_sample.map(|sample| sample.queries)
            && build.query_sample.as_ref().is_some_and(|sample| sample.code.is_some())
                == self.coding_sample().is_some()
            && manifest.segments.iter().all(|segment| self.has_attributes(segment))
            && manifest.segments.iter().all(|segment| self.has_partition(segment))
    }

    fn has_partition(&self, segment: &SegmentEntry) -> bool {
        let found = segment.partition.as_ref().map(|partition| &partition.attribute);
        found == self.partition.as_ref().map(|partition| &partition.name)
    }

    fn has_attributes(&self, segment: &SegmentEntry) -> bool {
        let same = |(planned, (_, entry)): (&AttributeParams, (&SectionEntry, &AttributeEntry))| {
            planned.name == entry.name
                && planned.kind.name() == entry.kind
                && planned.resident == entry.resident
        };
        segment.attributes().count() == self.attributes.len()
            && self.attributes.iter().zip(segment.attributes()).all(same)
    }
}
