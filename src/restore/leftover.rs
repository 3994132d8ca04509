//! Recovery settings that the restored configuration still holds, and that `postgresql.auto.conf` overrides: they are
//! named, because the user may expect them to apply.

use std::{
    fs::{self, File, Metadata},
    io::Read,
    path::{Path, PathBuf},
};

use crate::postgres::{ConfigLine, config_lines};

/// The greatest configuration file that is looked at, in bytes.
const SIZE_MAX: u64 = 4 << 20;
/// How many files are looked at, and how deep includes go (CONF_FILE_MAX_DEPTH in guc.h).
const FILES_MAX: usize = 200;
const DEPTH_MAX: usize = 10;

/// A setting that does not apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// The file.
    pub path: PathBuf,
    /// The line, counted from 1.
    pub line: usize,
    /// The setting.
    pub name: String,
    /// The value there.
    pub value: String,
    /// The value that applies.
    pub applies: String,
}

/// The lines of `postgresql.conf` in the data directory, and of what it includes, that set anything of `settings` to
/// another value. A configuration outside of the data directory belongs to the host and is not looked at.
pub fn in_configuration(data: &Path, settings: &[(String, String)]) -> Vec<Leftover> {
    let mut found = Vec::new();
    let mut waiting = vec![(data.join("postgresql.conf"), 0)];
    let mut seen = 0;
    while let Some((path, depth)) = waiting.pop() {
        seen += 1;
        if seen > FILES_MAX {
            break;
        }
        let Some(text) = read(&path) else { continue };
        let lines = config_lines(&text);
        found.extend(leftovers(&path, &lines, settings));
        if depth < DEPTH_MAX {
            let included = lines.iter().flat_map(|line| included(&path, line));
            waiting.extend(included.map(|path| (path, depth + 1)));
        }
    }
    found
}

/// The lines that set anything of `settings` to another value.
pub fn leftovers<'a>(
    path: &'a Path,
    lines: &'a [ConfigLine],
    settings: &'a [(String, String)],
) -> impl Iterator<Item = Leftover> + 'a {
    lines.iter().filter_map(move |line| {
        let (name, applies) = settings.iter().find(|(name, _)| *name == line.name)?;
        (*applies != line.value).then(|| Leftover {
            path: path.to_owned(),
            line: line.line,
            name: name.clone(),
            value: line.value.clone(),
            applies: applies.clone(),
        })
    })
}

/// The files that an `include` directive of `from` names; relative paths count from the directory of `from`.
fn included(from: &Path, line: &ConfigLine) -> Vec<PathBuf> {
    let path = from.parent().unwrap_or(Path::new("/")).join(&line.value);
    match line.name.as_str() {
        "include" | "include_if_exists" => vec![path],
        "include_dir" => {
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            let conf = |path: &PathBuf| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                name.ends_with(".conf") && !name.starts_with('.')
            };
            entries.map(|entry| entry.path()).filter(conf).collect()
        }
        _ => Vec::new(),
    }
}

/// A regular file, cut to a bound. One that cannot be read changes nothing about the settings that apply; PostgreSQL
/// will complain of it.
fn read(path: &Path) -> Option<Vec<u8>> {
    fs::metadata(path).ok().filter(Metadata::is_file)?;
    let mut text = Vec::new();
    File::open(path).and_then(|file| file.take(SIZE_MAX).read_to_end(&mut text)).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_the_configuration_and_its_includes_are_found() {
        let scratch = tempfile::tempdir().unwrap();
        let data = scratch.path();
        fs::create_dir(data.join("conf.d")).unwrap();
        let write = |name: &str, text: &str| fs::write(data.join(name), text).unwrap();
        write(
            "postgresql.conf",
            "a = 1\nrecovery_target_time = 'old'\ninclude_dir 'conf.d'\ninclude = 'gone.conf'\n",
        );
        write("conf.d/1.conf", "recovery_min_apply_delay = 1h\ninclude '../postgresql.conf'\n");
        write("conf.d/2.conf", "recovery_target_action = pause\n");
        write("conf.d/3.txt", "recovery_target_time = 'not read'\n");
        let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let settings = [
            set("recovery_target_time", ""),
            set("recovery_target_action", "pause"),
            set("recovery_min_apply_delay", "0"),
        ];
        let mut found: Vec<String> = in_configuration(data, &settings)
            .into_iter()
            .map(|left| {
                let name = left.path.file_name().unwrap().to_string_lossy().into_owned();
                format!("{name}:{} {}={}", left.line, left.name, left.value)
            })
            .collect();
        found.sort();
        found.dedup();
        assert_eq!(
            found,
            ["1.conf:1 recovery_min_apply_delay=1h", "postgresql.conf:2 recovery_target_time=old"]
        );
    }
}
