//! The manual page.

use std::io::{self, Write};

use clap_mangen::Man;

use super::complete;
use crate::config::{COMMANDS, Commands};

const FILES: &str = "/etc/pgstrata/pgstrata.conf and /etc/pgstrata/conf.d/*.conf hold the \
    configuration. Under the name pgbackrest the paths are those of pgBackRest.";

/// The manual page in roff.
pub(super) fn page() -> String {
    let options = complete::usable().map(|row| complete::argument(row, Commands::ALL));
    let mut text = Vec::new();
    // Writing to memory cannot fail.
    let _ = write(&Man::new(complete::root().args(options)), &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

fn write(man: &Man, out: &mut Vec<u8>) -> io::Result<()> {
    man.render_title(out)?;
    man.render_name_section(out)?;
    man.render_synopsis_section(out)?;
    man.render_description_section(out)?;
    man.render_subcommands_section(out)?;
    man.render_options_section(out)?;
    writeln!(out, ".SH FILES\n{}", escape(FILES))?;
    writeln!(out, ".SH EXAMPLES\n.nf")?;
    for spec in COMMANDS.iter().filter(|spec| spec.action.is_ok()) {
        for example in spec.examples {
            writeln!(out, "{}", escape(&format!("pgstrata {example}")))?;
        }
    }
    writeln!(out, ".fi")
}

/// Text as roff shows it unchanged.
fn escape(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq")
}
