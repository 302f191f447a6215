//! Lists of exact vectors (code family `full`, the original SPANN): one list is one direct read.
//!
//! ```text
//! list = count x vector | count x inverse norm f32 (cosine only) | count x id (4 or 8 bytes) | zeros to 512
//! ```
//! Primaries come first, then replicas. Lists lie back to back in list order from the body's start, each on
//! a 512-byte boundary. Where a list lies, how many entries it has and its hash stand in the directory.
use super::{IdBytes, padded_bytes};
use crate::Metric;

/// Code family number of `full` lists in headers.
pub(super) const FULL: u8 = 1;

/// Shape of every `full` list of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FullLayout {
    /// Bytes of one vector.
    pub row_bytes: usize,
    /// Width of an id.
    pub id_bytes: IdBytes,
    /// Whether each entry has its inverse norm.
    pub norms: bool,
}

impl FullLayout {
    /// Code family number in section headers.
    pub const FAMILY: u8 = FULL;

    /// The layout for vectors of `row_bytes` compared by `metric`.
    pub fn new(row_bytes: usize, metric: Metric, id_bytes: IdBytes) -> FullLayout {
        FullLayout { row_bytes, id_bytes, norms: metric == Metric::Cosine }
    }

    /// Bytes one entry takes.
    pub fn entry_bytes(&self) -> usize {
        self.row_bytes + self.id_bytes.get() + if self.norms { 4 } else { 0 }
    }

    /// Bytes of a list of `count` entries on disk, padding included.
    pub fn list_bytes(&self, count: usize) -> usize {
        padded_bytes(count * self.entry_bytes())
    }

    /// Views the bytes of a list of `count` entries; they must have passed the list's hash.
    pub fn view<'a>(&self, bytes: &'a [u8], count: usize) -> FullList<'a> {
        let (vectors, rest) = bytes.split_at(count * self.row_bytes);
        let (norms, rest) = rest.split_at(if self.norms { 4 * count } else { 0 });
        let (ids, _padding) = rest.split_at(count * self.id_bytes.get());
        FullList { vectors, norms, ids, id_bytes: self.id_bytes }
    }

    /// Appends a list to `out`. `norms` is empty unless the layout has them.
    pub fn write(&self, vectors: &[u8], norms: &[f32], ids: &[u64], out: &mut Vec<u8>) {
        let start = out.len();
        assert_eq!(vectors.len(), ids.len() * self.row_bytes);
        assert_eq!(norms.len(), if self.norms { ids.len() } else { 0 });
        out.extend_from_slice(vectors);
        for norm in norms {
            out.extend_from_slice(&norm.to_le_bytes());
        }
        for &id in ids {
            self.id_bytes.write(id, out);
        }
        out.resize(start + self.list_bytes(ids.len()), 0);
    }
}

/// One list of exact vectors, as it lies in memory after a read.
#[derive(Debug, Clone, Copy)]
pub struct FullList<'a> {
    /// The vectors, back to back.
    pub vectors: &'a [u8],
    norms: &'a [u8],
    ids: &'a [u8],
    id_bytes: IdBytes,
}

impl FullList<'_> {
    /// The id of entry `at`.
    pub fn id(&self, at: usize) -> u64 {
        self.id_bytes.read(self.ids, at)
    }

    /// The inverse norm of entry `at`, under cosine.
    pub fn inverse_norm(&self, at: usize) -> f32 {
        match self.norms.as_chunks::<4>().0.get(at) {
            Some(&bytes) => f32::from_le_bytes(bytes),
            None => unreachable!("asked for a norm that the layout does not have"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_and_views() {
        for id_bytes in [IdBytes::Four, IdBytes::Eight] {
            let layout = FullLayout::new(3, Metric::Cosine, id_bytes);
            let mut bytes = Vec::new();
            layout.write(&[1, 2, 3, 4, 5, 6], &[0.5, 0.25], &[9, 70_000], &mut bytes);
            assert_eq!(bytes.len(), 512);
            let list = layout.view(&bytes, 2);
            assert_eq!(list.vectors, [1, 2, 3, 4, 5, 6]);
            assert_eq!((list.id(0), list.id(1)), (9, 70_000));
            assert_eq!((list.inverse_norm(0), list.inverse_norm(1)), (0.5, 0.25));
        }
    }

    #[test]
    fn an_empty_list_takes_no_bytes() {
        let layout = FullLayout::new(128, Metric::L2, IdBytes::Four);
        assert_eq!(layout.list_bytes(0), 0);
        assert_eq!(layout.list_bytes(1), 512);
        assert_eq!(layout.entry_bytes(), 132);
    }
}
