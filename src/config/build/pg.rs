//! The clusters.

use std::{collections::BTreeMap, path::PathBuf};

use crate::config::{error::Error, settings::Settings, spec::Group, typed::PgConfig};

/// The configured clusters; none where no option of the group is set.
pub(super) fn pgs(s: &Settings) -> Result<BTreeMap<u16, PgConfig>, Error> {
    s.keys(Group::Pg).into_iter().map(|key| Ok((key, pg(s, key)?))).collect()
}

fn pg(s: &Settings, key: u16) -> Result<PgConfig, Error> {
    Ok(PgConfig {
        key,
        path: s.path("pgN-path", key)?,
        host: s.text("pgN-host", key)?,
        port: set_or_none(s, "pgN-port", key, s.integer("pgN-port", key)?).map(|port| port as u16),
        socket_path: s.text("pgN-socket-path", key)?.map(PathBuf::from),
        user: s.text("pgN-user", key)?,
        database: set_or_none(s, "pgN-database", key, s.text("pgN-database", key)?),
        password: s.secret("pgN-password", key)?,
        pass_file: s.path("pgN-passfile", key)?,
        ssl_mode: s.text("pgN-sslmode", key)?,
        ssl_root_cert: s.text("pgN-sslrootcert", key)?.map(PathBuf::from),
        ssl_cert: s.path("pgN-sslcert", key)?,
        ssl_key: s.path("pgN-sslkey", key)?,
    })
}

/// The environment comes before a default.
fn set_or_none<T>(s: &Settings, name: &'static str, key: u16, value: Option<T>) -> Option<T> {
    value.filter(|_| s.is_set(name, key))
}
