//! `spandrel admin`: the indexes of a server, and what it does with them.
mod fetch;
mod indexes;
mod operations;
mod reach;

use clap::{Args, Subcommand};

use self::reach::Reach;
use crate::Session;

/// Manage the indexes of a server.
#[derive(Debug, Args)]
pub struct AdminArgs {
    #[command(flatten)]
    reach: Reach,
    /// What to do.
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the indexes being served.
    List,
    /// Describe one index in full.
    Describe {
        /// Its name [default: that of requests that name none].
        #[arg(value_name = "NAME")]
        index: Option<String>,
    },
    /// Open a further index, and wait until it answers.
    #[command(disable_version_flag = true)]
    Load(operations::LoadArgs),
    /// Stop serving an index.
    Unload {
        /// Its name.
        #[arg(value_name = "NAME")]
        index: String,
    },
    /// Put the version in force, a given one or another index in the place of one, wait until it answers, and approve it.
    ///
    /// A server that starts opens the version that was approved, unless its settings name another.
    #[command(disable_version_flag = true)]
    Switch(operations::SwitchArgs),
    /// Read the files that an index is served from end to end, and say whether they are whole.
    Verify(operations::VerifyArgs),
    /// Print vectors by their ids.
    Fetch(fetch::FetchArgs),
    /// List what is being loaded, switched and verified, and what was; or give up one of them.
    Operations {
        /// Give up the operation of this number.
        #[arg(long, value_name = "ID")]
        cancel: Option<u64>,
    },
}

pub(super) fn run(args: &AdminArgs, session: &Session) -> anyhow::Result<()> {
    let runtime = super::serve::runtime()?;
    runtime.block_on(async {
        let server = args.reach.connect()?;
        match &args.action {
            Action::List => indexes::list(&server, session).await,
            Action::Describe { index } => {
                indexes::describe(&server, index.as_deref().unwrap_or_default(), session).await
            }
            Action::Unload { index } => indexes::unload(&server, index, session).await,
            Action::Load(load) => operations::load(&server, load, session).await,
            Action::Switch(switch) => operations::switch(&server, switch, session).await,
            Action::Verify(verify) => operations::verify(&server, verify, session).await,
            Action::Fetch(fetch) => fetch::fetch(&server, fetch, session).await,
            Action::Operations { cancel } => operations::list(&server, *cancel, session).await,
        }
    })
}
