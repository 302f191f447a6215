//! What the cross-package tests share with the process that they kill: inputs and how to build them.
//!
//! The inputs are made here and not by `spandrel-datasets`, so that a change of its generators does not move
//! what the tests have recorded.
pub mod mutations;
pub mod sweep;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use half::f16;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
pub use spandrel_benches::Calibrator;
use spandrel_builder::cluster::HeadKind;
use spandrel_builder::filing::ReplicaRule;
use spandrel_builder::{
    Attributes, BuildConfig, BuildError, BuildReport, Calibrate, Caller, Column, IdSource, Input, ListCount,
    Progress, build_for,
};
use spandrel_datasets::Rows;
use spandrel_engine::{CalibrateLimits, CalibrateParams};
use spandrel_filter::{Attribute, AttributeType, Cell, Schema};
use spandrel_index::codes::CodeSpec;
use spandrel_index::{AttributeSource, AttributeSourceError, DType, Metric, SourceError, Tier, VectorSource};

/// What a test builds from.
#[derive(Debug, Clone)]
pub struct Base {
    /// Vectors of the base, in the order of their ids.
    pub rows: Rows,
    /// Their ids, or none for row numbers.
    pub ids: Option<Vec<u64>>,
    /// What is known of them.
    pub attributes: Option<CellRows>,
    /// Other vectors of the same things, by which candidates are compared.
    pub column: Option<ColumnRows>,
    /// Queries that lists and codes are made for.
    pub query_sample: Option<Rows>,
}

/// The column of a base, called "fine".
#[derive(Debug, Clone)]
pub struct ColumnRows {
    /// Vectors of the column, row by row of the base.
    pub rows: Rows,
    /// How they are compared.
    pub metric: Metric,
    /// Whether the vectors that are searched are kept as well.
    pub keep_main: bool,
}

impl Base {
    /// Vectors with their row numbers as ids.
    pub fn new(rows: Rows) -> Base {
        Base { rows, ids: None, attributes: None, column: None, query_sample: None }
    }

    /// Vectors with ids of their own.
    pub fn with_ids(rows: Rows, ids: Vec<u64>) -> Base {
        Base { ids: Some(ids), ..Base::new(rows) }
    }

    /// Builds an index from it.
    ///
    /// # Errors
    /// Those of [`build_for`].
    pub fn build(&self, config: &BuildConfig) -> Result<BuildReport, BuildError> {
        self.build_watched(config, None, &spandrel_builder::Silent)
    }

    /// Builds an index from it, calibrated if so wished, telling its progress.
    ///
    /// # Errors
    /// Those of [`build_for`].
    pub fn build_watched(
        &self,
        config: &BuildConfig,
        calibrate: Option<&dyn Calibrate>,
        progress: &dyn Progress,
    ) -> Result<BuildReport, BuildError> {
        self.build_for(config, Caller { progress, stop: &AtomicBool::new(false), calibrate })
    }

    /// Builds an index from it for a caller, who may stop it.
    ///
    /// # Errors
    /// Those of [`build_for`].
    pub fn build_for(&self, config: &BuildConfig, caller: Caller<'_>) -> Result<BuildReport, BuildError> {
        let ids = self.ids.as_deref().map(Ids);
        let ids = ids.as_ref().map(|ids| ids as &dyn IdSource);
        let attributes = self.attributes.as_ref();
        let attributes = attributes.map(|rows| Attributes {
            source: rows,
            resident: &rows.resident,
            partition_by: rows.partition_by.as_deref(),
        });
        let column = self.column.as_ref().map(|&ColumnRows { ref rows, metric, keep_main }| Column {
            name: "fine",
            vectors: rows,
            metric,
            keep_main,
        });
        let query_sample = self.query_sample.as_ref().map(|rows| rows as &dyn VectorSource);
        let input = Input { ids, attributes, column, query_sample, ..Input::of(&self.rows) };
        build_for(input, config, caller)
    }

    /// The id of a row.
    pub fn id(&self, row: usize) -> u64 {
        self.ids.as_ref().map_or(row as u64, |ids| ids[row])
    }
}

/// Attributes of rows in memory.
#[derive(Debug, Clone)]
pub struct CellRows {
    /// Names and types.
    pub schema: Schema,
    /// Of each row, by the attribute's number.
    pub cells: Vec<Vec<Cell>>,
    /// Names of the attributes that are kept in memory.
    pub resident: Vec<String>,
    /// Name of the attribute by whose values vectors are put in lists.
    pub partition_by: Option<String>,
}

impl CellRows {
    /// An attribute of each type under its name, for `count` rows: small values are frequent, and a tenth of the cells is null.
    ///
    /// # Panics
    /// Never: types differ in their names.
    pub fn random(count: usize, seed: u64) -> CellRows {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let attribute = |kind: AttributeType| Attribute { name: kind.name().to_owned(), kind };
        let schema = Schema::new(AttributeType::ALL.map(attribute).to_vec()).expect("names that differ");
        let mut cell = |kind| {
            let skewed = (200.0 * rng.random::<f64>().powi(4)) as i64; // CAST: small
            match kind {
                _ if rng.random_bool(0.1) => Cell::Null,
                AttributeType::Keyword => Cell::Keyword(format!("word {skewed}")),
                AttributeType::Tags => Cell::Tags((0..=skewed % 7).map(|at| skewed + at * at).collect()),
                AttributeType::Bool => Cell::Bool(skewed < 20),
                AttributeType::I64 => Cell::I64(skewed - 50),
                AttributeType::F64 => Cell::F64(rng.random_range(-1.0..1.0)),
                AttributeType::Timestamp => Cell::Timestamp(1_700_000_000_000_000 + skewed),
            }
        };
        let cells = (0..count).map(|_| AttributeType::ALL.map(&mut cell).to_vec()).collect();
        CellRows { schema, cells, resident: Vec::new(), partition_by: None }
    }
}

impl AttributeSource for CellRows {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn len(&self) -> u64 {
        self.cells.len() as u64
    }

    fn scan(
        &self,
        each: &mut dyn FnMut(u64, &[Cell]) -> ControlFlow<()>,
    ) -> Result<(), AttributeSourceError> {
        for (row, cells) in (0..).zip(&self.cells) {
            if each(row, cells).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn name(&self) -> String {
        "cells in memory".to_owned()
    }
}

/// Ids in memory.
#[derive(Debug, Clone, Copy)]
pub struct Ids<'a>(pub &'a [u64]);

impl IdSource for Ids<'_> {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_ids(&self, first: u64, out: &mut [u64]) -> Result<(), SourceError> {
        let first = first as usize; // CAST: a row of a slice
        out.copy_from_slice(&self.0[first..first + out.len()]);
        Ok(())
    }
}

/// What the builds of the tests may use.
pub const LIMITS: CalibrateLimits = CalibrateLimits { threads: 2, memory_bytes: 1 << 30 };

/// Calibrates with rows of the index.
pub const CALIBRATOR: Calibrator<'static> = Calibrator(CalibrateParams::new(LIMITS));

/// A configuration that small inputs are happy with: lists of 20, two copies by SOAR, heads that are means.
pub fn config(metric: Metric, out: &Path) -> BuildConfig {
    BuildConfig {
        metric,
        out: out.to_owned(),
        lists: ListCount::Size(20),
        replicas: ReplicaRule::Soar,
        max_replicas: 2,
        heads: HeadKind::Means,
        code: CodeSpec::Full,
        codebooks: None,
        codes: Tier::Ssd,
        memory_bytes: 1 << 30,
        threads: 2,
        seed: 7,
        scratch: None,
        resume: false,
        replace: false,
        keep_previous: 0,
        plain_codes: false,
        embedding: None,
    }
}

/// As [`config`], with lists of codes.
pub fn coded(metric: Metric, code: CodeSpec, codes: Tier, out: &Path) -> BuildConfig {
    BuildConfig { code, codes, replicas: ReplicaRule::None, ..config(metric, out) }
}

/// What the crash tests build, here and in the process that they kill.
pub fn crash_config(code: CodeSpec, out: &Path) -> BuildConfig {
    match code {
        CodeSpec::Full => config(Metric::L2, out),
        _ => coded(Metric::L2, code, Tier::Memory, out),
    }
}

/// `count` vectors around seeded centres, some of them more than once.
///
/// Integers are the floats rounded, so every element type gets the same picture.
///
/// # Panics
/// When `dim` is no dimension of an index.
pub fn clustered(dtype: DType, dim: usize, count: usize, seed: u64) -> Rows {
    // Centres do not depend on the seed, so that queries of another seed lie where the vectors do.
    let mut centre_rng = ChaCha8Rng::seed_from_u64(0x5eed);
    let centres: Vec<f32> = (0..60 * dim).map(|_| centre_rng.random_range(-50.0..50.0)).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut bytes = Vec::with_capacity(count * dtype.row_bytes(dim));
    for row in 0..count {
        if row > 0 && rng.random_range(0..50) == 0 {
            bytes.extend_from_within(bytes.len() - dtype.row_bytes(dim)..);
            continue;
        }
        let centre = rng.random_range(0..60) * dim;
        let spread: f32 = rng.random_range(20.0..60.0);
        for &middle in &centres[centre..centre + dim] {
            push(dtype, middle + rng.random_range(-spread..spread), &mut bytes);
        }
    }
    Rows::new(dtype, dim, bytes).expect("whole rows")
}

/// `count` queries from beside the vectors of [`clustered`], which vary in the last half of the elements alone.
///
/// # Panics
/// When `dim` is no dimension of an index.
pub fn foreign(dtype: DType, dim: usize, count: usize, seed: u64) -> Rows {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut bytes = Vec::with_capacity(count * dtype.row_bytes(dim));
    for at in (0..count).flat_map(|_| 0..dim) {
        let (middle, spread) = if 2 * at < dim { (90.0, 3.0) } else { (-60.0, 50.0) };
        push(dtype, middle + rng.random_range(-spread..spread), &mut bytes);
    }
    Rows::new(dtype, dim, bytes).expect("whole rows")
}

/// Appends a value between -120 and 120 as an element.
fn push(dtype: DType, value: f32, out: &mut Vec<u8>) {
    match dtype {
        // CAST: rounds and stays in range.
        DType::U8 => out.push((value + 128.0) as u8),
        DType::I8 => out.extend((value as i8).to_le_bytes()),
        DType::F16 => out.extend(f16::from_f32(value / 64.0).to_le_bytes()),
        DType::F32 => out.extend((value / 64.0).to_le_bytes()),
    }
}

/// Rows whose bytes a function of row and element gives; element type u8.
///
/// # Panics
/// When `dim` is no dimension of an index.
pub fn bytes_rows(dim: usize, count: usize, value: impl Fn(usize, usize) -> u8) -> Rows {
    let value = &value;
    let bytes = (0..count).flat_map(|row| (0..dim).map(move |at| value(row, at))).collect();
    Rows::new(DType::U8, dim, bytes).expect("whole rows")
}

/// Number of rows.
pub fn count(rows: &Rows) -> usize {
    rows.len() as usize // CAST: rows in memory
}
