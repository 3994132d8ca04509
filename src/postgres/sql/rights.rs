//! GRANT statements for hints, ready to be run, for a role that lacks a privilege.

use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grantee {
    pub role: String,
    /// The database of the session. Privileges on functions are per database.
    pub database: String,
}

/// Signatures of the restricted functions in this program's queries.
const FUNCTIONS: [(&str, &str); 20] = [
    ("pg_available_wal_summaries", ""),
    ("pg_backup_start", "text, boolean"),
    ("pg_backup_stop", "boolean"),
    ("pg_control_checkpoint", ""),
    ("pg_control_system", ""),
    ("pg_create_restore_point", "text"),
    ("pg_current_wal_lsn", ""),
    ("pg_get_wal_summarizer_state", ""),
    ("pg_is_in_recovery", ""),
    ("pg_postmaster_start_time", ""),
    ("pg_read_binary_file", "text, bigint, bigint, boolean"),
    ("pg_start_backup", "text, boolean, boolean"),
    ("pg_stat_file", "text, boolean"),
    ("pg_stop_backup", "boolean, boolean"),
    ("pg_switch_wal", ""),
    ("pg_tablespace_databases", "oid"),
    ("pg_tablespace_location", "oid"),
    ("pg_wal_summary_contents", "bigint, pg_lsn, pg_lsn"),
    ("pg_walfile_name", "pg_lsn"),
    ("set_config", "text, text, boolean"),
];
/// Settings that are visible to members of pg_read_all_settings only.
const SETTING: &str = "current_setting($1";

impl Grantee {
    /// The GRANT statements that allow the role to execute `sql`, one of this program's own queries.
    pub(super) fn grant_for(&self, sql: &str) -> Option<String> {
        if sql.contains(SETTING) {
            let role = quoted(&self.role);
            return Some(format!("as a superuser: GRANT pg_read_all_settings TO {role};"));
        }
        let called = |name: &str| sql.contains(&format!("pg_catalog.{name}("));
        let used: Vec<String> = FUNCTIONS
            .iter()
            .filter(|(name, _)| called(name))
            .map(|(name, arguments)| format!("{name}({arguments})"))
            .collect();
        let used: Vec<&str> = used.iter().map(String::as_str).collect();
        (!used.is_empty()).then(|| self.grant_execute(&used))
    }

    /// The GRANT statements for functions of `pg_catalog`, given as signatures.
    pub fn grant_execute(&self, functions: &[&str]) -> String {
        let functions: Vec<String> =
            functions.iter().map(|function| format!("pg_catalog.{function}")).collect();
        format!(
            "as a superuser, in database {}: GRANT EXECUTE ON FUNCTION {} TO {};",
            quoted(&self.database),
            functions.join(", "),
            quoted(&self.role)
        )
    }
}

impl fmt::Display for Grantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "role {} in database {}", quoted(&self.role), quoted(&self.database))
    }
}

/// A quoted identifier.
pub(in crate::postgres) fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_can_be_run_as_it_is() {
        let grantee = Grantee { role: "ke\"eper".to_owned(), database: "app".to_owned() };
        assert_eq!(
            grantee.grant_execute(&["pg_switch_wal()"]),
            "as a superuser, in database \"app\": GRANT EXECUTE ON FUNCTION \
             pg_catalog.pg_switch_wal() TO \"ke\"\"eper\";"
        );
        let grant = |sql: &str| grantee.grant_for(sql);
        assert!(grant("select pg_catalog.pg_switch_wal()::text").unwrap().contains("_wal() TO"));
        assert!(grant("select pg_catalog.current_setting($1, true)").unwrap().contains("settings"));
        let both =
            grant("select pg_catalog.pg_is_in_recovery() from pg_catalog.pg_control_system() s");
        assert!(both.unwrap().contains("pg_control_system(), pg_catalog.pg_is_in_recovery() TO"));
        assert_eq!(grant("select 1"), None);
    }
}
