//! A server of the S3 protocol in the process of the test (`s3s-fs`): signatures are verified, objects are files.

use std::{
    fs,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use hyper::{Method, Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use openssl::ssl::{Ssl, SslAcceptor, SslFiletype, SslMethod};
use s3s::{
    S3Result,
    auth::SimpleAuth,
    host::{S3Host, SingleDomain, VirtualHost},
    service::{S3Service, S3ServiceBuilder},
};
use s3s_fs::FileSystem;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    sync::Mutex,
};

use super::{TlsFiles, host::scratch};

/// The server, on a port of its own; it is gone when this is dropped.
pub(crate) struct S3Server {
    directory: PathBuf,
    pub(crate) port: u16,
    runtime: Option<Runtime>,
}

impl S3Server {
    /// The name of the service. The certificate has that of what is connected to, as many a proxy's.
    pub(crate) const HOST: &str = "s3.test";
    pub(crate) const BUCKET: &str = "backups";
    pub(crate) const KEY: &str = "the-access-key";
    pub(crate) const SECRET: &str = "the-secret-key-that-nobody-may-see";

    /// A server that speaks TLS, with an empty bucket.
    pub(crate) fn start() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let directory = scratch().join(format!("s3-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        let (data, tls) = (directory.join("data"), directory.join("tls"));
        fs::create_dir_all(data.join(Self::BUCKET)).expect("scratch is writable");
        fs::create_dir_all(&tls).expect("scratch is writable");
        let acceptor = Arc::new(acceptor(&TlsFiles::make(&tls, "IP:127.0.0.1")));
        let service = service(&data);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).expect("a port");
        let port = listener.local_addr().expect("bound").port();
        runtime.spawn(serve(listener, acceptor, service, data));
        Self { directory, port, runtime: Some(runtime) }
    }

    /// A certificate authority: `ca` signed the server's certificate, `other` did not.
    pub(crate) fn authority(&self, name: &str) -> PathBuf {
        self.directory.join("tls").join(format!("{name}.crt"))
    }

    /// What a repository in its bucket is configured with.
    pub(crate) fn options(&self) -> Vec<(&'static str, String)> {
        vec![
            ("repo1-type", "s3".into()),
            ("repo1-path", "/a/repository".into()),
            ("repo1-s3-bucket", Self::BUCKET.into()),
            ("repo1-s3-endpoint", Self::HOST.into()),
            ("repo1-s3-region", "us-east-1".into()),
            ("repo1-s3-uri-style", "path".into()),
            ("repo1-s3-key", Self::KEY.into()),
            ("repo1-s3-key-secret", Self::SECRET.into()),
            ("repo1-storage-host", "127.0.0.1".into()),
            ("repo1-storage-port", self.port.to_string()),
            ("repo1-storage-ca-file", self.authority("ca").display().to_string()),
        ]
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn acceptor(files: &TlsFiles) -> SslAcceptor {
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).expect("OpenSSL");
    builder.set_certificate_chain_file(&files.server_certificate).expect("a certificate");
    builder.set_private_key_file(&files.server_key, SslFiletype::PEM).expect("its key");
    builder.build()
}

fn service(data: &Path) -> S3Service {
    let mut builder = S3ServiceBuilder::new(FileSystem::new(data).expect("a directory"));
    builder.set_auth(SimpleAuth::from_single(S3Server::KEY, S3Server::SECRET));
    builder.set_host(AnyPort(SingleDomain::new(S3Server::HOST).expect("a domain")));
    builder.build()
}

/// Buckets stand in front of the host, whatever port is behind it.
struct AnyPort(SingleDomain);

impl S3Host for AnyPort {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        self.0.parse_host_header(host.split(':').next().unwrap_or(host))
    }
}

async fn serve(
    listener: TcpListener,
    acceptor: Arc<SslAcceptor>,
    service: S3Service,
    data: PathBuf,
) {
    let data = Arc::new(data);
    let creating = Arc::new(Mutex::new(()));
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, service) = (acceptor.clone(), service.clone());
        let (creating, data) = (creating.clone(), data.clone());
        tokio::spawn(async move {
            if let Some(stream) = accept(&acceptor, stream).await {
                answer(stream, service, creating, data).await;
            }
        });
    }
}

async fn accept(
    acceptor: &SslAcceptor,
    stream: TcpStream,
) -> Option<tokio_openssl::SslStream<TcpStream>> {
    let ssl = Ssl::new(acceptor.context()).ok()?;
    let mut stream = tokio_openssl::SslStream::new(ssl, stream).ok()?;
    Pin::new(&mut stream).accept().await.ok()?;
    Some(stream)
}

/// To a server of files `a` and `a/b` are a directory and a file, or nothing at all; to S3 they are two keys like any
/// other, of which one is not there.
fn nothing_there(data: &Path, request: &Request<Incoming>) -> Option<Response<s3s::Body>> {
    let path = request.uri().path();
    let reads = request.method() == Method::GET || request.method() == Method::HEAD;
    let host = request.headers().get("host")?.to_str().ok()?;
    let in_bucket = match host.split_once(S3Server::HOST)?.0.strip_suffix('.') {
        Some(bucket) => format!("/{bucket}{path}"),
        None => path.to_owned(),
    };
    let (_, key) = in_bucket.strip_prefix('/')?.split_once('/')?;
    let known = key.is_empty() || key.contains('%') || data.join(&in_bucket[1..]).is_file();
    if !reads || known {
        return None;
    }
    let text = "<Error><Code>NoSuchKey</Code><Message>nothing</Message></Error>".to_owned();
    Response::builder().status(404).body(s3s::Body::from(text)).ok()
}

/// This server looks and then writes, so of two that create an object both could win: they come one after the other.
async fn answer(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    service: S3Service,
    creating: Arc<Mutex<()>>,
    data: Arc<PathBuf>,
) {
    let respond = service_fn(move |request: Request<Incoming>| {
        let (service, creating, data) = (service.clone(), creating.clone(), data.clone());
        async move {
            let query = request.uri().query().unwrap_or_default();
            let part = query.contains("partNumber=");
            let creates = request.method() == Method::PUT || request.method() == Method::POST;
            if let Some(absent) = nothing_there(&data, &request) {
                return Ok(absent);
            }
            let _alone = match creates && !part {
                true => Some(creating.lock_owned().await),
                false => None,
            };
            hyper::service::Service::call(&service, request).await
        }
    });
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), respond).await;
}
