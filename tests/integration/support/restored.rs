//! A restored data directory: checked by PostgreSQL's own tools, started, queried.

use std::path::Path;

use super::{
    cluster::{Cluster, StartError},
    site::write_file,
    tools,
    version::Version,
};

/// A restored cluster, not started yet.
pub(crate) struct Restored {
    cluster: Cluster,
    archiving: bool,
}

impl Restored {
    pub(crate) fn new(version: Version, data_dir: &Path) -> Self {
        Self { cluster: Cluster::on(version, data_dir), archiving: false }
    }

    /// The data directory.
    pub(crate) fn path(&self) -> &Path {
        &self.cluster.data_dir
    }

    /// Lets the restored server archive, as the configuration it was restored with says. Without
    /// this it does not: a copy must not write into the archive of its origin.
    pub(crate) fn archiving(mut self) -> Self {
        self.archiving = true;
        self
    }

    /// A setting for the start.
    pub(crate) fn setting(mut self, name: &str, value: &str) -> Self {
        self.cluster.set_at_start(name, value);
        self
    }

    /// A line at the end of postgresql.auto.conf, for values that no shell should read.
    pub(crate) fn auto_setting(self, name: &str, value: &str) -> Self {
        let text = format!("{}\n{name} = '{}'\n", self.auto_conf(), value.replace('\'', "''"));
        write_file(&self.cluster.data_dir.join("postgresql.auto.conf"), &text);
        self
    }

    /// `pg_verifybackup -n` has to find every byte as the server sent it.
    #[track_caller]
    pub(crate) fn verified(self) -> Self {
        tools::pg_verifybackup(self.cluster.version, &self.cluster.data_dir);
        self
    }

    /// Starts the server; recovery may still go on when this returns.
    #[track_caller]
    pub(crate) fn start(self) -> Cluster {
        match self.try_start() {
            Ok(cluster) => cluster,
            Err(error) => panic!("the restored server does not start:\n{}", error.log),
        }
    }

    /// Starts the server and waits until recovery has ended.
    #[track_caller]
    pub(crate) fn start_primary(self) -> Cluster {
        let cluster = self.start();
        cluster.wait_until_primary();
        cluster
    }

    /// Starts the server, which may refuse.
    pub(crate) fn try_start(mut self) -> Result<Cluster, StartError> {
        if !self.archiving {
            self.cluster.set_at_start("archive_mode", "off");
        }
        self.cluster.try_start()?;
        Ok(self.cluster)
    }

    /// The contents of postgresql.auto.conf.
    #[track_caller]
    pub(crate) fn auto_conf(&self) -> String {
        let path = self.cluster.data_dir.join("postgresql.auto.conf");
        std::fs::read_to_string(path).expect("restore writes postgresql.auto.conf")
    }
}
