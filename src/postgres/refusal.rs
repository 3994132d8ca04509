//! Hints for a rejected session, with role, database, and the statement that helps. Decided only by SQLSTATE, because
//! messages may be translated.

use super::{ServerError, sql::quoted};

pub(crate) enum Session<'a> {
    Sql { database: &'a str },
    Replication,
}

/// Adds the hint if the server sent none.
pub(crate) fn explain(said: &mut ServerError, role: &str, session: &Session<'_>) {
    if said.hint.is_none() {
        said.hint = hint(said, role, session);
    }
}

fn hint(said: &ServerError, role: &str, session: &Session<'_>) -> Option<String> {
    let role = quoted(role);
    let database = match session {
        Session::Sql { database } => quoted(database),
        Session::Replication => "replication".to_owned(),
    };
    Some(match (said.code.as_str(), session) {
        (ServerError::INSUFFICIENT_PRIVILEGE, Session::Sql { .. }) => format!(
            "as a superuser, or the owner of the database: GRANT CONNECT ON DATABASE {database} TO \
             {role};"
        ),
        (ServerError::INSUFFICIENT_PRIVILEGE, Session::Replication) => {
            format!("as a superuser: ALTER ROLE {role} REPLICATION;")
        }
        (ServerError::INVALID_AUTHORIZATION, _) => format!(
            "pg_hba.conf needs an entry that lets role {role} connect to database {database}. The role must \
             exist and may log in: CREATE ROLE {role} LOGIN REPLICATION; or ALTER ROLE {role} LOGIN;"
        ),
        ("28P01", _) => format!(
            "is the password of role {role} right in pgN-password, PGPASSWORD or the pass file? A pass file \
             needs a line for database {database}"
        ),
        ("3D000", _) => "pgN-database names a database that exists".to_owned(),
        ("53300", Session::Replication) => format!(
            "every backup takes a sender: raise max_wal_senders, or the limit of the role: ALTER ROLE {role} \
             CONNECTION LIMIT -1;"
        ),
        ("53300", Session::Sql { .. }) => format!(
            "raise max_connections, or the limit of the role or database: ALTER ROLE {role} CONNECTION LIMIT \
             -1; ALTER DATABASE {database} CONNECTION LIMIT -1;"
        ),
        // PostgreSQL accepts all parameters that are sent; PgBouncer rejects unknown ones with this error.
        ("08P01", _) => {
            "is this a connection pooler, such as PgBouncer? Connect to the server itself: pgN-port and \
             pgN-host, or pgN-socket-path"
                .to_owned()
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_names_the_statement_that_helps() {
        let hint = |code: &str, session: &Session<'_>| {
            let mut said = ServerError { code: code.to_owned(), ..ServerError::default() };
            explain(&mut said, "ke\"eper", session);
            said.hint.unwrap_or_default()
        };
        let sql = Session::Sql { database: "app" };
        assert!(
            hint("42501", &sql).ends_with("GRANT CONNECT ON DATABASE \"app\" TO \"ke\"\"eper\";")
        );
        let replication = hint("42501", &Session::Replication);
        assert_eq!(replication, "as a superuser: ALTER ROLE \"ke\"\"eper\" REPLICATION;");
        assert!(hint("28000", &Session::Replication).contains("to database replication."));
        assert!(hint("28000", &sql).contains("to database \"app\"."));
        assert!(hint("08P01", &sql).contains("PgBouncer"));
        assert_eq!(hint("57P03", &sql), "");
    }
}
