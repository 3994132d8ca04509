//! `start`: allows commands again that `stop` forbade.

use std::io::Write;

use super::{Result, context};
use crate::{config::Config, repo::lock};

/// Removes the stop file of the stanza, or the one for all stanzas.
pub(super) async fn run(config: &Config, _out: &mut dyn Write) -> Result<u8> {
    let stanza = config.stanza.as_ref();
    if !lock::start(&context::lock_path(config), stanza)? {
        let whose = stanza.map(|stanza| format!(" for stanza {stanza}")).unwrap_or_default();
        tracing::warn!("stop file does not exist{whose}");
    }
    Ok(0)
}
