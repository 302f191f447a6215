//! A gRPC client with deadlines and retries over the generated one.
//!
//! ```no_run
//! use spandrel_client::{Client, ClientConfig, v1};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = ClientConfig { address: "127.0.0.1:7700".to_owned(), ..ClientConfig::default() };
//! let client = Client::new(&config)?;
//! let query = vec![0.1, 0.2, 0.3, 0.4];
//! let request = v1::SearchRequest { query: Some(v1::Vectors::floats(4, query)), k: 10, ..Default::default() };
//! let answer = client.search(request).await?;
//! for (id, distance) in answer.ids.iter().zip(&answer.distances) {
//!     println!("{id}\t{distance}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Promises: a call is made again only where that may help (UNAVAILABLE, a connection lost, or RESOURCE_EXHAUSTED with a
//! time to come back), with growing pauses, and never past its deadline. What is wrong with certificates is told in words,
//! as FAILED_PRECONDITION, and not tried again. Queries of a batch have to say their dimension, and the answer has a row for
//! each. Clones share connections.
mod address;
mod called;
mod check;
mod operations;
mod retry;
mod status;
mod stream;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use spandrel_proto::v1::admin_service_client::AdminServiceClient;
use spandrel_proto::v1::search_service_client::SearchServiceClient;
use spandrel_tls::{TlsError, check_certificates, check_identity};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

use address::Address;
pub use address::BadAddress;
pub use called::Called;
pub use check::check_united;
pub use operations::{opened, verified};
pub use retry::RetryPolicy;
/// The generated messages of `spandrel.v1`.
pub use spandrel_proto::v1;
pub use status::{TlsFault, item_status, time_to_come_back};
pub use stream::{AnswerStream, RangeStream};

use status::in_words;

/// How a server is reached.
#[derive(Debug, Clone, Default)]
pub struct ClientConfig {
    /// `HOST:PORT`, or `https://HOST:PORT` for TLS; several are separated by commas, and calls are spread over those that can be reached.
    pub address: String,
    /// TLS, where the server asks for it; with `https://` in the address and nothing here, that of the system's roots.
    pub tls: Option<ClientTls>,
    /// Token of the `authorization` header, if the server wants one.
    pub token: Option<String>,
    /// When calls are made again.
    pub retry: RetryPolicy,
    /// Time for a call, all attempts together.
    pub timeout: Option<Duration>,
}

/// Files for TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// CA certificates for the server's certificate, PEM; the system's roots if none.
    pub ca: Option<PathBuf>,
    /// The client's own certificate and key, PEM, where the server asks for them.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name in the server's certificate, if it is not the host's.
    pub domain: Option<String>,
}

/// Why a client could not be made. Servers are connected to at the first call, which tells if that fails.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The address makes no sense.
    #[error("'{address}' is no address, expected HOST:PORT")]
    Address {
        /// Address as the caller gave it.
        address: String,
        /// What the transport says is wrong with it.
        #[source]
        source: tonic::transport::Error,
    },
    /// The address is not of the form that is expected.
    #[error(transparent)]
    Form(#[from] BadAddress),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] tonic::transport::Error),
    /// A certificate or a key cannot be used.
    #[error(transparent)]
    Files(#[from] TlsError),
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] std::io::Error),
    /// The token has characters that no header may hold. It is kept back.
    #[error("the token holds characters that cannot be sent")]
    Token,
}

/// Adds the token.
#[derive(Debug, Clone)]
struct Authorise(Option<MetadataValue<Ascii>>);

impl Interceptor for Authorise {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

type Authorised = InterceptedService<Channel, Authorise>;

/// Messages may be as large as the server lets them be.
const MESSAGE_BYTES_MAX: usize = 1 << 30;
const TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client of one server.
#[derive(Debug, Clone)]
pub struct Client {
    search: SearchServiceClient<Authorised>,
    admin: AdminServiceClient<Authorised>,
    retry: RetryPolicy,
    timeout: Duration,
}

impl Client {
    /// Prepares a connection, which is made at the first call. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn new(config: &ClientConfig) -> Result<Client, ClientError> {
        let endpoints = endpoints(&config.address, config.tls.as_ref())?;
        let channel = match endpoints.as_slice() {
            [one] => one.connect_lazy(),
            _ => Channel::balance_list(endpoints.into_iter()),
        };
        let token = config.token.as_ref().map(|token| {
            let mut value: MetadataValue<Ascii> =
                format!("Bearer {token}").parse().map_err(|_| ClientError::Token)?;
            value.set_sensitive(true);
            Ok::<_, ClientError>(value)
        });
        let service = InterceptedService::new(channel, Authorise(token.transpose()?));
        Ok(Client {
            search: SearchServiceClient::new(service.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX),
            admin: AdminServiceClient::new(service),
            retry: config.retry,
            timeout: config.timeout.unwrap_or(TIMEOUT),
        })
    }

    /// One query.
    ///
    /// # Errors
    /// The status of the last attempt.
    pub fn search(&self, request: v1::SearchRequest) -> Called<'_, v1::SearchResponse> {
        Box::pin(async move {
            let response = self
                .call(|deadline| {
                    let (mut client, request) = (self.search.clone(), timed(request.clone(), deadline));
                    async move { Ok(client.search(request).await?.into_inner()) }
                })
                .await?;
            check_united(request.indexes.len(), response.versions.len())?;
            Ok(response)
        })
    }

    /// Many queries, whose `dim` is set; the answer has a count for each.
    ///
    /// # Errors
    /// As [`Client::search`], queries without `dim`, and an answer to another number of queries.
    pub fn search_batch(&self, request: v1::SearchBatchRequest) -> Called<'_, v1::SearchBatchResponse> {
        Box::pin(async move {
            let asked = check::queries(request.queries.as_ref(), "queries")?;
            check::column(request.column_queries.as_ref(), asked)?;
            let response = self
                .call(|deadline| {
                    let (mut client, request) = (self.search.clone(), timed(request.clone(), deadline));
                    async move { Ok(client.search_batch(request).await?.into_inner()) }
                })
                .await?;
            check::answered(asked, response.counts.len())?;
            check::whole(&response)?;
            check_united(request.indexes.len(), response.versions.len())?;
            Ok(response)
        })
    }

    /// A stream of queries, which has to be over within `timeout`; within the time for a call if none is given. Opened
    /// once, since its queries are taken from it; what is refused inside it is told item by item.
    ///
    /// # Errors
    /// As [`Client::search`].
    pub async fn search_stream(
        &self,
        queries: impl tokio_stream::Stream<Item = v1::SearchStreamRequest> + Send + 'static,
        timeout: Option<Duration>,
    ) -> Result<AnswerStream, Status> {
        let deadline = Instant::now() + timeout.unwrap_or(self.timeout);
        let answers = self.search.clone().search_stream(timed(queries, deadline)).await;
        Ok(AnswerStream::new(answers.map_err(|status| in_words(status, deadline))?.into_inner(), deadline))
    }

    /// All vectors within a radius of one query, which have to be there within `timeout`; within the time for a call if none is
    /// given. Begun again only where the server refuses at once.
    ///
    /// # Errors
    /// As [`Client::search`].
    pub fn search_range(
        &self,
        request: v1::SearchRangeRequest,
        timeout: Option<Duration>,
    ) -> Called<'_, RangeStream> {
        let (deadline, asked) = (Instant::now() + timeout.unwrap_or(self.timeout), request.indexes.len());
        Box::pin(async move {
            let begun = self.retry.run(deadline, || {
                let (mut client, request) = (self.search.clone(), timed(request.clone(), deadline));
                async move { Ok(client.search_range(request).await?.into_inner()) }
            });
            let messages = begun.await.map_err(|status| in_words(status, deadline))?;
            Ok(RangeStream::new(messages, asked, deadline))
        })
    }

    /// Vectors by id.
    ///
    /// # Errors
    /// The status of the last attempt, and an answer to another number of ids.
    pub fn fetch(&self, request: v1::FetchRequest) -> Called<'_, v1::FetchResponse> {
        Box::pin(async move {
            let response = self
                .call(|deadline| {
                    let (mut client, request) = (self.search.clone(), timed(request.clone(), deadline));
                    async move { Ok(client.fetch(request).await?.into_inner()) }
                })
                .await?;
            check::answered(request.ids.len(), response.found.len())?;
            Ok(response)
        })
    }

    /// One index in full; with an empty name the only one.
    ///
    /// # Errors
    /// As [`Client::search`].
    pub fn describe_index(&self, index: &str) -> Called<'_, v1::DescribeIndexResponse> {
        let request = v1::DescribeIndexRequest { index: index.to_owned() };
        Box::pin(self.call(move |deadline| {
            let (mut client, request) = (self.admin.clone(), timed(request.clone(), deadline));
            async move { Ok(client.describe_index(request).await?.into_inner()) }
        }))
    }

    /// The admin service, without retries: what changes something need not help the second time.
    pub fn admin(&self) -> AdminServiceClient<InterceptedService<Channel, impl Interceptor + Clone + use<>>> {
        self.admin.clone()
    }

    async fn call<T, F: Future<Output = Result<T, Status>>>(
        &self,
        mut call: impl FnMut(Instant) -> F,
    ) -> Result<T, Status> {
        let deadline = Instant::now() + self.timeout;
        let ended = self.retry.run(deadline, || call(deadline)).await;
        ended.map_err(|status| in_words(status, deadline))
    }
}

/// A request whose answer is awaited for so long.
pub(crate) fn soon<T>(message: T, timeout: Duration) -> Request<T> {
    timed(message, Instant::now() + timeout)
}

/// A request whose answer is awaited until `deadline`.
fn timed<T>(message: T, deadline: Instant) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(deadline.saturating_duration_since(Instant::now()));
    request
}

/// Of addresses with commas between them. Where one asks for TLS all have it: the token goes to each.
fn endpoints(addresses: &str, tls: Option<&ClientTls>) -> Result<Vec<Endpoint>, ClientError> {
    let each = || addresses.split(',');
    let asked = each().map(|address| Ok(Address::read(address, false)?.asks_tls));
    let asks_tls = asked.collect::<Result<Vec<bool>, BadAddress>>()?.contains(&true);
    let of_system = ClientTls::default();
    let tls = tls.or(asks_tls.then_some(&of_system));
    each().map(|address| endpoint(address, tls)).collect()
}

fn endpoint(address: &str, tls: Option<&ClientTls>) -> Result<Endpoint, ClientError> {
    let Address { authority, .. } = Address::read(address, tls.is_some())?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let endpoint = Endpoint::from_shared(format!("{scheme}://{authority}"))
        .map_err(|source| ClientError::Address { address: address.to_owned(), source })?;
    let endpoint = endpoint.tcp_nodelay(true).connect_timeout(CONNECT_TIMEOUT);
    match tls {
        None => Ok(endpoint),
        Some(tls) => {
            // Addresses of IPv6 are written in brackets.
            let host = endpoint.uri().host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            endpoint.tls_config(tls_config(tls, &host)?).map_err(ClientError::Tls)
        }
    }
}

fn tls_config(tls: &ClientTls, host: &str) -> Result<ClientTlsConfig, ClientError> {
    let mut config = ClientTlsConfig::new().domain_name(tls.domain.as_deref().unwrap_or(host));
    config = match &tls.ca {
        None => config.with_native_roots(),
        Some(path) => {
            check_certificates(path)?;
            config.ca_certificate(Certificate::from_pem(fs_err::read(path)?))
        }
    };
    if let Some((certificate, key)) = &tls.identity {
        check_identity(certificate, key)?;
        config = config.identity(Identity::from_pem(fs_err::read(certificate)?, fs_err::read(key)?));
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_for_one_address_is_tls_for_all() {
        let schemes = |addresses| -> Vec<String> {
            let endpoints = endpoints(addresses, None).unwrap();
            endpoints.iter().map(|of| of.uri().scheme_str().unwrap().to_owned()).collect()
        };
        assert_eq!(schemes("a:1,http://b:2"), ["http", "http"]);
        assert_eq!(schemes("https://a:1,b:2"), ["https", "https"]);
        assert_eq!(schemes("a:1,https://b:2/"), ["https", "https"]);
        let refused = endpoints("https://a:1,http://b:2", None).unwrap_err();
        assert!(refused.to_string().contains("http:// is without TLS"), "{refused}");
    }
}
