//! Which server is managed.
use std::path::PathBuf;

use clap::Args;
use spandrel_client::{Client, RetryPolicy};

use crate::UsageError;
use crate::commands::remote::{Connection, told};

/// Which server is managed, and how it is reached.
#[derive(Debug, Args)]
#[command(next_help_heading = "Server")]
pub(super) struct Reach {
    /// The server's address.
    #[arg(long, value_name = "HOST:PORT", env = "SPANDREL_SERVER", global = true)]
    server: Option<String>,
    /// File with an API token [default: the token in $SPANDREL_TOKEN, if there is one].
    #[arg(long, value_name = "FILE", global = true)]
    token: Option<PathBuf>,
    /// Use TLS, and check the server's certificate against the system's roots. Each of the flags below implies it.
    #[arg(long, global = true)]
    tls: bool,
    /// CA certificates for the server's certificate, PEM [default: the system's roots].
    #[arg(long, value_name = "FILE", global = true)]
    tls_ca: Option<PathBuf>,
    /// The name in the server's certificate [default: the host of --server].
    #[arg(long, value_name = "NAME", global = true)]
    tls_server_name: Option<String>,
    /// The client's own certificate, PEM, where the server asks for one.
    #[arg(long, value_name = "FILE", requires = "tls_key", global = true)]
    tls_certificate: Option<PathBuf>,
    /// Private key of that certificate, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_certificate", global = true)]
    tls_key: Option<PathBuf>,
}

/// A server, and how it is called in messages.
pub(super) struct Server {
    pub(super) client: Client,
    address: String,
}

impl Server {
    /// A status as a failure of this program.
    pub(super) fn told(&self) -> impl Fn(tonic::Status) -> anyhow::Error {
        told(&self.address)
    }
}

impl Reach {
    /// A client of the server, which is connected to at the first call.
    pub(super) fn connect(&self) -> anyhow::Result<Server> {
        let Some(address) = self.server.clone() else {
            return Err(
                UsageError("no server: give --server HOST:PORT, or set SPANDREL_SERVER".to_owned()).into()
            );
        };
        let connection = Connection {
            address: address.clone(),
            token: self.token.clone(),
            tls: self.tls,
            tls_ca: self.tls_ca.clone(),
            tls_server_name: self.tls_server_name.clone(),
            identity: self.tls_certificate.clone().zip(self.tls_key.clone()),
            deadline_ms: None,
        };
        let config = connection.config(RetryPolicy::default())?;
        Ok(Server { client: Client::new(&config)?, address })
    }
}
