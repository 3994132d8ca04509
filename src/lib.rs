//! pgstrata: physical backup, WAL archiving and point-in-time recovery for PostgreSQL.
//!
//! The layers, top to bottom; an arrow only ever points down (`tests/structure.rs` holds it):
//! `cli -> command -> {verify, sync} -> {backup, restore, expire, wal} -> {repo, postgres, codec} -> work, storage -> types`.

pub mod backup;
pub mod cli;
pub mod codec;
pub mod command;
pub mod config;
pub mod expire;
pub mod host;
pub mod postgres;
pub mod repo;
pub mod restore;
pub mod storage;
pub mod sync;
pub mod types;
pub mod ui;
pub mod verify;
pub mod wal;
pub mod work;
