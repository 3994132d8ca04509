//! `repoN-type=sftp`.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::remote::requests;
use crate::{
    command::Result,
    config::{RepoConfig, SftpConfig},
    storage::{
        Storage,
        sftp::{Fingerprint, HostKeyPolicy, Login, SftpOptions, SftpStorage},
    },
    types::{HostKeyCheck, Invalid},
};

/// The known-hosts files where none are configured: OpenSSH's own.
const KNOWN_HOSTS: [&str; 4] = [
    "~/.ssh/known_hosts",
    "~/.ssh/known_hosts2",
    "/etc/ssh/ssh_known_hosts",
    "/etc/ssh/ssh_known_hosts2",
];

/// What the options mean beside their values.
struct Surroundings {
    home: Option<PathBuf>,
    agent: Option<PathBuf>,
}

pub(super) fn open(config: &RepoConfig, sftp: &SftpConfig) -> Result<Arc<dyn Storage>> {
    let around = Surroundings {
        home: std::env::home_dir(),
        agent: std::env::var_os("SSH_AUTH_SOCK").filter(|path| !path.is_empty()).map(Into::into),
    };
    let options = options(config, sftp, &around)?;
    Ok(Arc::new(SftpStorage::new(options, requests(&config.remote))))
}

fn options(config: &RepoConfig, sftp: &SftpConfig, around: &Surroundings) -> Result<SftpOptions> {
    Ok(SftpOptions {
        host: sftp.host.clone(),
        port: sftp.port,
        user: sftp.user.clone(),
        root: config.path.to_string_lossy().into_owned(),
        host_key: policy(sftp)?,
        known_hosts: known_hosts(sftp, around),
        login: login(sftp, around),
        timeout: config.remote.timeout,
    })
}

fn policy(sftp: &SftpConfig) -> std::result::Result<HostKeyPolicy, Invalid> {
    Ok(match sftp.host_key_check {
        HostKeyCheck::Strict => HostKeyPolicy::Strict,
        HostKeyCheck::AcceptNew => HostKeyPolicy::AcceptNew,
        HostKeyCheck::None => HostKeyPolicy::None,
        HostKeyCheck::Fingerprint => {
            let text = sftp.fingerprint.as_deref().unwrap_or_default();
            HostKeyPolicy::Fingerprint(Fingerprint::parse(text, sftp.fingerprint_hash)?)
        }
    })
}

fn known_hosts(sftp: &SftpConfig, around: &Surroundings) -> Vec<PathBuf> {
    match sftp.known_hosts.is_empty() {
        true => KNOWN_HOSTS.iter().filter_map(|file| at_home(Path::new(file), around)).collect(),
        false => sftp.known_hosts.iter().filter_map(|file| at_home(file, around)).collect(),
    }
}

fn login(sftp: &SftpConfig, around: &Surroundings) -> Login {
    let expand = |file: &PathBuf| at_home(file, around).unwrap_or_else(|| file.clone());
    let public = sftp.public_key_file.as_ref().map(expand);
    match &sftp.private_key_file {
        Some(private) => Login::KeyFile {
            private: expand(private),
            passphrase: sftp.private_key_passphrase.clone(),
            public,
        },
        None => Login::Agent { socket: around.agent.clone(), public },
    }
}

/// A file below `~/` is one of the home directory; `None` where there is none.
fn at_home(file: &Path, around: &Surroundings) -> Option<PathBuf> {
    match file.strip_prefix("~") {
        Ok(below) => around.home.as_ref().map(|home| home.join(below)),
        Err(_) => Some(file.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::FingerprintHash;

    fn config() -> SftpConfig {
        SftpConfig {
            host: "backup.example".into(),
            port: 2222,
            user: "pgstrata".into(),
            host_key_check: HostKeyCheck::Strict,
            fingerprint: None,
            fingerprint_hash: None,
            known_hosts: Vec::new(),
            private_key_file: None,
            private_key_passphrase: None,
            public_key_file: None,
        }
    }

    fn around() -> Surroundings {
        Surroundings { home: Some("/home/u".into()), agent: Some("/run/agent".into()) }
    }

    #[test]
    fn without_a_key_file_the_agent_is_asked() {
        let public = Some(PathBuf::from("~/.ssh/id.pub"));
        let found = login(&SftpConfig { public_key_file: public, ..config() }, &around());
        let Login::Agent { socket, public } = found else { panic!("{found:?}") };
        assert_eq!(socket, Some("/run/agent".into()));
        assert_eq!(public, Some("/home/u/.ssh/id.pub".into()));
    }

    #[test]
    fn a_key_file_counts_more_than_an_agent() {
        let private_key_file = Some(PathBuf::from("/keys/id"));
        let found = login(&SftpConfig { private_key_file, ..config() }, &around());
        assert!(
            matches!(found, Login::KeyFile { private, .. } if private == Path::new("/keys/id"))
        );
    }

    #[test]
    fn known_hosts_are_those_of_openssh_unless_named() {
        let homeless = Surroundings { home: None, agent: None };
        let usual = known_hosts(&config(), &around());
        assert_eq!(usual[0], Path::new("/home/u/.ssh/known_hosts"));
        assert_eq!(usual[2], Path::new("/etc/ssh/ssh_known_hosts"));
        assert_eq!(known_hosts(&config(), &homeless).len(), 2);
        let named = vec![PathBuf::from("/etc/known"), PathBuf::from("~/other")];
        let found = known_hosts(&SftpConfig { known_hosts: named, ..config() }, &around());
        assert_eq!(found, [Path::new("/etc/known"), Path::new("/home/u/other")]);
    }

    #[test]
    fn each_kind_of_check_has_its_policy() {
        let of = |host_key_check, fingerprint: Option<&str>, hash: Option<FingerprintHash>| {
            policy(&SftpConfig {
                host_key_check,
                fingerprint: fingerprint.map(str::to_owned),
                fingerprint_hash: hash,
                ..config()
            })
        };
        assert_eq!(of(HostKeyCheck::Strict, None, None), Ok(HostKeyPolicy::Strict));
        assert_eq!(of(HostKeyCheck::AcceptNew, None, None), Ok(HostKeyPolicy::AcceptNew));
        assert_eq!(of(HostKeyCheck::None, None, None), Ok(HostKeyPolicy::None));
        let sha1 = "ab".repeat(20);
        let read = of(HostKeyCheck::Fingerprint, Some(&sha1), Some(FingerprintHash::Sha1));
        assert!(matches!(read, Ok(HostKeyPolicy::Fingerprint(_))));
        assert!(of(HostKeyCheck::Fingerprint, Some(&sha1), Some(FingerprintHash::Md5)).is_err());
        assert!(of(HostKeyCheck::Fingerprint, None, None).is_err());
    }
}
