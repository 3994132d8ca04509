//! Reads pages that looked damaged once more. The server copies files while it writes to them, so a
//! page can be read half old and half new; recovery mends such a page, and a second look shows it whole.

use super::{Error, Result, cluster::ConnectedCluster, source::BackupStart};
use crate::{
    postgres::{self, RELATION_SEGMENT_BYTES, check_pages, is_checked_file},
    repo::manifest::{MisalignedFile, PageErrors},
    types::Failure,
};

/// Maximum number of pages that are read again; if more are damaged, a second read would not help.
const PAGES_MAX: usize = 10_000;
/// Maximum number of page ranges in a log line; the manifest has all of them.
const RANGES_MAX: usize = 200;

/// Names the damaged pages in the log.
pub(super) fn report(errors: &[PageErrors], misaligned: &[MisalignedFile]) {
    for MisalignedFile { path, size } in misaligned {
        tracing::warn!(
            "{path} has {size} bytes, which is no multiple of the page size: its last page is \
             truncated"
        );
    }
    for file in errors {
        tracing::warn!("{}", invalid_pages(file));
    }
}

fn invalid_pages(file: &PageErrors) -> String {
    let s = if file.pages.len() == 1 { "" } else { "s" };
    let pages = ranges(&file.pages);
    format!("invalid page checksum{s} found in file {} at page{s} {pages}", file.path)
}

/// Ascending numbers as text, neighbours joined: `3-4, 9`.
fn ranges(pages: &[u32]) -> String {
    let ranges: Vec<&[u32]> = pages.chunk_by(|a, b| a + 1 == *b).collect();
    let texts = ranges.iter().take(RANGES_MAX).map(|range| match range {
        [first, .., last] => format!("{first}-{last}"),
        single => single.iter().map(u32::to_string).collect(),
    });
    let more = if ranges.len() > RANGES_MAX { ", and more" } else { "" };
    format!("{}{more}", texts.collect::<Vec<_>>().join(", "))
}

/// Takes the pages off the list that are whole, or gone, at a second look.
pub(super) async fn drop_mended_pages(
    cluster: &dyn ConnectedCluster,
    start: &BackupStart,
    errors: &mut Vec<PageErrors>,
) -> Result<()> {
    let count: usize = errors.iter().map(|file| file.pages.len()).sum();
    if count == 0 || count > PAGES_MAX {
        return Ok(());
    }
    for file in errors.iter_mut() {
        let mut damaged = Vec::with_capacity(file.pages.len());
        for &page in &file.pages {
            match is_damaged(cluster, start, file, page).await {
                Ok(true) => damaged.push(page),
                Ok(false) => {
                    tracing::info!("page {page} of {} was read while it was written", file.path);
                }
                Err(Error::Postgres(error @ postgres::Error::PermissionDenied { .. })) => {
                    tracing::warn!(
                        "the role may not read files, so invalid pages are not read again\n\
                         HINT: {}",
                        error.hint().unwrap_or_default()
                    );
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        file.pages = damaged;
    }
    errors.retain(|file| !file.pages.is_empty());
    Ok(())
}

/// Takes the files off the list that end with a whole page, or are gone, at a second look: a file is
/// longer for a moment before a whole page is added to it.
pub(super) async fn drop_grown_files(
    cluster: &dyn ConnectedCluster,
    files: &mut Vec<MisalignedFile>,
) -> Result<()> {
    let page = cluster.source().facts().page_size;
    let mut cut = Vec::new();
    for file in files.iter().take(PAGES_MAX) {
        let at = file.size - file.size % u64::from(page);
        match cluster.reread(&file.path, at, page).await {
            Ok(Some(bytes)) if bytes.len() < page as usize && !bytes.is_empty() => {
                cut.push(file.clone());
            }
            Ok(_) => {}
            // That it is cut is then said of what was read.
            Err(Error::Postgres(postgres::Error::PermissionDenied { .. })) => {
                cut.push(file.clone())
            }
            Err(error) => return Err(error),
        }
    }
    cut.extend(files.iter().skip(PAGES_MAX).cloned());
    *files = cut;
    Ok(())
}

async fn is_damaged(
    cluster: &dyn ConnectedCluster,
    start: &BackupStart,
    file: &PageErrors,
    page: u32,
) -> Result<bool> {
    let size = cluster.source().facts().page_size;
    let offset = u64::from(page) * u64::from(size);
    let Some(bytes) = cluster.reread(&file.path, offset, size).await? else {
        return Ok(false);
    };
    let segment = is_checked_file(&file.path).unwrap_or_default();
    let number = segment * (RELATION_SEGMENT_BYTES / size) + page;
    Ok(!check_pages(&bytes, size, number, start.lsn).is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_invalid_page_is_not_named_in_the_plural() {
        let text = |pages: &[u32]| {
            invalid_pages(&PageErrors { path: "base/5/1".parse().unwrap(), pages: pages.to_vec() })
        };
        assert_eq!(text(&[7]), "invalid page checksum found in file base/5/1 at page 7");
        assert_eq!(text(&[7, 8]), "invalid page checksums found in file base/5/1 at pages 7-8");
    }

    #[test]
    fn neighbouring_pages_are_joined() {
        assert_eq!(ranges(&[3, 4, 9]), "3-4, 9");
        assert_eq!(ranges(&[0]), "0");
        assert_eq!(ranges(&[1, 2, 3]), "1-3");
        let even: Vec<u32> = (0..500).map(|n| n * 2).collect();
        assert!(ranges(&even).ends_with("398, and more"));
    }
}
