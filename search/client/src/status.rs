//! What statuses say.
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prost::Message as _;
use spandrel_proto::v1;
use spandrel_tls::{Side, tls_fault};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// What is wrong with certificates or TLS: the source of a status.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TlsFault(String);

/// A status as callers are told it.
pub(crate) fn in_words(status: Status, deadline: Instant) -> Status {
    if let Some(fault) = tls_fault_of(&status) {
        let mut status = Status::failed_precondition(fault.clone());
        status.set_source(Arc::new(TlsFault(fault)));
        return status;
    }
    match status.code() {
        // What the transport makes of a deadline that passes here before the server's word comes.
        Code::Cancelled if Instant::now() >= deadline => too_late(),
        // Which code the transport finds for it depends on the moment.
        _ if is_lost(&status) => Status::unavailable(format!("no connection: {}", status.message())),
        _ => status,
    }
}

pub(crate) fn too_late() -> Status {
    Status::deadline_exceeded("the deadline passed before the answer came")
}

/// The time after which a server asks to be called again.
pub fn time_to_come_back(status: &Status) -> Option<Duration> {
    status.get_details_retry_info().and_then(|info| info.retry_delay)
}

/// What is wrong with certificates or TLS, if a call failed for that.
pub(crate) fn tls_fault_of(status: &Status) -> Option<String> {
    status.source().and_then(|cause| tls_fault(cause, Side::Client))
}

/// Whether a status is not the server's word: the connection went while the call was on its way.
pub(crate) fn is_lost(status: &Status) -> bool {
    status.source().is_some_and(|cause| cause.is::<tonic::transport::Error>())
}

/// Why one query of a stream was refused, as a call that asks it alone is told, with all details.
pub fn item_status(item: v1::ItemStatus) -> Status {
    let v1::ItemStatus { code, message, details } = item;
    let full = tonic_types::pb::Status { code, message: message.clone(), details };
    Status::with_details(Code::from(code), message, full.encode_to_vec().into())
}
