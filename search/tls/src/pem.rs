//! Certificates and keys in PEM files, and what is wrong with them.
use std::path::Path;

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, InconsistentKeys};

use crate::error::TlsError;
use crate::fault::is_version_1;

/// A chain of certificates, the own one first, and its private key.
pub type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Checks that a file holds certificates.
///
/// # Errors
/// [`TlsError`].
pub fn check_certificates(path: &Path) -> Result<(), TlsError> {
    read_certificates(path).map(drop)
}

/// Checks that a chain of certificates and a private key can be used, and with each other.
///
/// # Errors
/// [`TlsError`].
pub fn check_identity(certificate: &Path, key: &Path) -> Result<(), TlsError> {
    read_identity(certificate, key).map(drop)
}

/// The certificates in a file, one at least.
///
/// # Errors
/// [`TlsError`].
pub fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = fs_err::read(path)?;
    let failed = |source| TlsError::Pem { path: path.to_owned(), what: "certificate", source };
    let found: Vec<_> = CertificateDer::pem_slice_iter(&bytes).collect::<Result<_, _>>().map_err(failed)?;
    if found.is_empty() { Err(failed(pem::Error::NoItemsFound)) } else { Ok(found) }
}

/// A chain, the own certificate first, and the key that belongs to it.
///
/// # Errors
/// [`TlsError`].
pub fn read_identity(certificate: &Path, key: &Path) -> Result<Identity, TlsError> {
    let chain = read_certificates(certificate)?;
    let key_path = key;
    let key = read_key(key_path)?;
    let provider = ring::default_provider();
    match fits(&chain, &key, &provider) {
        Ok(()) => Ok((chain, key)),
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            let own = (0..chain.len()).find(|&at| fits(&chain[at..], &key, &provider).is_ok());
            Err(match own {
                Some(at) => {
                    TlsError::ChainOrder { path: certificate.to_owned(), at: at + 1, count: chain.len() }
                }
                None => {
                    TlsError::KeyMismatch { key: key_path.to_owned(), certificate: certificate.to_owned() }
                }
            })
        }
        Err(rustls::Error::InvalidCertificate(error)) if is_version_1(&error) => {
            Err(TlsError::CertificateVersion { path: certificate.to_owned() })
        }
        Err(source) => Err(TlsError::Certificate { path: certificate.to_owned(), source }),
    }
}

/// Whether the key is that of the first certificate.
fn fits(
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
    provider: &CryptoProvider,
) -> Result<(), rustls::Error> {
    let key = provider.key_provider.load_private_key(key.clone_key())?;
    match CertifiedKey::new(chain.to_vec(), key).keys_match() {
        // Told of keys that do not show their public half.
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(()),
        other => other,
    }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bytes = fs_err::read(path)?;
    let holds = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
    if holds("-----BEGIN ENCRYPTED PRIVATE KEY-----") || holds("Proc-Type: 4,ENCRYPTED") {
        return Err(TlsError::EncryptedKey { path: path.to_owned() });
    }
    let key = PrivateKeyDer::from_pem_slice(&bytes);
    let key = key.map_err(|source| TlsError::Pem { path: path.to_owned(), what: "private key", source })?;
    match ring::default_provider().key_provider.load_private_key(key.clone_key()) {
        Ok(_) => Ok(key),
        Err(source) => Err(TlsError::UnsupportedKey { path: path.to_owned(), kind: kind_of(&key), source }),
    }
}

/// Object identifiers as keys hold them, with tag and length, and what they stand for.
const KINDS: [(&[u8], &str); 11] = [
    (&[6, 5, 0x2b, 0x81, 4, 0, 0x23], "ECDSA on P-521"),
    (&[6, 5, 0x2b, 0x81, 4, 0, 0x21], "ECDSA on P-224"),
    (&[6, 5, 0x2b, 0x81, 4, 0, 0x0a], "ECDSA on secp256k1"),
    (&[6, 9, 0x2b, 0x24, 3, 3, 2, 8, 1, 1, 7], "ECDSA on brainpoolP256r1"),
    (&[6, 9, 0x2b, 0x24, 3, 3, 2, 8, 1, 1, 0x0b], "ECDSA on brainpoolP384r1"),
    (&[6, 3, 0x2b, 0x65, 0x71], "Ed448"),
    (&[6, 3, 0x2b, 0x65, 0x6e], "X25519"),
    (&[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x38, 4, 1], "DSA"),
    (&[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 0x0a], "RSA-PSS"),
    // After the curves, which stand beside it.
    (&[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1], "ECDSA on another curve"),
    (&[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1], OTHER_RSA),
];
const OTHER_RSA: &str = "RSA of another size";

/// What a private key is of. Its numbers hold these bytes only by chance.
fn kind_of(key: &PrivateKeyDer<'static>) -> &'static str {
    let der = key.secret_der();
    let found = KINDS.iter().find(|(id, _)| der.windows(id.len()).any(|part| part == *id));
    match (key, found) {
        (PrivateKeyDer::Pkcs1(_), _) => OTHER_RSA,
        (_, Some((_, kind))) => kind,
        (_, None) => "an unknown kind",
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

    use super::*;

    /// What is said of a chain and a key, given as texts.
    fn said(chain: &str, key: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let (chain_path, key_path) = (folder.path().join("chain.pem"), folder.path().join("own.key"));
        std::fs::write(&chain_path, chain).unwrap();
        std::fs::write(&key_path, key).unwrap();
        check_identity(&chain_path, &key_path).map_or_else(|e| e.to_string(), |()| "good".to_owned())
    }

    #[test]
    fn a_certificate_of_the_first_version_is_named() {
        let refused = said(VERSION_1, VERSION_1_KEY);
        assert!(refused.contains("chain.pem: the certificate is of X.509 version 1"), "{refused}");
    }

    #[test]
    fn what_is_wrong_with_chain_and_key_is_named() {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
        let (own, ca, key) = (own.pem(), ca.pem(), key.serialize_pem());
        assert_eq!(said(&own, &key), "good");
        assert_eq!(said(&(own.clone() + &ca), &key), "good");
        let reversed = said(&(ca.clone() + &own), &key);
        assert!(reversed.contains("the key belongs to certificate 2 of 2"), "{reversed}");
        let other = said(&ca, &key);
        assert!(other.contains("own.key: not the key of the certificate in"), "{other}");
        for encrypted in [
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nMIIB\n-----END EC PRIVATE KEY-----\n",
        ] {
            assert!(said(&own, encrypted).contains("own.key: the private key is encrypted"));
        }
        assert!(said(&own, "nothing").contains("own.key: no private key in PEM form"));
        assert!(said("nothing", &key).contains("chain.pem: no certificate in PEM form"));
        for (pem, kind) in
            [(P521, "ECDSA on P-521"), (SECP256K1, "ECDSA on secp256k1"), (RSA_1024, "RSA of another size")]
        {
            let refused = said(&own, pem);
            assert!(
                refused.contains(&format!("own.key: a private key of {kind} cannot be used")),
                "{refused}"
            );
        }
    }

    const VERSION_1: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBGDCBvwIUK3SP1Wd5+s2ybHdeJ5UBRofXx1cwCgYIKoZIzj0EAwIwDTELMAkG\n\
A1UEAwwCY2EwHhcNMjYxMTMwMDg1ODM1WhcNMjYxMjMwMDg1ODM1WjARMQ8wDQYD\n\
VQQDDAZjbGllbnQwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASwhs4DO1TEpTj1\n\
QYv6untwxuxOaJ5wJXCkdSDjB7z/hw6gWupfSoE9WxnmEAyQfSRnF2ggswQBy/MD\n\
TP1bvaygMAoGCCqGSM49BAMCA0gAMEUCIHB7VrzU9Yygg97efwXHasXRCdFfiktb\n\
/fBaAP0C8XeHAiEAnZi/TAas5MbbClWm6qVANT+RGFgzoumGz+mX2uqywDo=\n\
-----END CERTIFICATE-----\n\
";
    const VERSION_1_KEY: &str = "\
-----BEGIN EC PRIVATE KEY-----\n\
MHcCAQEEIAEiUDmO9upT+1nfvB3+yV81RiTv4rpbBQnKLMlTln+loAoGCCqGSM49\n\
AwEHoUQDQgAEsIbOAztUxKU49UGL+rp7cMbsTmiecCVwpHUg4we8/4cOoFrqX0qB\n\
PVsZ5hAMkH0kZxdoILMEAcvzA0z9W72soA==\n\
-----END EC PRIVATE KEY-----\n\
";
    const P521: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MIHuAgEAMBAGByqGSM49AgEGBSuBBAAjBIHWMIHTAgEBBEIAD0wIQEtn8557XnhP\n\
ZGXYpUUXU+K9d2SAuDRIcO3Mz1NRsVvbwpqsG9iPNnNNUaCMDoPbR175BJR7qs0y\n\
SBQO9O+hgYkDgYYABAElpve9ufiyf3VyRKh9LLeJ06WrXvGTxZcno16Ss6n2ucBx\n\
/3nKktD2N6yMGfs2pRNV9K/ruv2R4Twkp9uXj4y7UwCuoI0HtvRw3rAgrm4dA5nd\n\
qNevnx1u2P8cvq0PVGLwxpp48oduPuNSQdHEEHPRwaZj47FkcbJJ1uZIhZHCRT7y\n\
9w==\n\
-----END PRIVATE KEY-----\n\
";
    const SECP256K1: &str = "\
-----BEGIN EC PRIVATE KEY-----\n\
MHQCAQEEIDzpACjbON40JA246jZwA91MYFbj48PRDeUOSmoLZA67oAcGBSuBBAAK\n\
oUQDQgAERifJjKeiQ2x20rthmuNrBhkq1m+iRD5my6WWf0bGiql+4gx0pSGf8ED/\n\
6BRznzdGcXcd/ixMb6X+C2HuRate/Q==\n\
-----END EC PRIVATE KEY-----\n\
";
    const RSA_1024: &str = "\
-----BEGIN RSA PRIVATE KEY-----\n\
MIICXgIBAAKBgQC1wzDXXNUS5ij7dVFFrE13kLZ/045Qtd7cvLp9xZ11TcxmwvA+\n\
IO/fW4BXABrEgVl0ylan8oeHdyULZ75CN141aFSwJGxwB+Op3XK4w4aia7k5z23Y\n\
JYgbYBnBPi5yN5BpGV19JoVjaGpDEtJXrxmJWMpuoTD0IXFLhYcKK3E3hQIDAQAB\n\
AoGAONJ0il8zHV1monXimm1rKl3LL9rrOsAgk9FMW9VTjEBuDhITGNkjJChuzsPx\n\
mkz1slUvEgH37JmKsy4ThI/amz/tEHoxvPekbOOTcztWPc2T8fR8kTyHxbtM/H9p\n\
hwlIVTeQssWceeNzRXLvatTY+1sLZ15czMblUygF6EqyMgECQQDxnC3uwWu6SQAD\n\
TS5G/7Ya+4cdEwyIG3k2z3w8GM7tRoV5VoDu9YjBNDckSVkSmFuhAbSIyAUw56DD\n\
p0KS4lLRAkEAwJaEUW3zfhFcSEyj/dus/g0sPmseEaqUumZC2p/nOoCvvyQlBbDY\n\
9GqdZbpNoI4rxLHOQ/DXTXmlytt6N/b+dQJBANBR5DzXYwZkyPEPzBYFh0OumioU\n\
cZqtbY83yRucHFbzlkQvtM3UwQws9FqCL53b5i1l5f6F0AwBu1jXT4yMPfECQQCb\n\
022+gUtp7twPN8vc5HkFmlz5KCzNOItcgs+HG6i5QlRxQOqfvybcJMO0Atk6lq49\n\
WWy+tklOy6XlDE7Ip5XdAkEAxOl5nAiQ6edcRzFlMHcspL1daVJVGK1rJJ4LBGKR\n\
w3/4MBHN+vsHBRaQ5mZmRqQLdZWIwcu9vSBwF06ypkAjFA==\n\
-----END RSA PRIVATE KEY-----\n\
";
}
