//! `spandrel query --server`: the nearest vectors, as a server finds them.
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use spandrel_datasets::{Converted, Rows, VectorFile};
use spandrel_engine::{Duplicates, UnionAnswer};
use spandrel_index::VectorSource as _;
use spandrel_index::documents::DocumentOffsets;
use spandrel_proto::v1;
use tonic::{Code, Status};

use super::answer::{all_united, item, united};
use super::asking::{Asking, BATCH, options};
use super::patience::{Connection, Patience};
use super::{Remote, Rpc, ServerArgs, told};
use crate::commands::column::ColumnQueriesArgs;
use crate::commands::documents::QueryDocumentsArgs;
use crate::commands::embedding::QueryEmbeddingArgs;
use crate::commands::filter::FilterArgs;
use crate::commands::input::InputArgs;
use crate::commands::neighbour_attributes::NeighbourAttributeArgs;
use crate::commands::search::open_queries;
use crate::commands::search::read_batch;
use crate::commands::serve::runtime;
use crate::figures::PointParams;
use crate::{Advised, Session};
use spandrel_client::{Client, check_united};

/// What is asked.
pub(in crate::commands) struct Query<'a> {
    pub(in crate::commands) queries: &'a Path,
    pub(in crate::commands) input: InputArgs,
    pub(in crate::commands) column: &'a ColumnQueriesArgs,
    pub(in crate::commands) documents: &'a QueryDocumentsArgs,
    pub(in crate::commands) embedding: &'a QueryEmbeddingArgs,
    /// What an id means that several indexes have.
    pub(in crate::commands) duplicates: Duplicates,
    pub(in crate::commands) k: u32,
    pub(in crate::commands) params: PointParams,
    pub(in crate::commands) distances: spandrel_engine::Distances,
    pub(in crate::commands) explain: bool,
    pub(in crate::commands) filter: &'a FilterArgs,
    pub(in crate::commands) attributes: &'a NeighbourAttributeArgs,
    /// Most queries asked a second.
    pub(in crate::commands) rate: Option<f64>,
}

/// Answers to some queries of a file.
pub(in crate::commands) struct Part<'a> {
    /// Number of the first query.
    pub(in crate::commands) first: u64,
    pub(in crate::commands) answers: Vec<UnionAnswer>,
    /// Names of the attributes that neighbours have.
    pub(in crate::commands) attributes: &'a [String],
}

/// Asks a server, a few calls at a time; hands over the answers in order. How many are not whole.
pub(in crate::commands) fn ask(
    server: &ServerArgs,
    query: &Query<'_>,
    session: &Session,
    mut each: impl FnMut(Part<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<usize> {
    let config = server.patient_config()?;
    runtime()?.block_on(async {
        let clients = server.clients(&config)?;
        let remote = Arc::new(Remote::open(&clients, &config.address, server.index_name()).await?);
        let file = open_queries(remote.fit(), &query.input, query.queries, session)?;
        let fit = remote.column(query.column.compare_by())?.map(|(fit, _)| fit);
        let column = query.column.open(fit, &query.input, file.len(), session)?;
        let has_documents = remote.about.documents.is_some();
        let documents = query.documents.read(&config.address, has_documents, file.len())?;
        if let (Rpc::Stream, Some(documents)) = (server.rpc, &documents) {
            check_streamed(documents, file.dtype().row_bytes(file.dim()))?;
        }
        let total = documents.as_ref().map_or(file.len(), |documents| documents.documents() as u64); // CAST: widening
        let filters = Arc::new(query.filter.wire(total)?);
        // The server may have attributes of a type that is not known here: only who asks for some needs it.
        let attributes = match &query.attributes.with_attributes {
            Some(_) => query.attributes.choose(&remote.schema()?)?,
            None => None,
        };
        let names = attributes.map(|numbers| remote.attribute_names(&numbers));
        let with_attributes = names.clone().map(|names| v1::AttributeSelection { names });
        let names = names.unwrap_or_default();
        let mut asker = Asker {
            clients,
            rpc: server.rpc,
            address: &config.address,
            pace: Pace::new(query.rate),
            patience: Patience::new(&session.stop),
        };
        let meter = session.meter();
        meter.phase("searching", "queries");
        let (mut first, mut incomplete) = (0, 0);
        let at_once = if documents.is_some() { DOCUMENTS_AT_ONCE } else { READ_AT_ONCE };
        while first < total {
            let count = at_once.min(total - first);
            let numbers = first as usize..(first + count) as usize; // CAST: usize is 64 bits here
            let part = documents.as_ref().map(|documents| documents.part(numbers.clone()));
            let (start, rows) = match (&documents, &part) {
                (Some(documents), Some(part)) => (documents.rows_of(numbers.start).start.into(), part.rows()),
                _ => (first, count),
            };
            let asking = Asking {
                remote: Arc::clone(&remote),
                united: server.united(),
                duplicates: query.duplicates,
                queries: read_rows(&file, start, rows)?,
                documents: part.map(Arc::new),
                column: column.as_ref().map(|file| read_rows(file, first, count)).transpose()?,
                k: query.k,
                filters: Arc::clone(&filters),
                first: first as usize, // CAST: usize is 64 bits here
                options: v1::SearchOptions {
                    explain: query.explain,
                    with_attributes: with_attributes.clone(),
                    embedding_version: query.embedding.embedding_version.clone(),
                    ..options(&query.params, query.distances, false)
                },
            };
            let answers = asker.part(first, &asking, session).await?;
            incomplete += answers.iter().filter(|of| of.answer.missing.parts() > 0).count();
            each(Part { first, answers, attributes: &names })?;
            first += count;
            meter.set(first, total);
        }
        meter.finish();
        asker.patience.tell(session);
        Ok(incomplete)
    })
}

/// `count` rows of a file from `first` on.
fn read_rows(file: &Converted<VectorFile>, first: u64, count: u64) -> anyhow::Result<Arc<Rows>> {
    Ok(Arc::new(Rows::new(file.dtype(), file.dim(), read_batch(file, first, count)?)?))
}

/// Bytes that a server takes in a message of a stream, and those of it besides vectors.
const STREAM_BYTES: usize = 128 << 10;
const STREAM_REST: usize = 1 << 10;

/// Refuses a document that no message of a stream can carry: it would end the stream with all queries in it.
fn check_streamed(documents: &DocumentOffsets, row_bytes: usize) -> anyhow::Result<()> {
    let bytes = |document| documents.rows_of(document).len() * row_bytes;
    let limit = STREAM_BYTES - STREAM_REST;
    match (0..documents.documents()).find(|&document| bytes(document) > limit) {
        None => Ok(()),
        Some(document) => {
            let message = format!(
                "query document {document} has {} vectors, {} bytes; a stream takes {limit} in a message",
                documents.rows_of(document).len(),
                bytes(document)
            );
            Err(Advised::new(message, "give --rpc batch, or --rpc unary").into())
        }
    }
}

/// Queries read at a time, and query documents.
const READ_AT_ONCE: u64 = 4096;
const DOCUMENTS_AT_ONCE: u64 = 512;

impl Rpc {
    /// Queries of a call, and calls under way at once on a connection.
    fn portions(self) -> (usize, usize) {
        match self {
            Rpc::Unary => (1, 64),
            Rpc::Batch => (BATCH, 4),
            Rpc::Stream => (1024, 1),
        }
    }
}

struct Asker<'a> {
    clients: Vec<Client>,
    rpc: Rpc,
    address: &'a str,
    pace: Pace,
    patience: Arc<Patience>,
}

impl Asker<'_> {
    /// The answers to queries of which the first is number `first` of the file.
    async fn part(
        &mut self,
        first: u64,
        asking: &Asking,
        session: &Session,
    ) -> anyhow::Result<Vec<UnionAnswer>> {
        let total = asking.count();
        let (queries, calls_of_connection) = self.rpc.portions();
        let queries = if self.rpc == Rpc::Batch { asking.batch() } else { queries };
        let mut calls = std::collections::VecDeque::new();
        let mut starts = (0..total).step_by(queries).zip((0..self.clients.len()).cycle());
        let mut found = Vec::with_capacity(total);
        loop {
            while calls.len() < calls_of_connection * self.clients.len()
                && let Some((start, connection)) = starts.next()
            {
                let numbers = start..(start + queries).min(total);
                self.pace.wait(numbers.len()).await;
                let connection = Connection {
                    client: self.clients[connection].clone(),
                    patience: Arc::clone(&self.patience),
                };
                let call = call(connection, asking.clone(), self.rpc, numbers.clone());
                calls.push_back((numbers, tokio::spawn(call)));
            }
            let Some((numbers, call)) = calls.pop_front() else { return Ok(found) };
            if session.stop.load(Ordering::Relaxed) {
                anyhow::bail!("stopped with {} queries answered", first + found.len() as u64); // CAST: widening
            }
            match call.await? {
                Ok(answers) => found.extend(answers),
                Err(status) if status.code() == Code::InvalidArgument => {
                    let start = first + numbers.start as u64; // CAST: widening
                    let message = format!(
                        "of the {} queries from number {start} on: {}",
                        numbers.len(),
                        status.message()
                    );
                    return Err(Advised::new(message, "change that, and ask again").into());
                }
                Err(status) => return Err(told(self.address)(status)),
            }
        }
    }
}

/// Answers to the queries `numbers`, in order.
async fn call(
    connection: Connection,
    asking: Asking,
    rpc: Rpc,
    numbers: Range<usize>,
) -> Result<Vec<UnionAnswer>, Status> {
    match rpc {
        Rpc::Batch if !asking.has_own_filters() => {
            let ask = || connection.client.search_batch(asking.many(numbers.clone()));
            Ok(all_united(&connection.patience.call(ask).await?))
        }
        Rpc::Batch | Rpc::Unary => {
            let none = numbers.map(|number| (number, None)).collect();
            one_by_one(&connection, &asking, none).await
        }
        Rpc::Stream => {
            let found = stream(&connection, &asking, numbers.clone()).await?;
            one_by_one(&connection, &asking, numbers.zip(found).collect()).await
        }
    }
}

/// Asks for the answers that are missing.
async fn one_by_one(
    connection: &Connection,
    asking: &Asking,
    found: Vec<(usize, Option<UnionAnswer>)>,
) -> Result<Vec<UnionAnswer>, Status> {
    let mut all = Vec::with_capacity(found.len());
    for (number, found) in found {
        all.push(match found {
            Some(answer) => answer,
            None => united(&connection.patience.call(|| connection.client.search(asking.one(number))).await?),
        });
    }
    Ok(all)
}

/// What a stream answers to the queries `numbers`. Missing is what it refuses for the moment, and what it did not come to
/// before it broke off.
async fn stream(
    connection: &Connection,
    asking: &Asking,
    numbers: Range<usize>,
) -> Result<Vec<Option<UnionAnswer>>, Status> {
    let Connection { client, patience } = connection;
    let (start, mut found, several) = (numbers.start, vec![None; numbers.len()], asking.united.len());
    let ask = {
        let asking = asking.clone();
        move |number| v1::SearchStreamRequest { tag: number as u64, request: Some(asking.one(number)) } // CAST: widening
    };
    let passes = |status: &Status| {
        patience.pause(status).is_some()
            || matches!(status.code(), Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded)
    };
    patience.asked(numbers.len() as u64); // CAST: widening
    let mut answered = match client.search_stream(tokio_stream::iter(numbers.map(ask)), None).await {
        Ok(answered) => answered,
        Err(status) if passes(&status) => return Ok(found),
        Err(status) => return Err(status),
    };
    loop {
        let v1::SearchStreamResponse { tag, result } = match answered.message().await {
            Ok(Some(response)) => response,
            Ok(None) => return Ok(found),
            Err(status) if passes(&status) => return Ok(found),
            Err(status) => return Err(status),
        };
        let place = usize::try_from(tag).ok().and_then(|number| found.get_mut(number.checked_sub(start)?));
        let Some(place) = place else {
            return Err(Status::internal(format!(
                "an answer to query {tag} of a stream, which was not asked"
            )));
        };
        match item(result, |response| (united(response), response.versions.len())) {
            Ok((answer, versions)) => {
                check_united(several, versions)?;
                *place = Some(answer);
            }
            Err(status) if passes(&status) => {}
            Err(status) => return Err(status),
        }
    }
}

/// Keeps to a rate.
struct Pace {
    rate: Option<f64>,
    due: Instant,
}

impl Pace {
    fn new(rate: Option<f64>) -> Pace {
        Pace { rate, due: Instant::now() }
    }

    /// Waits until `queries` more queries may be asked.
    async fn wait(&mut self, queries: usize) {
        let Some(rate) = self.rate else { return };
        tokio::time::sleep_until(self.due.into()).await;
        self.due = self.due.max(Instant::now()) + Duration::from_secs_f64(queries as f64 / rate); // CAST: exact
    }
}
