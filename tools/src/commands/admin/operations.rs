//! Loading, switching and verifying, which take as long as reading an index.
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use spandrel_client::v1::operation::Outcome;
use spandrel_client::{opened, v1, verified};
use spandrel_index::Tier;

use super::indexes::summary;
use super::reach::Server;
use crate::Session;
use crate::figures::{Align, TextTable, short, units};
use crate::values::parse_index_name;

#[derive(Debug, Args)]
pub(super) struct LoadArgs {
    /// Name to serve it under: 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-'.
    #[arg(value_name = "NAME", value_parser = parse_index_name)]
    index: String,
    /// Its folder on the server, inside one of those that it was started with (`serve --root`).
    #[arg(value_name = "DIR")]
    path: PathBuf,
    /// The version to open, one that its folder still has [default: the one that was approved, else the one in force].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    version: Option<u64>,
    /// Where codes are [default: as the index was built for].
    #[arg(long, value_name = "memory|ssd")]
    codes: Option<Tier>,
    /// Where the vectors that are compared exactly are [default: ssd].
    #[arg(long, value_name = "ssd|memory")]
    vectors: Option<Tier>,
    /// Keep ids in memory, so that answers may carry estimates.
    #[arg(long)]
    estimates: bool,
}

#[derive(Debug, Args)]
pub(super) struct SwitchArgs {
    /// Name of the index.
    #[arg(value_name = "NAME")]
    index: String,
    /// Folder of the new one on the server [default: the folder it has].
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// The version to open, one that its folder still has [default: the one in force].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    version: Option<u64>,
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// Name of the index.
    #[arg(value_name = "NAME")]
    index: String,
    /// Compare the files with each other too: every vector, copy and id.
    #[arg(long)]
    deep: bool,
}

pub(super) async fn load(server: &Server, args: &LoadArgs, session: &Session) -> anyhow::Result<()> {
    let tier = |tier: Option<Tier>| match tier {
        None => v1::Tier::Unspecified,
        Some(Tier::Memory) => v1::Tier::Memory,
        Some(Tier::Ssd) => v1::Tier::Ssd,
    };
    let request = v1::StartLoadRequest {
        index: args.index.clone(),
        path: path_text(&args.path)?,
        version: args.version.unwrap_or_default(),
        codes: tier(args.codes).into(),
        vectors: tier(args.vectors).into(),
        estimates: args.estimates,
    };
    let started = server.client.admin().start_load(request).await.map_err(server.told())?;
    let ended = wait(server, started.into_inner(), "loading", session).await?;
    show_opened(opened(ended).map_err(server.told())?, session)
}

pub(super) async fn switch(server: &Server, args: &SwitchArgs, session: &Session) -> anyhow::Result<()> {
    let request = v1::StartSwitchRequest {
        index: args.index.clone(),
        path: args.path.as_deref().map(path_text).transpose()?.unwrap_or_default(),
        version: args.version.unwrap_or_default(),
    };
    let started = server.client.admin().start_switch(request).await.map_err(server.told())?;
    let ended = wait(server, started.into_inner(), "switching", session).await?;
    show_opened(opened(ended).map_err(server.told())?, session)
}

/// A folder of the server as a message holds it.
fn path_text(path: &Path) -> anyhow::Result<String> {
    match path.to_str() {
        Some(text) => Ok(text.to_owned()),
        None => anyhow::bail!("{}: not in UTF-8, which a message cannot carry", path.display()),
    }
}

fn show_opened(opened: v1::Opened, session: &Session) -> anyhow::Result<()> {
    let index = opened.summary.unwrap_or_default();
    let before = opened.old_version.map_or_else(String::new, |old| format!(" in the place of version {old}"));
    let vectors = units::count(index.vectors);
    let not_remembered = Some(opened.not_remembered).filter(|why| !why.is_empty());
    let mut text = format!("{} serves version {}{before}, {vectors} vectors\n", index.name, index.version);
    if let Some(why) = &not_remembered {
        text += &format!("a restart of the server does not keep to it: {why}\n");
    }
    let json = json!({ "index": summary(&index), "old_version": opened.old_version, "not_remembered": not_remembered });
    session.show(&text, &json)
}

pub(super) async fn verify(server: &Server, args: &VerifyArgs, session: &Session) -> anyhow::Result<()> {
    let request = v1::StartVerifyRequest { index: args.index.clone(), deep: args.deep };
    let started = server.client.admin().start_verify(request).await.map_err(server.told())?;
    let ended = wait(server, started.into_inner(), "verifying", session).await?;
    let v1::Verified { whole, bytes, problem, version } = verified(ended).map_err(server.told())?;
    let size = units::bytes(bytes as f64); // CAST: shown to three digits
    let text = if whole {
        format!("good: version {version}, {size}\n")
    } else {
        format!("version {version}: {problem}\n")
    };
    let problem = (!whole).then_some(problem);
    session
        .show(&text, &json!({ "version": version, "whole": whole, "bytes": bytes, "problem": problem }))?;
    if whole { Ok(()) } else { anyhow::bail!("{} is not whole", args.index) }
}

/// Waits for the end of an operation and shows how far it is. A user who interrupts gives it up.
async fn wait(
    server: &Server,
    started: v1::Operation,
    phase: &str,
    session: &Session,
) -> anyhow::Result<v1::Operation> {
    let (id, meter) = (started.id, session.meter());
    meter.phase(phase, "bytes");
    let waiting = server.client.wait(started, |now| meter.set(now.done_bytes, now.total_bytes));
    let interrupted = async {
        while !session.is_stopped() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        ended = waiting => {
            meter.finish();
            ended.map_err(server.told())
        }
        () = interrupted => {
            let cancel = v1::CancelOperationRequest { id };
            server.client.admin().cancel_operation(cancel).await.map_err(server.told())?;
            anyhow::bail!("operation {id} was given up")
        }
    }
}

pub(super) async fn list(server: &Server, cancel: Option<u64>, session: &Session) -> anyhow::Result<()> {
    let mut admin = server.client.admin();
    let operations = match cancel {
        Some(id) => {
            let cancelled =
                admin.cancel_operation(v1::CancelOperationRequest { id }).await.map_err(server.told())?;
            vec![cancelled.into_inner()]
        }
        None => {
            let listed = admin.list_operations(v1::ListOperationsRequest {}).await.map_err(server.told())?;
            listed.into_inner().operations
        }
    };
    let mut table = TextTable::new();
    for (head, align) in [
        ("id", Align::Right),
        ("what", Align::Left),
        ("index", Align::Left),
        ("state", Align::Left),
        ("time", Align::Right),
        ("read", Align::Right),
        ("outcome", Align::Left),
    ] {
        table.column(head, align);
    }
    for operation in &operations {
        let read = (operation.done_bytes > 0).then(|| units::bytes(operation.done_bytes as f64)); // CAST: shown to three digits
        table.row(vec![
            Some(operation.id.to_string()),
            Some(kind(operation).to_owned()),
            Some(operation.index.clone()),
            Some(state(operation).to_owned()),
            Some(units::seconds(operation.seconds.into())),
            read,
            outcome(operation),
        ]);
    }
    let values: Vec<Value> = operations.iter().map(value).collect();
    session.show(&table.to_string(), &json!({ "operations": values }))
}

fn kind(operation: &v1::Operation) -> &'static str {
    match operation.kind() {
        v1::OperationKind::Load => "load",
        v1::OperationKind::Switch => "switch",
        v1::OperationKind::Verify => "verify",
        v1::OperationKind::Unspecified => "unknown",
    }
}

fn state(operation: &v1::Operation) -> &'static str {
    match operation.state() {
        v1::OperationState::Running => "running",
        v1::OperationState::Done => "done",
        v1::OperationState::Failed => "failed",
        v1::OperationState::Cancelled => "cancelled",
        v1::OperationState::Unspecified => "unknown",
    }
}

fn outcome(operation: &v1::Operation) -> Option<String> {
    Some(match operation.outcome.as_ref()? {
        Outcome::Opened(opened) => {
            format!("version {}", opened.summary.as_ref().map_or(0, |index| index.version))
        }
        Outcome::Verified(verified) if verified.whole => format!("version {} is whole", verified.version),
        Outcome::Verified(verified) => format!("version {}: {}", verified.version, verified.problem),
        Outcome::Error(error) => error.message.clone(),
    })
}

fn value(operation: &v1::Operation) -> Value {
    let (opened, verified, error) = match &operation.outcome {
        Some(Outcome::Opened(opened)) => (opened.summary.as_ref().map(summary), None, None),
        Some(Outcome::Verified(verified)) => (
            None,
            Some(
                json!({ "version": verified.version, "whole": verified.whole, "problem": verified.problem }),
            ),
            None,
        ),
        Some(Outcome::Error(error)) => (None, None, Some(error.message.clone())),
        None => (None, None, None),
    };
    json!({
        "id": operation.id,
        "kind": kind(operation),
        "index": operation.index,
        "state": state(operation),
        "seconds": short(operation.seconds),
        "done_bytes": operation.done_bytes,
        "total_bytes": operation.total_bytes,
        "opened": opened,
        "verified": verified,
        "error": error,
    })
}
