//! moto, a server of the S3 protocol and of others of Amazon's, for what the one in the process does not do: tags,
//! storage classes, locks, the token service.

use std::{
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use super::{host::scratch, outcome::must_succeed, version::servers_root, wait_until};

/// A server of its own; it is killed when this is dropped.
pub(crate) struct Moto {
    child: Child,
    pub(crate) port: u16,
}

impl Moto {
    pub(crate) const BUCKET: &str = "backups";

    /// A bucket that keeps no versions.
    pub(crate) const PLAIN_BUCKET: &str = "plain";

    /// Starts it, with an empty bucket that can lock objects and one that cannot.
    pub(crate) fn start() -> Self {
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = free.local_addr().expect("bound").port();
        drop(free);
        // It ends with the thread of the test, however that ends.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(program("moto_server"))
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .current_dir(scratch())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("setpriv runs");
        let moto = Self { child, port };
        wait_until("moto answers", 60, || TcpStream::connect(("127.0.0.1", port)).is_ok());
        moto.python(&format!(
            "s3.create_bucket(Bucket='{}', ObjectLockEnabledForBucket=True)\n\
             s3.create_bucket(Bucket='{}')",
            Self::BUCKET,
            Self::PLAIN_BUCKET
        ));
        moto
    }

    /// Its address.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Runs Python with a client of Amazon's own, `s3`; what it printed.
    #[track_caller]
    pub(crate) fn python(&self, script: &str) -> String {
        let endpoint = self.endpoint();
        let prelude = format!(
            "import boto3, json\n\
             s3 = boto3.client('s3', endpoint_url='{endpoint}', region_name='us-east-1',\n    \
                 aws_access_key_id='test', aws_secret_access_key='test')\n"
        );
        let mut command = Command::new(program("python"));
        command
            .args(["-c", &format!("{prelude}{script}")])
            .env("AWS_EC2_METADATA_DISABLED", "true");
        must_succeed(&mut command)
    }

    /// What a repository in its bucket is configured with.
    pub(crate) fn options(&self) -> Vec<(&'static str, String)> {
        vec![
            ("repo1-type", "s3".into()),
            ("repo1-path", "/".into()),
            ("repo1-s3-bucket", Self::BUCKET.into()),
            ("repo1-s3-endpoint", self.endpoint()),
            ("repo1-s3-region", "us-east-1".into()),
            ("repo1-s3-uri-style", "path".into()),
            ("repo1-s3-key", "test".into()),
            ("repo1-s3-key-secret", "test".into()),
        ]
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program(name: &str) -> PathBuf {
    let path = servers_root().join("moto/bin").join(name);
    assert!(
        path.exists(),
        "moto is not installed ({} is missing): run scripts/install-test-servers",
        path.display()
    );
    path
}
