//! The one policy for several repositories or stanzas: an error in one does not stop the work in the others. Errors are
//! gathered, and the command fails with all of them when the work is done everywhere.

use super::{Error, Result, context::Repo, error::Place};
use crate::types::{ErrorCode, Failure};

/// The errors of a command, by repository or stanza.
#[derive(Debug)]
pub(super) struct Failures {
    command: &'static str,
    /// In how many repositories or stanzas the command works.
    total: usize,
    failed: Vec<(Place, Error)>,
}

/// Does `work` in one repository after the other, also after an error. A signal ends it at once.
pub(super) async fn in_each(
    command: &'static str,
    repos: &[Repo],
    mut work: impl AsyncFnMut(&Repo) -> Result<()>,
) -> Result<Failures> {
    let mut failures = Failures::new(command, repos.len());
    for repo in repos {
        failures.take(repo.key, work(repo).await)?;
    }
    Ok(failures)
}

impl Failures {
    /// No failure yet of what `command` does in `total` repositories or stanzas.
    pub(super) fn new(command: &'static str, total: usize) -> Self {
        Self { command, total, failed: Vec::new() }
    }

    /// The result if it is good; an error is kept for the end. A signal ends the command at once.
    pub(super) fn take<T>(
        &mut self,
        place: impl Into<Place>,
        result: Result<T>,
    ) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error @ Error::Terminated(_)) => Err(error),
            Err(error) => {
                self.failed.push((place.into(), error));
                Ok(None)
            }
        }
    }

    /// The code of each error.
    pub(super) fn codes(&self) -> impl Iterator<Item = ErrorCode> {
        self.failed.iter().map(|(_, error)| error.code())
    }

    /// An absence, such as "no such backup", is an error only if it is that of every repository: then it is reported
    /// once, else not at all.
    pub(super) fn absent_everywhere_or_not_at_all(&mut self, is_absence: impl Fn(&Error) -> bool) {
        let absent = self.failed.iter().filter(|(_, error)| is_absence(error)).count();
        if absent == self.total {
            self.failed.truncate(1);
            self.total = self.total.min(1);
        } else {
            self.failed.retain(|(_, error)| !is_absence(error));
        }
    }

    /// Logs the errors of a command that fails with another error.
    pub(super) fn log(&self) {
        for (place, error) in &self.failed {
            let hint = error.hint().unwrap_or_default();
            let code = u64::from(error.code().exit_code());
            tracing::error!(code, hint, "{place}: {error}");
        }
    }

    /// Success if nothing failed. The error of the only repository or stanza is returned as it is.
    pub(super) fn finish(mut self) -> Result<()> {
        if self.total == 1
            && let Some((_, error)) = self.failed.pop()
        {
            return Err(error);
        }
        self.failed.sort_by(|(one, _), (other, _)| one.cmp(other));
        match self.failed.is_empty() {
            true => Ok(()),
            false => {
                Err(Error::InSome { command: self.command, total: self.total, failed: self.failed })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::StanzaName;

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
    fn each_failure_of_several_stanzas_is_named_with_its_stanza() {
        let mut failures = Failures::new("repo-sync", 2);
        let stanza: StanzaName = "demo".parse().unwrap();
        failures.take::<()>(stanza, Err(error(ErrorCode::Access))).unwrap();
        let message = failures.finish().unwrap_err().to_string();
        assert_eq!(message, "repo-sync failed in 1 of 2 stanzas:\nstanza demo: Access");
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
