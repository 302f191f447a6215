//! The folders of a build: which may be used, where a build begins in them, and what is cleared away.
use std::path::{Path, PathBuf};

use fs_err as fs;
use spandrel_index::format::{APPROVED, CURRENT, Manifest, OpenError, current};
use spandrel_io::{FolderLock, Store, free_bytes, sync_folder};
use xxhash_rust::xxh3::xxh3_64;

use crate::checkpoint::Checkpoint;
use crate::config::Params;
use crate::plan::Plan;
use crate::progress::Context;
use crate::{BuildConfig, BuildError, Input, embedding, kept, stages};

/// Scratch folder inside the index's folder, unless another place was given.
pub(crate) const SCRATCH: &str = "scratch";

/// How the folders of index and scratch files are changed durably; tests watch what a crash would leave of them.
pub(crate) type OpenStore<'a> = &'a dyn Fn(&Path) -> Box<dyn Store>;

/// The folders of a build, locked against other builders.
pub(crate) struct Folders {
    pub(crate) dir: PathBuf,
    pub(crate) scratch: PathBuf,
    lock: FolderLock,
    index: Box<dyn Store>,
}

/// What was asked for, and what that comes to.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) config: &'a BuildConfig,
    pub(crate) params: &'a Params,
    pub(crate) plan: &'a Plan,
    pub(crate) input: Input<'a>,
}

impl Asked<'_> {
    /// Everything that an interrupted build must have in common with this one.
    fn fingerprint(&self) -> Result<Vec<(&'static str, String)>, BuildError> {
        let mut fingerprint = self.params.fingerprint();
        if self.params.attributes.is_empty() {
            fingerprint.push(("attributes", "none".to_owned()));
        }
        if self.params.partition.is_none() {
            fingerprint.push(("--partition-by", "none".to_owned()));
        }
        if self.params.column.is_none() {
            fingerprint.push(("--column", "none".to_owned()));
        }
        if self.params.documents.is_none() {
            fingerprint.push(("--documents", "none".to_owned()));
        } else if self.input.document_ids().is_none() {
            fingerprint.push(("--ids", "none".to_owned()));
        }
        if self.params.query_sample.is_none() {
            fingerprint.push(("--query-sample", "none".to_owned()));
        }
        if self.params.embedding.is_none() {
            fingerprint.push(("--embedding-version", embedding::text(None)));
        }
        fingerprint.push(("input", stages::glance(self.input.vectors, self.input.row_ids())?));
        if let Some(attributes) = self.input.attributes {
            fingerprint.push(("content of attributes", stages::glance_attributes(attributes.source)?));
        }
        if let Some(column) = self.input.column {
            fingerprint.push(("content of the column", stages::glance(column.vectors, None)?));
        }
        if let Some(sample) = self.input.query_sample {
            fingerprint.push(("content of the query sample", stages::glance(sample, None)?));
        }
        Ok(fingerprint)
    }
}

/// Where a build begins.
pub(crate) enum Begin {
    /// The index asked for is there already.
    Complete(Box<Manifest>),
    /// What an earlier run has done, or nothing yet.
    Phases(Box<Checkpoint>),
}

impl Folders {
    /// Makes and locks the folder of the index.
    pub(crate) fn prepare(config: &BuildConfig, open: OpenStore<'_>) -> Result<Folders, BuildError> {
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
        let index = open(&dir);
        Ok(Folders { dir, scratch, lock, index })
    }

    /// Decides where to begin, according to what is in the folders and what was asked for.
    pub(crate) fn begin(
        &self,
        asked: Asked<'_>,
        context: Context<'_>,
        open: OpenStore<'_>,
    ) -> Result<Begin, BuildError> {
        let Asked { config, params, .. } = asked;
        let begun =
            if config.replace && !config.resume { None } else { Checkpoint::read(&*open(&self.scratch))? };
        let current = match current(&*self.index) {
            Ok(current) => Some(current),
            Err(OpenError::NotAnIndex { .. }) => None,
            // The build ended before it was published.
            Err(OpenError::NoCurrent { .. }) if begun.is_some() => None,
            // A replacement was asked for: what is wrong with the old index does not matter.
            Err(_) if config.replace => None,
            Err(e) => return Err(e.into()),
        };
        let in_force = current.map_or(0, |current| current.version);
        if let Some(mut begun) = begun {
            if !config.resume {
                return Err(BuildError::Unfinished { path: self.dir.clone() });
            }
            begun.check(&self.scratch, &asked.fingerprint()?)?;
            begun.check_gathered(&self.scratch, || stages::hash_attributes(asked.input, context))?;
            begun.keep_previous = begun.keep_previous.max(config.keep_previous);
            if in_force > begun.version {
                return Err(BuildError::Overtaken { path: self.dir.clone(), found: in_force });
            }
            if let Some(current) = current.filter(|current| current.version == begun.version) {
                // Stopped between the switch and cleaning up.
                let manifest = Manifest::open(&*self.index, current)?;
                self.clean_up(&begun)?;
                return Ok(Begin::Complete(Box::new(manifest)));
            }
            context.progress.note("going on with the interrupted build");
            return Ok(Begin::Phases(Box::new(begun)));
        }
        if let (Some(current), false) = (current, config.replace) {
            let manifest = Manifest::open(&*self.index, current)?;
            let of_input = &manifest.build.input_hash;
            if config.resume
                && params.made(&manifest)
                && stages::hash_input(params, asked.input, context)? == *of_input
                && stages::hash_attributes(asked.input, context)? == manifest.build.attributes_hash
                && stages::hash_column(asked.input, of_input, context)?.as_ref()
                    == manifest.column.as_ref().map(|column| &column.input_hash)
                && stages::hash_sample(params.metric, asked.input, context)?.as_ref()
                    == manifest.build.query_sample.as_ref().map(|sample| &sample.hash)
            {
                context.progress.note("the build had been finished");
                return Ok(Begin::Complete(Box::new(manifest)));
            }
            return Err(BuildError::Exists { path: self.dir.clone() });
        }
        Ok(Begin::Phases(Box::new(self.start(asked, in_force, open)?)))
    }

    fn start(&self, asked: Asked<'_>, in_force: u64, open: OpenStore<'_>) -> Result<Checkpoint, BuildError> {
        if self.scratch.exists() {
            fs::remove_dir_all(&self.scratch)?;
        }
        if in_force > 0 {
            let kept = kept::kept(&*self.index, in_force, asked.config.keep_previous)?;
            // Remains of builds that were given up.
            kept::remove_others(&*self.index, &kept)?;
        }
        let version = kept::newest(&*self.index)? + 1;
        let begun = Checkpoint {
            version,
            replaces: in_force,
            keep_previous: asked.config.keep_previous,
            ..Checkpoint::default()
        };
        self.make_scratch(asked, begun, open).inspect_err(|_| self.abandon(version))
    }

    fn make_scratch(
        &self,
        asked: Asked<'_>,
        mut begun: Checkpoint,
        open: OpenStore<'_>,
    ) -> Result<Checkpoint, BuildError> {
        fs::create_dir_all(&self.scratch)?;
        if let Some(parent) = self.scratch.parent() {
            sync_folder(parent)?;
        }
        require_disk(&self.dir, &self.scratch, asked.plan)?;
        let fingerprint = asked.fingerprint()?.into_iter().map(|(name, value)| (name.to_owned(), value));
        begun.fingerprint = fingerprint.collect();
        begun.write(&*open(&self.scratch))?;
        Ok(begun)
    }

    /// Leaves the folder as if the build of this version had never been tried; the refusal itself matters more
    /// than a file that cannot be removed.
    pub(crate) fn abandon(&self, version: u64) {
        let _ = kept::remove_version(&*self.index, version);
        let _ = fs::remove_dir_all(&self.scratch);
        let is_lock = |entry: std::io::Result<fs::DirEntry>| {
            entry.is_ok_and(|entry| entry.file_name() == FolderLock::NAME)
        };
        if fs::read_dir(&self.dir).is_ok_and(|mut entries| entries.all(is_lock)) {
            let _ = self.lock.remove();
            let _ = fs::remove_dir(&self.dir);
        }
    }

    /// After the switch: removes versions that are not kept, and the scratch folder last, so that a build that was stopped
    /// here goes on here.
    pub(crate) fn clean_up(&self, done: &Checkpoint) -> Result<(), BuildError> {
        let kept = kept::kept(&*self.index, done.replaces, done.keep_previous)?;
        kept::remove_others(&*self.index, &kept)?;
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
            || name.starts_with(APPROVED)
            || kept::version_of(&name).is_some();
        if !known {
            return Err(BuildError::NotEmpty { path: dir.to_owned(), found: name.into_owned() });
        }
    }
    Ok(())
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
