//! Push and get against an archive on disk, with faults where the store is to break its word.

mod getting;
mod pushing;
mod support;
