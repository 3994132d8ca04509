//! Local files outside the repository: locks, stop files, logs. Their directories may be below a world-writable one,
//! so owner and mode are checked before use, and links of other users are not followed.

mod directory;
mod error;
mod lock_path;
mod small_file;
mod user;

pub use directory::HostDirectory;
pub use error::Error;
pub use lock_path::LockPath;
pub use small_file::{read_small_file, read_small_text};
pub use user::{User, give_to_owner_of};
