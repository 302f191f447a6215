//! Why a handshake failed, in words for whoever set up this end.
use std::error::Error;
use std::io;

use tokio_rustls::rustls::{self, AlertDescription, CertificateError, OtherError};

/// Which end of a connection is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one that connects.
    Client,
    /// The one that is connected to.
    Server,
}

/// What an error says of TLS or of certificates; none if it, with its causes, does not speak of them. Trying again does not
/// help against such a fault.
pub fn tls_fault(error: &(dyn Error + 'static), side: Side) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let found = error.downcast_ref().or_else(|| inner.and_then(|inner| inner.downcast_ref()));
        if let Some(fault) = found {
            return Some(words(fault, side));
        }
        // HTTP/2 keeps the text alone of what ends a connection.
        let text = error.to_string();
        let alert =
            ALERTS.iter().find(|&&alert| text.contains(&rustls::Error::AlertReceived(alert).to_string()));
        if let Some(&alert) = alert {
            return Some(words(&rustls::Error::AlertReceived(alert), side));
        }
        cause = error.source();
    }
    None
}

/// What one end is told of the other's certificate.
const ALERTS: [AlertDescription; 12] = [
    AlertDescription::CertificateRequired,
    AlertDescription::UnknownCA,
    AlertDescription::BadCertificate,
    AlertDescription::UnsupportedCertificate,
    AlertDescription::CertificateExpired,
    AlertDescription::CertificateRevoked,
    AlertDescription::CertificateUnknown,
    AlertDescription::DecryptError,
    AlertDescription::AccessDenied,
    AlertDescription::HandshakeFailure,
    AlertDescription::ProtocolVersion,
    AlertDescription::NoApplicationProtocol,
];

fn words(error: &rustls::Error, side: Side) -> String {
    let (own, other) = match side {
        Side::Client => ("client", "server"),
        Side::Server => ("server", "client"),
    };
    match error {
        rustls::Error::NoCertificatesPresented => format!("the {other} shows no certificate"),
        rustls::Error::InvalidCertificate(error) => of_certificate(error, other),
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired => {
                format!("the {other} asks for a certificate, and the {own} has none")
            }
            AlertDescription::UnknownCA => {
                format!("the {other} does not know the issuer of the {own}'s certificate")
            }
            AlertDescription::CertificateExpired => {
                format!("the {other} says that the {own}'s certificate has expired")
            }
            AlertDescription::BadCertificate => {
                format!("the {other} refuses the {own}'s certificate, as it does one for another name")
            }
            AlertDescription::DecryptError => {
                format!("the {other} trusts an issuer of that name, who did not sign the {own}'s certificate")
            }
            AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied => {
                format!("the {other} refuses the {own}'s certificate ({alert:?})")
            }
            alert => format!("the {other} ended the TLS handshake ({alert:?})"),
        },
        rustls::Error::InvalidMessage(_) => format!("the {other} does not speak TLS"),
        rustls::Error::NoApplicationProtocol => format!("the {other} does not speak HTTP/2"),
        other_fault => format!("the TLS handshake with the {other} failed: {other_fault}"),
    }
}

fn of_certificate(error: &CertificateError, other: &str) -> String {
    match error {
        CertificateError::UnknownIssuer => {
            format!("the {other}'s certificate is signed by an issuer that is not trusted here")
        }
        CertificateError::BadSignature => {
            format!("the issuer trusted here under that name did not sign the {other}'s certificate")
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names: Vec<String> = presented.iter().map(|name| shown(name)).collect();
            let names = if names.is_empty() { "no name".to_owned() } else { names.join(", ") };
            format!("the {other}'s certificate is for {names}, not for {}", expected.to_str())
        }
        CertificateError::NotValidForName => format!("the {other}'s certificate is for another name"),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("the {other}'s certificate has expired")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("the {other}'s certificate is not valid yet")
        }
        error if is_version_1(error) => {
            format!("the {other}'s certificate is of X.509 version 1, expected version 3")
        }
        error => format!("the {other}'s certificate cannot be used: {error}"),
    }
}

/// Whether a certificate is of the first version of X.509.
pub(crate) fn is_version_1(error: &CertificateError) -> bool {
    let CertificateError::Other(OtherError(inner)) = error else { return false };
    matches!(inner.downcast_ref(), Some(webpki::Error::UnsupportedCertVersion))
}

/// A name as rustls gives it, `DnsName("localhost")`, without what is around it.
fn shown(name: &str) -> String {
    match name.split_once('(') {
        Some((_, rest)) => rest.trim_end_matches(')').trim_matches('"').to_owned(),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_found_among_causes_and_in_texts() {
        let alert = rustls::Error::AlertReceived(AlertDescription::UnknownCA);
        let known = "the server does not know the issuer of the client's certificate";
        let wrapped = io::Error::new(io::ErrorKind::InvalidData, alert.clone());
        assert_eq!(tls_fault(&wrapped, Side::Client).as_deref(), Some(known));
        let text = io::Error::other(format!("connection error: {alert}"));
        assert_eq!(tls_fault(&text, Side::Client).as_deref(), Some(known));
        assert_eq!(tls_fault(&io::Error::other("connection refused"), Side::Client), None);
        let other = rustls::Error::InvalidCertificate(CertificateError::BadSignature);
        let words = tls_fault(&other, Side::Client).unwrap();
        assert!(words.contains("did not sign the server's certificate"), "{words}");
        let none = rustls::Error::NoCertificatesPresented;
        assert_eq!(tls_fault(&none, Side::Server).as_deref(), Some("the client shows no certificate"));
    }
}
