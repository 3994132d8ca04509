//! What a backup over the replication protocol lacks. The server sends no symbolic links and nothing that is behind
//! them, apart from those of tablespaces.

use std::collections::BTreeSet;

use tracing::{debug, warn};

use crate::{
    backup::Error,
    postgres::{LeftOut, is_of_postgres},
    types::DataPath,
};

/// Entries that a backup may leave out: with more, it is of no use.
const LEFT_OUT_MAX: usize = 10_000;
/// The file without which no server starts that is in none of its directories.
const VERSION_FILE: &str = "PG_VERSION";
/// How the server names its sockets; it makes them again.
const SOCKET_PREFIX: &[u8] = b".s.PGSQL.";

/// The paths that the server left out.
#[derive(Debug, Default)]
pub(super) struct Lacks(BTreeSet<DataPath>);

impl Lacks {
    /// Takes what the server said. What belongs to a database, or to the cluster as such, cannot be done without.
    pub(super) fn add(&mut self, said: Vec<LeftOut>) -> Result<(), Error> {
        for left_out in said {
            let path = match left_out {
                LeftOut::Inside(path) => path,
                LeftOut::InTablespace(path) | LeftOut::Unknown(path) => {
                    return Err(Error::LeftOut { path });
                }
            };
            let Ok(data_path) = DataPath::new(path.as_bytes()) else {
                return Err(Error::LeftOut { path });
            };
            self.add_path(data_path)?;
        }
        Ok(())
    }

    fn add_path(&mut self, path: DataPath) -> Result<(), Error> {
        if is_of_postgres(&path) || path.as_bytes() == VERSION_FILE.as_bytes() {
            return Err(Error::LeftOut { path: path.to_string() });
        }
        if path.file_name().starts_with(SOCKET_PREFIX) {
            debug!("'{path}' is left out");
            return Ok(());
        }
        if self.0.len() >= LEFT_OUT_MAX {
            return Err(Error::LeftOut { path: format!("more than {LEFT_OUT_MAX} entries") });
        }
        // The server says it twice: when it adds up sizes, and when it sends.
        if self.0.insert(path.clone()) {
            warn!(
                "'{path}' is NOT in this backup: the server does not send symbolic links, pipes \
                 and sockets"
            );
        }
        Ok(())
    }

    /// The paths, in their order.
    pub(super) fn into_paths(self) -> Vec<DataPath> {
        self.0.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{ErrorCode, Failure};

    fn lacks(paths: &[&str]) -> Result<Vec<String>, Error> {
        let mut lacks = Lacks::default();
        lacks.add(paths.iter().map(|path| LeftOut::Inside((*path).to_owned())).collect())?;
        Ok(lacks.into_paths().iter().map(DataPath::to_string).collect())
    }

    #[test]
    fn a_link_of_the_database_is_an_error_and_any_other_is_kept_in_mind() {
        let others = ["postgresql.conf", "log", "mine/x", "postgresql.conf", ".s.PGSQL.5432"];
        assert_eq!(lacks(&others).unwrap(), ["log", "mine/x", "postgresql.conf"]);
        for needed in ["base", "base/5", "base/5/16384", "global/1260", "pg_xact", "PG_VERSION"] {
            let error = lacks(&["log", needed]).unwrap_err();
            assert_eq!(error.code(), ErrorCode::LinkDestination, "{needed}");
            assert!(error.to_string().contains(needed), "{error}");
            assert!(error.hint().is_some_and(|hint| hint.contains("backup-source=local")));
        }
        for other in ["/srv/ts/PG_15_1/5/7", "in other words"] {
            let said =
                [LeftOut::InTablespace(other.to_owned()), LeftOut::Unknown(other.to_owned())];
            for said in said {
                assert!(Lacks::default().add(vec![said]).is_err());
            }
        }
    }
}
