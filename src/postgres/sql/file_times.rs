//! Modification and change times of files of the data directory, from the server's `pg_stat_file`.

use std::collections::BTreeMap;

use super::{SqlClient, column};
use crate::{
    postgres::{FileTimes, Result},
    types::DataPath,
};

/// A missing path has a row with NULLs.
const FILE_TIMES: &str = "select f.path, pg_catalog.date_part('epoch', s.modification)::int8, \
    pg_catalog.date_part('epoch', s.change)::int8 from pg_catalog.unnest($1::text[]) f (path) \
    cross join lateral pg_catalog.pg_stat_file(f.path, true) s";

impl SqlClient {
    /// Times of files and directories, following links; missing ones are absent. Paths that are not ASCII are skipped,
    /// because the server would interpret them in its own encoding.
    pub async fn file_times(&self, paths: &[DataPath]) -> Result<BTreeMap<DataPath, FileTimes>> {
        let texts = paths.iter().filter(|path| path.as_bytes().is_ascii());
        let texts: Vec<String> =
            texts.filter_map(|path| String::from_utf8(path.as_bytes().to_vec()).ok()).collect();
        let mut found = BTreeMap::new();
        for row in self.rows(FILE_TIMES, &[&texts]).await? {
            let times: (Option<i64>, Option<i64>) = (column(&row, 1)?, column(&row, 2)?);
            if let (Some(modified), Some(changed)) = times {
                let path: String = column(&row, 0)?;
                found.insert(DataPath::new(path.as_bytes())?, FileTimes { modified, changed });
            }
        }
        Ok(found)
    }
}
