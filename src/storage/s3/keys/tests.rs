//! Sources of keys.

use std::{fs, io::Read as _, os::unix::fs::PermissionsExt, path::PathBuf, thread::JoinHandle};

use openssl::{
    asn1::Asn1Time,
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkey::PKey,
    ssl::{SslAcceptor, SslMethod},
    x509::{X509, X509NameBuilder},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;
use crate::types::{ErrorCode, Failure as _, Secret};

mod replacement;

fn keys(source: KeySource) -> Keys {
    Keys::new(source, HttpOptions::default())
}

fn shown(keys: &Keys) -> [String; 3] {
    let credentials = keys.held().unwrap().fetched.credentials;
    let token = credentials.session_token().unwrap_or_default();
    [credentials.access_key_id(), credentials.secret_access_key(), token].map(str::to_owned)
}

/// Answers each request by what `answer` makes of its first line and headers; the address.
async fn server(answer: fn(&str) -> (u16, &'static str)) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 8192];
            let length = stream.read(&mut request).await.unwrap();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let (status, body) = answer(&request);
            let length = body.len();
            let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n");
            let text = format!("{head}content-length: {length}\r\n\r\n{body}");
            stream.write_all(text.as_bytes()).await.unwrap();
        }
    });
    address
}

const JSON: &str = r#"{"Code":"Success","AccessKeyId":"K","SecretAccessKey":"S","Token":"T",
    "Expiration":"2100-01-01T00:00:00Z"}"#;

#[tokio::test]
async fn a_virtual_machine_gives_the_keys_of_its_role() {
    let address = server(|request| match request.lines().next().unwrap() {
        "PUT /latest/api/token HTTP/1.1" => (200, "proof"),
        _ if !request.contains("x-aws-ec2-metadata-token: proof") => (401, ""),
        "GET /latest/meta-data/iam/security-credentials/ HTTP/1.1" => (200, "the-role\n"),
        "GET /latest/meta-data/iam/security-credentials/the-role HTTP/1.1" => (200, JSON),
        _ => (404, ""),
    })
    .await;
    for role in [None, Some("the-role".to_owned())] {
        let keys = keys(KeySource::Instance { address: address.clone(), role });
        assert_eq!(keys.ready().await.unwrap(), 1);
        assert_eq!(shown(&keys), ["K", "S", "T"]);
        assert_eq!(keys.ready().await.unwrap(), 1, "they are kept");
    }
    let other = keys(KeySource::Instance { address, role: Some("other".into()) });
    let error = other.ready().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
}

#[tokio::test]
async fn a_virtual_machine_without_tokens_is_asked_without() {
    let address = server(|request| match request.lines().next().unwrap() {
        "PUT /latest/api/token HTTP/1.1" => (405, ""),
        _ if request.contains("x-aws-ec2-metadata-token") => (400, ""),
        "GET /latest/meta-data/iam/security-credentials/ HTTP/1.1" => (200, "the-role"),
        "GET /latest/meta-data/iam/security-credentials/the-role HTTP/1.1" => (200, JSON),
        _ => (404, ""),
    })
    .await;
    let keys = keys(KeySource::Instance { address, role: None });
    keys.ready().await.unwrap();
    assert_eq!(shown(&keys), ["K", "S", "T"]);
}

#[tokio::test]
async fn a_virtual_machine_that_insists_on_tokens_may_give_one_later() {
    let refuses: fn(&str) -> (u16, &'static str) =
        |request| if request.starts_with("PUT") { (403, "") } else { (401, "") };
    let busy: fn(&str) -> (u16, &'static str) =
        |request| if request.starts_with("PUT") { (503, "") } else { (401, "") };
    for (answer, status, kind) in
        [(refuses, "403", ErrorKind::Denied), (busy, "503", ErrorKind::Transient)]
    {
        let address = server(answer).await;
        let error = keys(KeySource::Instance { address, role: None }).ready().await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let text = error.to_string();
        assert!(
            text.contains(status) && text.contains("without a token: it answered 401"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_pod_gives_keys_for_its_token() {
    let address = server(|request| match request.contains("authorization: the-proof\r\n") {
        true => (200, JSON),
        false => (403, r#"{"code":"AccessDenied","message":"who are you?"}"#),
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    fs::write(&file, "the-proof\n").unwrap();
    let source = |token_file: Option<PathBuf>| KeySource::Container {
        address: address.clone(),
        token_file,
        token: Some(Secret::new("another")),
    };
    let good = keys(source(Some(file.clone())));
    good.ready().await.unwrap();
    assert_eq!(shown(&good), ["K", "S", "T"]);
    let error = keys(source(None)).ready().await.unwrap_err().to_string();
    assert!(error.contains("403") && error.ends_with(": AccessDenied: who are you?"), "{error}");
    fs::remove_file(&file).unwrap();
    assert!(keys(source(Some(file))).ready().await.is_err());
}

#[tokio::test]
async fn the_token_service_takes_a_token_of_somebody_else() {
    let address = server(|request| {
        let body = request.split("\r\n\r\n").nth(1).unwrap();
        assert!(body.contains("RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fx&"), "{body}");
        match body.ends_with("WebIdentityToken=a.b%2Bc") {
            true => (
                200,
                "<R><Credentials><AccessKeyId>K</AccessKeyId><SecretAccessKey>S/+=</SecretAccessKey>\
                 <SessionToken>T==</SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration>\
                 </Credentials></R>",
            ),
            false => (
                400,
                "<E><Error><Code>InvalidIdentityToken</Code><Message>bad</Message></Error></E>",
            ),
        }
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let token_file = directory.path().join("token");
    let role = "arn:aws:iam::1:role/x".to_owned();
    fs::write(&token_file, "a.b+c\n").unwrap();
    let source = KeySource::WebIdentity { address, role, token_file: token_file.clone() };
    let good = keys(source.clone());
    good.ready().await.unwrap();
    assert_eq!(shown(&good), ["K", "S/+=", "T=="]);
    fs::write(&token_file, "the-secret").unwrap();
    let error = keys(source).ready().await.unwrap_err().to_string();
    assert!(error.contains("InvalidIdentityToken: bad"), "{error}");
    assert!(!error.contains("the-secret"), "{error}");
}

/// A server with an untrusted certificate; whether it received anything.
fn nobody_knows() -> (String, JoinHandle<bool>) {
    let curve = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&curve).unwrap()).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "127.0.0.1").unwrap();
    let name = name.build();
    let mut certificate = X509::builder().unwrap();
    certificate.set_version(2).unwrap();
    certificate.set_pubkey(&key).unwrap();
    certificate.set_subject_name(&name).unwrap();
    certificate.set_issuer_name(&name).unwrap();
    certificate.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    certificate.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
    certificate.sign(&key, MessageDigest::sha256()).unwrap();
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
    acceptor.set_certificate(&certificate.build()).unwrap();
    acceptor.set_private_key(&key).unwrap();
    let acceptor = acceptor.build();
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    let served = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let talk = acceptor.accept(stream).map(|mut stream| stream.read(&mut [0; 1]));
        matches!(talk, Ok(Ok(1)))
    });
    (address, served)
}

#[tokio::test]
async fn the_token_service_is_verified_where_the_store_is_not() {
    let (address, served) = nobody_knows();
    let directory = tempfile::tempdir().unwrap();
    let token_file = directory.path().join("token");
    fs::write(&token_file, "a.b.c").unwrap();
    let source = KeySource::WebIdentity { address, role: "r".into(), token_file };
    let http = HttpOptions { verify_tls: false, ..HttpOptions::default() };
    let error = Keys::new(source, http).ready().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Other);
    assert!(error.to_string().contains("invalid peer certificate"), "{error}");
    assert!(!served.join().unwrap(), "the token was not sent");
}

#[tokio::test]
async fn a_program_prints_keys() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("keys");
    fs::write(&program, "#!/bin/sh\nprintf '%s' \"$1\"\nexit $2\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let run = |output: &str, code: &str| {
        let command = vec![program.display().to_string(), output.into(), code.into()];
        keys(KeySource::Process { command })
    };
    let printed = r#"{"Version":1,"AccessKeyId":"K","SecretAccessKey":"S","SessionToken":"T"}"#;
    let good = run(printed, "0");
    good.ready().await.unwrap();
    assert_eq!(shown(&good), ["K", "S", "T"]);
    for (output, code, expected) in
        [(printed, "3", "exit status: 3"), ("the-secret", "0", "not JSON with AccessKeyId")]
    {
        let error = run(output, code).ready().await.unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains("the-secret"), "{error}");
    }
    let missing = keys(KeySource::Process { command: vec!["/no/such/program".into()] });
    assert_eq!(missing.ready().await.unwrap_err().code(), ErrorCode::Execute);
}

#[test]
fn a_huge_token_file_is_refused_and_not_read_whole() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    // Sparse: it takes no room on the disk, and would take all memory.
    fs::File::create(&file).unwrap().set_len(4 << 40).unwrap();
    let refused = container::read_token(&file).unwrap_err();
    assert!(refused.to_string().contains("it has more than 65536 bytes"), "{refused}");
    assert!(refused.hint().is_some());
}
