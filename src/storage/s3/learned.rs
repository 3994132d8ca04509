//! What is found out about a server while it is used, and how requests are made because of it.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::failure::Refusal;

/// What a server has shown so far.
#[derive(Debug)]
pub(super) struct Learned {
    /// It answered in a way that only an existing bucket can.
    bucket_seen: AtomicBool,
    /// It does not take `If-None-Match`.
    no_condition: AtomicBool,
    /// It wants a digest of what is written, which it does where the bucket locks objects by itself.
    digest: AtomicBool,
    /// That it lists no uploads was said.
    said_no_uploads: AtomicBool,
}

/// How a request that writes is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// With `If-None-Match: *`.
    pub(super) condition: bool,
    /// With `Content-MD5`. All bytes are covered by the SHA-256 in the signature besides.
    pub(super) digest: bool,
}

impl Learned {
    /// Nothing but that objects are locked, if they are: these have to come with a digest.
    pub(super) fn new(locks: bool) -> Self {
        Self {
            bucket_seen: AtomicBool::new(false),
            no_condition: AtomicBool::new(false),
            digest: AtomicBool::new(locks),
            said_no_uploads: AtomicBool::new(false),
        }
    }

    pub(super) fn bucket_is_there(&self) {
        self.bucket_seen.store(true, Relaxed);
    }

    pub(super) fn bucket_is_seen(&self) -> bool {
        self.bucket_seen.load(Relaxed)
    }

    /// How the next request is made.
    pub(super) fn manner(&self) -> Manner {
        Manner { condition: !self.no_condition.load(Relaxed), digest: self.digest.load(Relaxed) }
    }

    /// Whether a request that was made in this manner is to be made in another, because of what the server refused.
    pub(super) fn learns(&self, refusal: &Refusal, manner: Manner, location: &str) -> bool {
        if manner.condition && refusal.is_of_the_condition() {
            tracing::debug!("{location} takes no If-None-Match: names are looked at first");
            self.no_condition.store(true, Relaxed);
            return true;
        }
        if !manner.digest && refusal.wants_a_digest() {
            tracing::debug!("{location} wants Content-MD5 with what is written");
            self.digest.store(true, Relaxed);
            return true;
        }
        false
    }

    /// Told, once, that nobody sees here what writers that died have left.
    pub(super) fn lists_no_uploads(&self, refusal: &Refusal, location: &str) {
        if !self.said_no_uploads.swap(true, Relaxed) {
            tracing::warn!(
                "{location} does not list unfinished uploads ({}): what writers that died left there \
                 stays\nHINT: allow s3:ListBucketMultipartUploads, or give the bucket a lifecycle rule \
                 that ends them.",
                refusal.text()
            );
        }
    }
}
