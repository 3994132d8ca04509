//! The rights of the role: those that docs/privileges.md lists are enough, and each that is missing is named
//! with the statement that grants it.

use crate::support::{Outcome, Site, Version, exit, for_each_version};

const PAGE: &str = include_str!("../../docs/privileges.md");

/// The statements of the page below this comment.
fn documented(title: &str) -> Vec<String> {
    let head = format!("```sql\n-- {title}\n");
    let rest = PAGE.split_once(&head).unwrap_or_else(|| panic!("no '{title}' on the page")).1;
    let block = rest.split_once("```").expect("the end of the block").0;
    block.lines().map(str::to_owned).collect()
}

fn grant(site: &Site, title: &str) {
    for statement in documented(title) {
        site.primary.sql(&statement);
    }
}

fn local_title(version: Version) -> &'static str {
    if version.major() <= 14 { "local, 13 and 14" } else { "local, 15 to 18" }
}

/// Runs the statement that an error's hint has.
fn follow_the_hint(site: &Site, outcome: &Outcome) {
    let text = outcome.stderr.split("HINT: ").nth(1).expect("a hint");
    let begin = ["GRANT", "ALTER ROLE"].into_iter().filter_map(|word| text.find(word)).min();
    let statement = &text[begin.expect("a statement")..];
    let end = statement.find(';').expect("a whole statement");
    site.primary.sql(&statement[..=end]);
}

fn site(version: Version) -> Site {
    let site = Site::builder(version).option("pg1-user", "backup").build_without_stanza();
    grant(&site, "13 to 18, every source");
    // A role that may not switch WAL is content with what was archived last.
    site.run(&["--pg1-user=postgres", "stanza-create"]).ok();
    site.primary.archive_wal();
    site
}

for_each_version! {
    fn least_rights_are_enough_and_each_missing_one_is_named(version) {
        let site = site(version);
        let stream = ["--backup-source=stream", "--type=full", "backup"];
        for command in [&["--backup-source=stream", "check"][..], &stream] {
            let refused = site.run(command).code(exit::DB_CONNECT);
            refused.says("as a superuser: ALTER ROLE \"backup\" REPLICATION;");
        }
        follow_the_hint(&site, &site.run(&stream));
        site.run(&["--backup-source=stream", "check"]).ok();
        site.run(&stream).ok();

        site.primary.sql("revoke connect on database postgres from public");
        let refused = site.run(&stream).code(exit::DB_CONNECT);
        let refused = refused.says("GRANT CONNECT ON DATABASE").never_says("REPLICATION");
        follow_the_hint(&site, &refused);
        site.run(&stream).ok();

        site.primary.sql("alter role backup noreplication");
        let local = ["--backup-source=local", "--type=full", "backup"];
        for command in [&["--backup-source=local", "check"][..], &local] {
            let refused = site.run(command).code(exit::DB_QUERY).never_says("cannot be read");
            refused.says("role \"backup\" in database \"postgres\" may not run").says("GRANT EXECUTE");
        }
        follow_the_hint(&site, &site.run(&local));
        site.run(&["--backup-source=local", "check"]).ok();
        site.run(&local).ok();
    }

    fn statements_of_the_page_are_those_that_help(version) {
        let site = site(version);
        grant(&site, local_title(version));
        site.run(&["--backup-source=local", "--type=full", "backup"]).ok();
        site.run(&["check"]).ok().says("pg_catalog.pg_create_restore_point(text), pg_catalog.pg_switch_wal() TO");
        grant(&site, "stream, 13 to 18");
        grant(&site, "further rights, 13 to 18");
        site.run(&["--backup-source=stream", "check"]).ok().never_says("WARN");
        site.run(&["--backup-source=stream", "--type=full", "backup"]).ok().never_says("the role may not");
        site.primary.sql("revoke execute on function pg_control_system() from public");
        let refused = site.run(&["check"]).code(exit::DB_QUERY).says("pg_control_system");
        follow_the_hint(&site, &refused);
        site.run(&["check"]).ok();
    }
}
