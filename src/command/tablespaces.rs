//! Tablespaces whose location is inside the data directory. The server allows them with a warning of its own;
//! a restore to the same place cannot.

use std::path::Path;

use crate::postgres::TablespaceInfo;

/// Warns of the tablespaces inside the data directory, where the role may see which that is.
pub(super) fn warn_inside(data_directory: Option<&str>, tablespaces: &[TablespaceInfo]) {
    let Some(data_directory) = data_directory else { return };
    for TablespaceInfo { oid, name, location } in inside(Path::new(data_directory), tablespaces) {
        let name = name.escape_debug();
        tracing::warn!(
            "tablespace '{name}' is inside the data directory, at '{location}'\n\
             HINT: restore it elsewhere with --tablespace-map={oid}=<directory>, or move its \
             tables and databases to a tablespace outside of the data directory"
        );
    }
}

/// One that was made in place has no location of its own, and a path that is not absolute.
fn inside<'a>(
    data_directory: &'a Path,
    tablespaces: &'a [TablespaceInfo],
) -> impl Iterator<Item = &'a TablespaceInfo> {
    tablespaces.iter().filter(move |one| Path::new(&one.location).starts_with(data_directory))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Oid;

    #[test]
    fn only_what_is_below_the_data_directory_is_inside() {
        let locations = ["/pg/data/ts", "/pg/data2/ts", "/pg", "pg_tblspc/16401", "/pg/data/a/b"];
        let all = locations.map(|location| TablespaceInfo {
            oid: Oid(1),
            name: String::new(),
            location: location.to_owned(),
        });
        let found: Vec<&str> =
            inside(Path::new("/pg/data"), &all).map(|one| &*one.location).collect();
        assert_eq!(found, ["/pg/data/ts", "/pg/data/a/b"]);
    }
}
