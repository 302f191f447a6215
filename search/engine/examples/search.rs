//! Opens an index and answers one query: `cargo run --release --example search -p spandrel-engine -- DIR`.
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use spandrel_engine::{Engine, EngineConfig, SearchParams};
use spandrel_index::Index;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::args_os().nth(1).map(PathBuf::from).ok_or("usage: search INDEX_DIR")?;
    let index = Arc::new(Index::open(&dir)?);
    println!("{} vectors of {} {}, {}", index.vectors(), index.dim(), index.dtype(), index.metric());

    let query = vec![1.0; index.dim()];
    let engine = Engine::open(index, EngineConfig::default())?;
    for answer in
        engine.search_numbers(&query, &SearchParams::new(10.min(engine.index().vectors() as usize)))?
    {
        for neighbour in &answer.neighbours {
            println!("id {:10}  distance {}", neighbour.id, neighbour.distance);
        }
        println!("{} lists in {} reads, {:.0} us", answer.work.lists, answer.work.reads, answer.latency_us);
    }
    Ok(())
}
