//! `spandrel serve`: answers queries over gRPC until it is told to stop.
mod log;
pub(super) mod settings;

use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::thread::available_parallelism;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use spandrel_service::{Server, ServerConfig};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use self::settings::{Flags, NamedDir, Settings, SettingsFile};
use crate::Session;
use crate::failure::OutputClosed;

/// Serve indexes over gRPC.
///
/// Both ports answer from the start; while indexes load, health is NOT_SERVING, /readyz says how far it is, and calls are
/// UNAVAILABLE. Prints a line when it is ready. Ends with 0 after SIGTERM or Ctrl-C, when the calls under way are done; a second
/// signal ends it at once. Flags go before the environment, which goes before the file.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// An index to serve, and the name to serve it under: 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-'. NAME=DIR@N serves its
    /// version N. Several are allowed.
    #[arg(long, value_name = "NAME=DIR")]
    pub index: Vec<NamedDir>,
    /// A TOML file of settings: `[server]` with the names of these flags, `_` for `-`, and `[[index]]` with name, path and,
    /// if wanted, version, codes, vectors and distances. Names are as with --index. Unknown keys are refused.
    #[arg(long, value_name = "FILE", env = "SPANDREL_CONFIG")]
    pub config: Option<PathBuf>,
    /// Check settings, certificates, tokens and indexes, and end.
    #[arg(long)]
    pub check: bool,
    /// Everything else.
    #[command(flatten)]
    pub settings: Flags<Settings>,
}

pub(super) fn run(args: &ServeArgs, session: &Session) -> anyhow::Result<()> {
    let file = args.config.as_deref().map(SettingsFile::read).transpose()?.unwrap_or_default();
    let settings = file.settings(&args.settings)?;
    let config = settings.config(&args.index, file.indexes())?;
    for warning in config.warnings() {
        session.note(&format!("warning: {warning}"));
    }
    if args.check {
        config.check()?;
        let mut opened = Vec::new();
        for index in &config.indexes {
            let found = index.open(&session.stop).with_context(|| format!("index '{}'", index.name))?;
            let (version, vectors) = (found.manifest().version, found.vectors());
            let name = &index.name;
            session.note(&format!(
                "index '{name}': version {version}, {vectors} vectors, whole as far as opening tells"
            ));
            opened.push(json!({ "name": name, "version": version, "vectors": vectors }));
        }
        return session.show("the settings are good\n", &json!({ "indexes": opened }));
    }
    serve(config, &settings, session)
}

/// Serves until the process is told to stop.
pub(super) fn serve(config: ServerConfig, settings: &Settings, session: &Session) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let _log = log::start(settings, session)?;
        // Asked for before serving, so that no signal is lost.
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let mut server = Server::start(config).await?;
        if let Some(metrics) = server.metrics() {
            session.note(&format!("metrics on http://{metrics}/metrics"));
        }
        let mut told_to_stop = pin!(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        let opened = tokio::select! {
            opened = server.open_indexes() => Some(opened),
            () = &mut told_to_stop => None,
        };
        if let Some(opened) = opened {
            opened?;
            let ready = json!({ "listen": server.listen(), "metrics": server.metrics() });
            match session.show(&format!("listening on {}\n", server.listen()), &ready) {
                // Whoever reads the output may have seen enough.
                Err(error) if error.is::<OutputClosed>() => {}
                printed => printed?,
            }
            told_to_stop.await;
        }
        session.note("stopping");
        let cut = server.stop(settings.drain(), settings.grace()).await;
        if cut > 0 {
            session.note(&format!("{cut} calls were cut short after {} seconds", settings.grace().as_secs()));
        }
        Ok(())
    })
}

/// A thread for each processor.
pub(super) fn runtime() -> io::Result<Runtime> {
    let threads = available_parallelism().map_or(1, usize::from);
    Builder::new_multi_thread().worker_threads(threads).thread_name("wire").enable_all().build()
}
