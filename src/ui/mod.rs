//! ui

pub mod info;
