//! What one client may ask for, and all of them together.
use std::time::Duration;

/// Bounds on requests and connections. What goes over one is refused with a message that names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one message: 1 KiB to 1 GiB.
    pub message_bytes: usize,
    /// Bytes of all requests and answers that the server holds, over all connections; a quarter of them on one, and no less than four of the
    /// largest messages.
    pub in_flight_bytes: usize,
    /// Neighbours of one query.
    pub k_max: u32,
    /// Lists that one query may ask for, of those that the index has.
    pub lists_max: u32,
    /// Vectors that one query may ask to be compared exactly, of those that the index has.
    pub rerank_max: u32,
    /// Documents that one query may ask to be compared by MaxSim, of those that the index has.
    pub documents_max: u32,
    /// Vectors of one query document.
    pub document_vectors_max: u32,
    /// Vectors that one search within a radius may ask for as the best of all.
    pub range_results_max: u32,
    /// Memory of the filters of an index, while they are compiled, in use or kept.
    pub filter_bytes: usize,
    /// Queries of one batch, ids of one fetch.
    pub batch_max: u32,
    /// Queries of one stream that are under way at once; more wait in the client.
    pub stream_window: usize,
    /// Requests under way at once on one connection.
    pub streams_max: u32,
    /// Connections at once; further ones are closed at once.
    pub connections_max: usize,
    /// Bytes of the headers of a request.
    pub header_bytes: u32,
    /// Time for a new connection's TLS handshake.
    pub handshake_max: Duration,
    /// Time from a connection's beginning to its first request, of the health service too; the connection is ended after it.
    pub first_call_max: Duration,
    /// Time without a request after which a connection is ended; calls of the health service do not count.
    pub idle_max: Duration,
    /// A connection older than this is ended, so that clients spread over servers again; its calls have `request_max` left.
    pub age_max: Duration,
    /// Longest time a request may take from its headers, also where its deadline is later, and an answer may be left unread.
    pub request_max: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            message_bytes: 16 << 20,
            in_flight_bytes: 256 << 20,
            k_max: 1000,
            lists_max: 4096,
            rerank_max: 10_000,
            documents_max: 1000,
            document_vectors_max: 1024,
            range_results_max: 100_000,
            filter_bytes: 256 << 20,
            batch_max: 1024,
            stream_window: 128,
            streams_max: 256,
            connections_max: 4096,
            header_bytes: 16 << 10,
            handshake_max: Duration::from_secs(10),
            first_call_max: Duration::from_secs(30),
            idle_max: Duration::from_secs(600),
            age_max: Duration::from_secs(3600),
            request_max: Duration::from_secs(60),
        }
    }
}
