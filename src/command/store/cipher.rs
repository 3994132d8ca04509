//! `repoN-cipher-…`: from the configuration to the storage that encrypts, and to pass phrases.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
    sync::Arc,
};

use zeroize::Zeroizing;

use crate::{
    command::{Error, Result},
    config::{CipherConfig, CipherType, Config, PassSource, RepoConfig},
    repo::{encrypted::EncryptedStorage, recipient::PassPhrase},
    storage::Storage,
    types::ErrorCode,
};

/// The longest pass phrase in bytes.
const PASS_MAX: u64 = 4096;

/// Logs which repositories use another cipher than is configured.
pub(in crate::command) fn tell_what_is_used(config: &Config) {
    for repo in config.repos.values() {
        if let CipherConfig::Aes256Gcm { configured: CipherType::Aes256Cbc, .. } = &repo.cipher {
            tracing::info!(
                "option 'repo{}-cipher-type={}': the repository is encrypted with aes-256-gcm, \
                 which also authenticates the data",
                repo.key,
                CipherType::Aes256Cbc
            );
        }
    }
}

/// The storage that encrypts what goes to `storage`, where the repository is to be encrypted.
pub(in crate::command) fn open(
    config: &RepoConfig,
    storage: Arc<dyn Storage>,
) -> Result<Option<EncryptedStorage>> {
    match &config.cipher {
        CipherConfig::None => Ok(None),
        CipherConfig::Aes256Gcm { pass, .. } => {
            let option = format!("repo{}-cipher-pass-file", config.key);
            Ok(Some(EncryptedStorage::new(storage, pass_phrase(pass, &option)?)))
        }
    }
}

/// The pass phrase; `option` is the one that names its file.
pub(in crate::command) fn pass_phrase(source: &PassSource, option: &str) -> Result<PassPhrase> {
    match source {
        PassSource::Given(pass) => Ok(PassPhrase::new(pass.reveal())),
        PassSource::File(path) => read(path, option),
    }
}

fn read(path: &Path, option: &str) -> Result<PassPhrase> {
    let failed = |what: String, code| Error::Check {
        what: format!(
            "unable to read the pass phrase from '{}' ({option}): {what}",
            path.display()
        ),
        code,
        hint:
            "the file must contain only the pass phrase, and be readable by the user that runs the \
             command"
                .to_owned(),
    };
    let bytes = read_file(path, option).map_err(|e| failed(e.to_string(), ErrorCode::FileOpen))?;
    let pass = pass_in(&bytes);
    match pass.len() as u64 {
        0 => Err(failed("it is empty".to_owned(), ErrorCode::FileInvalid)),
        1..PASS_MAX => Ok(PassPhrase::new(pass)),
        _ => Err(failed(format!("it has more than {PASS_MAX} bytes"), ErrorCode::FileInvalid)),
    }
}

/// A text is what it is in an option: white space at its ends does not belong to it. Bytes that are no text are taken as
/// they are, but for a line break at the end.
fn pass_in(bytes: &[u8]) -> &[u8] {
    match std::str::from_utf8(bytes).map(str::trim) {
        Ok(text) if !text.contains(char::is_control) => text.as_bytes(),
        _ => {
            let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
            line.strip_suffix(b"\r").unwrap_or(line)
        }
    }
}

fn read_file(path: &Path, option: &str) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path)?;
    if file.metadata()?.mode() & 0o004 != 0 {
        tracing::warn!(
            "file '{}' ({option}) contains a secret and can be read by every user of this host",
            path.display()
        );
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(PASS_MAX as usize + 2));
    file.take(PASS_MAX + 2).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Failure;

    fn pass_of(content: &[u8]) -> Result<PassPhrase> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pass");
        std::fs::write(&path, content).unwrap();
        pass_phrase(&PassSource::File(path), "repo1-cipher-pass-file")
    }

    #[test]
    fn white_space_around_a_pass_phrase_does_not_count() {
        for content in ["a b", "a b\n", "a b\r\n", "a b\n\n", " a b \n"] {
            assert!(pass_of(content.as_bytes()).unwrap() == PassPhrase::new("a b"), "{content:?}");
        }
    }

    #[test]
    fn a_file_of_random_bytes_is_taken_as_it_is() {
        assert!(pass_of(b" \xff\x01 \n").unwrap() == PassPhrase::new(b" \xff\x01 ".as_slice()));
        assert!(pass_of(b"a\nb\n").unwrap() == PassPhrase::new("a\nb"));
    }

    #[test]
    fn a_file_without_a_pass_phrase_is_refused_by_name() {
        for content in [b"".as_slice(), b"\n", &[b'x'; 5000]] {
            let error = pass_of(content).unwrap_err();
            assert_eq!(error.code(), ErrorCode::FileInvalid, "{error}");
        }
        let missing = PassSource::File("/no/such/file".into());
        let error = pass_phrase(&missing, "repo1-cipher-pass-file").unwrap_err();
        assert_eq!(error.code(), ErrorCode::FileOpen);
        assert!(error.to_string().contains("'/no/such/file' (repo1-cipher-pass-file)"), "{error}");
    }
}
