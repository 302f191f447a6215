//! Where an index lies, and how its folder is opened.
use std::io;
use std::path::{Path, PathBuf};

use spandrel_io::FolderStore;

/// The folder of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    path: PathBuf,
    /// What it has to lie beneath each time that it is opened; none of one that the settings name.
    root: Option<PathBuf>,
}

impl Place {
    /// A folder that the settings name: links are followed, so that one may be pointed elsewhere before a switch.
    pub(crate) fn of_settings(path: &Path) -> Place {
        Place { path: path.to_owned(), root: None }
    }

    /// A folder that a client named, without symbolic links.
    pub(crate) fn beneath(root: &Path, path: PathBuf) -> Place {
        Place { path, root: Some(root.to_owned()) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the folder. One that a client named is checked once more as it is opened, and stays the one that was checked.
    pub(crate) fn store(&self) -> io::Result<FolderStore> {
        match &self.root {
            Some(root) => FolderStore::beneath(root, &self.path),
            None => Ok(FolderStore::new(&self.path)),
        }
    }
}
