//! Removes secrets from `archive_command` for messages: it may contain passwords, tokens and URLs with credentials, and
//! more people can read logs than the server's configuration.

/// Replaces words that may hold a secret.
const HIDDEN: &str = "…";

/// The command without words that may be a secret: the program, the stanza, `archive-push`, and `%p` or `%f` remain.
pub fn shown_archive_command(command: &str) -> String {
    let mut shown: Vec<&str> = Vec::new();
    let mut program_seen = false;
    for word in command.split_whitespace() {
        let plain = !word.contains(['=', ':', '@', '$', '`']);
        let is_program = !program_seen && plain && !word.starts_with('-');
        program_seen |= is_program;
        let is_file_argument = plain && (word.contains("%p") || word.contains("%f"));
        if is_program || is_file_argument || word == "archive-push" || word.starts_with("--stanza=")
        {
            shown.push(word);
        } else if shown.last() != Some(&HIDDEN) {
            shown.push(HIDDEN);
        }
    }
    shown.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_that_may_be_a_secret_is_shown() {
        for (command, expected) in [
            ("pgstrata --stanza=db archive-push %p", "pgstrata --stanza=db archive-push %p"),
            (
                "PGSTRATA_REPO1_CIPHER_PASS=s3cr3t pgstrata --stanza=db archive-push \"%p\"",
                "… pgstrata --stanza=db archive-push \"%p\"",
            ),
            (
                "/usr/bin/pgbackrest --repo1-s3-key=s3cr3t --pg1-path /x archive-push %p",
                "/usr/bin/pgbackrest … archive-push %p",
            ),
            ("curl -u me:s3cr3t -T %p https://me:s3cr3t@host/%f", "curl … %p …"),
            ("aws --token s3cr3t s3 cp %p s3://bucket/%f", "aws … %p …"),
            ("env PASS=s3cr3t cp %p /archive/%f", "env … %p /archive/%f"),
            ("", ""),
        ] {
            assert_eq!(shown_archive_command(command), expected);
            assert!(!shown_archive_command(command).contains("s3cr3t"));
        }
    }
}
