//! Whether the server archives its WAL through this program, and why not.

use crate::{
    command::{Error, Result},
    postgres::{self, SqlClient, shown_archive_command},
    types::{ErrorCode, Failure},
};

/// The names that archive_command may call this program by.
const PROGRAMS: [&str; 2] = ["pgstrata", "pgbackrest"];

/// Checks `archive_mode`, unless that check is off, and `archive_command`.
pub(super) async fn check_settings(sql: &SqlClient, check_mode: bool) -> Result<()> {
    let mode = sql.setting_if_visible("archive_mode").await?;
    if check_mode {
        judge_mode(mode.as_deref())?;
    }
    match sql.setting("archive_library").await {
        Err(error @ postgres::Error::PermissionDenied { .. }) => return not_visible(&error),
        library => judge_library(library?.as_deref())?,
    }
    match sql.setting("archive_command").await {
        Err(error @ postgres::Error::PermissionDenied { .. }) => not_visible(&error),
        command => judge_command(command?.as_deref()),
    }
}

/// Only the WAL that arrives tells then.
fn not_visible(error: &postgres::Error) -> Result<()> {
    tracing::warn!(
        "archive_command is not checked, because the role may not see it\nHINT: {}",
        error.hint().unwrap_or_default()
    );
    Ok(())
}

fn judge_mode(mode: Option<&str>) -> Result<()> {
    match mode {
        Some("off") => Err(Error::Check {
            what: "archive_mode must be enabled".to_owned(),
            code: ErrorCode::ArchiveDisabled,
            hint: "set archive_mode = on in postgresql.conf and restart the server".to_owned(),
        }),
        _ => Ok(()),
    }
}

/// From version 15 on, a library takes the place of the command.
fn judge_library(library: Option<&str>) -> Result<()> {
    match library {
        None | Some("") => Ok(()),
        Some(name) => {
            Err(invalid(format!("archive_library is '{name}', so archive_command is not used")))
        }
    }
}

/// A setting that the role may not see is not judged.
fn judge_command(command: Option<&str>) -> Result<()> {
    let Some(command) = command else { return Ok(()) };
    if command.is_empty() || command == "(disabled)" {
        return Err(invalid("archive_command is empty".to_owned()));
    }
    if !PROGRAMS.iter().any(|program| command.contains(program)) {
        return Err(invalid(format!(
            "archive_command '{}' must contain pgstrata",
            shown_archive_command(command)
        )));
    }
    match command.contains("%p") {
        true => Ok(()),
        false => Err(invalid(format!(
            "archive_command '{}' must contain %p",
            shown_archive_command(command)
        ))),
    }
}

fn invalid(what: String) -> Error {
    Error::Check {
        what,
        code: ErrorCode::ArchiveCommandInvalid,
        hint: "set archive_command = 'pgstrata --stanza=<stanza> archive-push %p' and reload the \
               server"
            .to_owned(),
    }
}

/// What the server knows of its archiving, a sentence a line, to explain why WAL does not come.
pub(super) async fn explain(sql: &SqlClient) -> String {
    let mut lines = Vec::new();
    if let Ok(Some(command)) = sql.setting_if_visible("archive_command").await {
        lines.push(format!("archive_command is '{}'", shown_archive_command(&command)));
    }
    if let Ok(facts) = sql.archiver().await {
        let name = |wal: Option<String>| wal.unwrap_or_else(|| "nothing".to_owned());
        lines.push(match facts.failing {
            true => format!(
                "the server last failed to archive {} at {} ({} failures in total): see its log",
                name(facts.last_failed_wal),
                facts.last_failed_time.unwrap_or_default(),
                facts.failed_count
            ),
            false => format!(
                "the server reports {} as archived: check that archive_command writes to this \
                 repository",
                name(facts.last_archived_wal)
            ),
        });
    }
    if lines.is_empty() {
        lines.push("check archive_command and the server's log".to_owned());
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(result: Result<()>) -> Option<ErrorCode> {
        result.err().map(|error| error.code())
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        assert_eq!(code(judge_mode(Some("off"))), Some(ErrorCode::ArchiveDisabled));
        for mode in [Some("on"), Some("always"), None] {
            assert_eq!(code(judge_mode(mode)), None);
        }
        for command in ["", "(disabled)", "/bin/true", "cp %p /a", "pgstrata archive-push"] {
            let found = code(judge_command(Some(command)));
            assert_eq!(found, Some(ErrorCode::ArchiveCommandInvalid), "{command}");
        }
        for command in ["pgstrata --stanza=db archive-push %p", "/x/pgbackrest archive-push \"%p\""]
        {
            assert_eq!(code(judge_command(Some(command))), None, "{command}");
        }
        assert_eq!(code(judge_command(None)), None);
        assert_eq!(code(judge_library(Some("x"))), Some(ErrorCode::ArchiveCommandInvalid));
        assert_eq!(code(judge_library(Some(""))), None);
    }
}
