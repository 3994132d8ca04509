//! The last steps of a restore: recovery settings, PostgreSQL's manifest, and, once everything else
//! is on disk, the control file, without which the copy cannot be started.

use std::{fs, path::Path};

use super::{clean::remove_file, durable::sync, owner::Owner, small_file};
use crate::{
    host::read_small_file,
    postgres::config_lines,
    restore::{
        Error,
        leftover::{self, Leftover},
        plan::{CONTROL_FILE, CONTROL_FILE_PENDING, MARKER, RestorePlan},
        prepare::AUTO_CONF_BYTES_MAX,
        recovery::RecoverySettings,
    },
    types::ErrorCode,
};

const AUTO_CONF: &str = "postgresql.auto.conf";
const BACKUP_MANIFEST: &str = "backup_manifest";

/// Writes the settings that tell PostgreSQL how to recover; says whether auto.conf was changed.
pub(super) fn recovery_settings(
    plan: &RestorePlan,
    settings: &RecoverySettings,
    made_on: &str,
    owner: Owner,
) -> Result<bool, Error> {
    let path = plan.layout.data.join(AUTO_CONF);
    let previous = match read_small_file(&path, AUTO_CONF_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(Error::target("read", &path, ErrorCode::FileRead)(error)),
    };
    say_what_does_not_apply(plan, &path, &previous, settings);
    let text = settings.auto_conf(&previous, made_on);
    if let Some(text) = &text {
        put(plan, AUTO_CONF, text, owner)?;
    }
    if let Some(signal) = settings.signal_file() {
        put(plan, signal.file_name(), b"", owner)?;
    }
    Ok(text.is_some())
}

/// Names the settings of the backup that would have decided on the recovery.
fn say_what_does_not_apply(
    plan: &RestorePlan,
    auto_conf: &Path,
    previous: &[u8],
    settings: &RecoverySettings,
) {
    if !settings.target.has_settings() {
        return;
    }
    let settings = settings.settings();
    let lines = config_lines(previous);
    let mut found = leftover::in_configuration(&plan.layout.data, &settings);
    found.extend(leftover::leftovers(auto_conf, &lines, &settings));
    for Leftover { path, line, name, value, applies } in found {
        let path = path.display();
        tracing::warn!(
            "'{path}' line {line}: {name} = '{value}' does not apply to this recovery: restore sets it to '{applies}'"
        );
    }
}

/// Places PostgreSQL's manifest.
pub(super) fn backup_manifest(plan: &RestorePlan, bytes: &[u8], owner: Owner) -> Result<(), Error> {
    put(plan, BACKUP_MANIFEST, bytes, owner)
}

/// Takes the marker away and gives the control file its name, durably.
pub(super) fn publish(plan: &RestorePlan) -> Result<(), Error> {
    let data = &plan.layout.data;
    remove_file(&data.join(MARKER))?;
    let control = data.join(CONTROL_FILE);
    let pending = data.join(CONTROL_FILE_PENDING);
    sync(&pending)?;
    fs::rename(&pending, &control).map_err(Error::target(
        "rename",
        &pending,
        ErrorCode::FileMove,
    ))?;
    if let Some(directory) = control.parent() {
        sync(directory)?;
    }
    sync(data)
}

/// Writes a small file of the data directory again.
fn put(plan: &RestorePlan, name: &str, bytes: &[u8], owner: Owner) -> Result<(), Error> {
    let links = &plan.layout.links;
    // A link that the plan makes under the name leads to where the file is to be.
    let path = match links.iter().find(|link| link.path.as_bytes() == name.as_bytes()) {
        Some(link) => link.target.clone(),
        None => plan.layout.data.join(name),
    };
    small_file::write(&path, bytes, plan.entries.file_mode(), owner)
}
