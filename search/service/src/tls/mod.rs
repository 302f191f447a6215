//! TLS: certificates from PEM files, read again when they change.
mod names;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use spandrel_tls::{Side, TlsError, read_certificates, read_identity, tls_fault};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

pub(crate) use self::names::names_of;
use crate::fresh::{Stamps, keep_fresh};

/// Files of a server's identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// The certificate chain, PEM, the server's own first.
    pub certificate: PathBuf,
    /// Private key of that certificate, PEM.
    pub key: PathBuf,
    /// CA certificates for clients, PEM: with it every client needs a certificate.
    pub client_ca: Option<PathBuf>,
}

impl TlsConfig {
    fn files(&self) -> Vec<PathBuf> {
        let files = [Some(&self.certificate), Some(&self.key), self.client_ca.as_ref()];
        files.into_iter().flatten().cloned().collect()
    }
}

/// Accepts TLS connections with the newest certificate that could be read.
#[derive(Clone)]
pub(crate) struct Tls {
    acceptor: Arc<ArcSwap<ServerConfig>>,
    stamps: Stamps,
}

/// Bytes that are read of a client whose handshake failed, and the time for that.
const REST_BYTES: u64 = 64 << 10;
const REST_TIME: Duration = Duration::from_secs(1);

impl Tls {
    /// Reads the files.
    pub(crate) fn open(config: &TlsConfig) -> Result<Tls, TlsError> {
        // Taken before reading, so that a change meanwhile is seen later.
        let stamps = Stamps::of(config.files());
        Ok(Tls { acceptor: Arc::new(ArcSwap::from(read(config)?)), stamps })
    }

    /// Reads the files again when one of them changes.
    pub(crate) async fn keep_fresh(self, config: TlsConfig) {
        let read = || read(&config).map(|fresh| self.acceptor.store(fresh));
        keep_fresh("certificates", self.stamps, read).await;
    }

    /// Shakes hands with a client.
    ///
    /// # Errors
    /// What went wrong, in words where it is a fault of TLS or of the certificates.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
        longest: Duration,
    ) -> Result<TlsStream<TcpStream>, HandshakeError> {
        let acceptor = TlsAcceptor::from(self.acceptor.load_full());
        let shaking = async {
            match stream.peek(&mut [0]).await {
                Ok(1..) => acceptor.accept(stream).into_fallible().await.map_err(|(error, stream)| {
                    tokio::spawn(take_leave(stream));
                    let text = tls_fault(&error, Side::Server).unwrap_or_else(|| {
                        format!(
                            "the client ended it ({error}), as it may where it does not trust the certificate"
                        )
                    });
                    HandshakeError { text, is_fault: true }
                }),
                // A look at whether the port is open.
                _ => Err(HandshakeError {
                    text: "it was closed before the handshake".to_owned(),
                    is_fault: false,
                }),
            }
        };
        let late = || HandshakeError { text: "it took too long".to_owned(), is_fault: true };
        timeout(longest, shaking).await.unwrap_or_else(|_| Err(late()))
    }
}

/// Why there was no handshake.
#[derive(Debug)]
pub(crate) struct HandshakeError {
    pub(crate) text: String,
    /// Whether a client or the server has to be set otherwise; a connection that just went is no fault.
    pub(crate) is_fault: bool,
}

/// Reads what the client has sent meanwhile: closing with bytes unread resets the connection, and the alert that says what
/// was wrong is lost.
async fn take_leave(mut stream: TcpStream) {
    let leaving = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut (&mut stream).take(REST_BYTES), &mut tokio::io::sink()).await
    };
    drop(timeout(REST_TIME, leaving).await);
}

fn read(config: &TlsConfig) -> Result<Arc<ServerConfig>, TlsError> {
    let (chain, key) = read_identity(&config.certificate, &config.key)?;
    let provider = Arc::new(ring::default_provider());
    let unusable = |source| TlsError::Certificate { path: config.certificate.clone(), source };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(unusable)?;
    let builder = match &config.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in read_certificates(path)? {
                roots
                    .add(certificate)
                    .map_err(|source| TlsError::Certificate { path: path.clone(), source })?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            let verifier = verifier.map_err(|source| TlsError::ClientCa { path: path.clone(), source })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut server = builder.with_single_cert(chain, key).map_err(unusable)?;
    server.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(server))
}
