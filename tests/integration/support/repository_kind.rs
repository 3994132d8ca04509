//! Sites whose repository is behind a network, and the configuration that a page of the documentation shows.

use std::{fs, path::Path};

use super::{Site, SiteBuilder, Version};

/// A site whose repository is what these options make of it.
pub(crate) fn remote_site(version: Version, options: &[(&str, String)]) -> SiteBuilder {
    let add = |site: SiteBuilder, (name, value): &(&str, String)| site.option(name, value);
    options.iter().fold(Site::builder(version), add)
}

/// The options of repositories in the first block of configuration of a page below `docs`, as a reader would copy
/// them.
#[track_caller]
pub(crate) fn options_of(page: &str) -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page);
    let text = fs::read_to_string(path).expect("the page can be read");
    let (_, rest) = text.split_once("```ini\n").expect("it has a block of configuration");
    let (block, _) = rest.split_once("```").expect("the block ends");
    let lines = block.lines().filter_map(|line| line.split_once('='));
    let pairs = lines.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
    pairs.filter(|(name, _)| name.starts_with("repo1-")).collect()
}
