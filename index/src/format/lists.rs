//! Lists, one direct read each. Lists of exact vectors (code family `full`, the original SPANN):
//!
//! ```text
//! list = count x vector | count x inverse norm f32 (cosine only) | count x id (4 or 8 bytes) | position u32 of each replica | zeros to 512
//! ```
//! Lists of codes, whose vectors stand in the vectors section alone:
//!
//! ```text
//! list = rows of each block of sixteen | factors of each block | position u32 of each replica | zeros to 512
//! ```
//! (`kernels::scan` and `kernels::lookup` describe blocks; the last is filled up with zeros.) Primaries come first, then
//! replicas. Lists lie back to back in list order from the body's start, each on a 512-byte boundary. Where a list lies, how many entries it has and its hash stand in the directory.
use super::{IdBytes, padded_bytes};
use crate::Metric;
use crate::codes::CodeSpec;
use crate::kernels::scan::{BLOCK_VECTORS, FACTOR_BYTES, ROW_BYTES};

/// Shape of the lists of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListLayout {
    /// Exact vectors.
    Full(FullLayout),
    /// Codes.
    Coded(CodedLayout),
}

impl ListLayout {
    /// Bytes of a list on disk, padding included.
    pub fn list_bytes(&self, primaries: u32, replicas: u32) -> usize {
        match self {
            ListLayout::Full(full) => full.list_bytes(primaries, replicas),
            ListLayout::Coded(coded) => padded_bytes(coded.used_bytes(primaries, replicas)),
        }
    }

    /// Bytes of a list that are not padding.
    pub(crate) fn used_bytes(&self, primaries: u32, replicas: u32) -> usize {
        match self {
            ListLayout::Full(full) => full.used_bytes(primaries, replicas),
            ListLayout::Coded(coded) => coded.used_bytes(primaries, replicas),
        }
    }
}

/// Shape of every list of codes of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodedLayout {
    /// Bytes of the rows of one block.
    pub block_bytes: usize,
    /// Bytes of each vector in a row.
    pub lane_bytes: usize,
}

/// A replica at a position that the index does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StrayReplica {
    /// Number of the replica in its list, from 0.
    pub replica: usize,
    /// The position it names.
    pub position: u32,
}

/// Positions of the replicas of a list, below the number of vectors.
#[derive(Debug, Clone, Copy)]
struct ReplicaPositions<'a>(&'a [u8]);

impl<'a> ReplicaPositions<'a> {
    fn checked(positions: &'a [u8], vectors: u64) -> Result<ReplicaPositions<'a>, StrayReplica> {
        let numbers = positions.as_chunks::<4>().0.iter().map(|&bytes| u32::from_le_bytes(bytes));
        match numbers.enumerate().find(|&(_, position)| u64::from(position) >= vectors) {
            Some((replica, position)) => Err(StrayReplica { replica, position }),
            None => Ok(ReplicaPositions(positions)),
        }
    }

    /// That of replica `at`, counted from the first replica.
    fn of(&self, at: usize) -> u32 {
        match self.0.as_chunks::<4>().0.get(at) {
            Some(&bytes) => u32::from_le_bytes(bytes),
            None => unreachable!("asked for a replica that the list does not have"),
        }
    }
}

/// One list of codes, as it lies in memory after a read. The positions of its replicas are below the number of vectors.
#[derive(Debug, Clone, Copy)]
pub struct CodedList<'a> {
    /// Rows of all blocks.
    pub rows: &'a [u8],
    /// Factors of all blocks.
    pub factors: &'a [u8],
    positions: ReplicaPositions<'a>,
}

impl CodedList<'_> {
    /// Position of replica `at`, counted from the first replica.
    pub fn position(&self, at: usize) -> u32 {
        self.positions.of(at)
    }
}

impl CodedLayout {
    /// The layout of a code family for vectors of `dim` elements.
    pub fn of(code: CodeSpec, dim: usize) -> CodedLayout {
        let lane_bytes = match code {
            CodeSpec::Products { .. } => 1,
            _ => ROW_BYTES / BLOCK_VECTORS,
        };
        CodedLayout { block_bytes: BLOCK_VECTORS * code.code_bytes(dim), lane_bytes }
    }

    fn used_bytes(&self, primaries: u32, replicas: u32) -> usize {
        let blocks = (primaries as usize + replicas as usize).div_ceil(BLOCK_VECTORS);
        blocks * (self.block_bytes + FACTOR_BYTES) + 4 * replicas as usize
    }

    /// Views the bytes of a list of an index of `vectors` vectors; they must have passed the list's hash.
    ///
    /// # Errors
    /// [`StrayReplica`] for the first replica whose position is not below `vectors`.
    pub fn view<'a>(
        &self,
        bytes: &'a [u8],
        primaries: u32,
        replicas: u32,
        vectors: u64,
    ) -> Result<CodedList<'a>, StrayReplica> {
        let blocks = (primaries as usize + replicas as usize).div_ceil(BLOCK_VECTORS);
        let (rows, rest) = bytes.split_at(blocks * self.block_bytes);
        let (factors, rest) = rest.split_at(blocks * FACTOR_BYTES);
        let (positions, _padding) = rest.split_at(4 * replicas as usize);
        Ok(CodedList { rows, factors, positions: ReplicaPositions::checked(positions, vectors)? })
    }

    /// Appends a list to `out`.
    pub fn write(&self, rows: &[u8], factors: &[u8], positions: &[u32], out: &mut Vec<u8>) {
        let start = out.len();
        assert_eq!(rows.len() / self.block_bytes, factors.len() / FACTOR_BYTES);
        out.extend_from_slice(rows);
        out.extend_from_slice(factors);
        positions.iter().for_each(|position| out.extend_from_slice(&position.to_le_bytes()));
        out.resize(start + padded_bytes(out.len() - start), 0);
    }
}

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
    /// The layout for vectors of `row_bytes` compared by `metric`.
    pub fn new(row_bytes: usize, metric: Metric, id_bytes: IdBytes) -> FullLayout {
        FullLayout { row_bytes, id_bytes, norms: metric == Metric::Cosine }
    }

    /// Bytes one entry takes; a replica takes 4 more, for its position.
    pub fn entry_bytes(&self) -> usize {
        self.row_bytes + self.id_bytes.get() + if self.norms { 4 } else { 0 }
    }

    /// Bytes of a list on disk, padding included.
    pub(crate) fn list_bytes(&self, primaries: u32, replicas: u32) -> usize {
        padded_bytes(self.used_bytes(primaries, replicas))
    }

    fn used_bytes(&self, primaries: u32, replicas: u32) -> usize {
        (primaries as usize + replicas as usize) * self.entry_bytes() + 4 * replicas as usize
    }

    /// Views the bytes of a list of an index of `vectors` vectors; they must have passed the list's hash.
    ///
    /// # Errors
    /// [`StrayReplica`] for the first replica whose position is not below `vectors`.
    pub fn view<'a>(
        &self,
        bytes: &'a [u8],
        primaries: u32,
        replicas: u32,
        vectors: u64,
    ) -> Result<FullList<'a>, StrayReplica> {
        let count = primaries as usize + replicas as usize;
        let (rows, rest) = bytes.split_at(count * self.row_bytes);
        let (norms, rest) = rest.split_at(if self.norms { 4 * count } else { 0 });
        let (ids, rest) = rest.split_at(count * self.id_bytes.get());
        let (positions, _padding) = rest.split_at(4 * replicas as usize);
        let positions = ReplicaPositions::checked(positions, vectors)?;
        Ok(FullList { vectors: rows, norms, ids, id_bytes: self.id_bytes, positions })
    }

    /// Appends a list to `out`.
    pub fn write(&self, entries: &FullEntries<'_>, out: &mut Vec<u8>) {
        let start = out.len();
        let FullEntries { vectors, norms, ids, positions } = entries;
        assert_eq!(vectors.len(), ids.len() * self.row_bytes);
        assert_eq!(norms.len(), if self.norms { ids.len() } else { 0 });
        out.extend_from_slice(vectors);
        for norm in *norms {
            out.extend_from_slice(&norm.to_le_bytes());
        }
        for &id in *ids {
            self.id_bytes.write(id, out);
        }
        positions.iter().for_each(|position| out.extend_from_slice(&position.to_le_bytes()));
        out.resize(start + padded_bytes(out.len() - start), 0);
    }
}

/// What a list of exact vectors is written from, primaries first.
#[derive(Debug, Clone, Copy)]
pub struct FullEntries<'a> {
    /// The vectors, back to back.
    pub vectors: &'a [u8],
    /// Their inverse norms; empty unless the layout has them.
    pub norms: &'a [f32],
    /// Ids of the vectors, in their order.
    pub ids: &'a [u64],
    /// Positions of the replicas.
    pub positions: &'a [u32],
}

/// One list of exact vectors, as it lies in memory after a read.
#[derive(Debug, Clone, Copy)]
pub struct FullList<'a> {
    /// The vectors, back to back.
    pub vectors: &'a [u8],
    norms: &'a [u8],
    ids: &'a [u8],
    id_bytes: IdBytes,
    positions: ReplicaPositions<'a>,
}

impl FullList<'_> {
    /// The id of entry `at`.
    pub fn id(&self, at: usize) -> u64 {
        self.id_bytes.read(self.ids, at)
    }

    /// Position of replica `at`, counted from the first replica.
    pub fn position(&self, at: usize) -> u32 {
        self.positions.of(at)
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
            let (vectors, norms, ids) = ([1, 2, 3, 4, 5, 6], [0.5, 0.25], [9, 70_000]);
            let entries = FullEntries { vectors: &vectors, norms: &norms, ids: &ids, positions: &[800] };
            layout.write(&entries, &mut bytes);
            assert_eq!(bytes.len(), 512);
            let stray = layout.view(&bytes, 1, 1, 800).unwrap_err();
            assert_eq!(stray, StrayReplica { replica: 0, position: 800 });
            let list = layout.view(&bytes, 1, 1, 801).unwrap();
            assert_eq!(list.vectors, [1, 2, 3, 4, 5, 6]);
            assert_eq!((list.id(0), list.id(1), list.position(0)), (9, 70_000, 800));
            assert_eq!((list.inverse_norm(0), list.inverse_norm(1)), (0.5, 0.25));
        }
    }

    #[test]
    fn lists_of_codes_write_and_view() {
        let layout = CodedLayout { block_bytes: 64, lane_bytes: 4 };
        let (rows, factors) = (vec![5; 2 * 64], vec![6; 2 * FACTOR_BYTES]);
        let mut bytes = Vec::new();
        layout.write(&rows, &factors, &[9, 70_000], &mut bytes);
        assert_eq!(bytes.len(), ListLayout::Coded(layout).list_bytes(17, 2));
        let stray = layout.view(&bytes, 17, 2, 70_000).unwrap_err();
        assert_eq!(stray, StrayReplica { replica: 1, position: 70_000 });
        let list = layout.view(&bytes, 17, 2, 70_001).unwrap();
        assert_eq!((list.rows, list.factors), (rows.as_slice(), factors.as_slice()));
        assert_eq!((list.position(0), list.position(1)), (9, 70_000));
        assert_eq!(ListLayout::Coded(layout).list_bytes(0, 0), 0);
    }

    #[test]
    fn an_empty_list_takes_no_bytes() {
        let layout = FullLayout::new(128, Metric::L2, IdBytes::Four);
        assert_eq!(layout.list_bytes(0, 0), 0);
        assert_eq!(layout.list_bytes(1, 0), 512);
        assert_eq!((layout.entry_bytes(), layout.used_bytes(1, 2)), (132, 3 * 132 + 2 * 4));
    }
}
