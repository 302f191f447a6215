//! A file whose bytes tell their place, and reads of it.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::read::{Completion, Direct, Read, ReadFile};

pub(super) const FILE_BYTES: u64 = (1 << 20) + 512 + 77;

/// A file whose bytes tell their place.
pub(super) struct Fixture {
    _dir: tempfile::TempDir,
    pub(super) path: PathBuf,
    content: Vec<u8>,
}

impl Fixture {
    pub(super) fn new() -> Fixture {
        Fixture::within(&std::env::temp_dir())
    }

    pub(super) fn within(parent: &Path) -> Fixture {
        Fixture::of(parent, 5)
    }

    pub(super) fn of_seed(seed: u64) -> Fixture {
        Fixture::of(&std::env::temp_dir(), seed)
    }

    fn of(parent: &Path, seed: u64) -> Fixture {
        let dir = tempfile::tempdir_in(parent).unwrap();
        let path = dir.path().join("data");
        let mut content = vec![0; FILE_BYTES as usize];
        ChaCha8Rng::seed_from_u64(seed).fill(&mut content[..]);
        std::fs::write(&path, &content).unwrap();
        Fixture { _dir: dir, path, content }
    }

    pub(super) fn open(&self, direct: Direct) -> Arc<ReadFile> {
        ReadFile::open(&self.path, direct).unwrap()
    }

    pub(super) fn wanted(&self, read: &Read) -> &[u8] {
        &self.content[read.offset as usize..][..read.bytes as usize]
    }

    /// Checks that each read has completed once, with its bytes.
    pub(super) fn check(&self, reads: &[Read], out: &[Completion]) {
        assert_eq!(out.len(), reads.len());
        let by_tag: BTreeMap<u64, &Read> = reads.iter().map(|read| (read.tag, read)).collect();
        let mut left = by_tag.clone();
        for completion in out {
            let read = left.remove(&completion.tag).expect("one completion for each tag");
            let buf = completion.result.as_ref().unwrap();
            assert!(buf[..] == *self.wanted(read), "{read:?} got wrong bytes");
        }
    }
}

/// Random reads inside the file: multiples of 512 bytes, up to 64 KiB.
pub(super) fn random_reads(file: u32, count: u64, seed: u64) -> Vec<Read> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut reads = Vec::new();
    for tag in 0..count {
        let bytes = random.random_range(1..=128u32) * 512;
        let offset = random.random_range(0..=(FILE_BYTES - u64::from(bytes)) / 512) * 512;
        reads.push(Read { file, offset, bytes, tag });
    }
    reads
}
