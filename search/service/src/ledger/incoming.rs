//! A request's body as it is read: its bytes are counted, and those that its messages become, and it has to come in time.
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};
use tokio::time::{Sleep, sleep};
use tonic::{Code, Status};

use super::Entry;
use super::framing::{Framing, PREFIX, messages};
use super::weight::weight;
use crate::refusal::Refusal;

/// A request's body. A message is handed on when all of it has come and there is room for what it becomes: tonic allocates the
/// bytes that its prefix claims, so a prefix that lies would cost memory, and a message may become many times its bytes.
///
/// tonic asks for more only when it has handed out every message that it has, so that it holds none at that moment.
pub(crate) struct Incoming {
    body: hyper::body::Incoming,
    entry: Arc<Entry>,
    framing: Framing,
    /// What has come of the message that is on its way.
    held: BytesMut,
    /// When the message that is on its way has taken too long.
    late: Option<Pin<Box<Sleep>>>,
}

impl Incoming {
    pub(crate) fn new(body: hyper::body::Incoming, entry: Arc<Entry>) -> Incoming {
        Incoming { body, entry, framing: Framing::default(), held: BytesMut::new(), late: None }
    }

    /// Whether a message is expected: the one of a call that has one, or the rest of one of a stream.
    fn expects(&self) -> bool {
        self.framing.partial() > 0 || !self.entry.method.is_stream()
    }

    /// Takes a frame in: whole messages that are to be handed on, if there are some.
    fn take(&mut self, mut data: Bytes) -> Result<Option<Bytes>, Status> {
        // First of all, so that what is partial is never more than what was taken.
        let taken = self.entry.take_request(data.len());
        let ended = data.split_to(self.framing.feed(&data, self.entry.message_bytes())?);
        taken?;
        let whole = match ended.is_empty() {
            true => None,
            false if self.held.is_empty() => Some(ended),
            false => {
                self.held.extend_from_slice(&ended);
                Some(self.held.split().freeze())
            }
        };
        // Copied, since a frame of a byte keeps the whole buffer that it came in.
        self.held.extend_from_slice(&data);
        if let Some(whole) = &whole {
            self.late = None;
            self.make_room(whole)?;
        }
        Ok(whole)
    }

    /// Takes room for what messages become.
    fn make_room(&self, whole: &[u8]) -> Result<(), Status> {
        let limit = self.entry.share();
        for message in messages(whole) {
            let Some(bytes) = weight(self.entry.method, message, limit) else {
                return Err(Status::invalid_argument("the request holds a group, which no message here has"));
            };
            let all = PREFIX + message.len() + bytes;
            if all > limit {
                let message = format!(
                    "it takes {all} bytes of memory or more, the server's limit for a connection is {limit}"
                );
                return Err(Refusal::field("request", message).into());
            }
            self.entry.take_message(PREFIX + message.len(), bytes)?;
        }
        Ok(())
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
        loop {
            if this.entry.method.is_stream() {
                this.entry.give_request(this.framing.partial());
            }
            match Pin::new(&mut this.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        if let Some(handed_on) = this.take(data).transpose() {
                            return Poll::Ready(Some(handed_on.map(Frame::data)));
                        }
                    }
                    Err(trailers) => return Poll::Ready(this.end().or(Some(Ok(trailers)))),
                },
                Poll::Ready(Some(Err(_))) => {
                    // No answer reaches the client any more.
                    this.entry.count(Code::Cancelled);
                    return Poll::Ready(Some(Err(Refusal::Cancelled.into())));
                }
                Poll::Ready(None) => return Poll::Ready(this.end()),
                Poll::Pending if this.expects() => {
                    let time = this.entry.message_time();
                    let late = this.late.get_or_insert_with(|| Box::pin(sleep(time)));
                    return late.as_mut().poll(context).map(|()| Some(Err(Refusal::Deadline.into())));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && self.framing.partial() == 0
    }
}
