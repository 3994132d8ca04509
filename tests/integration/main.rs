//! Tests against real PostgreSQL servers, a file a subject. `support` starts and stops the servers.

mod harness;
mod support;
