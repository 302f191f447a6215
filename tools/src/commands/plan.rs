//! `spandrel plan`: what a build would take.
use std::path::PathBuf;

use clap::Args;
use spandrel_builder::{Input, Params, Plan, VectorShape};
use spandrel_index::{DType, Metric, SourceError, VectorSource};

use super::shape::{ShapeArgs, plan_text, refuse_memory};
use crate::Session;

/// Say what a build would take: memory, disk, and what searching keeps in memory.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Vectors to be indexed.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub vectors: u64,
    /// Elements of a vector.
    #[arg(long, value_name = "D")]
    pub dim: usize,
    /// Element type: f32, f16, i8 or u8.
    #[arg(long, value_name = "T")]
    pub dtype: DType,
    /// How vectors are compared: l2, ip or cosine.
    #[arg(long, value_name = "l2|ip|cosine", default_value_t = Metric::L2)]
    pub metric: Metric,
    /// What the index looks like.
    #[command(flatten)]
    pub shape: ShapeArgs,
}

/// Vectors of which only the number is known.
#[derive(Debug)]
struct Imagined {
    vectors: u64,
    dim: usize,
    dtype: DType,
}

impl VectorSource for Imagined {
    fn len(&self) -> u64 {
        self.vectors
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn dtype(&self) -> DType {
        self.dtype
    }

    fn read_rows(&self, first: u64, out: &mut [u8]) -> Result<(), SourceError> {
        let rows = (out.len() / self.row_bytes().max(1)) as u64; // CAST: usize is 64 bits here
        Err(SourceError::Range { name: self.name(), first, end: first.saturating_add(rows), len: 0 })
    }

    fn name(&self) -> String {
        "planned vectors".to_owned()
    }
}

pub(super) fn run(args: &PlanArgs, session: &Session) -> anyhow::Result<()> {
    let source = Imagined { vectors: args.vectors, dim: args.dim, dtype: args.dtype };
    let config = args.shape.config(VectorShape::of(&source, args.metric), PathBuf::new());
    let plan = Plan::new(&Params::check(&config, Input { vectors: &source, ids: None })?);
    session.print(&plan_text(&plan))?;
    Ok(refuse_memory(&plan)?)
}
