//! One query, alone or in a stream, and why one was refused.
use prost::Message as _;
use spandrel_proto::v1;
use tonic::Status;

use super::{answered, convert};
use crate::call::Call;
use crate::refusal::Refusal;
use crate::search::Searcher;

/// Answers one query.
pub(super) async fn one(
    searcher: &dyn Searcher,
    request: v1::SearchRequest,
    call: Call<'_>,
) -> Result<v1::SearchResponse, Refusal> {
    let ask = convert::one(request)?;
    let with_work = ask.with_work;
    let mut found = searcher.search(ask, call).await?;
    let response = answered::response(&mut found, with_work, call.deadline).await?;
    found.room.settle(response.encoded_len());
    Ok(response)
}

/// What a status says of a call, for a part of one.
pub(super) fn item_status(status: &Status) -> v1::ItemStatus {
    // Made by this server.
    let details = tonic_types::pb::Status::decode(status.details()).unwrap_or_default().details;
    v1::ItemStatus { code: status.code() as i32, message: status.message().to_owned(), details } // CAST: the enum's code
}
