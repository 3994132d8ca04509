//! What fails in one repository does not keep the others from their turn: it is gathered, and told when all had
//! theirs.

use super::{Error, Result, context::Repo};
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

    /// The result where it is good; an error is kept for the end. That the user asked to stop is none of a
    /// repository's.
    pub(super) fn take<T>(&mut self, repo: &Repo, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error @ Error::Terminated(_)) => Err(error),
            Err(error) => {
                self.failed.push((repo.key, error));
                Ok(None)
            }
        }
    }

    /// Success where nothing failed. Of a single repository the error is told as it is.
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

/// The failures as an error tells them, a line each.
pub(super) fn describe(command: &str, repos: usize, failed: &[(u16, Error)]) -> String {
    let lines: Vec<String> =
        failed.iter().map(|(key, error)| format!("repo{key}: {error}")).collect();
    let count = failed.len();
    format!("{command} failed in {count} of {repos} repositories:\n{}", lines.join("\n"))
}

/// The code that all failures have, or the one that says that they differ.
pub(super) fn code_of(failed: &[(u16, Error)]) -> ErrorCode {
    let mut codes = failed.iter().map(|(_, error)| error.code());
    let first = codes.next().unwrap_or(ErrorCode::Command);
    match codes.all(|code| code == first) {
        true => first,
        false => ErrorCode::Command,
    }
}

/// What can be done about each.
pub(super) fn hint_of(failed: &[(u16, Error)]) -> Option<String> {
    let hints = failed.iter().filter_map(|(key, error)| Some((key, error.hint()?)));
    let lines: Vec<String> = hints.map(|(key, hint)| format!("repo{key}: {hint}")).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::testing::repo;

    fn error(code: ErrorCode) -> Error {
        Error::Check { what: format!("{code:?}"), code, hint: "look".to_owned() }
    }

    fn failures(repos: usize, failed: &[(u16, ErrorCode)]) -> Result<()> {
        let mut failures = Failures::new("expire", repos);
        for (key, code) in failed {
            let repo = repo(std::path::Path::new("/r"), *key);
            assert!(failures.take::<()>(&repo, Err(error(*code))).unwrap().is_none());
        }
        failures.finish()
    }

    #[test]
    fn each_failure_is_named_with_its_repository() {
        failures(2, &[]).unwrap();
        let told = failures(3, &[(3, ErrorCode::Access), (2, ErrorCode::Service)]).unwrap_err();
        insta::assert_snapshot!(told, @r"
        expire failed in 2 of 3 repositories:
        repo2: Service
        repo3: Access
        ");
        assert_eq!(told.code(), ErrorCode::Command);
        assert_eq!(told.hint().as_deref(), Some("repo2: look\nrepo3: look"));
        let one = failures(3, &[(3, ErrorCode::Access)]).unwrap_err();
        assert_eq!(one.code(), ErrorCode::Access);
    }

    #[test]
    fn of_one_repository_the_error_is_told_as_it_is() {
        let told = failures(1, &[(1, ErrorCode::Access)]).unwrap_err();
        assert_eq!((told.to_string().as_str(), told.code()), ("Access", ErrorCode::Access));
    }

    #[test]
    fn a_request_to_stop_ends_it_at_once() {
        let repo = repo(std::path::Path::new("/r"), 1);
        let mut failures = Failures::new("expire", 2);
        let stopped = failures.take::<()>(&repo, Err(Error::Terminated("SIGTERM")));
        assert!(matches!(stopped, Err(Error::Terminated(_))));
    }
}
