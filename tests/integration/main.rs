//! Tests against real PostgreSQL servers, a file a subject. `support` starts and stops the servers.

// A test says what is wrong by panicking.
#![allow(clippy::expect_used, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

mod support;

mod archive;
mod archive_callers;
mod archive_ends;
mod azure;
mod backup;
mod cascade;
mod catalogs;
mod check;
mod client_connection;
mod command_line;
mod connection;
mod damage;
mod data_directory;
mod databases;
mod delta;
mod differential;
mod durability;
mod encryption;
mod expire;
mod gcs;
mod harness;
mod huge;
mod info;
mod interruption;
mod layout;
mod links;
mod ownership;
mod page_checksum;
mod privileges;
mod recovery;
mod refusal;
mod repo_sync;
mod repo_sync_stores;
mod repositories;
mod repositories_away;
mod s3;
mod second_restorer;
mod sessions;
mod sftp;
mod sftp_faults;
mod sources;
mod sql_backup;
mod standby;
mod standby_backup;
mod stanza;
mod store_faults;
mod stream_source;
mod summaries;
mod tablespace;
mod timeline;
mod verify;
