//! A throwaway certificate authority and a server certificate, for tests of encrypted connections.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use super::{give_to_server_user, outcome::must_succeed};

/// Where the server finds its files. The authority that signed is `ca.crt` beside them; `other.crt` is one
/// that signed nothing.
pub(crate) struct TlsFiles {
    pub(crate) server_certificate: PathBuf,
    pub(crate) server_key: PathBuf,
}

impl TlsFiles {
    /// Makes them in `directory`; the certificate names `host` (a DNS name, or `IP:` and an address).
    pub(crate) fn make(directory: &Path, host: &str) -> Self {
        let at = |name: &str| directory.join(name);
        for authority in ["ca", "other"] {
            openssl(
                directory,
                &format!(
                    "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test-{authority} \
                 -keyout {authority}.key -out {authority}.crt"
                ),
            );
        }
        let name = if host.starts_with("IP:") { host.to_owned() } else { format!("DNS:{host}") };
        fs::write(at("san.ext"), format!("subjectAltName={name}\n")).expect("writable");
        openssl(
            directory,
            "req -newkey rsa:2048 -nodes -subj /CN=server -keyout server.key -out server.csr",
        );
        openssl(
            directory,
            "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial \
             -days 2 -extfile san.ext -out server.crt",
        );
        let key = at("server.key");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("own file");
        give_to_server_user(directory);
        Self { server_certificate: at("server.crt"), server_key: key }
    }
}

fn openssl(directory: &Path, arguments: &str) {
    let mut command = Command::new("openssl");
    command.current_dir(directory).args(arguments.split_whitespace());
    must_succeed(&mut command);
}
