//! A request's body as it is read: its bytes are counted, and it has to come in time.
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};
use tonic::{Code, Status};

use super::Entry;
use super::framing::Framing;
use crate::refusal::Refusal;

/// A request's body.
///
/// tonic asks for more only when it has handed out every complete message, so that at that moment it holds what is
/// partial and no more.
pub(crate) struct Incoming {
    body: hyper::body::Incoming,
    entry: Arc<Entry>,
    framing: Framing,
    /// When the message that is on its way has taken too long.
    late: Option<Pin<Box<Sleep>>>,
}

impl Incoming {
    pub(crate) fn new(body: hyper::body::Incoming, entry: Arc<Entry>) -> Incoming {
        Incoming { body, entry, framing: Framing::default(), late: None }
    }

    /// Whether a message is expected: the one of a call that has one, or the rest of one of a stream.
    fn expects(&self) -> bool {
        self.framing.partial() > 0 || !self.entry.method.is_stream()
    }

    fn frame(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, Status> {
        let Some(data) = frame.data_ref() else { return Ok(frame) };
        if self.framing.feed(data, self.entry.message_bytes())? {
            self.late = None;
        }
        self.entry.take_request(data.len())?;
        Ok(frame)
    }

    fn end(&self) -> Option<Result<Frame<Bytes>, Status>> {
        let partial = self.framing.partial();
        (partial > 0).then(|| {
            Err(Status::invalid_argument(format!("the request ends after {partial} bytes of a message")))
        })
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.entry.method.is_stream() {
            this.entry.give_request(this.framing.partial());
        }
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(this.frame(frame))),
            Poll::Ready(Some(Err(_))) => {
                // No answer reaches the client any more.
                this.entry.count(Code::Cancelled);
                Poll::Ready(Some(Err(Refusal::Cancelled.into())))
            }
            Poll::Ready(None) => Poll::Ready(this.end()),
            Poll::Pending if this.expects() => {
                let time = this.entry.message_time();
                let late = this.late.get_or_insert_with(|| Box::pin(sleep(time)));
                late.as_mut().poll(context).map(|()| Some(Err(Refusal::Deadline.into())))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && self.framing.partial() == 0
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
