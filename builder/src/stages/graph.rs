//! Builds the index over the heads, from the heads as stored.
use spandrel_index::format::SectionKind;
use spandrel_index::heads::{HeadIndex, HeadIndexKind, Heads, HnswGraph, HnswParams};

use super::publish::partition_entry;
use super::section::{SectionOf, SectionShape, finish_section, read_section};
use crate::BuildError;
use crate::checkpoint::GraphDone;
use crate::state::BuildState;

pub(crate) fn graph(state: &BuildState<'_>) -> Result<GraphDone, BuildError> {
    let &BuildState { params, context, .. } = state;
    let (written, target) = (state.written(), state.target());
    // Lists that values of a partition share are searched without: their heads say little.
    let lists = u64::from(written.lists);
    let found = partition_entry(state).map_or(lists, |partition| partition.found_lists(lists));
    let count = found as usize; // CAST: usize is 64 bits
    if HeadIndex::preferred(params.head_dtype(), params.head_dim(), count) == HeadIndexKind::Flat {
        return Ok(GraphDone { section: None });
    }
    context.progress.phase("graph", found, "heads");
    let section = written.sections.iter().find(|section| section.kind == SectionKind::Heads.name());
    let Some(section) = section else { unreachable!("heads were written with the lists") };
    let mut rows = read_section(target, section)?;
    rows.truncate(count * params.head_row_bytes());
    let heads = Heads::from_rows(params.head_dtype(), params.head_dim(), &rows)
        .map_err(|e| BuildError::Scratch { path: target.store.path(&section.file), what: e.to_string() })?;
    drop(rows);
    let hnsw = HnswParams { seed: params.seed_of(3, 0), ..HnswParams::default() };
    let advance = |units| context.progress.advance(units);
    let graph = HnswGraph::build(&heads, &hnsw, context.pool, &advance, context.stop)
        .map_err(|_| BuildError::Stopped)?;
    let mut writer = target.create(SectionKind::Graph)?;
    writer.append(&graph.to_bytes())?;
    let shape = SectionShape { kind: SectionKind::Graph, unit_bytes: 0, count: found, of: SectionOf::Main };
    Ok(GraphDone { section: Some(finish_section(params, target, shape, writer)?) })
}
