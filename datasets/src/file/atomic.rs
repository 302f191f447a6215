//! A file that appears whole or not at all.
use std::ffi::OsString;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use fs_err::{File, OpenOptions};

const BUFFER_BYTES: usize = 1 << 20;
/// Symbolic links followed: the limit of Linux.
const LINKS_MAX: usize = 40;

/// Whether two names are those of one file, which need not be there yet.
pub(crate) fn same_file(a: &Path, b: &Path) -> bool {
    let resolved = |path: &Path| -> io::Result<PathBuf> {
        std::fs::canonicalize(path).or_else(|_| {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = std::fs::canonicalize(folder.unwrap_or(Path::new(".")))?;
            Ok(folder.join(path.file_name().unwrap_or_default()))
        })
    };
    matches!((resolved(a), resolved(b)), (Ok(a), Ok(b)) if a == b)
}

/// Writes a whole file, replacing an older one only when every byte is on disk. Links and pipes as in `AtomicFile`.
///
/// # Errors
/// What the file system answers; an older file is untouched then.
pub fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes)?;
    file.finish()
}

/// Where the bytes go once all are written.
#[derive(Debug)]
enum Destination {
    /// The file of this name, which the temporary file replaces.
    Replace(PathBuf),
    /// A pipe, a device, or an open descriptor: the bytes are copied into it.
    Stream(PathBuf),
}

/// A new file beside its destination, moved there by `finish` and removed when dropped before.
///
/// A symbolic link stays, and what it points to is replaced. What is no plain file gets the bytes when all are there,
/// since headers are written last; until then they lie in the system's folder for temporary files.
#[derive(Debug)]
pub(crate) struct AtomicFile {
    destination: Destination,
    temporary: PathBuf,
    out: BufWriter<File>,
    finished: bool,
}

impl AtomicFile {
    pub(crate) fn create(path: &Path) -> io::Result<AtomicFile> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let unique = format!("{}-{}.part", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let (destination, temporary) = if is_stream(path) {
            let temporary = std::env::temp_dir().join(format!(".spandrel.{unique}"));
            (Destination::Stream(path.to_owned()), temporary)
        } else {
            let path = linked(path)?;
            let Some(name) = path.file_name() else {
                let message = format!("{}: not a file's name", path.display());
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            };
            let mut part = OsString::from(".");
            part.push(name);
            part.push(format!(".{unique}"));
            let temporary = path.with_file_name(part);
            (Destination::Replace(path), temporary)
        };
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&temporary)?;
        let out = BufWriter::with_capacity(BUFFER_BYTES, file);
        Ok(AtomicFile { destination, temporary, out, finished: false })
    }

    /// Overwrites bytes written before.
    pub(crate) fn patch(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.out.seek(SeekFrom::Start(offset))?;
        self.out.write_all(bytes)
    }

    /// Makes the file durable and gives it its name, in place of a file that had it.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.out.flush()?;
        match &self.destination {
            Destination::Stream(path) => {
                self.out.seek(SeekFrom::Start(0))?;
                // Appended, so that a file that the shell opened keeps what is in it.
                let mut stream = OpenOptions::new().append(true).open(path)?;
                io::copy(self.out.get_mut(), &mut stream)?;
                Ok(())
            }
            Destination::Replace(path) => {
                self.out.get_ref().sync_all()?;
                fs_err::rename(&self.temporary, path)?;
                self.finished = true;
                let folder = match path.parent() {
                    Some(parent) if !parent.as_os_str().is_empty() => parent,
                    _ => Path::new("."),
                };
                File::open(folder)?.sync_all()
            }
        }
    }
}

/// Whether bytes are written into what is there, since a rename would take its place.
fn is_stream(path: &Path) -> bool {
    let is_descriptor = path == Path::new("/dev/stdout")
        || path == Path::new("/dev/stderr")
        || path.starts_with("/dev/fd")
        || path.starts_with("/proc");
    is_descriptor || std::fs::metadata(path).is_ok_and(|m| !m.is_file() && !m.is_dir())
}

/// What a path of symbolic links leads to, which need not be there.
fn linked(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        if !std::fs::symlink_metadata(&path).is_ok_and(|m| m.is_symlink()) {
            return Ok(path);
        }
        let target = fs_err::read_link(&path)?;
        path = path.parent().unwrap_or(Path::new("")).join(target);
    }
    let message = format!("{}: more than {LINKS_MAX} symbolic links", path.display());
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.finished {
            // Nothing more can be done about a leftover than leave it under its temporary name.
            let _ = fs_err::remove_file(&self.temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileTypeExt as _, symlink};

    #[test]
    fn files_are_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.html");
        write_file(&path, b"old").unwrap();
        write_file(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let directory = folder.path().join("taken");
        std::fs::create_dir(&directory).unwrap();
        assert!(write_file(&directory, b"x").is_err());
        assert!(write_file(&folder.path().join("no/such/a"), b"x").is_err());
        assert!(write_file(Path::new("/"), b"x").is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn links_are_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        let (target, link, second) =
            (other.path().join("target"), folder.path().join("link"), folder.path().join("second"));
        symlink(&target, &link).unwrap();
        symlink("link", &second).unwrap();
        // The first time the target is not there yet.
        for content in [b"1", b"2"] {
            write_file(&second, content).unwrap();
            assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
            assert!(std::fs::symlink_metadata(&second).unwrap().is_symlink());
            assert_eq!(std::fs::read(&target).unwrap(), content);
        }
        let (around, again) = (folder.path().join("around"), folder.path().join("again"));
        symlink(&around, &again).unwrap();
        symlink(&again, &around).unwrap();
        assert!(write_file(&around, b"x").unwrap_err().to_string().contains("40 symbolic links"));
    }

    #[test]
    fn pipes_get_the_bytes_and_stay_pipes() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe.fbin");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        let reading = std::thread::spawn({
            let pipe = pipe.clone();
            move || std::fs::read(pipe).unwrap()
        });
        let mut file = AtomicFile::create(&pipe).unwrap();
        file.write_all(b"????rows").unwrap();
        file.patch(0, b"head").unwrap();
        let temporary = file.temporary.clone();
        file.finish().unwrap();
        assert_eq!(reading.join().unwrap(), b"headrows");
        assert!(std::fs::metadata(&pipe).unwrap().file_type().is_fifo());
        assert!(!temporary.exists());
        write_file(Path::new("/dev/null"), b"x").unwrap();
    }
}
