//! Entries that the server omits from a backup because they are neither files nor directories: symbolic links, sockets
//! and pipes. It reports them in a WARNING (`sendDir` in `src/backend/backup/basebackup.c`), which may be translated.

use super::BaseBackup;
use crate::postgres::ServerError;

/// Maximum number of links that are listed; more indicate a fault of the cluster.
const LEFT_OUT_MAX: usize = 10_000;
/// The server function that omits entries. It raises no other WARNING.
const ROUTINE: &str = "sendDir";
/// Quotation marks around a path in the server's languages.
const QUOTES: [(char, char); 8] = [
    ('"', '"'),
    ('»', '«'),
    ('«', '»'),
    ('“', '”'),
    ('„', '“'),
    ('\'', '\''),
    ('「', '」'),
    ('`', '\''),
];

/// An omitted entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// A path in the data directory.
    Inside(String),
    /// A path in a tablespace, as reported by the server.
    InTablespace(String),
    /// The message without a recognizable path.
    Unknown(String),
}

impl BaseBackup {
    /// Omitted entries reported since the last call.
    pub fn take_left_out(&mut self) -> Vec<LeftOut> {
        std::mem::take(&mut self.left_out)
    }

    /// Records the warning if it reports an omitted entry; returns whether it does.
    pub(super) fn keep_left_out(&mut self, said: &ServerError) -> bool {
        let is_left_out = said.routine.as_deref() == Some(ROUTINE);
        if is_left_out && self.left_out.len() < LEFT_OUT_MAX {
            self.left_out.push(parse(&said.message));
        } else if is_left_out && self.left_out.len() == LEFT_OUT_MAX {
            self.left_out.push(LeftOut::Unknown(format!("more than {LEFT_OUT_MAX} entries")));
        }
        is_left_out
    }
}

/// The quoted path in the message.
fn parse(message: &str) -> LeftOut {
    let Some(path) = quoted(message) else { return LeftOut::Unknown(message.to_owned()) };
    match path.strip_prefix("./") {
        Some(inside) => LeftOut::Inside(inside.to_owned()),
        None => LeftOut::InTablespace(path.to_owned()),
    }
}

fn quoted(message: &str) -> Option<&str> {
    let is_path =
        |text: &str| ["./", "/", "pg_tblspc/"].iter().any(|start| text.starts_with(start));
    for (at, sign) in message.char_indices() {
        let inside = &message[at + sign.len_utf8()..];
        let close = QUOTES.iter().find(|(open, _)| *open == sign).map(|(_, close)| *close);
        let (Some(close), true) = (close, is_path(inside.trim_start())) else { continue };
        // French has spaces inside the quotation marks.
        let is_spaced = inside.trim_start().len() < inside.len();
        let path = inside.rfind(close).map(|end| &inside[..end])?;
        return Some(if is_spaced { path.trim() } else { path });
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_path_is_found_in_every_language() {
        for message in [
            "skipping special file \"./log\"",
            "überspringe besondere Datei »./log«",
            "ignore le fichier spécial « ./log »",
            "ignore le fichier spécial «\u{a0}./log\u{a0}»",
            "スペシャルファイル\"./log\"をスキップしています",
            "специальный файл \"./log\" пропускается",
            "omitiendo el archivo especial «./log»",
        ] {
            assert_eq!(parse(message), LeftOut::Inside("log".to_owned()), "{message}");
        }
        let odd = parse("skipping special file \"./a \"b\" c \"");
        assert_eq!(odd, LeftOut::Inside("a \"b\" c ".to_owned()));
        let space = "/srv/ts/PG_15_202209061/5/7";
        let message = format!("skipping special file \"{space}\"");
        assert_eq!(parse(&message), LeftOut::InTablespace(space.to_owned()));
        let in_place = parse("skipping special file \"pg_tblspc/5/PG_17_1/5/7\"");
        assert!(matches!(in_place, LeftOut::InTablespace(_)));
        assert!(matches!(parse("something \"else\""), LeftOut::Unknown(_)));
    }

    proptest! {
        #[test]
        fn any_path_is_told(path in "\\PC{1,20}") {
            let message = format!("skipping special file \"./{path}\"");
            prop_assert_eq!(parse(&message), LeftOut::Inside(path));
        }

        #[test]
        fn never_panics(message in "\\PC{0,60}") {
            parse(&message);
        }
    }
}
