//! The demo's last step: a server of the index, asked over gRPC, gives the same answers.
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use spandrel_datasets::Rows;
use spandrel_engine::{Answer, SearchParams};
use spandrel_service::Server;

use crate::Session;
use crate::commands::input::InputArgs;
use crate::commands::remote::{Asking, Remote, answers};
use crate::commands::search::{Fit, PlaceArgs, open_engine, open_index, open_queries};
use crate::commands::serve::settings::{NamedDir, Settings, parse};
use crate::commands::serve::{runtime, serve};
use spandrel_client::{Client, ClientConfig, RetryPolicy};

/// Name the index is served under.
const NAME: &str = "demo";
const K: usize = 10;
/// Queries of a call.
const CALL: usize = 500;
const GRACE: Duration = Duration::from_secs(5);

fn indexes(index: &Path) -> [NamedDir; 1] {
    [NamedDir { name: NAME.to_owned(), dir: index.to_owned(), version: None }]
}

/// Answers that were the same from a server.
pub(super) struct Same {
    pub(super) answers: usize,
    /// Where the server listened.
    pub(super) address: String,
}

/// Serves the index on loopback, asks all queries, compares, and stops the server.
pub(super) fn compare(
    index: &Path,
    queries: &Path,
    input: &InputArgs,
    session: &Session,
) -> anyhow::Result<Same> {
    let opened = open_index(index, &PlaceArgs::default())?;
    let queries = Arc::new(Rows::read(&open_queries(Fit::of(&opened), input, queries, session)?)?);
    let k = K.min(usize::try_from(opened.vectors()).unwrap_or(K));
    let expected = {
        let engine = open_engine(&opened, spandrel_engine::EngineConfig::default(), session)?;
        engine.search_until(queries.bytes().into(), &SearchParams::new(k), &session.stop)?
    };
    let settings: Settings = parse(["--listen=127.0.0.1:0", "--metrics=off"])?;
    let config = settings.config(&indexes(index), &[])?;
    runtime()?.block_on(async {
        let mut server = Server::start(config).await?;
        server.open_indexes().await?;
        let address = server.listen().to_string();
        let found = ask(&address, Arc::clone(&queries), k as u32).await?; // CAST: at most K
        let cut = server.stop(Duration::ZERO, GRACE).await;
        anyhow::ensure!(cut == 0, "{cut} calls were cut short as the server stopped");
        let differs = expected.iter().zip(&found).position(|(a, b)| a.neighbours != b.neighbours);
        anyhow::ensure!(
            expected.len() == found.len(),
            "{} answers to {} queries",
            found.len(),
            expected.len()
        );
        if let Some(number) = differs {
            anyhow::bail!("the server's answer to query {number} differs from the one found in this process");
        }
        Ok(Same { answers: found.len(), address })
    })
}

async fn ask(address: &str, queries: Arc<Rows>, k: u32) -> anyhow::Result<Vec<Answer>> {
    let config = ClientConfig {
        address: address.to_owned(),
        retry: RetryPolicy::default(),
        ..ClientConfig::default()
    };
    let client = Client::new(&config)?;
    let remote = Arc::new(Remote::open(std::slice::from_ref(&client), address, NAME).await?);
    let (options, filters) = Default::default();
    let (united, duplicates) = Default::default();
    let asking = Asking {
        remote,
        united,
        duplicates,
        queries,
        column: None,
        documents: None,
        k,
        options,
        filters,
        first: 0,
    };
    let (mut found, total) = (Vec::new(), asking.count());
    for first in (0..total).step_by(CALL) {
        let response = client.search_batch(asking.many(first..(first + CALL).min(total))).await?;
        found.extend(answers(&response));
    }
    Ok(found)
}

/// Serves the index until the process is told to stop.
pub(super) fn keep_up(index: &Path, session: &Session) -> anyhow::Result<()> {
    let settings: Settings = parse([""; 0])?;
    serve(settings.config(&indexes(index), &[])?, &settings, session)
}
