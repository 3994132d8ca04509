//! Buckets of S3 and of stores that speak its protocol: the requests of [`BucketApi`](super::bucket::BucketApi), made
//! with the AWS SDK. The SDK signs, writes and reads them; it repeats nothing, waits for nothing and reads no
//! configuration of its own. What is above it does that for every kind of store.
//!
//! Nothing is done before the first request: no file is read, no name resolved, no credentials are asked for.

mod address;
mod api;
mod call;
mod client;
mod connector;
mod encoding;
mod failure;
mod keys;
mod learned;
mod listing;
mod options;

pub use call::S3Api;
pub use options::{Encryption, KeySource, PART_SIZE_MIN, S3Options};
