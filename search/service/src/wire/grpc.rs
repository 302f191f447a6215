//! The search service.
use std::sync::Arc;

use prost::Message as _;
use spandrel_proto::v1;
use spandrel_proto::v1::search_service_server::SearchService;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{convert, items, range, stream};
use crate::call::Call;
use crate::ledger::Entry;
use crate::search::Searcher;

/// Searches over gRPC.
pub(crate) struct Grpc {
    pub(crate) searcher: Arc<dyn Searcher>,
    /// How streams are bounded.
    pub(crate) streams: stream::Bounds,
    /// Most bytes of a message.
    pub(crate) message_bytes: usize,
}

/// A request, and its entry in the ledger.
fn entered<T>(mut request: Request<T>) -> (T, Arc<Entry>) {
    let Some(entry) = request.extensions_mut().remove() else { unreachable!("the guard enters every call") };
    (request.into_inner(), entry)
}

#[tonic::async_trait]
impl SearchService for Grpc {
    type SearchRangeStream = ReceiverStream<Result<v1::SearchRangeResponse, Status>>;
    type SearchStreamStream = ReceiverStream<Result<v1::SearchStreamResponse, Status>>;

    async fn search(
        &self,
        request: Request<v1::SearchRequest>,
    ) -> Result<Response<v1::SearchResponse>, Status> {
        let (request, entry) = entered(request);
        Ok(Response::new(items::one(&*self.searcher, request, Call::of(&entry)).await?))
    }

    async fn search_batch(
        &self,
        request: Request<v1::SearchBatchRequest>,
    ) -> Result<Response<v1::SearchBatchResponse>, Status> {
        let (request, entry) = entered(request);
        let ask = convert::many(request)?;
        let with_work = ask.with_work;
        let call = Call::of(&entry);
        let mut found = self.searcher.search(ask, call).await?;
        let response = convert::responses(&mut found, with_work, call.deadline).await?;
        found.room.settle(response.encoded_len());
        Ok(Response::new(response))
    }

    async fn search_stream(
        &self,
        request: Request<Streaming<v1::SearchStreamRequest>>,
    ) -> Result<Response<Self::SearchStreamStream>, Status> {
        let (queries, entry) = entered(request);
        Ok(Response::new(stream::serve(Arc::clone(&self.searcher), self.streams, queries, entry)))
    }

    async fn search_range(
        &self,
        request: Request<v1::SearchRangeRequest>,
    ) -> Result<Response<Self::SearchRangeStream>, Status> {
        let (request, entry) = entered(request);
        Ok(Response::new(range::serve(&*self.searcher, request, self.message_bytes, entry).await?))
    }

    async fn fetch(&self, request: Request<v1::FetchRequest>) -> Result<Response<v1::FetchResponse>, Status> {
        let (request, entry) = entered(request);
        let call = Call::of(&entry);
        let mut found = self.searcher.fetch(convert::by_id(request), call).await?;
        let response = convert::fetched(&mut found, call.deadline).await?;
        found.room.settle(response.encoded_len());
        Ok(Response::new(response))
    }
}
