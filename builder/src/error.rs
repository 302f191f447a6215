//! Why a build failed or was refused.
use std::io;
use std::path::PathBuf;

use spandrel_index::codes::BinariserError;
use spandrel_index::format::OpenError;
use spandrel_index::{AttributeSourceError, SourceError, Unusable};
use spandrel_names::{size_left, size_needed};

/// Why there is no index. Nothing published before was touched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A parameter that cannot be met.
    #[error("{parameter} is {found}, expected {expected}")]
    Parameter {
        /// Name of the parameter, as on the command line.
        parameter: &'static str,
        /// Value given for the parameter.
        found: String,
        /// What it may be.
        expected: String,
    },
    /// The build needs more memory than it may use.
    #[error(
        "the build needs {needed} of memory and may use {allowed}; pass --memory {needed} or more{lists}",
        needed = size_needed(*needed),
        allowed = size_left(*allowed),
        lists = if *fewer_lists_fit { ", or ask for fewer lists" } else { "" }
    )]
    Memory {
        /// Bytes the plan asks for, the least that will do.
        needed: u64,
        /// Bytes that `--memory` allows.
        allowed: u64,
        /// Whether fewer lists would fit.
        fewer_lists_fit: bool,
    },
    /// The disk has less room than the plan asks for.
    #[error("{path}: the build needs {needed} of free disk and there are {free}; make room or choose another folder",
        path = path.display(), needed = size_needed(*needed), free = size_left(*free))]
    Disk {
        /// Folder that the index is built in.
        path: PathBuf,
        /// Bytes the plan asks for.
        needed: u64,
        /// Bytes free on the folder's file system.
        free: u64,
    },
    /// A vector holds a value that has no distance.
    #[error("{name}: row {row}: {found}; remove the row or mend the file")]
    Value {
        /// Name of the input, a path where it is a file.
        name: String,
        /// Row number from 0.
        row: u64,
        /// What is wrong with it.
        found: Unusable,
    },
    /// The input is not the one that was checked.
    #[error("{name}: changed since the build checked it; pass --replace to start anew")]
    Changed {
        /// Name of the input, a path where it is a file.
        name: String,
    },
    /// Attributes could not be read, or are none that an index takes; the message names the file and the place.
    #[error(transparent)]
    Attributes(#[from] AttributeSourceError),
    /// Two vectors, or two documents, have one id.
    #[error("id {id} is given more than once; ids must differ")]
    DuplicateId {
        /// Id that is given twice.
        id: u64,
    },
    /// There is an index already, and replacing it was not asked for.
    #[error("{path}: there is an index here; pass --replace to publish a new version, or choose another folder", path = path.display())]
    Exists {
        /// Folder of the index.
        path: PathBuf,
    },
    /// The folder holds files that no build of ours left there.
    #[error("{path}: not empty and not an index (it holds '{found}'); choose another folder", path = path.display())]
    NotEmpty {
        /// Folder that the index was to go to.
        path: PathBuf,
        /// One of its entries.
        found: String,
    },
    /// A build was interrupted here.
    #[error("{path}: an interrupted build is here; pass --resume to finish it, or --replace to start anew", path = path.display())]
    Unfinished {
        /// Folder of the interrupted build.
        path: PathBuf,
    },
    /// Another version was published while the build was interrupted.
    #[error("{path}: version {found} was published since the build was interrupted; pass --replace to start anew", path = path.display())]
    Overtaken {
        /// Folder of the index.
        path: PathBuf,
        /// The version in force.
        found: u64,
    },
    /// The interrupted build had other parameters, another input or other kernels.
    #[error("{path}: the interrupted build had {parameter} {found}, now it is {expected}; use the same, or pass --replace to start anew", path = path.display())]
    Resume {
        /// File of the checkpoint.
        path: PathBuf,
        /// Name of what differs: a parameter, the input or the kernels.
        parameter: &'static str,
        /// Value in the checkpoint.
        found: String,
        /// Value in this run.
        expected: String,
    },
    /// The checkpoint, a scratch file or a section is not as an earlier phase left it, so that phase has to be done again.
    #[error("{path}: {what}; it is damaged, and the build cannot go on from it: pass --replace to start anew", path = path.display())]
    Scratch {
        /// Checkpoint, scratch file or section that is damaged.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Another process builds here, or the folder cannot be locked.
    #[error(transparent)]
    Lock(#[from] spandrel_io::LockError),
    /// The input could not be read.
    #[error(transparent)]
    Source(SourceError),
    /// Matrices of a code cannot be used.
    #[error(transparent)]
    Binariser(#[from] BinariserError),
    /// What was written could not be read back.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// An output or scratch file could not be written.
    #[error(transparent)]
    Write(#[from] spandrel_io::WriteError),
    /// A file of the index or of the scratch folder could not be published, opened or removed.
    #[error(transparent)]
    Store(#[from] spandrel_io::StoreError),
    /// The system refused; the message names the file.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The caller's calibration failed. A build can be resumed, also without it.
    #[error("the index could not be calibrated")]
    Calibrate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A stop was asked for; the build can be resumed.
    #[error("stopped; pass --resume to go on")]
    Stopped,
}

impl From<SourceError> for BuildError {
    fn from(error: SourceError) -> BuildError {
        match error {
            SourceError::Stopped => BuildError::Stopped,
            other => BuildError::Source(other),
        }
    }
}

impl From<crate::cluster::Stopped> for BuildError {
    fn from(_: crate::cluster::Stopped) -> BuildError {
        BuildError::Stopped
    }
}
