//! How to reach a server: the options with libpq's meaning and defaults, the pass file, and the
//! encrypted or plain stream that both the replication client and the SQL side channel run over.

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
