//! Streams of queries: answered as they finish, each with a status of its own.
use std::sync::Arc;
use std::time::{Duration, Instant};

use spandrel_proto::v1::search_stream_response::Result as ItemResult;
use spandrel_proto::v1::{ItemStatus, SearchStreamRequest, SearchStreamResponse};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::{Status, Streaming};

use crate::deadline::{Call, far_off};
use crate::refusal::Refusal;
use crate::search::Searcher;

type Item = Result<SearchStreamResponse, Status>;

/// When the stream as a whole has to be over, if its client says.
pub(crate) fn deadline(metadata: &MetadataMap) -> Instant {
    Call::of(metadata, far_off()).deadline
}

/// Answers a stream. What the client does not take in keeps further queries from being read, and so the client from
/// sending them.
pub(crate) fn serve(
    searcher: Searcher,
    queries: Streaming<SearchStreamRequest>,
    deadline: Instant,
) -> ReceiverStream<Item> {
    let (sender, receiver) = mpsc::channel(searcher.limits.stream_window);
    tokio::spawn(async move {
        let _work = searcher.stopping.work();
        let end = tokio::select! {
            end = answer_all(&searcher, queries, &sender, deadline) => end,
            () = sender.closed() => Ok(()),
            () = tokio::time::sleep_until(deadline.into()) => Err(Refusal::Deadline.into()),
        };
        if let Err(status) = end {
            // Nobody may be listening any more.
            drop(sender.send(Err(status)).await);
        }
    });
    ReceiverStream::new(receiver)
}

/// Reads queries until the client has no more, or the server is to stop; returns when all are answered.
async fn answer_all(
    searcher: &Searcher,
    mut queries: Streaming<SearchStreamRequest>,
    sender: &mpsc::Sender<Item>,
    deadline: Instant,
) -> Result<(), Status> {
    let window = searcher.limits.stream_window;
    let places = Arc::new(Semaphore::new(window));
    let everything = u32::try_from(window).unwrap_or(u32::MAX);
    let mut end = Ok(());
    loop {
        // Never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
        let next = tokio::select! {
            next = queries.message() => next?,
            () = searcher.stopping.asked() => {
                end = Err(Refusal::Stopping.into());
                None
            }
        };
        let Some(SearchStreamRequest { tag, request }) = next else { break };
        let (searcher, sender) = (searcher.clone(), sender.clone());
        tokio::spawn(async move {
            let answered = tokio::select! {
                answered = answer(&searcher, tag, request, deadline) => answered,
                () = sender.closed() => return,
            };
            drop(sender.send(Ok(answered)).await);
            drop(place);
        });
    }
    // Each place comes back when its answer is on its way.
    drop(places.acquire_many(everything).await);
    end
}

async fn answer(
    searcher: &Searcher,
    tag: u64,
    request: Option<spandrel_proto::v1::SearchRequest>,
    deadline: Instant,
) -> SearchStreamResponse {
    let arrival = Instant::now();
    let call = Call { arrival, deadline: deadline.min(arrival + searcher.limits.request) };
    let result = match request {
        None => Err(Refusal::field("request", "not set")),
        Some(request) => searcher.one(request, call).await,
    };
    let result = match result {
        Ok(answer) => ItemResult::Answer(answer),
        Err(refusal) => ItemResult::Status(status(&refusal)),
    };
    SearchStreamResponse { tag, result: Some(result) }
}

fn status(refusal: &Refusal) -> ItemStatus {
    let retry_after_ms = refusal.retry_after().map_or(0, |after: Duration| after.as_millis() as u32); // CAST: seconds
    ItemStatus { code: refusal.code() as i32, message: refusal.to_string(), retry_after_ms } // CAST: the enum's code
}
