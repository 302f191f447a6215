//! `spandrel query --server`: the nearest vectors, as a server finds them.
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use spandrel_datasets::Rows;
use spandrel_engine::Answer;
use spandrel_index::VectorSource as _;
use tonic::Code;

use super::{Asking, BATCH, Remote, ServerArgs, answers, options, told};
use crate::client::{Client, ClientConfig, RetryPolicy};
use crate::commands::serve::runtime;
use crate::figures::PointParams;
use crate::{Advised, Session};

/// What is asked.
pub(in crate::commands) struct Query<'a> {
    pub(in crate::commands) queries: &'a Path,
    pub(in crate::commands) k: u32,
    pub(in crate::commands) params: PointParams,
    pub(in crate::commands) distances: spandrel_engine::Distances,
}

/// Asks a server, a few calls at a time; hands over the answers in order, with the number of the first. How many are not
/// whole.
pub(in crate::commands) fn ask(
    server: &ServerArgs,
    query: &Query<'_>,
    session: &Session,
    mut each: impl FnMut(u64, Vec<Answer>) -> anyhow::Result<()>,
) -> anyhow::Result<usize> {
    let Some(config) = server.config(RetryPolicy::default())? else {
        unreachable!("asked only with a server")
    };
    runtime()?.block_on(async {
        let client = Client::new(&config)?;
        let remote = Arc::new(Remote::open(&client, &config.address, server.index_name()).await?);
        let file = remote.open_queries(query.queries)?;
        let meter = session.meter();
        meter.phase("searching", "queries");
        let (mut first, mut incomplete) = (0, 0);
        while first < file.len() {
            let count = READ_AT_ONCE.min(file.len() - first);
            let mut bytes = vec![0; count as usize * file.row_bytes()]; // CAST: at most READ_AT_ONCE
            file.read_rows(first, &mut bytes)?;
            let rows = Arc::new(Rows::new(file.dtype(), file.dim(), bytes)?);
            let asking = Asking {
                remote: Arc::clone(&remote),
                queries: rows,
                k: query.k,
                options: options(&query.params, query.distances, false),
            };
            let found = part(&client, &config, &asking, session).await?;
            incomplete += found.iter().filter(|answer| answer.damaged > 0).count();
            each(first, found)?;
            first += count;
            meter.set(first, file.len());
        }
        meter.finish();
        Ok(incomplete)
    })
}

/// Queries read at a time.
const READ_AT_ONCE: u64 = 4096;
/// Calls under way at once.
const CALLS: usize = 4;

async fn part(
    client: &Client,
    config: &ClientConfig,
    asking: &Asking,
    session: &Session,
) -> anyhow::Result<Vec<Answer>> {
    let total = asking.count();
    let mut calls = std::collections::VecDeque::new();
    let mut starts = (0..total).step_by(BATCH);
    let mut found = Vec::with_capacity(total);
    loop {
        while calls.len() < CALLS
            && let Some(start) = starts.next()
        {
            let (client, request) = (client.clone(), asking.many(start..(start + BATCH).min(total)));
            calls.push_back((start, tokio::spawn(async move { client.search_batch(request).await })));
        }
        let Some((start, call)) = calls.pop_front() else { return Ok(found) };
        if session.stop.load(Ordering::Relaxed) {
            anyhow::bail!("stopped with {} of {total} queries answered", found.len());
        }
        match call.await? {
            Ok(response) => found.extend(answers(&response)),
            Err(status) if status.code() == Code::InvalidArgument => {
                let message = format!("of the {BATCH} queries from number {start} on: {}", status.message());
                return Err(Advised::new(message, "change that, and ask again").into());
            }
            Err(status) => return Err(told(&config.address)(status)),
        }
    }
}
