//! `spandrel man`: manual pages.
use std::path::PathBuf;

use clap::{Args, Command};
use serde_json::json;

use crate::Session;

/// Write a manual page for each command.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Folder to write to, such as ~/.local/share/man/man1; made if it is missing.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

/// `command` is the command line as a whole.
pub(super) fn run(args: &ManArgs, command: Command, session: &Session) -> anyhow::Result<()> {
    fs_err::create_dir_all(&args.dir)?;
    clap_mangen::generate_to(command, &args.dir)?;
    let mut pages = Vec::new();
    for entry in fs_err::read_dir(&args.dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("spandrel") && name.ends_with(".1") {
            pages.push(path);
        }
    }
    pages.sort();
    let text: String = pages.iter().map(|page| format!("{}\n", page.display())).collect();
    session.show(&text, &json!({ "pages": pages }))
}
