//! Work of a server that takes as long as reading an index, from its start to its end.
use spandrel_proto::v1;
use spandrel_proto::v1::OperationState;
use spandrel_proto::v1::operation::Outcome;
use tonic::{Code, Status};

use crate::status::{is_lost, item_status};
use crate::{Client, soon};

impl Client {
    /// Opens a further index, and waits until it answers queries.
    ///
    /// # Errors
    /// Why it was not opened.
    pub async fn load_index(&self, request: v1::StartLoadRequest) -> Result<v1::Opened, Status> {
        let started = self.admin().start_load(soon(request, self.timeout)).await?.into_inner();
        opened(self.wait(started, |_| {}).await?)
    }

    /// Puts another version or another index in the place of one, and waits until it answers queries.
    ///
    /// # Errors
    /// Why it was not opened; the one before stays.
    pub async fn switch_index(&self, request: v1::StartSwitchRequest) -> Result<v1::Opened, Status> {
        let started = self.admin().start_switch(soon(request, self.timeout)).await?.into_inner();
        opened(self.wait(started, |_| {}).await?)
    }

    /// Verifies an index, and waits for what is found.
    ///
    /// # Errors
    /// Why it could not be verified. An index that is not whole is no error.
    pub async fn verify(&self, request: v1::StartVerifyRequest) -> Result<v1::Verified, Status> {
        let started = self.admin().start_verify(soon(request, self.timeout)).await?.into_inner();
        verified(self.wait(started, |_| {}).await?)
    }

    /// Waits until an operation has ended: what it says then. `told` is called now and as it goes on. A connection that is lost
    /// is made again. Dropped, it leaves the operation alone.
    ///
    /// # Errors
    /// The status of the last attempt to ask; not that of an operation that failed.
    pub async fn wait(
        &self,
        started: v1::Operation,
        mut told: impl FnMut(&v1::Operation),
    ) -> Result<v1::Operation, Status> {
        let mut now = started;
        told(&now);
        while now.state() == OperationState::Running {
            let id = now.id;
            let mut news = self
                .call(|_| {
                    let mut admin = self.admin();
                    async move { Ok(admin.watch_operation(v1::WatchOperationRequest { id }).await?.into_inner()) }
                })
                .await?;
            loop {
                match news.message().await {
                    Ok(Some(operation)) => {
                        told(&operation);
                        now = operation;
                    }
                    Ok(None) => break,
                    Err(status) if is_lost(&status) || status.code() == Code::Unavailable => break,
                    Err(status) => return Err(status),
                }
            }
        }
        Ok(now)
    }
}

/// The index that an operation opened.
///
/// # Errors
/// Why it did not.
pub fn opened(ended: v1::Operation) -> Result<v1::Opened, Status> {
    match ended.outcome {
        Some(Outcome::Opened(opened)) => Ok(opened),
        _ => Err(failure(ended)),
    }
}

/// What an operation found that verified an index.
///
/// # Errors
/// Why it found nothing.
pub fn verified(ended: v1::Operation) -> Result<v1::Verified, Status> {
    match ended.outcome {
        Some(Outcome::Verified(verified)) => Ok(verified),
        _ => Err(failure(ended)),
    }
}

fn failure(ended: v1::Operation) -> Status {
    let (id, state) = (ended.id, ended.state());
    match ended.outcome {
        Some(Outcome::Error(error)) => item_status(error),
        _ if state == OperationState::Cancelled => Status::cancelled(format!("operation {id} was cancelled")),
        _ => Status::internal(format!("operation {id} ended without the outcome of its kind")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_without_its_outcome_says_why() {
        let ended = |state: OperationState, outcome| v1::Operation {
            id: 7,
            state: state.into(),
            outcome,
            ..Default::default()
        };
        let cancelled = opened(ended(OperationState::Cancelled, None)).unwrap_err();
        assert_eq!((cancelled.code(), cancelled.message()), (Code::Cancelled, "operation 7 was cancelled"));
        let error = v1::ItemStatus {
            code: Code::DataLoss as i32,
            message: "damaged".to_owned(),
            details: Vec::new(),
        };
        let failed = verified(ended(OperationState::Failed, Some(Outcome::Error(error)))).unwrap_err();
        assert_eq!((failed.code(), failed.message()), (Code::DataLoss, "damaged"));
        let other = Some(Outcome::Verified(v1::Verified::default()));
        assert_eq!(opened(ended(OperationState::Done, other)).unwrap_err().code(), Code::Internal);
    }
}
