//! The names in a client's certificate.
use tokio_rustls::rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

/// DNS names and URIs among the alternative names, and the common names of the subject.
///
/// The certificate was verified, so that one that cannot be parsed has no names rather than being an error.
pub(crate) fn names_of(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(certificate) = EndEntityCert::try_from(certificate) else { return Vec::new() };
    let alternative = certificate.valid_dns_names().chain(certificate.valid_uri_names());
    let mut names: Vec<String> = alternative.map(str::to_owned).collect();
    names.extend(common_names(certificate.subject()));
    names.sort_unstable();
    names.dedup();
    names
}

const SET: u8 = 0x31;
const SEQUENCE: u8 = 0x30;
/// 2.5.4.3, with tag and length.
const COMMON_NAME: [u8; 5] = [6, 3, 0x55, 4, 3];
/// Tags of UTF8String, PrintableString and IA5String, all of them UTF-8.
const STRINGS: [u8; 3] = [0x0c, 0x13, 0x16];

/// Common names in the contents of a DER `Name`: sets of sequences of an identifier and a string.
fn common_names(mut subject: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    while let Some((SET, mut set, rest)) = element(subject) {
        subject = rest;
        while let Some((SEQUENCE, attribute, rest)) = element(set) {
            set = rest;
            let value = attribute.strip_prefix(&COMMON_NAME[..]).and_then(element);
            if let Some((tag, text, _)) = value
                && STRINGS.contains(&tag)
                && let Ok(name) = std::str::from_utf8(text)
            {
                names.push(name.to_owned());
            }
        }
    }
    names
}

/// The first element of DER bytes: its tag, its contents, and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = der.split_first_chunk()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => {
            let (&length, rest) = rest.split_first()?;
            (usize::from(length), rest)
        }
        0x82 => {
            let (&length, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(length)), rest)
        }
        _ => return None,
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((tag, contents, rest))
}

#[cfg(test)]
mod tests {
    use rcgen::string::Ia5String;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    #[test]
    fn names_come_from_subject_and_alternative_names() {
        let mut params = CertificateParams::new(vec!["b.example".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::OrganizationName, "not a name");
        params.distinguished_name.push(DnType::CommonName, "the backup\u{e9}");
        params
            .subject_alt_names
            .push(SanType::URI(Ia5String::try_from("spiffe://example/backup".to_owned()).unwrap()));
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert_eq!(names_of(certificate.der()), ["b.example", "spiffe://example/backup", "the backup\u{e9}"]);
    }

    #[test]
    fn broken_subjects_have_no_names() {
        for broken in [&[][..], &[0x31], &[0x31, 5, 0x30], &[0x31, 0x80], &[0x31, 0x82, 1], &[0x30, 0]] {
            assert_eq!(common_names(broken), Vec::<String>::new(), "{broken:?}");
        }
    }
}
