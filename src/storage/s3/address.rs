//! From what is configured to the address of a bucket.

use super::{
    super::{
        Result,
        http::{Place, unusable},
    },
    S3Options,
};
use crate::types::UriStyle;

/// Where a bucket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// What the path of a key is appended to. Its host is what requests name, and what is signed.
    pub(super) base: String,
    /// What to connect to, where it is not what requests name.
    pub(super) reached: Option<Place>,
    /// Whether it is spoken to without TLS.
    pub(super) plain: bool,
    /// Whether it is Amazon's own, which is known to keep what is there.
    pub(super) amazon: bool,
}

impl Address {
    pub(super) fn of(options: &S3Options) -> Result<Self> {
        if !bucket_is_valid(&options.bucket) {
            return Err(unusable(&options.bucket, "it is not a valid bucket name"));
        }
        let endpoint = Place::parse(&options.endpoint)?;
        let (named, reached) =
            Place::named_and_reached(endpoint, options.host.as_deref(), options.port)?;
        let (bucket, scheme) = (&options.bucket, named.scheme());
        if options.style == UriStyle::Host && named.is_address() {
            return Err(unusable(
                &options.endpoint,
                "the bucket name cannot precede an IP address",
            )
            .with_hint("set repoN-s3-uri-style=path"));
        }
        let base = match options.style {
            UriStyle::Host => format!("{scheme}://{bucket}.{}", named.authority()),
            UriStyle::Path => format!("{scheme}://{}/{bucket}", named.authority()),
        };
        let amazon = is_amazon(&reached.as_ref().unwrap_or(&named).host);
        Ok(Self { base, reached, plain: named.plain, amazon })
    }
}

fn is_amazon(host: &str) -> bool {
    [".amazonaws.com", ".amazonaws.com.cn"].iter().any(|domain| host.ends_with(domain))
}

fn bucket_is_valid(bucket: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (1..=255).contains(&bucket.len()) && bucket.chars().all(known)
}

#[cfg(test)]
mod tests;
