//! Who is at the other end of a connection.
use std::net::SocketAddr;
use std::sync::Arc;

/// The other end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// Names in its certificate, where one was asked for.
    pub(crate) certificate: Option<Arc<[String]>>,
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Peer {
        Peer { address, certificate: None }
    }
}
