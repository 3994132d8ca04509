//! libpq's environment variables. Every variable that affects the endpoint, authentication or verification of a
//! connection is either supported or rejected with an error. None is ignored silently.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use crate::postgres::{Error, Result};

/// Unsupported variables, their harmless values, and what to use instead.
const REFUSED: [(&str, &[&str], &str); 15] = [
    ("PGHOSTADDR", &[], "set pgN-host to the address"),
    ("PGSERVICE", &[], "set the pgN options that the service stands for"),
    ("PGREQUIREPEER", &[], "unset it: the owner of a socket is not checked"),
    ("PGREQUIREAUTH", &[], "unset it, or use pgN-sslmode=verify-full and PGCHANNELBINDING=require"),
    ("PGSSLCRLDIR", &[], "name one file with PGSSLCRL"),
    (
        "PGSSLMINPROTOCOLVERSION",
        &["TLSv1", "TLSv1.1", "TLSv1.2"],
        "TLS 1.2 is the oldest version that is used",
    ),
    (
        "PGSSLMAXPROTOCOLVERSION",
        &["TLSv1.3"],
        "unset it: the newest version that both sides know is used",
    ),
    (
        "PGSSLNEGOTIATION",
        &["postgres"],
        "unset it: TLS is requested in the way that all server versions support",
    ),
    ("PGSSLCERTMODE", &["allow"], "unset it: a client certificate is sent if there is one"),
    ("PGSSLSNI", &["1"], "unset it: the host name is sent"),
    ("PGGSSENCMODE", &["disable", "prefer"], "GSSAPI is not used: use TLS with pgN-sslmode"),
    ("PGTARGETSESSIONATTRS", &["any"], "set backup-standby, and each server's pgN options"),
    ("PGLOADBALANCEHOSTS", &["disable"], "set each server's pgN options"),
    ("PGMINPROTOCOLVERSION", &["3.0"], "version 3.0 of the protocol is used"),
    ("PGMAXPROTOCOLVERSION", &["3.0", "3.2", "latest"], "version 3.0 of the protocol is used"),
];

/// A closure that returns an environment variable, replaceable in tests.
pub(super) struct Environment<'a> {
    pub(super) lookup: &'a dyn Fn(&str) -> Option<OsString>,
}

impl Environment<'_> {
    /// Rejects unsupported variables.
    pub(super) fn refuse_others(&self) -> Result<()> {
        for (name, harmless, instead) in REFUSED {
            match self.text(name) {
                Some(value) if !harmless.contains(&value.as_str()) => {
                    let value = value.escape_debug();
                    return Err(Error::Options(format!(
                        "{name}={value} is not supported: {instead}"
                    )));
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn raw(&self, name: &str) -> Option<OsString> {
        (self.lookup)(name).filter(|value| !value.is_empty())
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.raw(name).map(|value| value.to_string_lossy().into_owned())
    }

    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.raw(name).map(PathBuf::from)
    }

    pub(super) fn home(&self, file: &str) -> Option<PathBuf> {
        self.path("HOME").map(|home| home.join(file))
    }

    pub(super) fn existing_home(&self, file: &str) -> Option<PathBuf> {
        self.home(file).filter(|path: &PathBuf| Path::exists(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_read_is_refused_by_its_name() {
        let refused = |name: &str, value: &str| {
            let lookup = |asked: &str| (asked == name).then(|| OsString::from(value));
            Environment { lookup: &lookup }.refuse_others().err().map(|error| error.to_string())
        };
        for (name, harmless, _) in REFUSED {
            assert!(refused(name, "other").unwrap().contains(name));
            assert_eq!(refused(name, ""), None, "an empty variable is none");
            assert!(harmless.iter().all(|value| refused(name, value).is_none()), "{name}");
        }
        assert_eq!(
            refused("PGTZ", "UTC"),
            None,
            "it changes how times are written, which is not read"
        );
    }
}
