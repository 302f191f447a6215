//! The methods of the server: their names, the scopes they need and what a call of each may hold.
use std::time::Duration;

use spandrel_index::DIM_MAX;

use crate::limits::Limits;
use crate::tokens::Scope;

/// Largest message of a call that needs no token or only names symbols, in bytes.
const SMALL_MESSAGE: usize = 1 << 10;
/// Bytes of a query in a stream besides its vector: the index's name, options, tags.
const QUERY_REST: usize = 64 << 10;

/// What a call asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Search,
    SearchBatch,
    SearchStream,
    SearchRange,
    Fetch,
    ListIndexes,
    DescribeIndex,
    UnloadIndex,
    StartLoad,
    StartSwitch,
    StartVerify,
    GetOperation,
    ListOperations,
    WatchOperation,
    CancelOperation,
    HealthCheck,
    HealthWatch,
    Reflection,
    /// A search of the status page; it comes over HTTP.
    SearchById,
    /// No method of ours. It stays the last: by its number a method that `ALL` leaves out does not compile.
    Unknown,
}

impl Method {
    /// Every value, at the place of its number: counts are kept by it.
    pub(crate) const ALL: [Method; Method::Unknown as usize + 1] = [
        Method::Search,
        Method::SearchBatch,
        Method::SearchStream,
        Method::SearchRange,
        Method::Fetch,
        Method::ListIndexes,
        Method::DescribeIndex,
        Method::UnloadIndex,
        Method::StartLoad,
        Method::StartSwitch,
        Method::StartVerify,
        Method::GetOperation,
        Method::ListOperations,
        Method::WatchOperation,
        Method::CancelOperation,
        Method::HealthCheck,
        Method::HealthWatch,
        Method::Reflection,
        Method::SearchById,
        Method::Unknown,
    ];

    /// The method of a path.
    pub(crate) fn of(path: &str) -> Method {
        match path {
            "/spandrel.v1.SearchService/Search" => Method::Search,
            "/spandrel.v1.SearchService/SearchBatch" => Method::SearchBatch,
            "/spandrel.v1.SearchService/SearchStream" => Method::SearchStream,
            "/spandrel.v1.SearchService/SearchRange" => Method::SearchRange,
            "/spandrel.v1.SearchService/Fetch" => Method::Fetch,
            "/spandrel.v1.AdminService/ListIndexes" => Method::ListIndexes,
            "/spandrel.v1.AdminService/DescribeIndex" => Method::DescribeIndex,
            "/spandrel.v1.AdminService/UnloadIndex" => Method::UnloadIndex,
            "/spandrel.v1.AdminService/StartLoad" => Method::StartLoad,
            "/spandrel.v1.AdminService/StartSwitch" => Method::StartSwitch,
            "/spandrel.v1.AdminService/StartVerify" => Method::StartVerify,
            "/spandrel.v1.AdminService/GetOperation" => Method::GetOperation,
            "/spandrel.v1.AdminService/ListOperations" => Method::ListOperations,
            "/spandrel.v1.AdminService/WatchOperation" => Method::WatchOperation,
            "/spandrel.v1.AdminService/CancelOperation" => Method::CancelOperation,
            "/grpc.health.v1.Health/Check" => Method::HealthCheck,
            "/grpc.health.v1.Health/Watch" => Method::HealthWatch,
            _ if path.starts_with("/grpc.reflection.") => Method::Reflection,
            _ => Method::Unknown,
        }
    }

    /// Its name in metrics and logs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Method::Search => "Search",
            Method::SearchBatch => "SearchBatch",
            Method::SearchStream => "SearchStream",
            Method::SearchRange => "SearchRange",
            Method::Fetch => "Fetch",
            Method::ListIndexes => "ListIndexes",
            Method::DescribeIndex => "DescribeIndex",
            Method::UnloadIndex => "UnloadIndex",
            Method::StartLoad => "StartLoad",
            Method::StartSwitch => "StartSwitch",
            Method::StartVerify => "StartVerify",
            Method::GetOperation => "GetOperation",
            Method::ListOperations => "ListOperations",
            Method::WatchOperation => "WatchOperation",
            Method::CancelOperation => "CancelOperation",
            Method::HealthCheck => "HealthCheck",
            Method::HealthWatch => "HealthWatch",
            Method::Reflection => "Reflection",
            Method::SearchById => "SearchById",
            Method::Unknown => "other",
        }
    }

    /// The scope that it needs; none where load balancers ask without a token. An unknown method needs the least, so
    /// that a client with any token learns that there is none.
    pub(crate) fn scope(self) -> Option<Scope> {
        match self {
            Method::HealthCheck | Method::HealthWatch => None,
            Method::UnloadIndex
            | Method::StartLoad
            | Method::StartSwitch
            | Method::StartVerify
            | Method::GetOperation
            | Method::ListOperations
            | Method::WatchOperation
            | Method::CancelOperation => Some(Scope::Admin),
            _ => Some(Scope::Search),
        }
    }

    /// Whether it is of the search service.
    pub(crate) fn is_search(self) -> bool {
        matches!(
            self,
            Method::Search | Method::SearchBatch | Method::SearchStream | Method::SearchRange | Method::Fetch
        )
    }

    /// Whether its calls hold a connection's small budget and do not keep the connection alive.
    pub(crate) fn is_small(self) -> bool {
        matches!(self, Method::HealthCheck | Method::HealthWatch | Method::Reflection)
    }

    /// Whether a call takes in messages, or gives out answers, until either side ends it.
    pub(crate) fn is_stream(self) -> bool {
        matches!(
            self,
            Method::SearchStream | Method::WatchOperation | Method::HealthWatch | Method::Reflection
        )
    }

    /// Whether what its request became is needed until the answer ends, which is after it begins.
    pub(crate) fn keeps_request(self) -> bool {
        self.is_stream() || self == Method::SearchRange
    }

    /// Longest time of a call whose client asked for `asked`; none for no limit.
    pub(crate) fn longest(self, asked: Option<Duration>, limits: &Limits) -> Option<Duration> {
        match self {
            // It waits for an index that is being opened; streams go on.
            Method::UnloadIndex | Method::WatchOperation | Method::SearchStream | Method::HealthWatch => {
                asked
            }
            _ => Some(asked.map_or(limits.request_max, |asked| asked.min(limits.request_max))),
        }
    }

    /// Largest message it takes, in bytes.
    pub(crate) fn message_bytes(self, limits: &Limits) -> usize {
        match self {
            _ if self.is_small() => SMALL_MESSAGE,
            // One query.
            Method::SearchStream | Method::SearchRange => limits.message_bytes.min(4 * DIM_MAX + QUERY_REST),
            _ => limits.message_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_have_the_scope_of_what_they_change() {
        assert_eq!(Method::of("/spandrel.v1.SearchService/Search").scope(), Some(Scope::Search));
        assert_eq!(Method::of("/spandrel.v1.AdminService/StartVerify").scope(), Some(Scope::Admin));
        assert_eq!(Method::of("/grpc.health.v1.Health/Check").scope(), None);
        for unknown in ["/", "", "/spandrel.v1.SearchService/SearchAll", "/grpc.health.v1.Health/List"] {
            assert_eq!(Method::of(unknown).scope(), Some(Scope::Search), "{unknown}");
        }
        let names: std::collections::BTreeSet<&str> = Method::ALL.map(Method::name).into();
        assert_eq!(names.len(), Method::ALL.len());
    }

    #[test]
    fn every_method_is_at_the_place_of_its_number() {
        let places = Method::ALL.map(|method| method as usize);
        assert_eq!(places, std::array::from_fn(|place| place));
    }

    #[test]
    fn what_needs_no_token_may_hold_little() {
        let limits = Limits::default();
        for method in Method::ALL.into_iter().filter(|method| method.scope().is_none()) {
            assert!(method.is_small() && method.message_bytes(&limits) == 1 << 10, "{method:?}");
        }
        assert!(Method::SearchStream.message_bytes(&limits) < limits.message_bytes);
    }
}
