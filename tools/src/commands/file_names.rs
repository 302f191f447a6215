//! The files of a command line: none that is written is read as well, or written twice.
use std::path::Path;

use spandrel_datasets::same_file;

use crate::UsageError;

/// A file, and the flag that names it.
#[derive(Debug, Clone, Copy)]
struct FileName<'a> {
    flag: &'static str,
    path: &'a Path,
}

/// Files that a command reads and writes.
#[derive(Debug, Default)]
pub(super) struct FileNames<'a> {
    read: Vec<FileName<'a>>,
    written: Vec<FileName<'a>>,
}

impl<'a> FileNames<'a> {
    /// Adds a file that is read, if it is given.
    pub(super) fn read(mut self, flag: &'static str, path: impl Into<Option<&'a Path>>) -> FileNames<'a> {
        self.read.extend(path.into().map(|path| FileName { flag, path }));
        self
    }

    /// Adds a file that is written, if it is given.
    pub(super) fn written(mut self, flag: &'static str, path: impl Into<Option<&'a Path>>) -> FileNames<'a> {
        self.written.extend(path.into().map(|path| FileName { flag, path }));
        self
    }

    /// Checks them, by what links lead to, before anything is read. Pipes and devices are passed by: they are not replaced.
    ///
    /// # Errors
    /// Two names of one file, the second of which is written.
    pub(super) fn check(&self) -> Result<(), UsageError> {
        let is_file =
            |name: &&FileName<'_>| std::fs::metadata(name.path).map_or(true, |found| found.is_file());
        for (at, output) in self.written.iter().enumerate().filter(|(_, output)| is_file(output)) {
            let mut others = self.read.iter().chain(&self.written[..at]);
            if let Some(other) = others.find(|other| same_file(other.path, output.path)) {
                let (first, second, path) = (other.flag, output.flag, output.path.display());
                return Err(UsageError(format!("{first} and {second} name one file, {path}, expected two")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_not_written_over_another_of_the_command() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("in"), "").unwrap();
        std::os::unix::fs::symlink("in", path("link")).unwrap();
        std::os::unix::fs::symlink("new", path("dangling")).unwrap();
        let says = |input: &str, [a, b]: [&str; 2]| {
            let [input, a, b] = [input, a, b].map(path);
            let names =
                FileNames::default().read("IN", &*input).written("--a", &*a).written("--b", Some(&*b));
            names.check().map_or_else(|error| error.to_string(), |()| String::new())
        };
        assert_eq!(says("in", ["a", "b"]), "");
        assert!(says("in", ["in", "b"]).starts_with("IN and --a name one file, "));
        assert!(says("in", ["a", "./in"]).starts_with("IN and --b name one file, "));
        assert!(says("in", ["a", "link"]).starts_with("IN and --b name one file, "));
        assert!(says("link", ["a", "in"]).starts_with("IN and --b name one file, "));
        assert!(says("in", ["a", "./a"]).starts_with("--a and --b name one file, "));
        assert!(says("in", ["dangling", "new"]).starts_with("--a and --b name one file, "));
        // Nothing is replaced there.
        let null = Path::new("/dev/null");
        let names = FileNames::default().read("IN", null).written("--a", null).written("--b", null);
        assert!(names.check().is_ok());
        assert!(FileNames::default().read("IN", None).written("--a", None).check().is_ok());
    }
}
