//! What an interrupted build has done so far.
//!
//! The scratch folder holds one `checkpoint.json`, replaced atomically after each phase: everything that a
//! later phase needs from an earlier one, beside the scratch files and sections that it names.
use std::path::Path;

use serde::{Deserialize, Serialize};
use spandrel_index::Outliers;
use spandrel_index::format::{QuerySampleRecord, SectionEntry};
use spandrel_io::{Store, StoreError};
use xxhash_rust::xxh3::xxh3_64;

use crate::BuildError;
use crate::spill::Spill;

const FILE: &str = "checkpoint.json";
/// Most bytes of it: it holds a few numbers for each phase.
const BYTES_MAX: u64 = 1 << 20;

/// State of a build between phases. A phase is done when its field is there.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    /// Parameters, in the order and spelling of [`crate::config::Params::fingerprint`].
    pub(crate) fingerprint: Vec<(String, String)>,
    /// Version being built.
    pub(crate) version: u64,
    /// Version that was in force when the build began; 0 if none was.
    pub(crate) replaces: u64,
    /// Older versions that are to stay.
    pub(crate) keep_previous: u32,
    pub(crate) checked: Option<Checked>,
    /// Where rows belong by the values of an attribute; not there where that does not matter.
    pub(crate) partitioned: Option<Partitioned>,
    /// What a sample of queries wants; not there without one.
    pub(crate) sampled: Option<Sampled>,
    pub(crate) parted: Option<Parted>,
    pub(crate) clustered: Option<Clustered>,
    pub(crate) filed: Option<Filed>,
    /// What the code family learned; not there for lists of exact vectors.
    pub(crate) model: Option<Section>,
    pub(crate) written: Option<Written>,
    pub(crate) graph: Option<GraphDone>,
    pub(crate) ids: Option<Section>,
    /// What is known of the vectors, sorted in runs; not there where nothing is.
    pub(crate) gathered: Option<Gathered>,
    /// Vectors of the column; not there without one.
    pub(crate) column: Option<Section>,
    /// Which vectors are one document; not there where that is not asked.
    pub(crate) documents: Option<Section>,
    /// Sections of attributes, in the order of the schema.
    pub(crate) attributes: Option<Vec<Section>>,
    /// What the caller found; not there unless it was asked.
    pub(crate) calibrated: Option<Calibrated>,
    /// Seconds spent in each phase, by name, over all runs.
    pub(crate) seconds: Vec<(String, f64)>,
}

/// What a phase gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Product {
    Checked,
    Partitioned,
    Sampled,
    Parted,
    Clustered,
    Filed,
    Model,
    Written,
    Graph,
    Ids,
    Column,
    Documents,
    Gathered,
    Attributes,
    Calibrated,
}

/// The input, read once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Checked {
    pub(crate) input_hash: String,
    /// Of the rows with their ids; not there where row numbers serve as ids.
    pub(crate) ids_sum: Option<String>,
    pub(crate) norm_max: f32,
    pub(crate) id_max: u64,
    /// Of what is known of the vectors; not there where nothing is.
    pub(crate) attributes_hash: Option<String>,
    /// Of the rows of the column; not there without one.
    pub(crate) column_hash: Option<String>,
    /// Of the sample of queries; not there without one.
    pub(crate) query_sample_hash: Option<String>,
    /// The rows that coarse parts are learned from, in one group.
    pub(crate) sample: Spill,
}

/// The rows in the order of a partition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Partitioned {
    /// Values that have lists of their own.
    pub(crate) own: u32,
    /// Rows of all other values.
    pub(crate) shared: u32,
    /// Length and hash of the file of keys.
    pub(crate) bytes: u64,
    pub(crate) hash: String,
}

/// What the queries of a sample want.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sampled {
    pub(crate) record: QuerySampleRecord,
    /// Where rows belong; not there where lists are formed as without a sample.
    pub(crate) keys: Option<Partitioned>,
}

/// The vectors, sorted into coarse parts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Parted {
    pub(crate) spill: Spill,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Clustered {
    pub(crate) heads: u32,
    /// Heads that rows are filed under by nearness, the first of all.
    pub(crate) filed: u32,
    pub(crate) blocks: u32,
    /// Regions of blocks: rows of one are not filed in another.
    pub(crate) regions: u32,
    /// Length and hash of the file of heads.
    pub(crate) heads_bytes: u64,
    pub(crate) heads_hash: String,
    /// The leaf of each record of the parts, in their order, in one group.
    pub(crate) leaves: Spill,
}

/// The vectors, sorted into groups of lists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Filed {
    pub(crate) spill: Spill,
}

/// The lists and what goes with them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Written {
    pub(crate) lists: u32,
    /// Of these, the last, which the small values of a partition share, and their vectors.
    pub(crate) shared_lists: u32,
    pub(crate) shared_vectors: u64,
    pub(crate) sections: Vec<Section>,
    /// Pairs of id and position, each sorted run a group.
    pub(crate) id_runs: Spill,
    pub(crate) stats: ListStats,
}

/// Values with their positions, sorted in runs: a group each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Gathered {
    pub(crate) spill: Spill,
    /// Number of the attribute of each run.
    pub(crate) runs: Vec<u16>,
}

/// The head index; no section where heads are scanned flat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct GraphDone {
    pub(crate) section: Option<Section>,
}

/// What recall to expect; no section where nothing was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Calibrated {
    pub(crate) recall: Option<SectionEntry>,
}

/// One finished section file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Section {
    pub(crate) kind: String,
    /// The column that it is of, empty for the vectors that are searched.
    pub(crate) column: String,
    pub(crate) file: String,
    pub(crate) bytes: u64,
    pub(crate) hash: String,
}

/// Sizes of the lists as written.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ListStats {
    /// Lists that were over the cap.
    pub split: u64,
    /// Heads that no vector chose.
    pub dropped: u64,
    /// Entries of all lists.
    pub copies: u64,
    /// Replicas left out because their list was full.
    pub trimmed: u64,
    /// Entries of the longest list.
    pub longest: u64,
    /// Entries of the mean list.
    pub mean: f64,
    /// Vectors far from all others.
    pub outliers: Outliers,
}

impl Checkpoint {
    /// Whether a phase has given this.
    pub(crate) fn has(&self, product: Product) -> bool {
        match product {
            Product::Checked => self.checked.is_some(),
            Product::Partitioned => self.partitioned.is_some(),
            Product::Sampled => self.sampled.is_some(),
            Product::Parted => self.parted.is_some(),
            Product::Clustered => self.clustered.is_some(),
            Product::Filed => self.filed.is_some(),
            Product::Model => self.model.is_some(),
            Product::Written => self.written.is_some(),
            Product::Graph => self.graph.is_some(),
            Product::Ids => self.ids.is_some(),
            Product::Column => self.column.is_some(),
            Product::Documents => self.documents.is_some(),
            Product::Gathered => self.gathered.is_some(),
            Product::Attributes => self.attributes.is_some(),
            Product::Calibrated => self.calibrated.is_some(),
        }
    }

    /// Reads the checkpoint of a scratch folder, if there is one.
    pub(crate) fn read(scratch: &dyn Store) -> Result<Option<Checkpoint>, BuildError> {
        let path = scratch.path(FILE);
        let bytes = match scratch.read(FILE, BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(StoreError::Missing { .. }) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let damaged = |what: &str| BuildError::Scratch { path: path.clone(), what: what.to_owned() };
        let (hash, json) = bytes.split_at_checked(16).ok_or_else(|| damaged("truncated"))?;
        if hash != format!("{:016x}", xxh3_64(json)).as_bytes() {
            return Err(damaged("its hash does not hold"));
        }
        serde_json::from_slice(json).map(Some).map_err(|e| damaged(&e.to_string()))
    }

    /// Replaces the checkpoint durably. The names of its files have to be durable before.
    pub(crate) fn write(&self, scratch: &dyn Store) -> Result<(), BuildError> {
        let json = serde_json::to_vec(self).map_err(std::io::Error::other)?;
        let mut bytes = format!("{:016x}", xxh3_64(&json)).into_bytes();
        bytes.extend_from_slice(&json);
        Ok(scratch.replace(FILE, &bytes)?)
    }

    /// Refuses to go on under other parameters than the build began with.
    pub(crate) fn check(&self, scratch: &Path, now: &[(&'static str, String)]) -> Result<(), BuildError> {
        for (parameter, expected) in now {
            let begun = self.fingerprint.iter().find(|(name, _)| name == parameter);
            let found = begun.map_or("", |(_, value)| value.as_str());
            refuse_other(scratch, parameter, found, expected)?;
        }
        Ok(())
    }

    /// Compares gathered attributes with those of now by the hash of all rows: no later phase reads the rows again.
    pub(crate) fn check_gathered(
        &self,
        scratch: &Path,
        hash: impl FnOnce() -> Result<Option<String>, BuildError>,
    ) -> Result<(), BuildError> {
        let checked = self.checked.as_ref().filter(|_| self.gathered.is_some());
        let Some(found) = checked.and_then(|checked| checked.attributes_hash.as_deref()) else {
            return Ok(());
        };
        refuse_other(scratch, "content of attributes", found, &hash()?.unwrap_or_default())
    }
}

fn refuse_other(
    scratch: &Path,
    parameter: &'static str,
    found: &str,
    expected: &str,
) -> Result<(), BuildError> {
    if found == expected {
        return Ok(());
    }
    let (path, found, expected) = (scratch.join(FILE), found.to_owned(), expected.to_owned());
    Err(BuildError::Resume { path, parameter, found, expected })
}

/// Names of the files in a scratch folder.
pub(crate) const SAMPLE: &str = "sample";
pub(crate) const PARTITION_RUNS: &str = "partition-runs";
pub(crate) const PARTITION: &str = "partition";
pub(crate) const PARTS: &str = "parts";
pub(crate) const HEADS: &str = "heads";
pub(crate) const LEAVES: &str = "leaves";
pub(crate) const FILED: &str = "filed";
pub(crate) const ID_RUNS: &str = "id-runs";
pub(crate) const COLUMN_ROWS: &str = "column-rows";
pub(crate) const ATTRIBUTE_RUNS: &str = "attribute-runs";
pub(crate) const ATTRIBUTE_ENTRIES: &str = "attribute-entries";
pub(crate) const ATTRIBUTE_FORWARD: &str = "attribute-forward";

#[cfg(test)]
mod tests {
    use fs_err as fs;
    use spandrel_io::FolderStore;

    use super::*;

    #[test]
    fn round_trips_and_refuses_damage() {
        let dir = tempfile::tempdir().unwrap();
        let store = FolderStore::new(dir.path());
        assert_eq!(Checkpoint::read(&store).unwrap(), None);
        let checkpoint = Checkpoint {
            fingerprint: vec![("seed".into(), "1".into())],
            version: 2,
            graph: Some(GraphDone { section: None }),
            ..Checkpoint::default()
        };
        checkpoint.write(&store).unwrap();
        assert_eq!(Checkpoint::read(&store).unwrap(), Some(checkpoint.clone()));
        assert!(checkpoint.check(dir.path(), &[("seed", "1".into())]).is_ok());
        let other = checkpoint.check(dir.path(), &[("seed", "2".into())]).unwrap_err();
        assert!(matches!(other, BuildError::Resume { parameter: "seed", .. }));
        let path = dir.path().join(FILE);
        let mut bytes = fs::read(&path).unwrap();
        bytes[30] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(matches!(Checkpoint::read(&store), Err(BuildError::Scratch { .. })));
        // However long the file, no more is read than a checkpoint can have.
        fs::File::options().write(true).open(&path).unwrap().set_len(3 << 30).unwrap();
        let refused = Checkpoint::read(&store);
        assert!(matches!(refused, Err(BuildError::Store(StoreError::TooLong { .. }))), "{refused:?}");
    }
}
