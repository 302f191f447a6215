//! Small indexes for the tests of this crate and of those above it that must not need a builder.
//!
//! Lists are formed in the plainest way: evenly spaced vectors are heads, each vector is filed under the
//! nearest few.
use std::path::Path;

use fs_err as fs;
use xxhash_rust::xxh3::xxh3_128;

use crate::attributes::AttributeSpec;
use crate::attributes::testing::{TestAttribute, section_body};
use crate::codes::CodeSpec;
use crate::format::{
    AttributeEntry, BuildRecord, CURRENT, Current, DirectoryEntry, FullEntries, FullLayout, Header,
    ID_PAGE_BYTES, IdBytes, IdPages, Manifest, PageLayout, Record, SearchDefault, SectionEntry, SectionKind,
    SegmentEntry, UNIT_BYTES, attribute_name, hash_hex, list_hash, manifest_name, section_name,
};
use crate::heads::{Heads, HnswGraph, HnswParams};
use crate::{
    DType, HeadSpace, Metric, Tier, VectorsShape, for_each_element, inverse_norm, list_radius, norm_squared,
};

/// What to write.
#[derive(Debug, Clone)]
pub struct TestIndex {
    /// Metric that the manifest states.
    pub metric: Metric,
    /// Element type.
    pub dtype: DType,
    /// Elements of a vector.
    pub dim: usize,
    /// The vectors, back to back.
    pub rows: Vec<u8>,
    /// Ids by position, each once.
    pub ids: Vec<u64>,
    /// Number of lists, at most the number of vectors.
    pub lists: usize,
    /// Lists that each vector is filed under.
    pub copies: usize,
    /// Whether there is a graph over the heads.
    pub graph: bool,
    /// What is known of the vectors.
    pub attributes: Vec<TestAttribute>,
    /// Version of the index in its directory.
    pub version: u64,
}

/// Vectors of an index, as queries have to fit them.
pub fn shape(metric: Metric, dtype: DType, dim: usize) -> VectorsShape {
    VectorsShape { metric, dtype, dim, pages: PageLayout::new(dtype.row_bytes(dim), metric, IdBytes::Four) }
}

/// Where a section goes.
struct Place<'a> {
    dir: &'a Path,
    file: String,
}

impl TestIndex {
    /// `count` seeded random vectors with ids that are neither sorted nor dense.
    pub fn random(metric: Metric, dtype: DType, dim: usize, count: usize) -> TestIndex {
        let rows = random_rows(dtype, dim, count, 1);
        let ids = (0..count as u64).map(|i| i * 7919 % 1_000_003).collect();
        let lists = count.div_ceil(10);
        let attributes = Vec::new();
        TestIndex { metric, dtype, dim, rows, ids, lists, copies: 2, graph: false, attributes, version: 1 }
    }

    /// Bytes of one vector.
    pub fn row_bytes(&self) -> usize {
        self.dtype.row_bytes(self.dim)
    }

    /// One vector.
    pub fn row(&self, at: usize) -> &[u8] {
        &self.rows[at * self.row_bytes()..(at + 1) * self.row_bytes()]
    }

    /// Writes the index into `dir` and puts it in force.
    ///
    /// # Panics
    /// When anything fails.
    pub fn write(&self, dir: &Path) {
        let norm_max = (0..self.ids.len())
            .map(|at| norm_squared(self.dtype, self.row(at)).sqrt() as f32)
            .fold(0.0, f32::max);
        let space = HeadSpace::of(self.metric, norm_max);
        let heads = self.heads(space);
        let lists = self.file_vectors(space, &heads);
        let id_bytes = IdBytes::holding(self.ids.iter().copied().max().unwrap_or(0));
        let mut manifest = self.manifest(space, id_bytes);
        let uuid = manifest.uuid();
        let mut put = |kind, unit_bytes: usize, body: &[u8]| {
            let place = Place { dir, file: section_name(kind, self.version) };
            let entry = self.section(&place, space, uuid, kind, unit_bytes, body);
            manifest.segments[0].sections.push(entry);
        };
        put(SectionKind::Heads, 0, heads.rows());
        if self.graph {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool");
            let stop = std::sync::atomic::AtomicBool::new(false);
            let params = HnswParams::default();
            let graph = HnswGraph::build(&heads, &params, &pool, &|_| {}, &stop).expect("a graph");
            put(SectionKind::Graph, 0, &graph.to_bytes());
        }
        let (directory, codes) = self.lists(&lists, (space, &heads), uuid, id_bytes);
        put(SectionKind::Directory, 0, &directory);
        put(SectionKind::Codes, UNIT_BYTES, &codes);
        let order: Vec<usize> = lists.iter().flat_map(|(primaries, _)| primaries.clone()).collect();
        let layout = PageLayout::new(self.row_bytes(), self.metric, id_bytes);
        put(SectionKind::Vectors, layout.page_bytes(), &self.pages(&order, layout, uuid));
        let ids = self.id_pages(&order, IdPages { id_bytes, uuid });
        put(SectionKind::Ids, ID_PAGE_BYTES, &ids);
        for (number, attribute) in (0..).zip(&self.attributes) {
            let entry = self.attribute(dir, (space, uuid), number, (attribute, &order));
            manifest.segments[0].sections.push(entry);
        }

        let bytes = manifest.to_bytes();
        fs::write(dir.join(manifest_name(self.version)), &bytes).expect("the manifest");
        let current = Current::of(self.version, &bytes).to_bytes();
        fs::write(dir.join(CURRENT), current).expect("CURRENT");
    }

    fn heads(&self, space: HeadSpace) -> Heads {
        let mut rows = Vec::new();
        for list in 0..self.lists {
            space.map_vector(self.dtype, self.row(list * self.ids.len() / self.lists), &mut rows);
        }
        Heads::from_rows(space.dtype(self.dtype), space.dim(self.dim), &rows).expect("heads")
    }

    /// Primaries and replicas of each list, by vector.
    fn file_vectors(&self, space: HeadSpace, heads: &Heads) -> Vec<(Vec<usize>, Vec<usize>)> {
        let mut lists = vec![(Vec::new(), Vec::new()); self.lists];
        let mut scores = vec![0.0; self.lists];
        for at in 0..self.ids.len() {
            let mut row = Vec::new();
            space.map_vector(self.dtype, self.row(at), &mut row);
            heads.kernel().score_rows(&row, heads.rows(), &mut scores);
            let mut nearest: Vec<usize> = (0..self.lists).collect();
            nearest.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
            for (copy, &list) in nearest.iter().take(self.copies).enumerate() {
                if copy == 0 { lists[list].0.push(at) } else { lists[list].1.push(at) }
            }
        }
        lists
    }

    fn lists(
        &self,
        lists: &[(Vec<usize>, Vec<usize>)],
        (space, heads): (HeadSpace, &Heads),
        uuid: u128,
        id_bytes: IdBytes,
    ) -> (Vec<u8>, Vec<u8>) {
        let layout = FullLayout::new(self.row_bytes(), self.metric, id_bytes);
        let (mut directory, mut codes) = (Vec::new(), Vec::new());
        let mut position_of = vec![0; self.ids.len()];
        let order = lists.iter().flat_map(|(primaries, _)| primaries);
        order.zip(0..).for_each(|(&at, position)| position_of[at] = position);
        for (number, (primaries, replicas)) in lists.iter().enumerate() {
            let start = codes.len();
            let entries = || primaries.iter().chain(replicas);
            let vectors: Vec<u8> = entries().flat_map(|&at| self.row(at)).copied().collect();
            let ids: Vec<u64> = entries().map(|&at| self.ids[at]).collect();
            let norms: Vec<f32> = entries().filter_map(|&at| self.inverse_norm(at)).collect();
            let positions: Vec<u32> = replicas.iter().map(|&at| position_of[at]).collect();
            let entries = FullEntries { vectors: &vectors, norms: &norms, ids: &ids, positions: &positions };
            layout.write(&entries, &mut codes);
            let (mut head, mut rows) = (Vec::new(), Vec::new());
            for_each_element(heads.dtype(), heads.row(number as u32), |x| head.push(x));
            for &at in primaries {
                space.float_vector(self.dtype, self.row(at), &mut rows);
            }
            let entry = DirectoryEntry {
                offset_units: (start / UNIT_BYTES) as u32,
                primaries: primaries.len() as u32,
                replicas: replicas.len() as u32,
                radius: list_radius(&head, &rows, heads.dim(), self.dim),
                hash: list_hash(uuid, number as u32, &codes[start..]),
            };
            entry.write(&mut directory);
        }
        (directory, codes)
    }

    fn pages(&self, order: &[usize], layout: PageLayout, uuid: u128) -> Vec<u8> {
        let mut body = Vec::new();
        for (number, records) in (0..).zip(order.chunks(layout.page_records())) {
            let mut page = Vec::new();
            for &at in records {
                let (vector, id) = (self.row(at), self.ids[at]);
                layout.write_record(Record { vector, id, inverse_norm: self.inverse_norm(at) }, &mut page);
            }
            layout.finish_page(uuid, number, &mut page);
            body.extend_from_slice(&page);
        }
        body
    }

    fn id_pages(&self, order: &[usize], layout: IdPages) -> Vec<u8> {
        let mut pairs: Vec<(u64, u32)> = (0..).zip(order).map(|(p, &at)| (self.ids[at], p)).collect();
        pairs.sort_unstable();
        let (mut body, mut firsts) = (Vec::new(), Vec::new());
        for (number, pairs) in (0..).zip(pairs.chunks(layout.page_entries())) {
            firsts.push(pairs[0].0);
            body.extend(layout.page(number, pairs));
        }
        body.extend(layout.tail(&firsts));
        body
    }

    fn inverse_norm(&self, at: usize) -> Option<f32> {
        (self.metric == Metric::Cosine).then(|| inverse_norm(self.dtype, self.row(at)))
    }

    fn attribute(
        &self,
        dir: &Path,
        (space, uuid): (HeadSpace, u128),
        number: u16,
        (attribute, order): (&TestAttribute, &[usize]),
    ) -> SectionEntry {
        let TestAttribute { attribute: spandrel_filter::Attribute { name, kind }, cells, resident } =
            attribute;
        let cells: Vec<_> = order.iter().map(|&at| &cells[at]).collect();
        let body = section_body(dir, AttributeSpec { uuid, attribute: number, kind: *kind }, &cells);
        let place = Place { dir, file: attribute_name(number, self.version) };
        let entry = AttributeEntry { name: name.clone(), kind: kind.name().into(), resident: *resident };
        SectionEntry {
            attribute: Some(entry),
            required: false,
            ..self.section(&place, space, uuid, SectionKind::Attributes, 0, &body)
        }
    }

    fn section(
        &self,
        place: &Place<'_>,
        space: HeadSpace,
        uuid: u128,
        kind: SectionKind,
        unit_bytes: usize,
        body: &[u8],
    ) -> SectionEntry {
        let in_head_space = kind == SectionKind::Heads;
        let header = Header {
            kind,
            dtype: if in_head_space { space.dtype(self.dtype) } else { self.dtype },
            metric: self.metric,
            family: if kind == SectionKind::Codes { CodeSpec::Full.family() } else { 0 },
            dim: if in_head_space { space.dim(self.dim) } else { self.dim } as u32,
            unit_bytes: unit_bytes as u32,
            count: match kind {
                SectionKind::Vectors | SectionKind::Ids | SectionKind::Attributes => self.ids.len() as u64,
                _ => self.lists as u64,
            },
            uuid,
            body_bytes: body.len() as u64,
        };
        let mut bytes = header.to_bytes();
        bytes.extend_from_slice(body);
        let file = place.file.clone();
        fs::write(place.dir.join(&file), &bytes).expect("a section");
        SectionEntry {
            kind: kind.name().into(),
            column: String::new(),
            attribute: None,
            required: true,
            file,
            bytes: bytes.len() as u64,
            hash: hash_hex(xxh3_128(body)),
        }
    }

    fn manifest(&self, space: HeadSpace, id_bytes: IdBytes) -> Manifest {
        let uuid = hash_hex(xxh3_128(&self.rows) ^ u128::from(self.version));
        Manifest {
            version: self.version,
            uuid: uuid.clone(),
            metric: self.metric.name().into(),
            dtype: self.dtype.name().into(),
            dim: self.dim,
            id_bytes: id_bytes.get(),
            head_space: space,
            search_default: SearchDefault { epsilon: Some(0.5), max_lists: 8, rerank_errors: 1.0 },
            recall: None,
            column: None,
            documents: None,
            embedding: None,
            build: BuildRecord {
                input_hash: hash_hex(xxh3_128(&self.rows)),
                attributes_hash: None,
                seed: 0,
                lists: self.lists as u64,
                replicas: "none".into(),
                max_replicas: self.copies as u32,
                heads: "vectors".into(),
                code: CodeSpec::Full.to_string(),
                codebooks: None,
                binariser: None,
                codes: Tier::Ssd,
                kernels: crate::kernels::Variant::best().name().into(),
                query_sample: None,
            },
            segments: vec![SegmentEntry {
                uuid,
                heads_of: None,
                vectors: self.ids.len() as u64,
                lists: self.lists as u64,
                partition: None,
                sections: Vec::new(),
            }],
        }
    }
}

/// Seeded random rows; floats lie between -1 and 1.
pub fn random_rows(dtype: DType, dim: usize, count: usize, seed: u64) -> Vec<u8> {
    use rand::{Rng, SeedableRng};
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let mut rows = Vec::with_capacity(dtype.row_bytes(dim) * count);
    for _ in 0..dim * count {
        match dtype {
            DType::U8 | DType::I8 => rows.push(rng.random()),
            DType::F16 => {
                rows.extend_from_slice(&half::f16::from_f32(rng.random_range(-1.0..1.0)).to_le_bytes())
            }
            DType::F32 => rows.extend_from_slice(&rng.random_range(-1.0..1.0_f32).to_le_bytes()),
        }
    }
    rows
}
