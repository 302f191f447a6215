//! Which backend carries the reads, and why.
use super::backend::{BackendChoice, Fallback};
use super::{PreadReader, Reader, ReaderError, UringReader};

/// A reader that keeps up to `depth` reads going at once.
///
/// With [`BackendChoice::Auto`], [`Reader::backend`] says what it became and [`Reader::fallback`] why.
///
/// # Errors
/// [`ReaderError`] when the backend that was demanded cannot be had, or the depth is out of range.
pub fn open_reader(choice: BackendChoice, depth: usize) -> Result<Box<dyn Reader>, ReaderError> {
    if choice == BackendChoice::Pread {
        return Ok(Box::new(PreadReader::new(depth)?));
    }
    match UringReader::new(depth) {
        Ok(reader) => Ok(Box::new(reader)),
        Err(ReaderError::Uring(why)) if choice == BackendChoice::Auto => {
            Ok(Box::new(PreadReader::new(depth)?.with_fallback(Fallback(why))))
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::read::backend::{Backend, Unavailable};

    #[test]
    fn choices_have_names_and_are_kept() {
        for choice in [BackendChoice::Auto, BackendChoice::Uring, BackendChoice::Pread] {
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
        assert!("aio".parse::<BackendChoice>().is_err());
        let reader = open_reader(BackendChoice::Pread, 4).unwrap();
        assert_eq!(reader.backend(), Backend::Pread);
        assert!(reader.fallback().is_none());
        let auto = open_reader(BackendChoice::Auto, 4).unwrap();
        assert_eq!(auto.fallback().is_none(), auto.backend() == Backend::Uring);
    }

    #[test]
    fn refusals_say_what_to_do() {
        let why = Unavailable::from_setup(io::Error::from_raw_os_error(libc::EPERM));
        let message = ReaderError::Uring(why).to_string();
        assert!(message.contains("seccomp") && message.contains("--io pread"), "{message}");
        let why = Unavailable::from_setup(io::Error::from_raw_os_error(libc::ENOSYS));
        assert!(matches!(why, Unavailable::Missing));
    }
}
