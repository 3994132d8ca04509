//! Verifies the host name in a certificate by libpq's rules (`fe-secure-common.c`, `fe-secure-openssl.c`): names of
//! the subjectAltName extension first, the common name only if the extension has no name of the host's type.

use std::net::IpAddr;

use openssl::{nid::Nid, x509::X509Ref};

/// Whether `certificate` is issued for `host`.
pub(super) fn matches(certificate: &X509Ref, host: &str) -> bool {
    let address: Option<IpAddr> = host.parse().ok();
    let mut check_common_name = true;
    for name in certificate.subject_alt_names().iter().flatten() {
        if let Some(dns) = name.dnsname() {
            check_common_name &= address.is_some();
            if name_matches(dns.as_bytes(), host) {
                return true;
            }
        } else if let Some(bytes) = name.ipaddress() {
            check_common_name &= address.is_none();
            if address.is_some_and(|address| address_bytes(address) == bytes) {
                return true;
            }
        }
    }
    check_common_name && common_name_matches(certificate, host)
}

fn common_name_matches(certificate: &X509Ref, host: &str) -> bool {
    let names = certificate.subject_name();
    let first = names.entries_by_nid(Nid::COMMONNAME).next();
    first.is_some_and(|entry| name_matches(entry.data().as_slice(), host))
}

fn address_bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// Whether a name in a certificate matches `host`. `*.` matches exactly one leading label.
fn name_matches(name: &[u8], host: &str) -> bool {
    let host = host.as_bytes();
    if name.contains(&0) {
        return false;
    }
    if name.eq_ignore_ascii_case(host) {
        return true;
    }
    let Some(suffix) = name.strip_prefix(b"*") else { return false };
    if suffix.len() < 2 || suffix[0] != b'.' || suffix.len() >= host.len() {
        return false;
    }
    let (label, rest) = host.split_at(host.len() - suffix.len());
    rest.eq_ignore_ascii_case(suffix) && !label.contains(&b'.')
}

#[cfg(test)]
mod tests {
    use openssl::{
        asn1::Asn1Time,
        hash::MessageDigest,
        pkey::PKey,
        rsa::Rsa,
        x509::{X509, X509NameBuilder, extension::SubjectAlternativeName},
    };

    use super::*;

    fn certificate(common_name: &str, dns: &[&str], ips: &[&str]) -> X509 {
        let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        let mut name = X509NameBuilder::new().unwrap();
        name.append_entry_by_text("CN", common_name).unwrap();
        let name = name.build();
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        builder.set_subject_name(&name).unwrap();
        builder.set_issuer_name(&name).unwrap();
        builder.set_pubkey(&key).unwrap();
        builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
        if !dns.is_empty() || !ips.is_empty() {
            let mut san = SubjectAlternativeName::new();
            for name in dns {
                san.dns(name);
            }
            for ip in ips {
                san.ip(ip);
            }
            let extension = san.build(&builder.x509v3_context(None, None)).unwrap();
            builder.append_extension(extension).unwrap();
        }
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        builder.build()
    }

    #[test]
    fn names_with_and_without_wildcard() {
        assert!(name_matches(b"DB.example.com", "db.Example.com"));
        assert!(name_matches(b"*.example.com", "db.example.com"));
        for (name, host) in [
            ("*.example.com", "a.b.example.com"),
            ("*.example.com", "example.com"),
            ("*.example.com", ".example.com"),
            ("*", "db"),
            ("*.", "db."),
            ("d*.example.com", "db.example.com"),
            ("db\0.example.com", "db"),
        ] {
            assert!(!name_matches(name.as_bytes(), host), "{name} {host}");
        }
    }

    #[test]
    fn the_common_name_counts_only_without_names_of_that_kind() {
        let plain = certificate("db", &[], &[]);
        assert!(matches(&plain, "db") && !matches(&plain, "other"));
        let named = certificate("db", &["other"], &[]);
        assert!(!matches(&named, "db") && matches(&named, "other"));
        let addressed = certificate("db", &[], &["127.0.0.1"]);
        assert!(matches(&addressed, "db") && matches(&addressed, "127.0.0.1"));
        assert!(!matches(&addressed, "127.0.0.2"));
        let text_address = certificate("127.0.0.1", &["db"], &[]);
        assert!(matches(&text_address, "127.0.0.1"));
    }
}
