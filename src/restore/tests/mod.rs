//! What the tests of the restore engine share: a store in memory, and small repositories in it.

mod choosing;
pub(crate) mod memory;
pub(crate) mod repository;
