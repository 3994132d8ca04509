//! The backup engine: the files of a [`source`] go through the [`pipeline`] into the repository, changed blocks only where
//! there is a prior backup.

mod error;
mod landmarks;
mod pipeline;
pub mod source;
#[cfg(test)]
mod tests;

pub use error::Error;
pub(crate) use error::UNSEEN_HINT;
pub use landmarks::Landmarks;
pub use pipeline::{
    Options, Taken, Target,
    frame::{self, BLOCK_SIZE},
    prior, take,
};
