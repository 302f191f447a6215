//! Why a request got no answer, as the gRPC statuses that `search.proto` lists.
use std::io;
use std::time::Duration;

use spandrel_engine::{EngineError, ParamsError, QueryError, SearchError};
use spandrel_index::attributes::CompileError;
use spandrel_index::format::OpenError;
use spandrel_names::{QUOTED_MAX, cut};
use tokio::task::JoinError;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::causes::{known_words, with_causes};
use crate::filter_fault::FilterFault;
use crate::index_name::IndexNameError;
use crate::tokens::Denied;

/// Most characters of a folder that a message quotes.
const PATH_MAX: usize = 1000;

/// A request that got no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("{field}: {message}")]
    Field { field: &'static str, message: String },
    #[error("{field}: {}", .fault.message)]
    Filter { field: String, fault: FilterFault },
    #[error("no index is called '{}'; there {}", cut(.name, QUOTED_MAX), known_words(.known))]
    NoIndex { name: String, known: Vec<String> },
    #[error("the request names no index, and there {}", known_words(.known))]
    NoName { known: Vec<String> },
    #[error("the index has no vector {id}")]
    NoVector { id: u64 },
    #[error("an index called '{name}' is loaded; unload it or switch it")]
    Taken { name: String },
    #[error("the server is loaded: {waiting_ms} ms of work are waiting; try again in {retry_ms} ms")]
    Overloaded { waiting_ms: u64, retry_ms: u64 },
    #[error(
        "{} about {needs_ms} ms, the deadline leaves {left_ms}; send fewer, or allow more time",
        taking(*.queries)
    )]
    Short { queries: usize, needs_ms: u64, left_ms: u64 },
    #[error("calls under way on {whose} hold {held} bytes, the limit is {limit}; try again later")]
    Bytes { whose: &'static str, held: usize, limit: usize },
    #[error("filters of the index that are in use take {held} bytes, the limit is {limit}; try again later")]
    Filters { held: usize, limit: usize },
    #[error("health watches on one connection are limited to {limit}")]
    Watches { limit: usize },
    #[error("the deadline passed before the answer was complete")]
    Deadline,
    #[error("the client gave up")]
    Cancelled,
    #[error("the server is stopping")]
    Stopping,
    #[error("no search thread of the index is running; they are being replaced")]
    NoThreads,
    #[error("the server ends the connection, which is {0}; connect again")]
    Ending(&'static str),
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error("the server is loading: {done} of {of} indexes are open; try again in a moment")]
    Loading { done: usize, of: usize },
    #[error(
        "the index is served without its ids in memory, so that no distances can be estimated; start the server with --distances any, or ask for exact distances"
    )]
    NoIds,
    #[error(
        "the index holds documents of many vectors: it is searched by Search, SearchBatch and SearchStream with documents, and gives no vectors"
    )]
    Documents,
    #[error(
        "the index keeps no pages of the vectors that are searched; use its column {column:?}, or build it with --keep-coarse"
    )]
    NotKept { column: String },
    /// The system opens no files beneath a folder.
    #[error(transparent)]
    Unsupported(io::Error),
    #[error("{}: not inside a folder that the server opens indexes from; its setting root is: {roots}", cut(.path, PATH_MAX))]
    Outside { path: String, roots: String },
    #[error(
        "the index has {files} files, which are open twice while it is switched; of the {allowed} that the system allows, others take {others}; raise it (ulimit -n, LimitNOFILE)"
    )]
    Files { files: usize, others: usize, allowed: usize },
    #[error("the index is damaged: the vector {id} cannot be read")]
    DamagedVector { id: u64 },
    #[error("the index is damaged: an id that was found by search is not among the ids")]
    DamagedIds,
    /// Where the fault is, is told to the log alone.
    #[error("the index is damaged: its attributes cannot be read; verify it")]
    DamagedAttributes(#[source] OpenError),
    #[error("another verification is under way")]
    Busy,
    #[error("no operation {id}; the server remembers the last 100 since its start")]
    NoOperation { id: u64 },
    #[error("{limit} operations are under way; cancel one, or try again later")]
    Operations { limit: usize },
    #[error("{}", if is_damage(.0) { "the index is damaged" } else { "the index cannot be opened" })]
    Open(#[source] OpenError),
    #[error("the index cannot be searched")]
    Engine(#[from] EngineError),
    /// Told to the log alone, as are the others below: they may speak of files.
    #[error(transparent)]
    Search(SearchError),
    #[error("a search thread went away without an answer")]
    NoReply,
    #[error("the filter cannot be compiled")]
    Compile(#[source] CompileError),
    /// The work broke, or the runtime ended before it.
    #[error("{doing}")]
    Broken {
        doing: &'static str,
        #[source]
        error: JoinError,
    },
}

impl Refusal {
    /// Why work has no outcome: for `map_err`.
    pub(crate) fn broken(doing: &'static str) -> impl FnOnce(JoinError) -> Refusal {
        move |error| Refusal::Broken { doing, error }
    }

    pub(crate) fn field(field: &'static str, message: impl Into<String>) -> Refusal {
        Refusal::Field { field, message: message.into() }
    }

    /// More than the server takes of a thing.
    pub(crate) fn limit(field: &'static str, found: usize, limit: usize) -> Refusal {
        Refusal::field(field, format!("{found}, the server's limit is {limit}"))
    }

    /// The status code of the table in `search.proto`.
    pub(crate) fn code(&self) -> Code {
        match self {
            Refusal::Field { .. } | Refusal::Filter { .. } | Refusal::NoName { .. } => Code::InvalidArgument,
            Refusal::NoIndex { .. } | Refusal::NoVector { .. } | Refusal::NoOperation { .. } => {
                Code::NotFound
            }
            Refusal::Taken { .. } => Code::AlreadyExists,
            Refusal::Overloaded { .. }
            | Refusal::Bytes { .. }
            | Refusal::Filters { .. }
            | Refusal::Watches { .. }
            | Refusal::Busy
            | Refusal::Operations { .. } => Code::ResourceExhausted,
            Refusal::Deadline | Refusal::Short { .. } => Code::DeadlineExceeded,
            Refusal::Cancelled => Code::Cancelled,
            Refusal::Stopping | Refusal::NoThreads | Refusal::Ending(_) | Refusal::Loading { .. } => {
                Code::Unavailable
            }
            Refusal::Denied(denied) => denied.code(),
            Refusal::NoIds
            | Refusal::Documents
            | Refusal::NotKept { .. }
            | Refusal::Unsupported(_)
            | Refusal::Files { .. } => Code::FailedPrecondition,
            Refusal::Outside { .. } => Code::PermissionDenied,
            Refusal::DamagedVector { .. } | Refusal::DamagedIds | Refusal::DamagedAttributes(_) => {
                Code::DataLoss
            }
            Refusal::Open(error) if is_damage(error) => Code::DataLoss,
            Refusal::Open(error) if matches!(cause(error), OpenError::Read { .. }) => Code::Internal,
            Refusal::Engine(EngineError::Open(_)) => Code::Internal,
            // No index, another format, or a part where it cannot be searched.
            Refusal::Open(_) | Refusal::Engine(_) => Code::FailedPrecondition,
            Refusal::Search(_) | Refusal::NoReply | Refusal::Compile(_) | Refusal::Broken { .. } => {
                Code::Internal
            }
        }
    }

    /// What the caller is told.
    pub(crate) fn told(&self) -> String {
        match self {
            Refusal::Search(_) | Refusal::NoReply | Refusal::Compile(_) | Refusal::Broken { .. } => {
                "a fault of the server; its log says more".to_owned()
            }
            Refusal::DamagedAttributes(_) => self.to_string(),
            told => with_causes(told),
        }
    }

    /// The field of the request that is wrong, and what is wrong with it.
    fn violation(&self) -> Option<(&str, String)> {
        match self {
            Refusal::Field { field, message } => Some((field, message.clone())),
            Refusal::Filter { field, fault } => Some((field, fault.message.clone())),
            Refusal::NoName { .. } => Some(("index", self.to_string())),
            Refusal::Outside { .. } => Some(("path", self.to_string())),
            _ => None,
        }
    }

    /// When to try again, where that helps.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Refusal::Overloaded { retry_ms, .. } => Some(Duration::from_millis(*retry_ms)),
            Refusal::Stopping
            | Refusal::Loading { .. }
            | Refusal::Ending(_)
            | Refusal::Bytes { .. }
            | Refusal::Filters { .. } => Some(Duration::from_millis(100)),
            Refusal::Busy | Refusal::NoThreads | Refusal::Watches { .. } | Refusal::Operations { .. } => {
                Some(Duration::from_secs(1))
            }
            _ => None,
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Status {
        if matches!(refusal.code(), Code::Internal | Code::DataLoss) {
            tracing::error!(error = with_causes(&refusal), "request failed");
        }
        Status::from(&refusal)
    }
}

impl From<&Refusal> for Status {
    fn from(refusal: &Refusal) -> Status {
        let (code, text) = (refusal.code(), refusal.told());
        let mut details = match (refusal.violation(), refusal.retry_after()) {
            (Some((field, message)), _) => ErrorDetails::with_bad_request_violation(field, message),
            (None, Some(delay)) => ErrorDetails::with_retry_info(Some(delay)),
            (None, None) => return Status::new(code, text),
        };
        if let Refusal::Filter { fault, .. } = refusal {
            details.set_error_info("INVALID_FILTER", "spandrel", fault.metadata());
        }
        Status::with_error_details(code, text, details)
    }
}

/// How many queries take a time.
fn taking(queries: usize) -> String {
    if queries == 1 { "1 query takes".to_owned() } else { format!("{queries} queries take") }
}

/// What tonic says, as INTERNAL, of requests that are no messages of the protocol.
const MALFORMED: [&str; 3] =
    ["failed to decode Protobuf message", "protocol error: received message", "Missing request message"];

/// A status that tonic gave: a request that cannot be read is the client's fault and not the server's.
pub(crate) fn of_request(status: Status) -> Status {
    let is_malformed = || MALFORMED.iter().any(|text| status.message().starts_with(text));
    if status.code() == Code::Internal && is_malformed() {
        return Status::invalid_argument(status.message());
    }
    status
}

impl From<IndexNameError> for Refusal {
    fn from(error: IndexNameError) -> Refusal {
        Refusal::field("index", error.to_string())
    }
}

impl From<ParamsError> for Refusal {
    fn from(error: ParamsError) -> Refusal {
        let field = match &error {
            ParamsError::ZeroK => "k",
            ParamsError::Recall { .. } | ParamsError::RecallAndEpsilon => "options.recall",
            ParamsError::Epsilon { .. } => "options.epsilon",
            ParamsError::ZeroLists => "options.max_lists",
            ParamsError::HeadScore { .. }
            | ParamsError::HeadScoreMetric { .. }
            | ParamsError::HeadScoreFilter => "options.min_head_score",
            ParamsError::ZeroBytes => "options.max_bytes",
            ParamsError::Radius(_) => "radius",
            ParamsError::Completeness { .. } => "completeness",
            ParamsError::ZeroResults => "max_results",
            ParamsError::RerankErrors { .. } => "options.rerank_errors",
            ParamsError::NoIds => return Refusal::NoIds,
            ParamsError::NoColumn => "column_queries",
            ParamsError::Documents => return Refusal::Documents,
            ParamsError::NotKept { column } => return Refusal::NotKept { column: column.clone() },
            ParamsError::ColumnEstimates => "options.distances",
            ParamsError::ColumnErrors => "options.rerank_errors",
            _ => "options",
        };
        Refusal::field(field, error.to_string())
    }
}

impl From<QueryError> for Refusal {
    fn from(error: QueryError) -> Refusal {
        let field = match error {
            QueryError::Column(_) | QueryError::ColumnCount { .. } => "column_queries.vectors",
            _ => "query",
        };
        Refusal::field(field, error.to_string())
    }
}

impl From<SearchError> for Refusal {
    fn from(error: SearchError) -> Refusal {
        match error {
            SearchError::Params(error) => error.into(),
            SearchError::Query(error) => error.into(),
            SearchError::Overloaded { .. } => Refusal::Overloaded { waiting_ms: 0, retry_ms: 100 },
            SearchError::Encoding { .. } => Refusal::field("query.documents", error.to_string()),
            SearchError::Cells { .. } => Refusal::field("with_attributes", error.to_string()),
            SearchError::Deadline { .. } => Refusal::Deadline,
            SearchError::Stopped { .. } => Refusal::Cancelled,
            SearchError::Closed => Refusal::NoThreads,
            other => Refusal::Search(other),
        }
    }
}

impl From<OpenError> for Refusal {
    fn from(error: OpenError) -> Refusal {
        match cause(&error) {
            OpenError::Stopped { .. } => Refusal::Cancelled,
            _ => Refusal::Open(error),
        }
    }
}

/// What is wrong with an index, of an approved version too.
fn cause(error: &OpenError) -> &OpenError {
    match error {
        OpenError::Approved { source, .. } => source,
        other => other,
    }
}

/// Whether its files are not what was written.
fn is_damage(error: &OpenError) -> bool {
    matches!(
        cause(error),
        OpenError::MissingSection { .. }
            | OpenError::MissingFile { .. }
            | OpenError::NotOurs { .. }
            | OpenError::Length { .. }
            | OpenError::Checksum { .. }
            | OpenError::Field { .. }
    )
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn what_the_server_did_wrong_is_for_its_log() {
        let broken = SearchError::Broken { reason: "at /data/index".to_owned() };
        let status = Status::from(Refusal::from(broken));
        assert_eq!(status.code(), Code::Internal);
        assert!(!status.message().contains("/data/index"), "{status}");
        let gone = OpenError::MissingFile { path: PathBuf::from("/data/index/attributes-1") };
        let status = Status::from(Refusal::DamagedAttributes(gone));
        assert_eq!(status.code(), Code::DataLoss);
        assert!(!status.message().contains("/data/index"), "{status}");
    }

    #[test]
    fn what_is_wrong_with_an_index_is_kept_apart() {
        let path = || PathBuf::from("index/vectors-1");
        let gone = || OpenError::MissingFile { path: path() };
        let denied = std::io::ErrorKind::PermissionDenied;
        for (error, code) in [
            (OpenError::NotAnIndex { path: path(), begun: false }, Code::FailedPrecondition),
            (OpenError::Version { path: path(), major: 9, minor: 0 }, Code::FailedPrecondition),
            (OpenError::NotOurs { path: path(), expected: "manifest", found: vec![0] }, Code::DataLoss),
            (OpenError::Length { path: path(), found: 1, expected: 2 }, Code::DataLoss),
            (gone(), Code::DataLoss),
            (OpenError::Approved { path: path(), version: 1, source: gone().into() }, Code::DataLoss),
            (OpenError::Read { path: path(), source: denied.into() }, Code::Internal),
        ] {
            assert_eq!(Refusal::from(error).code(), code);
        }
    }
}
