//! One query, alone or in a stream.
use prost::Message as _;
use spandrel_proto::v1;

use super::convert;
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
    let response = convert::response(&mut found, with_work);
    found.room.settle(response.encoded_len());
    Ok(response)
}
