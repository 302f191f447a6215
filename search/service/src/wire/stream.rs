//! Streams of queries: answered as they finish, each with a status of its own.
use std::sync::Arc;
use std::time::Duration;

use spandrel_proto::v1::search_stream_response::Result as ItemResult;
use spandrel_proto::v1::{SearchRequest, SearchStreamRequest, SearchStreamResponse};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout_at;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::items;
use crate::call::Call;
use crate::ledger::Entry;
use crate::refusal::{Refusal, of_request};
use crate::search::Searcher;

/// How streams are bounded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Queries under way at once.
    pub(crate) window: usize,
    /// Longest time of one query.
    pub(crate) longest: Duration,
}

type Item = Result<SearchStreamResponse, Status>;

/// Answers a stream. What the client does not take in keeps further queries from being read, and so the client from
/// sending them.
pub(crate) fn serve(
    searcher: Arc<dyn Searcher>,
    bounds: Bounds,
    queries: Streaming<SearchStreamRequest>,
    entry: Arc<Entry>,
) -> ReceiverStream<Item> {
    let (sender, receiver) = mpsc::channel(bounds.window);
    tokio::spawn(async move {
        let end = tokio::select! {
            end = answer_all(&searcher, bounds, queries, &sender, &entry) => end,
            () = sender.closed() => Ok(()),
            refusal = entry.revoked_or_late() => Err(refusal.into()),
        };
        if let Err(status) = end {
            // Nobody may be listening any more.
            drop(sender.send(Err(status)).await);
        }
    });
    ReceiverStream::new(receiver)
}

/// Reads queries until the client has no more, or the connection is to end; returns when all are answered.
async fn answer_all(
    searcher: &Arc<dyn Searcher>,
    bounds: Bounds,
    mut queries: Streaming<SearchStreamRequest>,
    sender: &mpsc::Sender<Item>,
    entry: &Arc<Entry>,
) -> Result<(), Status> {
    let places = Arc::new(Semaphore::new(bounds.window));
    let everything = u32::try_from(bounds.window).unwrap_or(u32::MAX);
    let mut end = Ok(());
    loop {
        // Never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
        let next = tokio::select! {
            next = queries.message() => next.map_err(of_request)?,
            refusal = entry.ended() => {
                end = Err(refusal.into());
                None
            }
        };
        let Some(SearchStreamRequest { tag, request }) = next else { break };
        // Until its answer is on its way.
        let held = entry.message();
        let (searcher, sender, entry) = (Arc::clone(searcher), sender.clone(), Arc::clone(entry));
        tokio::spawn(async move {
            let of_stream = Call::of(&entry);
            let call =
                Call { deadline: of_stream.deadline.min(of_stream.arrival + bounds.longest), ..of_stream };
            let answered = tokio::select! {
                answered = answer(&*searcher, tag, request, call) => answered,
                () = sender.closed() => return,
            };
            drop(held);
            drop(sender.send(Ok(answered)).await);
            drop(place);
        });
    }
    // Each place comes back when its answer is on its way.
    drop(places.acquire_many(everything).await);
    end
}

async fn answer(
    searcher: &dyn Searcher,
    tag: u64,
    request: Option<SearchRequest>,
    call: Call<'_>,
) -> SearchStreamResponse {
    let result = match request {
        None => Err(Refusal::field("request", "not set")),
        Some(request) => {
            let one = timeout_at(call.deadline.into(), items::one(searcher, request, call));
            one.await.unwrap_or(Err(Refusal::Deadline))
        }
    };
    let result = match result {
        Ok(answer) => ItemResult::Answer(answer),
        Err(refusal) => ItemResult::Status(items::item_status(&refusal.into())),
    };
    SearchStreamResponse { tag, result: Some(result) }
}
