//! A command line and a configuration file, whatever is in them: a configuration or an error.
#![no_main]

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use libfuzzer_sys::fuzz_target;
use pgstrata::{cli, config::ConfigFiles};

/// Every file has this content.
struct Files<'a>(&'a [u8]);

impl ConfigFiles for Files<'_> {
    fn read(&self, _path: &Path) -> io::Result<Vec<u8>> {
        Ok(self.0.to_vec())
    }

    fn list(&self, _path: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }

    fn is_world_readable(&self, _path: &Path) -> bool {
        true
    }
}

fuzz_target!(|input: (Vec<&[u8]>, &[u8])| {
    let (words, file) = input;
    let words: Vec<OsString> = words.iter().map(|word| OsStr::from_bytes(word).to_owned()).collect();
    let _ = cli::parse(OsStr::new("pgstrata"), &words, [], &Files(file));
    let verify = ["--stanza=db", "verify"].map(OsString::from);
    let _ = cli::parse(OsStr::new("pgbackrest"), &verify, [], &Files(file));
});
