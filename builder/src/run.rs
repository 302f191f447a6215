//! A build from its first check to the switch.
use std::path::Path;
use std::sync::atomic::AtomicBool;

use spandrel_index::format::{Manifest, RecallCurves, SectionKind, section_name};
use spandrel_index::{SourceError, read_recall};
use spandrel_io::{FolderStore, Store, StoreError};

use crate::checkpoint::{Checkpoint, ListStats};
use crate::config::Params;
use crate::folders::{Asked, Begin, Folders, OpenStore};
use crate::plan::Plan;
use crate::progress::Context;
use crate::state::BuildState;
use crate::{BuildConfig, BuildError, Calibrate, Input, Progress, binariser, phases, stages};

/// What a build came to.
#[derive(Debug, Clone)]
pub struct BuildReport {
    /// The manifest in force.
    pub manifest: Manifest,
    /// What recall to expect, where it was calibrated.
    pub recall: Option<RecallCurves>,
    /// Sizes of the lists; not known when the index had been complete before.
    pub lists: Option<ListStats>,
    /// Seconds of each phase, over all runs that it took.
    pub seconds: Vec<(String, f64)>,
}

/// Builds an index and publishes it.
///
/// With [`BuildConfig::resume`] an interrupted build goes on after its last finished phase and gives the same
/// bytes as if it had not been interrupted.
///
/// # Errors
/// [`BuildError`]; the version published before stays in force.
pub fn build(
    input: Input<'_>,
    config: &BuildConfig,
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<BuildReport, BuildError> {
    build_for(input, config, Caller { progress, stop, calibrate: None })
}

/// What the caller of a build gives besides what to build.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    /// Receives progress updates.
    pub progress: &'a dyn Progress,
    /// Set to true to stop.
    pub stop: &'a AtomicBool,
    /// Finds what queries get that name no pruning; without it a constant is taken.
    pub calibrate: Option<&'a dyn Calibrate>,
}

/// As [`build`], for a caller that may calibrate the index before it is published.
///
/// # Errors
/// [`BuildError`]; the version published before stays in force.
pub fn build_for(
    input: Input<'_>,
    config: &BuildConfig,
    caller: Caller<'_>,
) -> Result<BuildReport, BuildError> {
    build_in(input, config, caller, &|path: &Path| -> Box<dyn Store> { Box::new(FolderStore::new(path)) })
}

pub(crate) fn build_in(
    input: Input<'_>,
    config: &BuildConfig,
    caller: Caller<'_>,
    open: OpenStore<'_>,
) -> Result<BuildReport, BuildError> {
    let mut params = Params::check(config, input)?;
    let plan = Plan::new(&params);
    plan.check_memory()?;
    if let Some(documents) = &mut params.documents {
        documents.read_ids(input)?;
    }
    let params = params;
    let encoded = input.encoded(params.documents.as_ref(), caller.stop);
    let input = input.with_tokens();
    let input = encoded.as_ref().map_or(input, |encoded| Input { vectors: encoded, ..input });
    binariser::check_values(input, params.code)?;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(params.threads)
        .thread_name(|n| format!("build-{n}"))
        .build()
        .map_err(std::io::Error::other)?;
    let context = Context { pool: &pool, progress: caller.progress, stop: caller.stop };
    let folders = Folders::prepare(config, open)?;
    let asked = Asked { config, params: &params, plan: &plan, input };
    let done = match folders.begin(asked, context, open)? {
        Begin::Complete(manifest) => {
            let recall = read_recall(&*open(&folders.dir), &manifest)?;
            return Ok(BuildReport { manifest: *manifest, recall, lists: None, seconds: Vec::new() });
        }
        Begin::Phases(done) => *done,
    };
    let mut state = BuildState {
        params: &params,
        plan: &plan,
        input,
        calibrate: caller.calibrate,
        context,
        dir: folders.dir.clone(),
        index: open(&folders.dir),
        scratch: open(&folders.scratch),
        done,
    };
    if state.calibrate.is_none() {
        forget_calibration(&mut state)?;
    }
    let manifest = match phases::run(&mut state).and_then(|()| stages::publish(&state)) {
        Ok(manifest) => manifest,
        Err(error) => {
            // The same input would be refused again: there is nothing to resume.
            if refuses_input(&error, &state.done) {
                folders.abandon(state.done.version);
            }
            return Err(error);
        }
    };
    folders.clean_up(&state.done)?;
    Ok(BuildReport {
        recall: read_recall(&*state.index, &manifest)?,
        manifest,
        lists: state.done.written.map(|written| written.stats),
        seconds: state.done.seconds,
    })
}

/// It may have been asked for before the interruption.
fn forget_calibration(state: &mut BuildState<'_>) -> Result<(), BuildError> {
    if state.done.calibrated.take().is_some() {
        // A checkpoint never names a file that is gone.
        state.done.write(&*state.scratch)?;
    }
    match state.index.remove(&section_name(SectionKind::Recall, state.done.version)) {
        Ok(()) | Err(StoreError::Missing { .. }) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Whether an error is the input's own, found before there was anything to go on with or beyond mending.
fn refuses_input(error: &BuildError, checkpoint: &Checkpoint) -> bool {
    match error {
        BuildError::Value { .. } | BuildError::DuplicateId { .. } => true,
        // Of the query sample, which is read first.
        BuildError::Source(SourceError::Value { .. }) => checkpoint.checked.is_none(),
        BuildError::Source(SourceError::Read { source, .. }) => {
            source.kind() == std::io::ErrorKind::InvalidData && checkpoint.checked.is_none()
        }
        _ => false,
    }
}

#[cfg(test)]
pub(crate) mod tests;
