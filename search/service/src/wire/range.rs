//! Answers within a radius, a message at a time.
use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use spandrel_proto::v1::{SearchRangeRequest, SearchRangeResponse};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::convert;
use crate::call::Call;
use crate::ledger::{Entry, Room};
use crate::refusal::Refusal;
use crate::search::{Ranges, Searcher};

/// Vectors of one message, at most; few parts of a search have more.
const RESULTS_MAX: usize = 1 << 14;
/// Bytes of a vector in a message: an id, a distance, whether that is an estimate, the number of its index.
const RESULT_BYTES: usize = 10 + 4 + 1 + 1;
/// Bytes of a message besides.
const MESSAGE_REST: usize = 512;

/// Most bytes of a message with this number of vectors.
const fn bytes_of(results: usize) -> usize {
    results * RESULT_BYTES + MESSAGE_REST
}

/// How soon it is looked again whether there is room.
const ROOM_AGAIN: Duration = Duration::from_millis(20);

type Item = Result<SearchRangeResponse, Status>;

/// Answers one query. The next part is searched when the message before the last was taken in: a client that reads slowly
/// keeps two messages here, and no search thread.
pub(super) async fn serve(
    searcher: &dyn Searcher,
    request: SearchRangeRequest,
    message_bytes: usize,
    entry: Arc<Entry>,
) -> Result<ReceiverStream<Item>, Refusal> {
    let with_work = request.with_work;
    let ranges = searcher.within(convert::within(request)?, Call::of(&entry)).await?;
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let end = tokio::select! {
            end = answer(ranges, Form { with_work, message_bytes }, &sender, &entry) => end,
            () = sender.closed() => Ok(()),
            refusal = entry.revoked_or_late() => Err(refusal),
        };
        if let Err(refusal) = end {
            // Nobody may be listening any more.
            drop(sender.send(Err(refusal.into())).await);
        }
    });
    Ok(ReceiverStream::new(receiver))
}

/// Room for bytes of a message. Once an answer has begun it waits where others hold too many.
async fn room_for(bytes: usize, entry: &Entry, is_first: bool) -> Result<Room<'_>, Refusal> {
    loop {
        match entry.room(bytes, "radius") {
            Err(Refusal::Bytes { .. }) if !is_first => sleep(ROOM_AGAIN).await,
            room => return room,
        }
    }
}

/// What the messages are like.
#[derive(Debug, Clone, Copy)]
struct Form {
    /// Whether the last says what the search took.
    with_work: bool,
    /// Most bytes of one.
    message_bytes: usize,
}

async fn answer(
    mut ranges: Ranges,
    form: Form,
    sender: &mpsc::Sender<Item>,
    entry: &Entry,
) -> Result<(), Refusal> {
    let call = Call::of(entry);
    let of_message = form.message_bytes.saturating_sub(MESSAGE_REST) / RESULT_BYTES;
    let results_max = of_message.clamp(1, RESULTS_MAX);
    let best = entry.room(ranges.held_bytes(), "max_results")?;
    // The first part of an index finds its lists.
    let mut lists: Option<(usize, Room<'_>)> = None;
    loop {
        let room = room_for(bytes_of(RESULTS_MAX), entry, lists.is_none()).await?;
        let Some(found) = ranges.next().await? else { break };
        let (number, list_bytes) = ranges.lists();
        if lists.as_ref().is_none_or(|&(of, _)| of != number) {
            // Those of the index before go first.
            drop(lists.take());
            lists = Some((number, room_for(list_bytes, entry, number == 0).await?));
        }
        let mut room = Some(room);
        let mut indexes = found.indexes.chunks(results_max);
        for found in found.neighbours.chunks(results_max) {
            let room = match room.take() {
                Some(room) => room,
                None => room_for(bytes_of(found.len()), entry, false).await?,
            };
            let message = convert::part(found, indexes.next().unwrap_or_default());
            room.settle(message.encoded_len());
            // Whoever does not listen any more ends the call.
            drop(sender.send(Ok(message)).await);
        }
    }
    drop(best);
    let end = convert::end(&ranges.end(call)?, form.with_work);
    room_for(MESSAGE_REST, entry, false).await?.settle(end.encoded_len());
    drop(sender.send(Ok(end)).await);
    Ok(())
}
