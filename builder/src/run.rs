//! A build from its first check to the switch: which phases are still to do, and in which folder.
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use fs_err as fs;
use spandrel_index::SourceError;
use spandrel_index::codes::CodeSpec;
use spandrel_index::format::{self, CURRENT, Manifest, OpenError};
use spandrel_io::{FolderLock, FolderStore, Store, StoreError, free_bytes, sync_folder};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::checkpoint::{
    Checked, Checkpoint, FILED, HEADS, ID_RUNS, LEAVES, ListStats, PARTS, SAMPLE, ScratchFiles, Written,
};
use crate::config::Params;
use crate::plan::Plan;
use crate::progress::Context;
use crate::stages::{self, remove_versions, version_of};
use crate::{BuildConfig, BuildError, Calibrate, Input, Progress, Target};

/// Scratch folder inside the index's folder, unless another place was given.
const SCRATCH: &str = "scratch";

/// What a build came to.
#[derive(Debug, Clone)]
pub struct BuildReport {
    /// The manifest in force.
    pub manifest: Manifest,
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

/// How the folders of index and scratch files are changed durably; tests watch what a crash would leave of them.
pub(crate) type OpenStore<'a> = &'a dyn Fn(&Path) -> Box<dyn Store>;

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
    build_in(input, config, caller, &|path| Box::new(FolderStore::new(path)))
}

pub(crate) fn build_in(
    input: Input<'_>,
    config: &BuildConfig,
    caller: Caller<'_>,
    open: OpenStore<'_>,
) -> Result<BuildReport, BuildError> {
    let params = Params::check(config, input)?;
    let plan = Plan::new(&params);
    plan.check_memory()?;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(params.threads)
        .thread_name(|n| format!("build-{n}"))
        .build()
        .map_err(std::io::Error::other)?;
    let context = Context { pool: &pool, progress: caller.progress, stop: caller.stop };
    let place = Place::prepare(config)?;
    let asked = Asked { config, params: &params, plan: &plan, input };
    let checkpoint = match place.begin(asked, context)? {
        Begin::Complete(manifest) => {
            return Ok(BuildReport { manifest: *manifest, lists: None, seconds: Vec::new() });
        }
        Begin::Phases(checkpoint) => *checkpoint,
    };
    let files = ScratchFiles(place.scratch.clone());
    let folders = Folders { index: open(&place.dir).into(), scratch: open(&place.scratch) };
    let mut run =
        Run { params, plan, input, files, folders, checkpoint, calibrate: caller.calibrate, context };
    let manifest = match run.phases(&place.dir) {
        Ok(manifest) => manifest,
        Err(error) => {
            // The same input would be refused again: there is nothing to resume.
            if refuses_input(&error, &run.checkpoint) {
                place.abandon(run.checkpoint.version);
            }
            return Err(error);
        }
    };
    place.clean_up(manifest.version)?;
    Ok(BuildReport {
        manifest,
        lists: run.checkpoint.written.map(|written| written.stats),
        seconds: run.checkpoint.seconds,
    })
}

/// Whether an error is the input's own, found before there was anything to go on with or beyond mending.
fn refuses_input(error: &BuildError, checkpoint: &Checkpoint) -> bool {
    match error {
        BuildError::Value { .. } | BuildError::DuplicateId { .. } => true,
        BuildError::Source(SourceError::Read { source, .. }) => {
            source.kind() == std::io::ErrorKind::InvalidData && checkpoint.checked.is_none()
        }
        _ => false,
    }
}

/// The folders of a build, locked against other builders.
struct Place {
    dir: PathBuf,
    scratch: PathBuf,
    lock: FolderLock,
}

/// What was asked for, and what that comes to.
#[derive(Clone, Copy)]
struct Asked<'a> {
    config: &'a BuildConfig,
    params: &'a Params,
    plan: &'a Plan,
    input: Input<'a>,
}

impl Asked<'_> {
    /// Everything that an interrupted build must have in common with this one.
    fn fingerprint(&self) -> Result<Vec<(&'static str, String)>, BuildError> {
        let mut fingerprint = self.params.fingerprint();
        fingerprint.push(("input", stages::glance(self.params, self.input)?));
        Ok(fingerprint)
    }
}

enum Begin {
    /// The index asked for is there already.
    Complete(Box<Manifest>),
    /// What an earlier run has done, or nothing yet.
    Phases(Box<Checkpoint>),
}

impl Place {
    fn prepare(config: &BuildConfig) -> Result<Place, BuildError> {
        if let Some(scratch) = &config.scratch {
            refuse_scratch_inside(scratch, &config.out)?;
        }
        if config.out.exists() {
            refuse_foreign(&config.out)?;
        }
        fs::create_dir_all(&config.out)?;
        let dir = fs::canonicalize(&config.out)?;
        let lock = FolderLock::acquire(&dir)?;
        let scratch = match &config.scratch {
            None => dir.join(SCRATCH),
            // Several builds may share a scratch folder; each finds its own again.
            Some(shared) => {
                shared.join(format!("spandrel-{:016x}", xxh3_64(dir.as_os_str().as_encoded_bytes())))
            }
        };
        Ok(Place { dir, scratch, lock })
    }

    /// Decides where to begin, according to what is in the folders and what was asked for.
    fn begin(&self, asked: Asked<'_>, context: Context<'_>) -> Result<Begin, BuildError> {
        let Asked { config, params, .. } = asked;
        let current = match format::current(&FolderStore::new(&self.dir)) {
            Ok(current) => Some(current),
            Err(OpenError::NotAnIndex { .. }) => None,
            // A replacement was asked for: what is wrong with the old index does not matter.
            Err(_) if config.replace => None,
            Err(e) => return Err(e.into()),
        };
        let in_force = current.map_or(0, |current| current.version);
        let begun = if config.replace && !config.resume { None } else { Checkpoint::read(&self.scratch)? };
        if let Some(begun) = begun {
            if !config.resume {
                return Err(BuildError::Unfinished { path: self.dir.clone() });
            }
            begun.check(&self.scratch, &asked.fingerprint()?)?;
            if let Some(current) = current.filter(|current| current.version >= begun.version) {
                // Stopped between the switch and cleaning up.
                let manifest = Manifest::open(&FolderStore::new(&self.dir), current)?;
                self.clean_up(current.version)?;
                return Ok(Begin::Complete(Box::new(manifest)));
            }
            context.progress.note("going on with the interrupted build");
            return Ok(Begin::Phases(Box::new(begun)));
        }
        if let (Some(current), false) = (current, config.replace) {
            let manifest = Manifest::open(&FolderStore::new(&self.dir), current)?;
            if config.resume
                && params.made(&manifest)
                && stages::hash_input(params, asked.input, context)? == manifest.build.input_hash
            {
                context.progress.note("the build had been finished");
                return Ok(Begin::Complete(Box::new(manifest)));
            }
            return Err(BuildError::Exists { path: self.dir.clone() });
        }
        Ok(Begin::Phases(Box::new(self.start(asked, in_force)?)))
    }

    fn start(&self, asked: Asked<'_>, in_force: u64) -> Result<Checkpoint, BuildError> {
        if self.scratch.exists() {
            fs::remove_dir_all(&self.scratch)?;
        }
        let newest = newest_version(&self.dir)?.max(in_force);
        if in_force > 0 {
            // Remains of builds that were given up; the version in force stays.
            remove_versions(&self.dir, |version| version != in_force)?;
        }
        let version = if in_force > 0 { in_force + 1 } else { newest + 1 };
        self.make_scratch(asked, version).inspect_err(|_| self.abandon(version))
    }

    fn make_scratch(&self, asked: Asked<'_>, version: u64) -> Result<Checkpoint, BuildError> {
        fs::create_dir_all(&self.scratch)?;
        if let Some(parent) = self.scratch.parent() {
            sync_folder(parent)?;
        }
        require_disk(&self.dir, &self.scratch, asked.plan)?;
        let fingerprint = asked.fingerprint()?.into_iter().map(|(name, value)| (name.to_owned(), value));
        let checkpoint = Checkpoint { fingerprint: fingerprint.collect(), version, ..Checkpoint::default() };
        checkpoint.write(&FolderStore::new(&self.scratch))?;
        Ok(checkpoint)
    }

    /// Leaves the folder as if the build of this version had never been tried; the refusal itself matters more
    /// than a file that cannot be removed.
    fn abandon(&self, version: u64) {
        let _ = remove_versions(&self.dir, |of| of == version);
        let _ = fs::remove_dir_all(&self.scratch);
        let is_lock = |entry: std::io::Result<fs::DirEntry>| {
            entry.is_ok_and(|entry| entry.file_name() == FolderLock::NAME)
        };
        if fs::read_dir(&self.dir).is_ok_and(|mut entries| entries.all(is_lock)) {
            let _ = self.lock.remove();
            let _ = fs::remove_dir(&self.dir);
        }
    }

    fn clean_up(&self, version: u64) -> Result<(), BuildError> {
        remove_versions(&self.dir, |of| of != version)?;
        if self.scratch.exists() {
            fs::remove_dir_all(&self.scratch)?;
        }
        Ok(())
    }
}

/// Refuses a scratch folder that would make the index's own look like somebody else's when a build is resumed.
fn refuse_scratch_inside(scratch: &Path, out: &Path) -> Result<(), BuildError> {
    let resolved = |path: &Path| fs::canonicalize(path).or_else(|_| std::path::absolute(path));
    if !resolved(scratch)?.starts_with(resolved(out)?) {
        return Ok(());
    }
    Err(BuildError::Parameter {
        parameter: "--scratch",
        found: scratch.display().to_string(),
        expected: "a folder outside of --out; without it, one inside is used".to_owned(),
    })
}

/// Refuses a folder with anything in it that no build of ours left there.
fn refuse_foreign(dir: &Path) -> Result<(), BuildError> {
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        let known = [CURRENT, FolderLock::NAME, SCRATCH].contains(&name.as_ref())
            || name.starts_with(CURRENT)
            || version_of(&name).is_some();
        if !known {
            return Err(BuildError::NotEmpty { path: dir.to_owned(), found: name.into_owned() });
        }
    }
    Ok(())
}

/// The newest version that left a file in the folder, in force or not.
fn newest_version(dir: &Path) -> Result<u64, BuildError> {
    let mut newest = 0;
    for entry in fs::read_dir(dir)? {
        newest = newest.max(version_of(&entry?.file_name().to_string_lossy()).unwrap_or(0));
    }
    Ok(newest)
}

fn require_disk(dir: &Path, scratch: &Path, plan: &Plan) -> Result<(), BuildError> {
    use std::os::unix::fs::MetadataExt;
    let same = fs::metadata(dir)?.dev() == fs::metadata(scratch)?.dev();
    let here = plan.index_bytes + if same { plan.scratch_bytes } else { 0 };
    let needs = [(dir, here), (scratch, if same { 0 } else { plan.scratch_bytes })];
    for (path, needed) in needs {
        let free = free_bytes(path)?;
        if needed > free {
            return Err(BuildError::Disk { path: path.to_owned(), needed, free });
        }
    }
    Ok(())
}

/// The folders of a build.
struct Folders {
    index: Rc<dyn Store>,
    scratch: Box<dyn Store>,
}

/// One build under way.
struct Run<'a> {
    params: Params,
    plan: Plan,
    input: Input<'a>,
    files: ScratchFiles,
    folders: Folders,
    checkpoint: Checkpoint,
    calibrate: Option<&'a dyn Calibrate>,
    context: Context<'a>,
}

impl Run<'_> {
    /// Runs the phases that are not done yet, committing each.
    fn phases(&mut self, dir: &Path) -> Result<Manifest, BuildError> {
        let checked = match self.checkpoint.checked.clone() {
            Some(checked) => checked,
            None => {
                let checked = self
                    .timed("check", |run| stages::check(&run.params, run.input, &run.files, run.context))?;
                self.checkpoint.checked = Some(checked.clone());
                self.commit(&[])?;
                checked
            }
        };
        let store = Rc::clone(&self.folders.index);
        let (version, uuid) = (self.checkpoint.version, uuid(&self.params, &checked));
        let target = Target { store: &*store, dir, version, uuid };
        if self.checkpoint.written.is_none() {
            self.form_lists(&checked, target)?;
        }
        let Some(written) = self.checkpoint.written.clone() else { unreachable!("lists were just written") };
        if self.checkpoint.graph.is_none() {
            let graph =
                self.timed("graph", |run| stages::graph(&run.params, &written, target, run.context))?;
            self.checkpoint.graph = Some(graph);
            self.commit(&[])?;
        }
        if self.checkpoint.ids.is_none() {
            let ids = self.timed("ids", |run| {
                stages::ids(&run.params, (&checked, &written), &run.files, target, run.context)
            })?;
            self.checkpoint.ids = Some(ids);
            self.commit(&[ID_RUNS])?;
        }
        self.timed("verify", |run| stages::verify(&run.checkpoint, target, run.context))?;
        match self.calibrate {
            // It may have been asked for before the interruption.
            None => self.checkpoint.calibrated = None,
            Some(by) if self.checkpoint.calibrated.is_none() => {
                let manifest = self.manifest(&checked, &written, target);
                let calibrated =
                    self.timed("calibrate", |run| stages::calibrate(&manifest, by, target, run.context))?;
                self.checkpoint.calibrated = Some(calibrated);
                self.commit(&[])?;
            }
            Some(_) => {}
        }
        let manifest = self.manifest(&checked, &written, target);
        let folder = &*self.folders.index;
        stages::publish(&self.params, &self.checkpoint, &written.stats, &manifest, folder)?;
        Ok(manifest)
    }

    fn manifest(&self, checked: &Checked, written: &Written, target: Target<'_>) -> Manifest {
        stages::manifest(&self.params, &self.checkpoint, (checked, written), target)
    }

    /// From the checked input to lists on disk.
    fn form_lists(&mut self, checked: &Checked, target: Target<'_>) -> Result<(), BuildError> {
        let filed = match self.checkpoint.filed.clone() {
            Some(filed) => filed,
            None => {
                let parted = match self.checkpoint.parted.clone() {
                    Some(parted) => parted,
                    None => {
                        let parted = self.timed("part", |run| {
                            stages::part(&run.params, &run.plan, run.input, checked, &run.files, run.context)
                        })?;
                        self.checkpoint.parted = Some(parted.clone());
                        self.commit(&[SAMPLE])?;
                        parted
                    }
                };
                let clustered = match self.checkpoint.clustered.clone() {
                    Some(clustered) => clustered,
                    None => {
                        let clustered = self.timed("cluster", |run| {
                            stages::cluster(&run.params, checked, &parted, &run.files, run.context)
                        })?;
                        self.checkpoint.clustered = Some(clustered.clone());
                        self.commit(&[])?;
                        clustered
                    }
                };
                let filed = self.timed("file", |run| {
                    let before = (checked, &parted, &clustered);
                    stages::file(&run.params, &run.plan, before, &run.files, run.context)
                })?;
                self.checkpoint.filed = Some(filed.clone());
                self.commit(&[PARTS, LEAVES])?;
                filed
            }
        };
        let Some(clustered) = self.checkpoint.clustered.clone() else {
            unreachable!("filing came after clustering")
        };
        if self.checkpoint.model.is_none() && self.params.code != CodeSpec::Full {
            let model = self.timed("train", |run| {
                stages::train(&run.params, (checked, &clustered, &filed), &run.files, target, run.context)
            })?;
            self.checkpoint.model = Some(model);
            self.commit(&[])?;
        }
        let written = self.timed("write", |run| {
            let model = run.checkpoint.model.as_ref();
            let before = (checked, &clustered, &filed);
            stages::write(&run.params, before, model, &run.files, target, run.context)
        })?;
        self.checkpoint.written = Some(written);
        self.commit(&[FILED, HEADS])
    }

    fn timed<T>(
        &mut self,
        phase: &str,
        work: impl FnOnce(&Self) -> Result<T, BuildError>,
    ) -> Result<T, BuildError> {
        self.context.check_stop()?;
        let start = Instant::now();
        let done = work(self)?;
        self.checkpoint.seconds.push((phase.to_owned(), start.elapsed().as_secs_f64()));
        Ok(done)
    }

    /// Makes the phase durable, then removes scratch files that no later phase reads.
    fn commit(&self, done_with: &[&str]) -> Result<(), BuildError> {
        // The checkpoint names sections and scratch files: their names have to survive a crash that it survives.
        self.folders.index.sync()?;
        self.folders.scratch.sync()?;
        self.checkpoint.write(&*self.folders.scratch)?;
        for name in done_with {
            match self.folders.scratch.remove(name) {
                Ok(()) | Err(StoreError::Missing { .. }) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }
}

/// The index's identity: what it was made from and how.
fn uuid(params: &Params, checked: &Checked) -> u128 {
    let mut hash = Xxh3::new();
    hash.update(checked.input_hash.as_bytes());
    for (name, value) in params.fingerprint() {
        hash.update(name.as_bytes());
        hash.update(value.as_bytes());
    }
    hash.digest128()
}

#[cfg(test)]
pub(crate) mod tests;
