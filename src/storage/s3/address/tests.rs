//! Forms of endpoints, hosts and ports.

use super::{super::options::tests::options, *};

fn address(endpoint: &str, host: Option<&str>, port: Option<u16>, style: AddressStyle) -> Address {
    let host = host.map(str::to_owned);
    let options = S3Options { endpoint: endpoint.into(), host, port, style, ..options() };
    Address::of(&options).unwrap()
}

#[test]
fn the_bucket_stands_in_the_host_or_in_the_path() {
    let base = |style| address("s3.eu-west-1.amazonaws.com", None, None, style).base;
    assert_eq!(base(AddressStyle::Host), "https://bucket.s3.eu-west-1.amazonaws.com");
    assert_eq!(base(AddressStyle::Path), "https://s3.eu-west-1.amazonaws.com/bucket");
}

#[test]
fn schemes_and_ports_come_from_where_they_are_told() {
    let base = |endpoint, host, port| address(endpoint, host, port, AddressStyle::Path).base;
    assert_eq!(base("minio", None, None), "https://minio/bucket");
    assert_eq!(base("https://minio:9000/", None, Some(1)), "https://minio:9000/bucket");
    assert_eq!(base("http://minio", None, Some(9000)), "http://minio:9000/bucket");
    assert_eq!(base("http://minio", None, None), "http://minio/bucket");
    assert_eq!(base("minio", Some("http://127.0.0.1:7"), Some(1)), "http://minio:7/bucket");
    assert_eq!(base("minio", None, Some(443)), "https://minio/bucket");
    assert_eq!(base("http://minio", None, Some(443)), "http://minio:443/bucket");
    assert_eq!(base("[::1]:9000", None, None), "https://[::1]:9000/bucket");
    assert_eq!(base("::1", None, Some(9000)), "https://[::1]:9000/bucket");
}

#[test]
fn another_host_keeps_the_name() {
    let found = address("s3.test", Some("127.0.0.1"), Some(9000), AddressStyle::Host);
    assert_eq!(found.base, "https://bucket.s3.test:9000");
    assert_eq!(found.connect_to.as_deref(), Some("127.0.0.1"));
    let found = address("10.0.0.1", Some("127.0.0.1"), None, AddressStyle::Path);
    assert_eq!((&*found.base, found.connect_to), ("https://127.0.0.1/bucket", None));
}

#[test]
fn only_amazon_itself_is_trusted_from_the_start() {
    let amazon = |endpoint, host| address(endpoint, host, None, AddressStyle::Host).amazon;
    assert!(amazon("s3.amazonaws.com", None) && amazon("s3.cn-north-1.amazonaws.com.cn", None));
    assert!(!amazon("s3.amazonaws.com", Some("proxy")));
    assert!(!amazon("amazonaws.com.example.org", None));
}

#[test]
fn what_is_no_host_is_refused() {
    for endpoint in ["", "ftp://x", "a b", "host/path", "host:port", "https://", "u@h"] {
        let options = S3Options { endpoint: endpoint.into(), ..options() };
        assert!(Address::of(&options).is_err(), "{endpoint}");
    }
    for bucket in ["", "a/b", "a?b"] {
        assert!(Address::of(&S3Options { bucket: bucket.into(), ..options() }).is_err());
    }
}
