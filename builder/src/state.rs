//! What the phases of a build share.
use std::path::PathBuf;

use spandrel_index::HeadSpace;
use spandrel_io::Store;
use xxhash_rust::xxh3::Xxh3;

use crate::checkpoint::{Checked, Checkpoint, Clustered, Filed, Gathered, Parted, Section, Written};
use crate::config::Params;
use crate::partition::Keys;
use crate::plan::Plan;
use crate::progress::Context;
use crate::{BuildError, Calibrate, Input, Target};

/// A build under way: what it works from, and what its phases have given so far.
pub(crate) struct BuildState<'a> {
    pub(crate) params: &'a Params,
    pub(crate) plan: &'a Plan,
    pub(crate) input: Input<'a>,
    pub(crate) calibrate: Option<&'a dyn Calibrate>,
    pub(crate) context: Context<'a>,
    /// The index's folder, and its files.
    pub(crate) dir: PathBuf,
    pub(crate) index: Box<dyn Store>,
    /// The scratch folder: the checkpoint, and the files between phases.
    pub(crate) scratch: Box<dyn Store>,
    /// What phases have given.
    pub(crate) done: Checkpoint,
}

impl BuildState<'_> {
    /// The input, read once.
    pub(crate) fn checked(&self) -> &Checked {
        given(self.done.checked.as_ref())
    }

    /// Where rows belong, in a build that is partitioned, or where vectors that queries want have lists of their own.
    pub(crate) fn keys(&self) -> Result<Option<Keys>, BuildError> {
        let read = |done| Keys::read(done, self.params.vectors, &*self.scratch);
        let by_sample = self.done.sampled.as_ref().and_then(|sampled| sampled.keys.as_ref());
        self.done.partitioned.as_ref().or(by_sample).map(read).transpose()
    }

    /// The vectors in coarse parts.
    pub(crate) fn parted(&self) -> &Parted {
        given(self.done.parted.as_ref())
    }

    pub(crate) fn clustered(&self) -> &Clustered {
        given(self.done.clustered.as_ref())
    }

    /// The copies in groups of lists.
    pub(crate) fn filed(&self) -> &Filed {
        given(self.done.filed.as_ref())
    }

    pub(crate) fn written(&self) -> &Written {
        given(self.done.written.as_ref())
    }

    /// What is known of the vectors.
    pub(crate) fn gathered(&self) -> &Gathered {
        given(self.done.gathered.as_ref())
    }

    /// The section of ids.
    pub(crate) fn ids(&self) -> &Section {
        given(self.done.ids.as_ref())
    }

    /// Where lists are formed.
    pub(crate) fn space(&self) -> HeadSpace {
        HeadSpace::of(self.params.metric, self.checked().norm_max)
    }

    /// The version being written.
    pub(crate) fn target(&self) -> Target<'_> {
        let (version, uuid) = (self.done.version, uuid(self.params, self.checked()));
        Target { store: &*self.index, dir: &self.dir, version, uuid }
    }
}

/// What an earlier phase gave: each phase names what it needs.
fn given<T>(product: Option<&T>) -> &T {
    match product {
        Some(product) => product,
        None => unreachable!("a phase ran before one that it needs"),
    }
}

/// The index's identity: what it was made from and how.
fn uuid(params: &Params, checked: &Checked) -> u128 {
    let mut hash = Xxh3::new();
    hash.update(checked.input_hash.as_bytes());
    hash.update(checked.attributes_hash.as_deref().unwrap_or_default().as_bytes());
    hash.update(checked.column_hash.as_deref().unwrap_or_default().as_bytes());
    hash.update(checked.query_sample_hash.as_deref().unwrap_or_default().as_bytes());
    for (name, value) in params.fingerprint() {
        hash.update(name.as_bytes());
        hash.update(value.as_bytes());
    }
    hash.digest128()
}
