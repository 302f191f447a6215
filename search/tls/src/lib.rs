//! Certificates and keys in files, and why TLS fails, in words: for both ends of a connection.
//!
//! It opens no connection and checks no certificate; rustls does.
mod error;
mod fault;
mod pem;

pub use error::TlsError;
pub use fault::{Side, tls_fault};
pub use pem::{Identity, check_certificates, check_identity, read_certificates, read_identity};
