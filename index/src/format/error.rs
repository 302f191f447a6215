//! Why an index cannot be used.
use std::error::Error as _;
use std::io;
use std::path::{Path, PathBuf};

use spandrel_io::{ReadError, StoreError};

use super::{MAJOR, MINOR, StrayReplica};
use crate::Tier;

/// What to do about a damaged file, at the end of what is said of it.
pub(crate) const RESTORE: &str = "restore the file from a copy or rebuild";

/// Why an index, or one of its files, was refused. Every variant names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Whoever wanted it open has given up.
    #[error("{path}: opening was stopped", path = path.display())]
    Stopped {
        /// The file that was being read.
        path: PathBuf,
    },
    /// There is no folder of that name.
    #[error("{path}: {}", if *.is_file {
        "a file, expected the folder of an index"
    } else {
        "there is no such folder; build an index with `spandrel build --out`"
    }, path = path.display())]
    NoFolder {
        /// What was to be the folder of an index.
        path: PathBuf,
        /// Whether there is something else.
        is_file: bool,
    },
    /// The directory holds no published index: nothing was built there, or the build has not finished.
    #[error("{path}: no index here (no CURRENT file); {}", if *.begun {
        "its build has not finished: wait for it, or run it again with --resume"
    } else {
        "build one with `spandrel build --out`"
    }, path = path.display())]
    NotAnIndex {
        /// Folder that was to be an index.
        path: PathBuf,
        /// Whether a build has begun there.
        begun: bool,
    },
    /// The directory holds a version that is whole, and nothing says that it is in force: `CURRENT` was lost, or the first build there
    /// ended before it was written.
    #[error(
        "{path}: CURRENT, the file that names the version in force, is missing; all files of version {version} are there: \
         `spandrel switch {path} --version {version}` puts it in force (a build that was interrupted goes on with --resume)",
        path = path.display()
    )]
    NoCurrent {
        /// Folder of the index.
        path: PathBuf,
        /// The newest version that is whole.
        version: u64,
    },
    /// The directory holds an index, but not that version of it.
    #[error("{path}: no version {version} here; there {}", among(.there), path = path.display())]
    NoVersion {
        /// Folder of the index.
        path: PathBuf,
        /// The version asked for.
        version: u64,
        /// The versions there are, ascending.
        there: Vec<u64>,
    },
    /// The version that was approved cannot be opened. Nothing else is opened in its place.
    #[error("{path}: version {version}, which was approved, cannot be opened; restore it, or approve another with `spandrel switch`", path = path.display())]
    Approved {
        /// Folder of the index.
        path: PathBuf,
        /// Version that `APPROVED` names.
        version: u64,
        /// Why it cannot be opened.
        source: Box<OpenError>,
    },
    /// The file is not one of ours, or its first bytes were changed by a text-mode transfer.
    #[error("{path}: not a spandrel {expected} (it starts with {found:02x?})", path = path.display())]
    NotOurs {
        /// File whose first bytes are wrong.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
        /// The first bytes of the file.
        found: Vec<u8>,
    },
    /// Written by a release whose format this one cannot read. Rebuild, or open it with that release.
    #[error("{path}: format {major}.{minor}, this release reads {MAJOR}.0 to {MAJOR}.{MINOR}; rebuild the index or use the release that wrote it", path = path.display())]
    Version {
        /// File of the other format version.
        path: PathBuf,
        /// Major version found.
        major: u16,
        /// Minor version found.
        minor: u16,
    },
    /// The manifest lists a section that must be understood and is not.
    #[error("{path}: needs section '{kind}', which this release does not know; use a newer release", path = path.display())]
    UnknownSection {
        /// Manifest that lists the section.
        path: PathBuf,
        /// The section's kind.
        kind: String,
    },
    /// The manifest lacks a section that every index has.
    #[error("{path}: lists no '{kind}' section; rebuild the index", path = path.display())]
    MissingSection {
        /// Manifest that lacks the section.
        path: PathBuf,
        /// Kind of the missing section.
        kind: &'static str,
    },
    /// A file that the manifest lists, or the manifest that CURRENT names, is gone.
    #[error("{path}: this file of the index is gone; {RESTORE}", path = path.display())]
    MissingFile {
        /// File that is gone.
        path: PathBuf,
    },
    /// The file is shorter or longer than was published.
    #[error("{path}: {found} bytes, expected {expected}; {RESTORE}", path = path.display())]
    Length {
        /// File of the wrong length.
        path: PathBuf,
        /// Bytes found.
        found: u64,
        /// Length in bytes that the manifest states.
        expected: u64,
    },
    /// Bytes differ from those written.
    #[error("{path}: {what}: hash {found}, expected {expected}; {RESTORE}", path = path.display())]
    Checksum {
        /// File whose bytes changed.
        path: PathBuf,
        /// The part of the file.
        what: String,
        /// Hash of the bytes found.
        found: String,
        /// Hash that was written.
        expected: String,
    },
    /// A field is out of its range or contradicts another.
    #[error("{path}: {field} is {found}, expected {expected}; {RESTORE}", path = path.display())]
    Field {
        /// File that holds the field.
        path: PathBuf,
        /// Name of the field, with its place where there are several.
        field: String,
        /// The value in the file.
        found: String,
        /// What it may be.
        expected: String,
    },
    /// A part of the index was to be kept where it cannot be used. Ask for the other place, or rebuild with a code.
    #[error("{path}: {part} cannot be searched from {tier}: lists of exact vectors are searched from ssd alone; build with a code, such as --code rabitq:2", path = path.display())]
    Tier {
        /// Manifest of the index.
        path: PathBuf,
        /// Which part: codes, vectors or another.
        part: &'static str,
        /// Where it was to be.
        tier: Tier,
    },
    /// The system refused to read.
    #[error("{path}: reading failed", path = path.display())]
    Read {
        /// File that was being read.
        path: PathBuf,
        /// What the system answered to the read.
        source: io::Error,
    },
}

fn among(versions: &[u64]) -> String {
    match versions {
        [] => "is none".to_owned(),
        [one] => format!("is {one}"),
        all => format!("are {}", all.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")),
    }
}

impl OpenError {
    /// The file that is wrong, or the folder.
    pub fn path(&self) -> &Path {
        match self {
            OpenError::Stopped { path }
            | OpenError::NotAnIndex { path, .. }
            | OpenError::NoFolder { path, .. }
            | OpenError::NoCurrent { path, .. }
            | OpenError::NoVersion { path, .. }
            | OpenError::NotOurs { path, .. }
            | OpenError::Version { path, .. }
            | OpenError::UnknownSection { path, .. }
            | OpenError::MissingSection { path, .. }
            | OpenError::MissingFile { path }
            | OpenError::Length { path, .. }
            | OpenError::Checksum { path, .. }
            | OpenError::Field { path, .. }
            | OpenError::Tier { path, .. }
            | OpenError::Read { path, .. } => path,
            OpenError::Approved { source, .. } => source.path(),
        }
    }

    /// It and its causes, in one line.
    pub fn with_causes(&self) -> String {
        let causes = std::iter::successors(self.source(), |&cause| cause.source());
        causes.fold(self.to_string(), |told, cause| format!("{told}: {cause}"))
    }

    /// The same without what to do about a damaged file, for a list of them.
    pub fn without_advice(&self) -> String {
        self.with_causes().replacen(&format!("; {RESTORE}"), "", 1)
    }

    /// A [`OpenError::Field`] from anything printable.
    pub(crate) fn field(
        path: &Path,
        field: impl Into<String>,
        found: impl ToString,
        expected: impl ToString,
    ) -> OpenError {
        OpenError::Field {
            path: path.to_owned(),
            field: field.into(),
            found: found.to_string(),
            expected: expected.to_string(),
        }
    }

    /// A [`OpenError::Field`] for a replica in `list` of the codes in `path`, of an index of `vectors` vectors.
    pub(crate) fn stray(path: &Path, list: u32, stray: StrayReplica, vectors: u64) -> OpenError {
        let field = format!("position of replica {} of list {list}", stray.replica);
        OpenError::field(path, field, stray.position, format!("a position below {vectors}"))
    }

    /// Why a file of a store could not be opened or read.
    pub(crate) fn store(path: &Path, error: StoreError) -> OpenError {
        match error {
            StoreError::TooLong { bytes, bytes_max, .. } => {
                OpenError::Length { path: path.to_owned(), found: bytes, expected: bytes_max }
            }
            StoreError::Missing { .. } => OpenError::MissingFile { path: path.to_owned() },
            StoreError::Io { source, .. } | StoreError::Open(spandrel_io::OpenError::Open { source, .. }) => {
                OpenError::read(path, source)
            }
            StoreError::Read(error) => OpenError::blob(path, error),
            other => OpenError::read(path, io::Error::other(other)),
        }
    }

    /// Why a range of an open file could not be read.
    pub(crate) fn blob(path: &Path, error: ReadError) -> OpenError {
        match error {
            ReadError::Io { source, .. } => OpenError::read(path, source),
            short @ ReadError::ShortFile { .. } => {
                OpenError::read(path, io::Error::new(io::ErrorKind::UnexpectedEof, short))
            }
            other => OpenError::read(path, io::Error::other(other)),
        }
    }

    /// A [`OpenError::Read`].
    pub(crate) fn read(path: &Path, source: io::Error) -> OpenError {
        OpenError::Read { path: path.to_owned(), source }
    }
}
