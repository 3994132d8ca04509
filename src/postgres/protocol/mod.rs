//! A replication client: the part of the frontend/backend protocol that a physical backup needs and that
//! tokio-postgres lacks.

mod attempts;
mod authentication;
mod cancel;
mod client;
mod wire;

pub(crate) use attempts::Attempts;
pub use cancel::CancelToken;
pub use client::{ReplicationClient, SystemIdentity};
pub(crate) use client::{Row, field, push_row};
pub(crate) use wire::{Received, notice};
