//! The one name that decides which files are in force.
//!
//! ```text
//! CURRENT = "manifest-N HASH\n"        HASH: xxh3-128 of the manifest file, 32 hex digits
//! ```
use spandrel_io::{Store, StoreError};
use xxhash_rust::xxh3::xxh3_128;

use super::OpenError;
use super::names::{hash_hex, manifest_name};

/// Name of the file that names the manifest in force.
pub const CURRENT: &str = "CURRENT";
/// Most bytes of that file: a version takes at most 20 digits.
const CURRENT_BYTES_MAX: u64 = 80;

/// What CURRENT says, and APPROVED.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Current {
    /// Version of the index: N of `manifest-N` and its sections.
    pub version: u64,
    /// Hash of the manifest file.
    pub hash: u128,
}

impl Current {
    /// The entry for a manifest with these bytes.
    pub fn of(version: u64, manifest: &[u8]) -> Current {
        Current { version, hash: xxh3_128(manifest) }
    }

    /// The file as stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        format!("{} {}\n", manifest_name(self.version), hash_hex(self.hash)).into_bytes()
    }

    fn parse(bytes: &[u8]) -> Option<Current> {
        let line = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
        let (name, hash) = line.split_once(' ')?;
        let version = name.strip_prefix("manifest-")?.parse().ok()?;
        let current = Current { version, hash: u128::from_str_radix(hash, 16).ok()? };
        // Only the one spelling that `to_bytes` writes is believed.
        (current.to_bytes() == bytes).then_some(current)
    }
}

/// What a file of that name and this form says, if there is one.
pub(super) fn read(store: &dyn Store, name: &str) -> Result<Option<Current>, OpenError> {
    let path = store.path(name);
    let bytes = match store.read(name, CURRENT_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(StoreError::Missing { .. }) => return Ok(None),
        Err(e) => return Err(OpenError::store(&path, e)),
    };
    let damaged = || {
        let found = String::from_utf8_lossy(&bytes).into_owned();
        OpenError::field(&path, "content", format!("{found:?}"), "'manifest-N HASH'")
    };
    Current::parse(&bytes).ok_or_else(damaged).map(Some)
}

#[cfg(test)]
mod tests {
    use spandrel_io::FolderStore;

    use super::*;

    #[test]
    fn only_its_own_spelling_is_read() {
        let current = Current::of(12, b"manifest");
        let bytes = current.to_bytes();
        assert_eq!(Current::parse(&bytes), Some(current));
        for at in 0..bytes.len() {
            let mut wrong = bytes.clone();
            wrong[at] ^= 0x20;
            let read = Current::parse(&wrong);
            assert_ne!(read, Some(current), "byte {at}");
            if let Some(read) = read {
                assert!(read.version != current.version || read.hash != current.hash);
            }
        }
        assert_eq!(Current::parse(b""), None);
        assert_eq!(Current::parse(&bytes[..20]), None);
    }

    /// It was once read whole, without a bound on its length.
    #[test]
    fn a_long_file_is_refused_unread() {
        let dir = tempfile::tempdir().unwrap();
        let store = FolderStore::new(dir.path());
        let bytes = Current::of(1, b"manifest").to_bytes();
        std::fs::write(dir.path().join(CURRENT), &bytes).unwrap();
        read(&store, CURRENT).unwrap();
        let file = std::fs::File::options().write(true).open(dir.path().join(CURRENT)).unwrap();
        file.set_len(1 << 40).unwrap();
        let refused = read(&store, CURRENT).unwrap_err();
        assert!(matches!(refused, OpenError::Length { found, .. } if found == 1 << 40), "{refused}");
        // The largest version there can be fits.
        assert!(Current::of(u64::MAX, b"manifest").to_bytes().len() as u64 <= CURRENT_BYTES_MAX);
    }
}
