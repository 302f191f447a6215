//! Answers of a stream, up to its deadline.
use std::time::Instant;

use spandrel_proto::v1;
use tokio::time::timeout_at;
use tonic::{Status, Streaming};

use crate::status::{in_words, too_late};

/// The answers of a stream of queries, as they come.
#[derive(Debug)]
pub struct AnswerStream {
    answers: Streaming<v1::SearchStreamResponse>,
    deadline: Instant,
}

impl AnswerStream {
    pub(super) fn new(answers: Streaming<v1::SearchStreamResponse>, deadline: Instant) -> AnswerStream {
        AnswerStream { answers, deadline }
    }

    /// The next answer; none after the last.
    ///
    /// # Errors
    /// The status that the stream ended with; DEADLINE_EXCEEDED, also where the server says nothing.
    pub async fn message(&mut self) -> Result<Option<v1::SearchStreamResponse>, Status> {
        match timeout_at(self.deadline.into(), self.answers.message()).await {
            Ok(next) => next.map_err(|status| in_words(status, self.deadline)),
            Err(_) => Err(too_late()),
        }
    }
}
