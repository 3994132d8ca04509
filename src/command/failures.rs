//! The one policy for several repositories: an error in one does not stop the work in the others. Errors are gathered,
//! and the command fails with all of them once every repository is done.

use super::{Error, Result};
use crate::types::{ErrorCode, Failure};

/// What failed, by repository.
#[derive(Debug)]
pub(super) struct Failures {
    command: &'static str,
    /// How many repositories there are to work on.
    repos: usize,
    failed: Vec<(u16, Error)>,
}

impl Failures {
    /// Nothing failed yet of what `command` does in `repos` repositories.
    pub(super) fn new(command: &'static str, repos: usize) -> Self {
        Self { command, repos, failed: Vec::new() }
    }

    /// The result if it is good; an error is kept for the end. A signal ends the command at once.
    pub(super) fn take<T>(&mut self, repo: u16, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error @ Error::Terminated(_)) => Err(error),
            Err(error) => {
                self.failed.push((repo, error));
                Ok(None)
            }
        }
    }

    /// An absence, such as "no such backup", is an error only if it is that of every repository: then it is reported
    /// once, else not at all.
    pub(super) fn absent_everywhere_or_not_at_all(&mut self, is_absence: impl Fn(&Error) -> bool) {
        let absent = self.failed.iter().filter(|(_, error)| is_absence(error)).count();
        if absent == self.repos {
            self.failed.truncate(1);
            self.repos = self.repos.min(1);
        } else {
            self.failed.retain(|(_, error)| !is_absence(error));
        }
    }

    /// Logs the errors of a command that fails with another error.
    pub(super) fn log(&self) {
        for (key, error) in &self.failed {
            let hint = error.hint().unwrap_or_default();
            let code = u64::from(error.code().exit_code());
            tracing::error!(code, hint, "repo{key}: {error}");
        }
    }

    /// Success if nothing failed. The error of the only repository is returned as it is.
    pub(super) fn finish(mut self) -> Result<()> {
        if self.repos == 1
            && let Some((_, error)) = self.failed.pop()
        {
            return Err(error);
        }
        self.failed.sort_by_key(|(key, _)| *key);
        match self.failed.is_empty() {
            true => Ok(()),
            false => Err(Error::InRepos {
                command: self.command,
                repos: self.repos,
                failed: self.failed,
            }),
        }
    }
}

/// The message of the failures, a line each.
pub(super) fn describe(command: &str, repos: usize, failed: &[(u16, Error)]) -> String {
    let lines: Vec<String> =
        failed.iter().map(|(key, error)| format!("repo{key}: {error}")).collect();
    let count = failed.len();
    format!("{command} failed in {count} of {repos} repositories:\n{}", lines.join("\n"))
}

/// The code of all failures, or `Command` if they differ.
pub(super) fn code_of(failed: &[(u16, Error)]) -> ErrorCode {
    let mut codes = failed.iter().map(|(_, error)| error.code());
    let first = codes.next().unwrap_or(ErrorCode::Command);
    match codes.all(|code| code == first) {
        true => first,
        false => ErrorCode::Command,
    }
}

/// The hints of the failures, a line each.
pub(super) fn hint_of(failed: &[(u16, Error)]) -> Option<String> {
    let hints = failed.iter().filter_map(|(key, error)| Some((key, error.hint()?)));
    let lines: Vec<String> = hints.map(|(key, hint)| format!("repo{key}: {hint}")).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: ErrorCode) -> Error {
        Error::Check { what: format!("{code:?}"), code, hint: "look".to_owned() }
    }

    fn failures(repos: usize, failed: &[(u16, ErrorCode)]) -> Result<()> {
        let mut failures = Failures::new("expire", repos);
        for (key, code) in failed {
            assert!(failures.take::<()>(*key, Err(error(*code))).unwrap().is_none());
        }
        failures.finish()
    }

    #[test]
    fn each_failure_is_named_with_its_repository() {
        failures(2, &[]).unwrap();
        let error = failures(3, &[(3, ErrorCode::Access), (2, ErrorCode::Service)]).unwrap_err();
        insta::assert_snapshot!(error, @r"
        expire failed in 2 of 3 repositories:
        repo2: Service
        repo3: Access
        ");
        assert_eq!(error.code(), ErrorCode::Command);
        assert_eq!(error.hint().as_deref(), Some("repo2: look\nrepo3: look"));
        let one = failures(3, &[(3, ErrorCode::Access)]).unwrap_err();
        assert_eq!(one.code(), ErrorCode::Access);
    }

    #[test]
    fn the_error_of_the_only_repository_is_returned_as_it_is() {
        let error = failures(1, &[(1, ErrorCode::Access)]).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.code()), ("Access", ErrorCode::Access));
    }

    #[test]
    fn an_absence_is_an_error_only_if_it_is_everywhere() {
        let result = |failed: &[(u16, ErrorCode)]| {
            let mut failures = Failures::new("expire", 2);
            for (key, code) in failed {
                failures.take::<()>(*key, Err(error(*code))).unwrap();
            }
            let absent = |error: &Error| error.code() == ErrorCode::BackupSetInvalid;
            failures.absent_everywhere_or_not_at_all(absent);
            failures.finish().map_err(|error| error.to_string())
        };
        let (absent, other) = (ErrorCode::BackupSetInvalid, ErrorCode::Access);
        assert_eq!(result(&[(2, absent)]), Ok(()));
        assert_eq!(result(&[(1, absent), (2, absent)]).unwrap_err(), "BackupSetInvalid");
        let message = result(&[(1, absent), (2, other)]).unwrap_err();
        assert_eq!(message, "expire failed in 1 of 2 repositories:\nrepo2: Access");
    }

    #[test]
    fn a_request_to_stop_ends_it_at_once() {
        let mut failures = Failures::new("expire", 2);
        let stopped = failures.take::<()>(1, Err(Error::Terminated("SIGTERM")));
        assert!(matches!(stopped, Err(Error::Terminated(_))));
    }
}
