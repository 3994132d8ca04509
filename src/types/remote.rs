//! Values that the options of remote repositories and the storage backends share.

use super::words::words;

words! {
    /// How an address names the bucket, or the account of Azure.
    pub enum UriStyle ("URI style") {
        /// In front of the host name.
        Host = "host",
        /// As the first part of the path.
        Path = "path",
    }
}

words! {
    /// Who can delete a locked object before its time.
    pub enum ObjectLockMode ("object lock mode") {
        /// Users with the right to bypass governance.
        Governance = "governance",
        /// No user.
        Compliance = "compliance",
    }
}

/// The object lock of new objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectLock {
    /// Governance or compliance.
    pub mode: ObjectLockMode,
    /// Retention period.
    pub days: u32,
}

words! {
    /// How the key of an SFTP host is checked.
    pub enum HostKeyCheck ("host key check") {
        /// As `Strict`, and the key of an unknown host is added to the first known-hosts file.
        AcceptNew = "accept-new",
        /// It must have the configured fingerprint.
        Fingerprint = "fingerprint",
        /// Any key is accepted.
        None = "none",
        /// It must be in a known-hosts file.
        Strict = "strict",
    }
}

words! {
    /// The hash of a host key's fingerprint.
    pub enum FingerprintHash ("fingerprint hash") {
        /// 16 bytes. Not safe against a forged key.
        Md5 = "md5",
        /// 20 bytes. Not safe against a forged key.
        Sha1 = "sha1",
        /// 32 bytes.
        Sha256 = "sha256",
    }
}
