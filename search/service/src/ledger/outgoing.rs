//! An answer's body as it is written: its bytes are counted until the connection has sent them.
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tonic::{Code, Status};

use super::Entry;
use super::entry::Held;
use crate::refusal::Refusal;

/// Bytes handed to the connection at a time: what it waits to send while the client reads nothing.
const PIECE: usize = 64 << 10;

/// An answer's body.
pub(crate) struct Outgoing {
    body: tonic::body::Body,
    entry: Arc<Entry>,
    /// What is left of the last data, and the count of its bytes, which are in memory until the last piece of them is written.
    rest: Bytes,
    held: Option<Share>,
    /// Ends what would go on for as long as its client likes.
    over: Option<Pin<Box<dyn Future<Output = Refusal> + Send>>>,
}

/// A part of some data. The connection drops it when it is written, or when the stream is over.
struct Piece {
    bytes: Bytes,
    held: Share,
}

/// What a piece holds of the count of the data's bytes.
enum Share {
    /// It is the only one.
    Whole(Held),
    /// The last of several that goes gives the count back.
    Part(Arc<Held>),
}

impl Share {
    fn entry(&self) -> &Entry {
        match self {
            Share::Whole(held) => &held.entry,
            Share::Part(held) => &held.entry,
        }
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.held.entry().written();
    }
}

impl Outgoing {
    pub(crate) fn new(body: tonic::body::Body, entry: Arc<Entry>) -> Outgoing {
        let is_endless = entry.method.is_small() && entry.method.is_stream();
        let of_call = Arc::clone(&entry);
        let over = is_endless.then(|| Box::pin(async move { of_call.over().await }) as _);
        Outgoing { body, entry, rest: Bytes::new(), held: None, over }
    }

    fn data(&mut self, data: Bytes) {
        self.entry.answered();
        let bytes = data.len();
        self.entry.take_answer(bytes);
        self.rest = data;
        let held = Held { entry: Arc::clone(&self.entry), bytes };
        self.held = Some(if bytes <= PIECE { Share::Whole(held) } else { Share::Part(Arc::new(held)) });
    }

    /// The next piece of the data there is.
    fn piece(&mut self) -> Option<Frame<Bytes>> {
        let held = self.held.take()?;
        let bytes = self.rest.split_to(self.rest.len().min(PIECE));
        self.entry.handed_over();
        if let (Share::Part(held), false) = (&held, self.rest.is_empty()) {
            self.held = Some(Share::Part(Arc::clone(held)));
        }
        Some(Frame::data(Bytes::from_owner(Piece { bytes, held })))
    }

    fn trailers(&self, trailers: HeaderMap) -> Frame<Bytes> {
        let code =
            trailers.get(Status::GRPC_STATUS).map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()));
        self.entry.count(code);
        Frame::trailers(trailers)
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if let Some(piece) = this.piece() {
            return Poll::Ready(Some(Ok(piece)));
        }
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                let frame = match frame.into_data() {
                    Ok(data) => {
                        this.data(data);
                        this.piece()
                    }
                    Err(frame) => frame.into_trailers().ok().map(|trailers| this.trailers(trailers)),
                };
                Poll::Ready(frame.map(Ok))
            }
            Poll::Pending => {
                let Some(over) = &mut this.over else { return Poll::Pending };
                let refusal = ready!(over.as_mut().poll(context));
                this.over = None;
                this.body = tonic::body::Body::empty();
                let mut trailers = HeaderMap::new();
                let added = Status::from(refusal).add_header(&mut trailers);
                Poll::Ready(Some(added.map(|()| this.trailers(trailers))))
            }
            end => end,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.held.is_none() { self.body.size_hint() } else { SizeHint::default() }
    }
}
