//! Messages of streams, up to their deadlines.
use std::time::Instant;

use spandrel_proto::v1;
use tokio::time::timeout_at;
use tonic::{Status, Streaming};

use crate::called::Called;
use crate::check;
use crate::status::{in_words, too_late};

/// The answers of a stream of queries, as they come.
#[derive(Debug)]
pub struct AnswerStream {
    answers: Messages<v1::SearchStreamResponse>,
}

/// The vectors within a radius, as they come. The server searches on as they are taken.
#[derive(Debug)]
pub struct RangeStream {
    parts: Messages<v1::SearchRangeResponse>,
    /// Indexes that are asked as one; none where one is.
    asked: usize,
    has_ended: bool,
}

#[derive(Debug)]
struct Messages<T> {
    messages: Streaming<T>,
    deadline: Instant,
}

impl<T> Messages<T> {
    async fn next(&mut self) -> Result<Option<T>, Status> {
        match timeout_at(self.deadline.into(), self.messages.message()).await {
            Ok(next) => next.map_err(|status| in_words(status, self.deadline)),
            Err(_) => Err(too_late()),
        }
    }
}

impl RangeStream {
    pub(super) fn new(
        messages: Streaming<v1::SearchRangeResponse>,
        asked: usize,
        deadline: Instant,
    ) -> RangeStream {
        RangeStream { parts: Messages { messages, deadline }, asked, has_ended: false }
    }

    /// The next message; none after the last, which has its `end` set.
    ///
    /// # Errors
    /// The status that the stream ended with; DEADLINE_EXCEEDED, also where the server says nothing; INTERNAL where it stops
    /// before the end; UNIMPLEMENTED where several indexes were asked as one and the server does not know of that.
    pub fn message(&mut self) -> Called<'_, Option<v1::SearchRangeResponse>> {
        Box::pin(async move {
            let next = self.parts.next().await?;
            match &next {
                None if !self.has_ended => {
                    return Err(Status::internal("the answer within a radius stopped before its end"));
                }
                None => {}
                Some(part) => {
                    check::part(self.asked, part)?;
                    self.has_ended |= part.end.is_some();
                }
            }
            Ok(next)
        })
    }
}

impl AnswerStream {
    pub(super) fn new(messages: Streaming<v1::SearchStreamResponse>, deadline: Instant) -> AnswerStream {
        AnswerStream { answers: Messages { messages, deadline } }
    }

    /// The next answer; none after the last.
    ///
    /// # Errors
    /// The status that the stream ended with; DEADLINE_EXCEEDED, also where the server says nothing.
    pub fn message(&mut self) -> Called<'_, Option<v1::SearchStreamResponse>> {
        Box::pin(self.answers.next())
    }
}
