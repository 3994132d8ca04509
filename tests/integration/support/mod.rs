//! What every integration test stands on: real PostgreSQL servers of each version, a repository, and
//! the program run the way an administrator runs it.
//!
//! A missing server or tool is a failure, never a skipped test: `scripts/install-test-servers` brings
//! all of them. Servers refuse to run as root, so a test run by root runs servers and program as the
//! user `postgres`. Everything lives below one directory in `/tmp` that goes away with the test
//! process, however it ends.

mod azurite;
mod background;
mod bent;
mod cluster;
mod elsewhere;
pub(crate) mod gcs;
mod host;
pub(crate) mod http;
mod hung;
mod load;
mod moto;
mod object_store;
mod outcome;
mod proxy;
mod relay;
mod remote;
mod repository;
mod restored;
mod s3;
mod second_restorer;
mod site;
mod source;
mod ssh_server;
mod template;
mod tls;
mod tools;
mod version;
mod wait;

pub(crate) use azurite::{ACCOUNT, Azurite, CONTAINER};
pub(crate) use background::Background;
pub(crate) use bent::{Bend, LINK_IS_LATE, LINK_REFUSED};
pub(crate) use cluster::Cluster;
pub(crate) use elsewhere::{Elsewhere, RepoOptions, numbered, unnumbered};
pub(crate) use host::{TestDir, as_server_user, give_to_server_user, program};
pub(crate) use hung::{HungDirectory, waits_in_the_kernel};
pub(crate) use load::WriteLoad;
pub(crate) use moto::Moto;
pub(crate) use object_store::{AZURE, Asks, GCS, ObjectStore, S3, Started, on_each_object_store};
pub(crate) use outcome::{Outcome, must_succeed, run, start};
pub(crate) use proxy::{Fault, Proxy};
pub(crate) use relay::{Relay, Trouble, What, When};
pub(crate) use remote::{Alone, Setting, bucket_site, documented, must_conform, remote_site, tour};
pub(crate) use repository::Damage;
pub(crate) use restored::Restored;
pub(crate) use s3::S3Server;
pub(crate) use second_restorer::second_restorer;
pub(crate) use site::{Site, SiteBuilder, write_file};
pub(crate) use source::{Source, backing_up_from};
pub(crate) use ssh_server::{SshAgent, SshServer};
pub(crate) use tls::TlsFiles;
pub(crate) use tools::{pg_amcheck, pg_verifybackup};
pub(crate) use version::{
    Version, for_each_fixed_version, for_each_fixed_version_and_source, for_each_source,
    for_each_version, for_each_version_and_source, on_one_version, one_test_each, tests_with,
};
pub(crate) use wait::wait_until;

/// The exit codes that tests name, as the command-line contract numbers them.
pub(crate) mod exit {
    #![allow(dead_code)]
    pub(crate) const CHECKSUM: i32 = 26;
    pub(crate) const FILE_INVALID: i32 = 28;
    pub(crate) const OPTION_INVALID: i32 = 31;
    pub(crate) const OPTION_INVALID_VALUE: i32 = 32;
    pub(crate) const OPTION_REQUIRED: i32 = 37;
    pub(crate) const PG_RUNNING: i32 = 38;
    pub(crate) const PATH_NOT_EMPTY: i32 = 40;
    pub(crate) const FILE_OPEN: i32 = 41;
    pub(crate) const ARCHIVE_MISMATCH: i32 = 44;
    pub(crate) const ARCHIVE_DUPLICATE: i32 = 45;
    pub(crate) const LOCK_ACQUIRE: i32 = 50;
    pub(crate) const BACKUP_MISMATCH: i32 = 51;
    pub(crate) const FILE_MISSING: i32 = 55;
    pub(crate) const DB_CONNECT: i32 = 56;
    pub(crate) const DB_QUERY: i32 = 57;
    pub(crate) const DB_MISMATCH: i32 = 58;
    pub(crate) const STOP: i32 = 62;
    pub(crate) const TERM: i32 = 63;
    pub(crate) const LINK_DESTINATION: i32 = 70;
    pub(crate) const BACKUP_SET_INVALID: i32 = 75;
    pub(crate) const TABLESPACE_MAP: i32 = 76;
    pub(crate) const LINK_MAP: i32 = 78;
    pub(crate) const DB_MISSING: i32 = 80;
    pub(crate) const DB_INVALID: i32 = 81;
    pub(crate) const ARCHIVE_TIMEOUT: i32 = 82;
    pub(crate) const ARCHIVE_DISABLED: i32 = 87;
    pub(crate) const FILE_OWNER: i32 = 88;
    pub(crate) const CRYPTO: i32 = 95;
    pub(crate) const SERVICE: i32 = 101;
    pub(crate) const REPO_INVALID: i32 = 103;
}
