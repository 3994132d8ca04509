//! Connections to a server: options with libpq's meaning and defaults, the password file, and the plain or TLS stream
//! of replication and SQL sessions.

mod environment;
mod host_name;
mod options;
mod pass_file;
mod resolve;
mod tls;
mod transport;

pub use options::{ChannelBindingMode, ConnectOptions, Endpoint, Password, SslMode, SslOptions};
pub use resolve::ConnectSettings;
pub(crate) use transport::{Encryption, Transport, open, plan};
