//! What `query`, `bench` and `demo` share when a server answers: its flags and its index.
mod answer;
mod asking;
mod attributes;
pub(super) mod bench;
mod explained;
mod load;
mod patience;
pub(super) mod query;
pub(super) mod range_bench;
pub(super) mod within;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use spandrel_client::{Client, ClientConfig, ClientTls, RetryPolicy, TlsFault};
use spandrel_filter::{Attribute, Schema};
use spandrel_index::documents::DocumentOffsets;
use spandrel_index::format::VectorsOf;
use spandrel_index::{DType, Metric};
use spandrel_proto::v1;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

pub(super) use self::answer::answers;
pub(super) use self::asking::Asking;
pub(super) use self::attributes::cells;
use crate::commands::column::ColumnFit;
use crate::commands::search::Fit;
use crate::{Advised, UsageError};

/// Heading of the flags that speak of a server.
pub(super) const HEADING: &str = "Ask a server instead of opening an index";

/// Which server answers, and how it is reached.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = HEADING)]
pub struct ServerArgs {
    /// Ask the server at this address; several are separated by commas, and calls are spread over them [default:
    /// $SPANDREL_SERVER where no index is named].
    #[arg(long, value_name = "HOST:PORT", conflicts_with_all = ["index", "codes", "vectors", "io", "direct", "threads"])]
    pub server: Option<String>,
    /// Name of the index there; given more than once, `query` searches several as one [default: the only one].
    #[arg(long, value_name = "NAME", requires = "server", conflicts_with = "index")]
    pub index_name: Vec<String>,
    /// File with an API token [default: the token in $SPANDREL_TOKEN, if there is one].
    #[arg(long, value_name = "FILE", requires = "server", conflicts_with = "index")]
    pub token: Option<PathBuf>,
    /// Use TLS, and check the server's certificate against the system's roots. Each of the flags below implies it.
    #[arg(long, requires = "server", conflicts_with = "index")]
    pub tls: bool,
    /// CA certificates for the server's certificate, PEM [default: the system's roots].
    #[arg(long, value_name = "FILE", requires = "server", conflicts_with = "index")]
    pub tls_ca: Option<PathBuf>,
    /// The name in the server's certificate [default: the host of --server].
    #[arg(long, value_name = "NAME", requires = "server", conflicts_with = "index")]
    pub tls_server_name: Option<String>,
    /// The client's own certificate, PEM, where the server asks for one.
    #[arg(long, value_name = "FILE", requires_all = ["server", "tls_key"], conflicts_with = "index")]
    pub tls_certificate: Option<PathBuf>,
    /// Private key of that certificate, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_certificate", conflicts_with = "index")]
    pub tls_key: Option<PathBuf>,
    /// Which method carries the queries.
    #[arg(long, value_enum, default_value_t, requires = "server", conflicts_with = "index")]
    pub rpc: Rpc,
    /// Connections to the server.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "server", conflicts_with = "index", value_parser = clap::value_parser!(u16).range(1..))]
    pub connections: u16,
    /// Deadline of each call, in milliseconds [default: 30000].
    #[arg(long, value_name = "MS", requires = "server", conflicts_with = "index", value_parser = clap::value_parser!(u32).range(1..))]
    pub deadline_ms: Option<u32>,
}

/// Which method carries queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Rpc {
    /// Search, a query a call.
    Unary,
    /// SearchBatch, 64 queries a call.
    #[default]
    Batch,
    /// SearchStream.
    Stream,
}

impl Rpc {
    pub(super) fn name(self) -> &'static str {
        match self {
            Rpc::Unary => "unary",
            Rpc::Batch => "batch",
            Rpc::Stream => "stream",
        }
    }
}

/// How a server is reached, as flags say it.
pub(super) struct Connection {
    pub(super) address: String,
    /// A file that holds it.
    pub(super) token: Option<PathBuf>,
    pub(super) tls: bool,
    pub(super) tls_ca: Option<PathBuf>,
    pub(super) tls_server_name: Option<String>,
    /// Files of a certificate and its key.
    pub(super) identity: Option<(PathBuf, PathBuf)>,
    pub(super) deadline_ms: Option<u32>,
}

impl Connection {
    /// What a client is made of; TLS where any of its flags is given.
    pub(super) fn config(self, retry: RetryPolicy) -> anyhow::Result<ClientConfig> {
        let Connection { address, token, tls, tls_ca, tls_server_name, identity, deadline_ms } = self;
        let token = match token {
            Some(file) => Some(fs_err::read_to_string(file)?),
            None => std::env::var("SPANDREL_TOKEN").ok(),
        };
        let given = tls || tls_ca.is_some() || tls_server_name.is_some() || identity.is_some();
        let tls = given.then_some(ClientTls { ca: tls_ca, identity, domain: tls_server_name });
        let token = token.map(|token| token.trim().to_owned());
        let timeout = deadline_ms.map(|ms| Duration::from_millis(ms.into()));
        Ok(ClientConfig { address, tls, token, retry, timeout })
    }
}

impl ServerArgs {
    /// The client; none if no server was named.
    pub(super) fn config(&self, retry: RetryPolicy) -> anyhow::Result<Option<ClientConfig>> {
        let Some(address) = self.server.clone() else { return Ok(None) };
        let connection = Connection {
            address,
            token: self.token.clone(),
            tls: self.tls,
            tls_ca: self.tls_ca.clone(),
            tls_server_name: self.tls_server_name.clone(),
            identity: self.tls_certificate.clone().zip(self.tls_key.clone()),
            deadline_ms: self.deadline_ms,
        };
        Ok(Some(connection.config(retry)?))
    }

    /// The client of a caller that waits itself for a server that refuses for the moment, however long that takes.
    fn patient_config(&self) -> anyhow::Result<ClientConfig> {
        let policy = RetryPolicy { refused: false, ..RetryPolicy::default() };
        let Some(config) = self.config(policy)? else { unreachable!("asked only with a server") };
        Ok(config)
    }

    /// A client for each connection.
    pub(super) fn clients(&self, config: &ClientConfig) -> anyhow::Result<Vec<Client>> {
        Ok((0..self.connections).map(|_| Client::new(config)).collect::<Result<_, _>>()?)
    }

    /// The first index that is named; empty if none is.
    pub(super) fn index_name(&self) -> &str {
        self.index_name.first().map(String::as_str).unwrap_or_default()
    }

    /// The only index that is named, as [`ServerArgs::index_name`].
    fn one_index_name(&self) -> anyhow::Result<&str> {
        match self.index_name.len() {
            0 | 1 => Ok(self.index_name()),
            _ => {
                let message =
                    "`query` alone searches several indexes of a server as one: give one --index-name";
                Err(UsageError(message.to_owned()).into())
            }
        }
    }

    /// All indexes that are named; an empty name if none is.
    fn index_names(&self) -> Vec<&str> {
        match &self.index_name[..] {
            [] => vec![""],
            names => names.iter().map(String::as_str).collect(),
        }
    }

    /// The indexes that are searched as one; none where one is searched.
    fn united(&self) -> Vec<String> {
        if self.index_name.len() > 1 { self.index_name.clone() } else { Vec::new() }
    }
}

/// An index of a server.
pub(super) struct Remote {
    pub(super) address: String,
    pub(super) about: v1::DescribeIndexResponse,
    pub(super) summary: v1::IndexSummary,
    pub(super) dtype: DType,
    pub(super) metric: Metric,
}

impl Remote {
    /// Asks for the index's description.
    pub(super) async fn open(clients: &[Client], address: &str, name: &str) -> anyhow::Result<Remote> {
        let client = clients.first().context("no connection")?;
        let about = client.describe_index(name).await.map_err(told(address))?;
        let summary = about.summary.clone().context("the server describes no index")?;
        let (dtype, metric) = known(address, summary.dtype(), summary.metric())?;
        Ok(Remote { address: address.to_owned(), about, summary, dtype, metric })
    }

    pub(super) fn schema(&self) -> anyhow::Result<Schema> {
        let attribute = |of: &v1::AttributeSummary| {
            let kind = attributes::kind(of.r#type()).with_context(|| {
                format!("{}: attribute {} is of a type that is not known here", self.address, of.name)
            })?;
            Ok(Attribute { name: of.name.clone(), kind })
        };
        let attributes = self.about.attributes.iter().map(attribute).collect::<anyhow::Result<_>>()?;
        Ok(Schema::new(attributes)?)
    }

    /// Names of attributes by number.
    pub(super) fn attribute_names(&self, numbers: &[usize]) -> Vec<String> {
        numbers.iter().filter_map(|&number| Some(self.about.attributes.get(number)?.name.clone())).collect()
    }

    /// What queries have to be like.
    pub(super) fn fit(&self) -> Fit {
        Fit { dim: self.summary.dim as usize, dtype: self.dtype } // CAST: widening
    }

    /// Its column and how the vectors there are compared; none if it has none, or where candidates are not compared by it: only who asks
    /// for it needs to know its type and metric.
    fn column(&self, compare_by: VectorsOf) -> anyhow::Result<Option<(ColumnFit, Metric)>> {
        let Some(of) = self.about.column.as_ref().filter(|_| compare_by == VectorsOf::Column) else {
            return Ok(None);
        };
        let (dtype, metric) = known(&self.address, of.dtype(), of.metric())?;
        let fit = Fit { dim: of.dim as usize, dtype }; // CAST: widening
        Ok(Some((ColumnFit { name: of.name.clone(), fit }, metric)))
    }

    /// The message that carries rows of its column.
    fn column_queries(&self, rows: Vec<u8>) -> Option<v1::ColumnQueries> {
        let column = self.about.column.as_ref()?;
        let vectors = Some(v1::Vectors::raw(column.dim, column.dtype(), rows));
        Some(v1::ColumnQueries { column: column.name.clone(), vectors })
    }

    /// The message that carries documents of these rows.
    fn documents(&self, rows: &[u8], documents: &DocumentOffsets) -> v1::Vectors {
        let offsets = documents.offsets().to_vec();
        v1::Vectors::documents(self.summary.dim, self.summary.dtype(), rows.to_vec(), offsets)
    }

    /// Things that an answer may name: documents, or vectors.
    fn answers_max(&self) -> u64 {
        self.about.documents.map_or(self.summary.vectors, |documents| documents.count)
    }

    /// The message that carries these rows.
    pub(super) fn vectors(&self, rows: &[u8]) -> v1::Vectors {
        v1::Vectors::raw(self.summary.dim, self.summary.dtype(), rows.to_vec())
    }
}

/// An element type and a metric.
fn known(address: &str, dtype: v1::Dtype, metric: v1::Metric) -> anyhow::Result<(DType, Metric)> {
    let dtype = match dtype {
        v1::Dtype::F32 => DType::F32,
        v1::Dtype::F16 => DType::F16,
        v1::Dtype::I8 => DType::I8,
        v1::Dtype::U8 => DType::U8,
        v1::Dtype::Unspecified => {
            anyhow::bail!("{address}: an index of an element type that is not known here")
        }
    };
    let metric = match metric {
        v1::Metric::SquaredL2 => Metric::L2,
        v1::Metric::InnerProduct => Metric::InnerProduct,
        v1::Metric::Cosine => Metric::Cosine,
        v1::Metric::Unspecified => {
            anyhow::bail!("{address}: an index of a metric that is not known here")
        }
    };
    Ok((dtype, metric))
}

/// A status as a failure of this program.
pub(super) fn told(address: &str) -> impl Fn(Status) -> anyhow::Error {
    move |status| {
        // The words of gRPC for its codes say nothing of what happened; without others the name of the code does.
        let message = match status.message() {
            "" => format!("{address}: {:?}", status.code()),
            said => format!("{address}: {said}"),
        };
        let of_tls = std::error::Error::source(&status).is_some_and(|cause| cause.is::<TlsFault>());
        let help = match status.code() {
            _ if of_tls => "see --tls-ca, --tls-server-name, --tls-certificate and --tls-key",
            Code::Unavailable => {
                "is a server running there, and does it talk TLS (--tls)? Start one with `spandrel serve`"
            }
            Code::PermissionDenied if names_field(&status, "path") => {
                "name a folder inside one of those, or start the server with --root DIR (SPANDREL_ROOT, root = [\"DIR\"] in its \
                 file) for a folder that holds it; a token changes nothing here"
            }
            Code::Unauthenticated | Code::PermissionDenied => {
                "give a token with --token FILE or in SPANDREL_TOKEN"
            }
            Code::NotFound => "choose one of them with --index-name",
            Code::ResourceExhausted => "the server is loaded: ask for less at a time, or try again later",
            Code::InvalidArgument if names_field(&status, "index") => "choose one of them with --index-name",
            Code::InvalidArgument => "change that, and ask again",
            _ => return anyhow::Error::msg(message),
        };
        Advised::new(message, help).into()
    }
}

/// Whether a status says that a field of the request is wrong.
fn names_field(status: &Status, field: &str) -> bool {
    let details = status.get_details_bad_request();
    details.is_some_and(|bad| bad.field_violations.iter().any(|violation| violation.field == field))
}

/// Queries a second.
pub(super) fn parse_rate(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|rate| (0.001..=1e7).contains(rate))
        .ok_or("expected 0.001 to 10000000".to_owned())
}
