//! What the targets share: files that last for one run.
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::{fs, process};

pub mod indexes;

/// A folder in memory for this process.
pub fn folder() -> &'static Path {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let folder = parent.join(format!("spandrel-fuzz-{}", process::id()));
        fs::create_dir_all(&folder).expect("a folder for files");
        folder
    });
    &FOLDER
}

/// A file of these bytes, by a name with this ending.
pub fn file(ending: &str, bytes: &[u8]) -> PathBuf {
    let path = folder().join(format!("file.{ending}"));
    fs::write(&path, bytes).expect("a small file");
    path
}
