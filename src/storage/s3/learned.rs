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
    /// It does not take `x-amz-checksum-…`, which the SDK sends where many objects are deleted.
    no_checksum: AtomicBool,
    /// It does not delete many objects with one request.
    one_by_one: AtomicBool,
    /// It answers only to the first version of the listing.
    old_listing: AtomicBool,
    /// That it lists no uploads was said.
    said_no_uploads: AtomicBool,
}

/// How many objects are deleted at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deleting {
    /// With one request, as the SDK makes it.
    Together,
    /// With one request that has no digest but `Content-MD5`.
    WithoutChecksum,
    /// With a request for each.
    OneByOne,
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
            no_checksum: AtomicBool::new(false),
            one_by_one: AtomicBool::new(false),
            old_listing: AtomicBool::new(false),
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
            tracing::debug!(
                "{location} does not support If-None-Match: checking for existing \
                             objects before each write"
            );
            self.no_condition.store(true, Relaxed);
            return true;
        }
        if !manner.digest && refusal.wants_a_digest() {
            tracing::debug!("{location} requires Content-MD5 with each write");
            self.digest.store(true, Relaxed);
            return true;
        }
        false
    }

    /// How the next objects are deleted.
    pub(super) fn deleting(&self) -> Deleting {
        match (self.one_by_one.load(Relaxed), self.no_checksum.load(Relaxed)) {
            (true, _) => Deleting::OneByOne,
            (false, true) => Deleting::WithoutChecksum,
            (false, false) => Deleting::Together,
        }
    }

    /// Whether objects are to be deleted in another way than this one, because of what the server refused. Each way is
    /// tried once: a store that refused for another reason refuses the last way, too, and says so.
    pub(super) fn learns_to_delete(
        &self,
        refusal: &Refusal,
        way: Deleting,
        location: &str,
    ) -> bool {
        if !refusal.may_be_of_the_form() {
            return false;
        }
        let said = refusal.text();
        match way {
            Deleting::Together => {
                tracing::debug!(
                    "{location} refused a delete ({said}): retrying without x-amz-checksum"
                );
                self.no_checksum.store(true, Relaxed);
                true
            }
            Deleting::WithoutChecksum => {
                tracing::debug!(
                    "{location} refused a delete ({said}): deleting objects one by one"
                );
                self.one_by_one.store(true, Relaxed);
                true
            }
            Deleting::OneByOne => false,
        }
    }

    /// Whether the first version of the listing is asked for.
    pub(super) fn lists_as_of_old(&self) -> bool {
        self.old_listing.load(Relaxed)
    }

    /// The server took no notice of the second version of the listing.
    pub(super) fn list_as_of_old(&self, location: &str) {
        tracing::debug!("{location} does not support ListObjectsV2: using ListObjects");
        self.old_listing.store(true, Relaxed);
    }

    /// A warning, given once: incomplete uploads cannot be listed here.
    pub(super) fn lists_no_uploads(&self, refusal: &Refusal, location: &str) {
        if !self.said_no_uploads.swap(true, Relaxed) {
            tracing::warn!(
                "{location} does not list multipart uploads ({}): uploads of interrupted commands \
                 are not removed\n\
                 HINT: allow s3:ListBucketMultipartUploads, or add a lifecycle rule to the bucket \
                 that aborts incomplete uploads.",
                refusal.text()
            );
        }
    }
}
