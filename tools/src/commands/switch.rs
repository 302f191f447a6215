//! `spandrel switch`: puts a version in force that the folder still has.
use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use spandrel_index::format::{OpenError, current, put_in_force};
use spandrel_index::{Index, OpenOptions, Tier};
use spandrel_io::{FolderLock, FolderStore};

use crate::Session;

/// Put a version of an index in force that its folder still has.
///
/// `build --replace --keep-previous N` keeps older versions, and `inspect` lists them. What opens the index from now on gets
/// this version, a server that starts too. A server that runs goes on with its own: `admin switch` changes that.
#[derive(Debug, Args)]
pub struct SwitchArgs {
    /// Folder of the index.
    #[arg(value_name = "DIR")]
    pub index: PathBuf,
    /// The version.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub version: u64,
}

pub(super) fn run(args: &SwitchArgs, session: &Session) -> anyhow::Result<()> {
    let SwitchArgs { index: dir, version } = args;
    // What stays in memory is read, and files that are not are there and as long as they were; codes can stay where they are.
    let options = OpenOptions { codes: Some(Tier::Ssd), ..OpenOptions::default() };
    Index::open_version(dir, *version, options, &session.stop)?;
    let _lock = FolderLock::acquire(dir)?;
    let store = FolderStore::new(dir);
    let before = match current(&store) {
        Ok(current) => Some(current.version),
        // That nothing names one is what is mended.
        Err(OpenError::NoCurrent { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    put_in_force(&store, *version)?;
    let was = before.map_or("none".to_owned(), |before| format!("version {before}"));
    let text = format!("{}: version {version} is in force, {was} was\n", dir.display());
    session.show(&text, &json!({ "index": dir, "version": version, "old_version": before }))
}
