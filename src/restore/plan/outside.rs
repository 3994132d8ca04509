//! The places outside of the data directory that a restore writes to, for the user to see before it begins.

use std::path::Path;

use super::{
    layout::Layout,
    planned_link::{NamedBy, below},
};

/// A place outside of the data directory that a restore writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outside<'a> {
    /// The directory whose content is restored, or the file.
    pub path: &'a Path,
    /// Who names it.
    pub named_by: NamedBy,
}

impl Layout {
    /// Everything outside of the data directory that is written to.
    pub fn outside(&self) -> Vec<Outside<'_>> {
        let mut places = Vec::new();
        for link in &self.links {
            let before = places.len();
            let named_by = link.named_by;
            for root in &self.roots {
                let is_behind = |path| below(path, &link.path).is_some();
                let is_listed = |place: &Outside<'_>| place.path == root.directory;
                if root.prefix.as_ref().is_some_and(is_behind) && !places.iter().any(is_listed) {
                    places.push(Outside { path: &root.directory, named_by });
                }
            }
            // A file, or a tablespace without content.
            if places.len() == before {
                places.push(Outside { path: &link.target, named_by });
            }
        }
        places
    }
}
