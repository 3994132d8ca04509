//! The name the program was started under, which decides its default paths and environment names.

use std::{ffi::OsStr, path::Path};

/// The family of defaults in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavor {
    /// The program's own paths, `PGSTRATA_*`.
    Pgstrata,
    /// Started through a link named `pgbackrest`: `/etc/pgbackrest`, `PGBACKREST_*` and the rest,
    /// so that an existing installation works by putting the link in the place of the program.
    Pgbackrest,
}

/// How the program was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The first word of the command line, as it was given.
    pub invoked: String,
    /// The file name of it, for messages.
    pub name: String,
    /// The defaults that follow from it.
    pub flavor: Flavor,
}

impl Program {
    /// Reads the first word of the command line.
    pub fn from_argv0(argv0: &OsStr) -> Self {
        let file = Path::new(argv0).file_name().and_then(OsStr::to_str);
        let name = file.filter(|name| !name.is_empty()).unwrap_or("pgstrata").to_owned();
        let flavor = if name == "pgbackrest" { Flavor::Pgbackrest } else { Flavor::Pgstrata };
        Self { invoked: argv0.to_string_lossy().into_owned(), name, flavor }
    }
}

impl Flavor {
    /// What the names of environment variables begin with.
    pub const fn environment_prefix(self) -> &'static str {
        match self {
            Self::Pgstrata => "PGSTRATA_",
            Self::Pgbackrest => "PGBACKREST_",
        }
    }

    /// The file name of the configuration below `config-path`.
    pub const fn config_file_name(self) -> &'static str {
        match self {
            Self::Pgstrata => "pgstrata.conf",
            Self::Pgbackrest => "pgbackrest.conf",
        }
    }

    /// The default directory of locks and stop files in older versions, which every user may create.
    pub const fn former_lock_path(self) -> &'static str {
        match self {
            Self::Pgstrata => "/tmp/pgstrata",
            Self::Pgbackrest => "/tmp/pgbackrest",
        }
    }

    /// A place where the configuration file was in former times, looked at last.
    pub const fn former_config_file(self) -> Option<&'static str> {
        match self {
            Self::Pgstrata => None,
            Self::Pgbackrest => Some("/etc/pgbackrest.conf"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_decides() {
        let flavor = |argv0: &str| Program::from_argv0(OsStr::new(argv0)).flavor;
        assert_eq!(flavor("/usr/bin/pgbackrest"), Flavor::Pgbackrest);
        assert_eq!(flavor("pgstrata"), Flavor::Pgstrata);
        assert_eq!(flavor(""), Flavor::Pgstrata);
        assert_eq!(Program::from_argv0(OsStr::new("/")).name, "pgstrata");
    }
}
