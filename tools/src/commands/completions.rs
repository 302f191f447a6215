//! `spandrel completions`: lets a shell complete commands and flags.
use clap::Args;
use clap_complete::Shell;

use crate::values::OutputFormat;
use crate::{Session, UsageError};

/// Print a script that lets a shell complete commands and flags.
///
/// For bash: spandrel completions bash > ~/.local/share/bash-completion/completions/spandrel
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: Shell,
}

/// `command` is the command line as a whole.
pub(super) fn run(
    args: &CompletionsArgs,
    mut command: clap::Command,
    session: &Session,
) -> anyhow::Result<()> {
    if session.format == OutputFormat::Json {
        return Err(UsageError(
            "a script for a shell has no form for programs: leave --format out".to_owned(),
        )
        .into());
    }
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "spandrel", &mut script);
    session.print(&String::from_utf8(script)?)
}
