//! Which configuration files there are, and their content.

use std::{
    io::{self, ErrorKind, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{
    error::Error,
    flavor::Flavor,
    ini::{self, Entry},
};

/// A configuration file larger than this is not one.
const FILE_SIZE_MAX: u64 = 4 << 20;

/// The reads that finding the configuration needs; the system behind it in the program, a few
/// texts behind it in tests.
pub trait ConfigFiles {
    /// The content of a file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The files of a directory, in any order.
    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>>;

    /// Whether every user of the host may read the file.
    fn is_world_readable(&self, path: &Path) -> bool;
}

/// The file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemFiles;

impl ConfigFiles for SystemFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        std::fs::File::open(path)?.take(FILE_SIZE_MAX + 1).read_to_end(&mut content)?;
        Ok(content)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        std::fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect()
    }

    fn is_world_readable(&self, path: &Path) -> bool {
        std::fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o004 != 0)
    }
}

/// What the command line and the environment say about configuration files.
#[derive(Debug, Default)]
pub(super) struct Location {
    /// `--no-config`.
    pub(super) no_config: bool,
    /// `--config`.
    pub(super) config: Option<String>,
    /// `--config-path`.
    pub(super) config_path: Option<PathBuf>,
    /// `--config-include-path`.
    pub(super) include_path: Option<PathBuf>,
}

/// What was read.
#[derive(Default)]
pub(super) struct Loaded {
    pub(super) entries: Vec<Entry>,
    pub(super) paths: Vec<PathBuf>,
}

impl Location {
    /// Reads the configuration file, then those of `conf.d` in the order of their names.
    ///
    /// What is named must exist; what is only looked for by default may be missing. A named file
    /// stands alone: the default `conf.d` is not read with it.
    pub(super) fn load(
        &self,
        flavor: Flavor,
        directory: &str,
        files: &dyn ConfigFiles,
    ) -> Result<Loaded, Error> {
        let directory = self.config_path.clone().unwrap_or_else(|| PathBuf::from(directory));
        let mut loaded = Loaded::default();
        self.load_main(flavor, &directory, files, &mut loaded)?;
        let default_include = self.config.is_none() && !self.no_config;
        match &self.include_path {
            Some(path) => loaded.add_directory(path, true, files)?,
            None if default_include => {
                loaded.add_directory(&directory.join("conf.d"), false, files)?
            }
            None => {}
        }
        Ok(loaded)
    }

    fn load_main(
        &self,
        flavor: Flavor,
        directory: &Path,
        files: &dyn ConfigFiles,
        loaded: &mut Loaded,
    ) -> Result<(), Error> {
        if self.no_config {
            return Ok(());
        }
        if let Some(path) = &self.config {
            return match loaded.add_file(Path::new(path), files)? {
                true => Ok(()),
                false => Err(Error::FileMissing { path: path.into() }),
            };
        }
        let found = loaded.add_file(&directory.join(flavor.config_file_name()), files)?;
        match flavor.former_config_file() {
            Some(former) if !found && self.config_path.is_none() => {
                loaded.add_file(Path::new(former), files).map(|_| ())
            }
            _ => Ok(()),
        }
    }
}

impl Loaded {
    /// Whether the file was there.
    fn add_file(&mut self, path: &Path, files: &dyn ConfigFiles) -> Result<bool, Error> {
        let content = match files.read(path) {
            Ok(content) => content,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(Error::FileRead { path: path.into(), source }),
        };
        let unusable = |problem| Error::FileUnusable { path: path.into(), problem };
        if content.len() as u64 > FILE_SIZE_MAX {
            return Err(unusable("is larger than 4MiB"));
        }
        self.entries.extend(ini::parse(path, &content)?);
        self.paths.push(path.into());
        Ok(true)
    }

    fn add_directory(
        &mut self,
        path: &Path,
        required: bool,
        files: &dyn ConfigFiles,
    ) -> Result<(), Error> {
        let mut names = match files.list(path) {
            Ok(names) => names,
            Err(error) if error.kind() == ErrorKind::NotFound && required => {
                return Err(Error::PathMissing { path: path.into() });
            }
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(Error::PathRead { path: path.into(), source }),
        };
        names.retain(|name| name.extension().is_some_and(|extension| extension == "conf"));
        names.sort();
        for name in names {
            self.add_file(&name, files)?;
        }
        Ok(())
    }
}
