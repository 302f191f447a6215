//! The search service.
use std::sync::Arc;

use prost::Message as _;
use spandrel_proto::v1;
use spandrel_proto::v1::search_service_server::{SearchService, SearchServiceServer};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{answered, convert, items, range, stream};
use crate::call::Call;
use crate::ledger::Entry;
use crate::search::Searcher;

/// Searches over gRPC.
#[derive(Clone)]
pub(crate) struct Grpc {
    pub(crate) searcher: Arc<dyn Searcher>,
    /// How streams are bounded.
    pub(crate) streams: stream::Bounds,
    /// Most bytes of a message.
    pub(crate) message_bytes: usize,
}

/// One call of a search.
pub(crate) struct OfCall {
    grpc: Grpc,
    entry: Arc<Entry>,
}

impl Grpc {
    /// What answers the call that `entry` is of.
    pub(crate) fn of(&self, entry: &Arc<Entry>) -> SearchServiceServer<OfCall> {
        SearchServiceServer::new(OfCall { grpc: self.clone(), entry: Arc::clone(entry) })
            .max_decoding_message_size(self.message_bytes)
            .max_encoding_message_size(self.message_bytes)
    }
}

#[tonic::async_trait]
impl SearchService for OfCall {
    type SearchRangeStream = ReceiverStream<Result<v1::SearchRangeResponse, Status>>;
    type SearchStreamStream = ReceiverStream<Result<v1::SearchStreamResponse, Status>>;

    async fn search(
        &self,
        request: Request<v1::SearchRequest>,
    ) -> Result<Response<v1::SearchResponse>, Status> {
        let call = Call::of(&self.entry);
        Ok(Response::new(items::one(&*self.grpc.searcher, request.into_inner(), call).await?))
    }

    async fn search_batch(
        &self,
        request: Request<v1::SearchBatchRequest>,
    ) -> Result<Response<v1::SearchBatchResponse>, Status> {
        let ask = convert::many(request.into_inner())?;
        let with_work = ask.with_work;
        let call = Call::of(&self.entry);
        let mut found = self.grpc.searcher.search(ask, call).await?;
        let response = answered::responses(&mut found, with_work, call.deadline).await?;
        found.room.settle(response.encoded_len());
        Ok(Response::new(response))
    }

    async fn search_stream(
        &self,
        request: Request<Streaming<v1::SearchStreamRequest>>,
    ) -> Result<Response<Self::SearchStreamStream>, Status> {
        let Grpc { searcher, streams, .. } = self.grpc.clone();
        Ok(Response::new(stream::serve(searcher, streams, request.into_inner(), Arc::clone(&self.entry))))
    }

    async fn search_range(
        &self,
        request: Request<v1::SearchRangeRequest>,
    ) -> Result<Response<Self::SearchRangeStream>, Status> {
        let (Grpc { searcher, message_bytes, .. }, entry) = (&self.grpc, Arc::clone(&self.entry));
        Ok(Response::new(range::serve(&**searcher, request.into_inner(), *message_bytes, entry).await?))
    }

    async fn fetch(&self, request: Request<v1::FetchRequest>) -> Result<Response<v1::FetchResponse>, Status> {
        let call = Call::of(&self.entry);
        let mut found = self.grpc.searcher.fetch(convert::by_id(request.into_inner()), call).await?;
        let response = convert::fetched(&mut found, call.deadline).await?;
        found.room.settle(response.encoded_len());
        Ok(Response::new(response))
    }
}
