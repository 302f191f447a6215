//! Why TLS cannot be had.
use std::io;
use std::path::PathBuf;

use tokio_rustls::rustls;
use tokio_rustls::rustls::server::VerifierBuilderError;

/// Why TLS cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// A file holds nothing of that kind.
    #[error("{path}: no {what} in PEM form", path = path.display())]
    Pem {
        /// File that was to hold certificates or a key in PEM.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
        /// Why it was not found.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// The key needs a passphrase, which nobody can be asked for.
    #[error(
        "{path}: the private key is encrypted; write it without a passphrase, as `openssl pkey -in KEY -out PLAIN` does",
        path = path.display()
    )]
    EncryptedKey {
        /// File of the private key.
        path: PathBuf,
    },
    /// A key of a kind or a curve that is not supported.
    #[error(
        "{path}: a private key of {kind} cannot be used; expected ECDSA on P-256 or P-384, Ed25519, or RSA of 2048 to 8192 bits",
        path = path.display()
    )]
    UnsupportedKey {
        /// File of the private key.
        path: PathBuf,
        /// What it is, as far as its identifiers tell.
        kind: &'static str,
        /// Why it was refused.
        #[source]
        source: rustls::Error,
    },
    /// The certificate that the key belongs to is not the first.
    #[error(
        "{path}: the key belongs to certificate {at} of {count}; the chain has to begin with that one, each issuer after what it signed",
        path = path.display()
    )]
    ChainOrder {
        /// File of the certificate chain.
        path: PathBuf,
        /// Where the right certificate is, from 1.
        at: usize,
        /// Certificates in the file.
        count: usize,
    },
    /// The key belongs to none of the certificates.
    #[error("{key}: not the key of the certificate in {certificate}", key = key.display(), certificate = certificate.display())]
    KeyMismatch {
        /// File of the key that matches none.
        key: PathBuf,
        /// File of the certificate chain.
        certificate: PathBuf,
    },
    /// The certificate is of the first version of X.509, which has no room for names.
    #[error("{path}: the certificate is of X.509 version 1; expected version 3, as `openssl x509 -req -extfile FILE` makes it with names in FILE", path = path.display())]
    CertificateVersion {
        /// File of the certificate.
        path: PathBuf,
    },
    /// The certificate is of a kind that is not supported.
    #[error("{path}: the certificate cannot be used", path = path.display())]
    Certificate {
        /// File of the certificate.
        path: PathBuf,
        /// Why rustls refuses it.
        #[source]
        source: rustls::Error,
    },
    /// The file of authorities for clients' certificates (`client_ca`) yields no check. Give one that holds the certificates of CAs.
    #[error("{path}: clients' certificates cannot be checked with it", path = path.display())]
    ClientCa {
        /// File of the authorities that clients' certificates are checked against.
        path: PathBuf,
        /// Why no check can be made with them.
        #[source]
        source: VerifierBuilderError,
    },
}
