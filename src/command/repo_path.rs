//! A path of the repository as users type it.

use super::{Error, Result, context::Repo};
use crate::{storage::ObjectPath, types::ErrorCode};

/// The path below the root of the repository. Absolute paths must be below it; a slash at the end
/// does not matter.
pub(super) fn parse(repo: &Repo, text: &str) -> Result<ObjectPath> {
    let trimmed = text.trim_end_matches('/');
    let location = repo.storage.location();
    let relative = match trimmed.strip_prefix(location.trim_end_matches('/')) {
        _ if !text.starts_with('/') => trimmed,
        Some("") => "",
        Some(below) if below.starts_with('/') => &below[1..],
        _ => {
            return Err(invalid(format!(
                "absolute path '{text}' is not in repository '{location}'"
            )));
        }
    };
    let relative = if relative == "." { "" } else { relative };
    ObjectPath::new(relative).map_err(|error| invalid(error.to_string()))
}

fn invalid(what: String) -> Error {
    Error::Parameter { what, code: ErrorCode::ParamInvalid }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn paths_lead_into_the_repository_or_are_refused() {
        let repo = crate::command::testing::repo(Path::new("/srv/repo"), 1);
        for (text, path) in [
            ("", ""),
            (".", ""),
            ("/srv/repo", ""),
            ("/srv/repo/", ""),
            ("archive/demo/", "archive/demo"),
            ("/srv/repo/archive/demo", "archive/demo"),
        ] {
            assert_eq!(parse(&repo, text).unwrap().as_str(), path, "{text}");
        }
        for text in ["/", "/srv", "/srv/repository", "..", "a//b", "a/../b", "a/./b"] {
            assert!(parse(&repo, text).is_err(), "{text}");
        }
    }
}
