//! Operations as messages.
use std::sync::Arc;
use std::time::Duration;

use spandrel_proto::v1;
use spandrel_proto::v1::operation::Outcome as WireOutcome;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::convert::summary;
use super::items::item_status;
use crate::ledger::Entry;
use crate::operations::{Kind, Opened, Operation, Outcome, State, Verified};
use crate::refusal::Refusal;

/// Longest time between two messages about an operation that goes on.
const TELL_EVERY: Duration = Duration::from_millis(200);

pub(super) fn message(operation: &Operation) -> v1::Operation {
    let (state, outcome) = match operation.state() {
        State::Running => (v1::OperationState::Running, None),
        State::Done(outcome) => (v1::OperationState::Done, Some(of_outcome(outcome))),
        State::Cancelled => (v1::OperationState::Cancelled, None),
        State::Failed(why) => {
            (v1::OperationState::Failed, Some(WireOutcome::Error(item_status(&Status::from(&*why)))))
        }
    };
    let (done_bytes, total_bytes) = operation.progress.bytes();
    let kind = match operation.kind {
        Kind::Load => v1::OperationKind::Load,
        Kind::Switch => v1::OperationKind::Switch,
        Kind::Verify => v1::OperationKind::Verify,
    };
    v1::Operation {
        id: operation.id,
        kind: kind.into(),
        index: operation.index.clone(),
        state: state.into(),
        seconds: operation.time().as_secs_f32(),
        done_bytes,
        total_bytes,
        outcome,
    }
}

fn of_outcome(outcome: Outcome) -> WireOutcome {
    match outcome {
        Outcome::Opened(Opened { now, before, not_remembered }) => WireOutcome::Opened(v1::Opened {
            summary: Some(summary(now)),
            old_version: before,
            not_remembered: not_remembered.unwrap_or_default(),
        }),
        Outcome::Verified(Verified { version, bytes, problem }) => WireOutcome::Verified(v1::Verified {
            whole: problem.is_none(),
            bytes,
            problem: problem.unwrap_or_default(),
            version,
        }),
    }
}

/// Tells how an operation goes on, until it has ended.
pub(super) fn watch(
    operation: Arc<Operation>,
    entry: Arc<Entry>,
) -> ReceiverStream<Result<v1::Operation, Status>> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let telling = async {
            loop {
                let has_ended = operation.has_ended();
                if sender.send(Ok(message(&operation))).await.is_err() || has_ended {
                    return;
                }
                // As soon as it ends.
                drop(tokio::time::timeout(TELL_EVERY, operation.ended()).await);
            }
        };
        let refusal: Refusal = tokio::select! {
            () = telling => return,
            () = sender.closed() => return,
            refusal = entry.over() => refusal,
        };
        // Nobody may be listening any more.
        drop(sender.send(Err(refusal.into())).await);
    });
    ReceiverStream::new(receiver)
}
