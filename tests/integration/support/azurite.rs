//! Azurite, Microsoft's emulator of Azure Blob Storage, with one account and one container.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use aws_lc_rs::hmac;
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};

use super::{
    host::{as_server_user, give_to_server_user, scratch},
    http::{free_port, percent_encoded},
    remote::Setting,
    tls::TlsFiles,
    version::servers_root,
    wait::wait_until,
};

/// The account that every server has.
pub(crate) const ACCOUNT: &str = "backups";
/// The container that every server has.
pub(crate) const CONTAINER: &str = "pg-backups";

/// The version whose rules of signing are followed.
const SAS_VERSION: &str = "2019-12-12";

/// A running server; it goes with this value.
pub(crate) struct Azurite {
    server: Child,
    pub(crate) port: u16,
    /// What it keeps, and its certificates: the authority that signed them is `ca.crt`.
    pub(crate) directory: PathBuf,
    tls: bool,
    key: Vec<u8>,
}

impl Azurite {
    /// Starts one on a free port of 127.0.0.1.
    pub(crate) fn start() -> Self {
        Self::start_with(false)
    }

    /// Starts one that speaks TLS.
    pub(crate) fn start_with_tls() -> Self {
        Self::start_with(true)
    }

    fn start_with(tls: bool) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("azurite-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let directory = scratch().join(name);
        fs::create_dir(&directory).expect("scratch is writable");
        give_to_server_user(&directory);
        let program = servers_root().join("azurite/node_modules/.bin/azurite-blob");
        assert!(
            program.exists(),
            "no Azurite in {}: run scripts/install-test-servers",
            program.display()
        );
        let key = b"a key that is made up, and as long as Azure's: 64 bytes, no less".to_vec();
        let port = free_port();
        let mut command = as_server_user(program);
        command.env("AZURITE_ACCOUNTS", format!("{ACCOUNT}:{}", base64(&key)));
        command.args(["--silent", "--skipApiVersionCheck", "--disableTelemetry"]);
        // An account is named by the path, whatever host a request is for.
        command.arg("--disableProductStyleUrl");
        command.args(["--blobPort", &port.to_string(), "--location"]).arg(&directory);
        if tls {
            let files = TlsFiles::make(&directory, "IP:127.0.0.1");
            command.arg("--cert").arg(&files.server_certificate);
            command.arg("--key").arg(&files.server_key);
        }
        let server = quiet(command.current_dir(&directory)).spawn().expect("Azurite starts");
        let started = Self { server, port, directory, tls, key };
        wait_until("Azurite listens", 60, || TcpStream::connect(("127.0.0.1", port)).is_ok());
        started.make_container();
        started
    }

    /// The address for `repo1-azure-endpoint`.
    pub(crate) fn endpoint(&self) -> String {
        format!("{}://127.0.0.1:{}", if self.tls { "https" } else { "http" }, self.port)
    }

    /// The account's key as it is configured.
    pub(crate) fn key(&self) -> String {
        base64(&self.key)
    }

    /// What a repository in its container is configured with.
    pub(crate) fn options(&self) -> Vec<Setting> {
        vec![
            ("repo1-type", "azure".into()),
            ("repo1-azure-account", ACCOUNT.into()),
            ("repo1-azure-container", CONTAINER.into()),
            ("repo1-azure-endpoint", self.endpoint()),
            ("repo1-azure-uri-style", "path".into()),
            ("repo1-azure-key", self.key()),
        ]
    }

    /// A signature, good for a day, for what `permissions` allow on the container and its blobs.
    /// <https://learn.microsoft.com/rest/api/storageservices/create-service-sas>
    pub(crate) fn sas(&self, permissions: &str) -> String {
        let (expiry, container) = (tomorrow(), format!("/blob/{ACCOUNT}/{CONTAINER}"));
        // What is empty: start, then policy, addresses, protocol; after `c` snapshot and five headers of answers.
        let to_sign =
            format!("{permissions}\n\n{expiry}\n{container}\n\n\n\n{SAS_VERSION}\nc\n\n\n\n\n\n");
        self.signed(&format!("sv={SAS_VERSION}&sr=c&sp={permissions}"), &expiry, &to_sign)
    }

    /// A signature for the whole account, which is what makes containers.
    /// <https://learn.microsoft.com/rest/api/storageservices/create-account-sas>
    fn account_sas(&self) -> String {
        let expiry = tomorrow();
        let to_sign = format!("{ACCOUNT}\nc\nb\nc\n\n{expiry}\n\n\n{SAS_VERSION}\n");
        self.signed(&format!("sv={SAS_VERSION}&ss=b&srt=c&sp=c"), &expiry, &to_sign)
    }

    fn signed(&self, fields: &str, expiry: &str, to_sign: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.key);
        let signature = base64(hmac::sign(&key, to_sign.as_bytes()).as_ref());
        format!("{fields}&se={}&sig={}", percent_encoded(expiry), percent_encoded(&signature))
    }

    /// The tags of an object of the container, as the server tells them.
    pub(crate) fn tags(&self, key: &str) -> String {
        self.ask("GET", &format!("{CONTAINER}/{key}?comp=tags&{}", self.sas("t")))
    }

    fn make_container(&self) {
        let sas = self.account_sas();
        let answer = self.ask("PUT", &format!("{CONTAINER}?restype=container&{sas}"));
        assert!(answer.starts_with("HTTP/1.1 201"), "no container: {answer}");
    }

    /// The whole answer to a request for what is below the account.
    fn ask(&self, method: &str, what: &str) -> String {
        let request = format!(
            "{method} /{ACCOUNT}/{what} HTTP/1.1\r\nHost: 127.0.0.1\r\n\
             Content-Length: 0\r\nx-ms-version: 2019-12-12\r\nConnection: close\r\n\r\n"
        );
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("Azurite listens");
        match self.tls {
            false => exchange(stream, &request),
            true => {
                let mut connector = SslConnector::builder(SslMethod::tls()).expect("OpenSSL");
                connector.set_verify(SslVerifyMode::NONE);
                exchange(connector.build().connect("127.0.0.1", stream).expect("TLS"), &request)
            }
        }
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn tomorrow() -> String {
    let expiry = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24);
    expiry.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn quiet(command: &mut Command) -> &mut Command {
    command.stdout(Stdio::null()).stderr(Stdio::null())
}

fn base64(bytes: &[u8]) -> String {
    openssl::base64::encode_block(bytes)
}

fn exchange(mut stream: impl Read + Write, request: &str) -> String {
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = Vec::new();
    // A TLS connection may be cut off without a word of farewell.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}
