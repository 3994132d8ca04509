//! Forms of endpoints, hosts and ports.

use super::{super::options::tests::options, *};
use crate::types::UriStyle;

fn address(endpoint: &str, host: Option<&str>, port: Option<u16>, style: UriStyle) -> Address {
    let host = host.map(str::to_owned);
    let options = S3Options { endpoint: endpoint.into(), host, port, style, ..options() };
    Address::of(&options).unwrap()
}

#[test]
fn the_bucket_stands_in_the_host_or_in_the_path() {
    let base = |style| address("s3.eu-west-1.amazonaws.com", None, None, style).base;
    assert_eq!(base(UriStyle::Host), "https://bucket.s3.eu-west-1.amazonaws.com");
    assert_eq!(base(UriStyle::Path), "https://s3.eu-west-1.amazonaws.com/bucket");
}

#[test]
fn schemes_and_ports_come_from_where_they_are_told() {
    let base = |endpoint, port| address(endpoint, None, port, UriStyle::Path).base;
    assert_eq!(base("minio", None), "https://minio/bucket");
    assert_eq!(base("https://minio:9000/", None), "https://minio:9000/bucket");
    assert_eq!(base("https://minio:9000/", Some(1)), "https://minio:1/bucket");
    assert_eq!(base("http://minio", Some(9000)), "http://minio:9000/bucket");
    assert_eq!(base("minio", Some(443)), "https://minio/bucket");
    assert_eq!(base("http://minio", Some(443)), "http://minio:443/bucket");
    assert_eq!(base("::1", Some(9000)), "https://[::1]:9000/bucket");
}

/// What requests name, and what is connected to.
fn both(endpoint: &str, host: &str, port: Option<u16>) -> (String, String) {
    let found = address(endpoint, Some(host), port, UriStyle::Host);
    let reached = found.reached.unwrap();
    assert_eq!(found.plain, reached.plain);
    (found.base, reached.to_string())
}

#[test]
fn another_host_has_its_scheme_and_port_and_requests_keep_the_name_of_the_endpoint() {
    let texts = |base: &str, reached: &str| (base.to_owned(), reached.to_owned());
    assert_eq!(
        both("s3.test", "127.0.0.1", Some(9000)),
        texts("https://bucket.s3.test", "https://127.0.0.1:9000")
    );
    assert_eq!(
        both("http://s3.test:8000", "proxy", None),
        texts("https://bucket.s3.test:8000", "https://proxy")
    );
    assert_eq!(
        both("s3.test", "http://proxy:7", None),
        texts("http://bucket.s3.test", "http://proxy:7")
    );
    assert_eq!(
        both("s3.test", "http://proxy:7", Some(1)),
        texts("http://bucket.s3.test", "http://proxy:1")
    );
    assert_eq!(
        both("s3.test", "fd00::5", None),
        texts("https://bucket.s3.test", "https://[fd00::5]")
    );
}

#[test]
fn only_amazon_itself_is_trusted_from_the_start() {
    let amazon = |endpoint, host| address(endpoint, host, None, UriStyle::Host).amazon;
    assert!(amazon("s3.amazonaws.com", None) && amazon("s3.cn-north-1.amazonaws.com.cn", None));
    assert!(!amazon("s3.amazonaws.com", Some("proxy")));
    assert!(amazon("s3.amazonaws.com", Some("x.s3.eu-west-1.vpce.amazonaws.com")));
    assert!(!amazon("amazonaws.com.example.org", None));
}

#[test]
fn what_is_no_host_is_refused() {
    for endpoint in ["", "ftp://x", "host/path", "host:port"] {
        let host = Some(endpoint.to_owned());
        assert!(Address::of(&S3Options { host, ..options() }).is_err(), "{endpoint}");
        let options = S3Options { endpoint: endpoint.into(), ..options() };
        assert!(Address::of(&options).is_err(), "{endpoint}");
    }
    for bucket in ["", "a/b", "a?b"] {
        assert!(Address::of(&S3Options { bucket: bucket.into(), ..options() }).is_err());
    }
}
