//! The configuration: one option table, read from argv, environment and INI files into one typed [`Config`].

mod typed;

pub use typed::*;
