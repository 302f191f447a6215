//! A file that appears whole or not at all.
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use fs_err::OpenOptions;
use spandrel_index::format::CURRENT;
use spandrel_io::{FileWriter, Naming, Sink, sync_name};

/// Symbolic links followed: the limit of Linux.
const LINKS_MAX: usize = 40;

/// Whether two names are those of one file, which need not be there yet. Links are followed.
pub fn same_file(a: &Path, b: &Path) -> bool {
    let resolved = |path: &Path| -> io::Result<PathBuf> {
        std::fs::canonicalize(path).or_else(|_| {
            let path = linked(path)?;
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = std::fs::canonicalize(folder.unwrap_or(Path::new(".")))?;
            Ok(folder.join(path.file_name().unwrap_or_default()))
        })
    };
    matches!((resolved(a), resolved(b)), (Ok(a), Ok(b)) if a == b)
}

/// Writes a whole file, replacing an older one only when every byte is on disk. Links and pipes as in `OutputFile`.
///
/// # Errors
/// What the file system answers; an older file is untouched then.
pub fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OutputFile::create(path, 0)?;
    file.write_all(bytes)?;
    file.finish(&[])
}

/// A new file that takes the place of an older one when it is finished, and leaves nothing behind when it is not.
///
/// A symbolic link stays, and what it points to is replaced. What is no plain file gets the bytes when all are there,
/// since headers are written last; until then they lie in the system's folder for temporary files.
#[derive(Debug)]
pub(crate) struct OutputFile {
    writer: FileWriter,
    /// The file whose name is to survive a crash.
    named: Option<PathBuf>,
}

impl OutputFile {
    /// Starts a file whose first `head_bytes` are written last.
    pub(crate) fn create(path: &Path, head_bytes: usize) -> io::Result<OutputFile> {
        let head_bytes = head_bytes as u64; // CAST: widening
        if is_stream(path) {
            let spool = Spool { file: tempfile::tempfile()?, stream: path.to_owned() };
            let writer = FileWriter::over(Box::new(spool), path).with_head(head_bytes)?;
            return Ok(OutputFile { writer, named: None });
        }
        let path = linked(path)?;
        if path.file_name().is_none() {
            let message = format!("{}: not a file's name", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        if path.exists() && path.parent().is_some_and(|folder| folder.join(CURRENT).exists()) {
            let message =
                format!("{}: a file of an index, which is not written over; write elsewhere", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let writer = FileWriter::create(&path)?.with_head(head_bytes)?;
        Ok(OutputFile { writer, named: Some(path) })
    }

    /// Makes the file durable, `head` at its start, and gives it its name in place of a file that had it.
    ///
    /// # Panics
    /// When `head` has another length than was left out.
    pub(crate) fn finish(self, head: &[u8]) -> io::Result<()> {
        self.writer.finish_with_head(head)?;
        self.named.as_deref().map_or(Ok(()), sync_name)
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// What goes into a pipe, a device, or an open descriptor once it is whole.
struct Spool {
    file: File,
    stream: PathBuf,
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Spool {
    fn leave_out(&mut self, bytes: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(bytes)).map(drop)
    }

    fn finish(&mut self, head: &[u8], _: Naming) -> io::Result<()> {
        self.file.write_all_at(head, 0)?;
        self.file.seek(SeekFrom::Start(0))?;
        // Appended, so that a file that the shell opened keeps what is in it.
        let mut stream = OpenOptions::new().append(true).open(&self.stream)?;
        io::copy(&mut self.file, &mut stream).map(drop)
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
        let mut file = OutputFile::create(&pipe, 4).unwrap();
        file.write_all(b"rows").unwrap();
        file.finish(b"head").unwrap();
        assert_eq!(reading.join().unwrap(), b"headrows");
        assert!(std::fs::metadata(&pipe).unwrap().file_type().is_fifo());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        write_file(Path::new("/dev/null"), b"x").unwrap();
    }
}
