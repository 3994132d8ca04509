//! Files of this host beside the repository: locks, stop files, logs. Their directories may lie where every user can
//! make one, so nothing in them is taken for ours before its owner and mode are seen, and no link of others is followed.

mod directory;
mod error;
mod lock_path;
mod user;

pub use directory::HostDirectory;
pub use error::Error;
pub use lock_path::LockPath;
pub use user::{User, give_to_owner_of};
