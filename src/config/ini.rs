//! The syntax of configuration files: `[section]`, `key=value`, and lines that begin with `#` or
//! `;` as comments.
//!
//! It is read here line by line and not by a general INI library: those take `:` for `=`, join
//! lines that end in a backslash, and join a line without `=` with the next one, so that a typing
//! error swallows an option. A pass phrase may hold any of `" ' \ # ; :`.

use std::path::PathBuf;

use super::error::Error;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// One `key=value` and where it stands. It may hold a secret, so it has no `Debug`.
pub(super) struct Entry {
    pub(super) section: String,
    pub(super) key: String,
    pub(super) value: String,
    pub(super) path: PathBuf,
    pub(super) line: usize,
}

impl Entry {
    /// `file:line`
    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.path.display(), self.line)
    }
}

/// Reads one file. Each line is text by itself, and a comment may hold any bytes: one byte of an older character set
/// in it must not end the archiving of WAL.
pub(super) fn parse(path: &std::path::Path, bytes: &[u8]) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    let mut section: Option<String> = None;
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    for (line, content) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let error = |problem| Error::FileFormat { path: path.to_owned(), line: line + 1, problem };
        if matches!(content.trim_ascii_start().first(), None | Some(b'#' | b';')) {
            continue;
        }
        let content = std::str::from_utf8(content);
        let content = content.map_err(|_| error("it is not valid UTF-8"))?;
        match parse_line(content).map_err(error)? {
            Line::Nothing => {}
            Line::Section(name) => section = Some(name.to_owned()),
            Line::Pair(key, value) => entries.push(Entry {
                section: section.clone().ok_or_else(|| error("a key stands before any section"))?,
                key: key.to_owned(),
                value: value.to_owned(),
                path: path.to_owned(),
                line: line + 1,
            }),
        }
    }
    Ok(entries)
}

enum Line<'a> {
    Nothing,
    Section(&'a str),
    Pair(&'a str, &'a str),
}

fn parse_line(line: &str) -> Result<Line<'_>, &'static str> {
    let line = line.trim();
    if line.is_empty() || line.starts_with(['#', ';']) {
        return Ok(Line::Nothing);
    }
    if let Some(rest) = line.strip_prefix('[') {
        let name = rest.strip_suffix(']').ok_or("a section must end with ]")?.trim();
        return if name.is_empty() {
            Err("the section has no name")
        } else {
            Ok(Line::Section(name))
        };
    }
    let (key, value) = line.split_once('=').ok_or("the line has no =")?;
    match key.trim() {
        "" => Err("the line has nothing before ="),
        key => Ok(Line::Pair(key, value.trim())),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    fn pairs(text: &str) -> Vec<(String, String, String)> {
        let entries = parse(Path::new("/c"), text.as_bytes()).unwrap();
        entries.into_iter().map(|entry| (entry.section, entry.key, entry.value)).collect()
    }

    fn problem(text: &str) -> String {
        parse(Path::new("/c"), text.as_bytes()).err().unwrap().to_string()
    }

    #[test]
    fn values_are_kept_to_the_letter() {
        let pass = r#"a#b;c="q\x":d\"#;
        let text = format!("# c\n;c\n[global]\n repo1-cipher-pass = {pass} \r\nnext=1\n");
        let expected = [
            ("global".into(), "repo1-cipher-pass".into(), pass.into()),
            ("global".into(), "next".into(), "1".into()),
        ];
        assert_eq!(pairs(&text), expected);
    }

    #[test]
    fn repeated_keys_and_sections_are_kept_in_order() {
        let found = pairs("\u{feff}[db]\na=1\na=2\n[x]\n[db]\na=3\n");
        assert_eq!(found.iter().map(|(_, _, value)| value.as_str()).collect::<String>(), "123");
    }

    #[test]
    fn a_byte_of_latin_1_in_a_comment_stops_nothing() {
        let text = b"[db]\r\n  # f\xfcr die Nacht\r\n; \xe9\na=1\n";
        let entries = parse(Path::new("/c"), text).ok().unwrap();
        assert_eq!((entries.len(), entries[0].value.as_str(), entries[0].line), (1, "1", 4));
        let error = parse(Path::new("/c"), b"[db]\na=\xfc\n").err().unwrap().to_string();
        assert_eq!(error, "configuration file '/c', line 2: it is not valid UTF-8");
    }

    #[test]
    fn problems_name_file_and_line() {
        assert_eq!(problem("[a]\n\nx"), "configuration file '/c', line 3: the line has no =");
        assert!(problem("[a\n").ends_with("line 1: a section must end with ]"));
        assert!(problem("a=1").ends_with("a key stands before any section"));
        assert!(problem("[]").ends_with("the section has no name"));
        assert!(problem("[a]\n=1").ends_with("the line has nothing before ="));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>, text in "(?s).{0,300}") {
            let _ = parse(Path::new("/c"), &bytes);
            let _ = parse(Path::new("/c"), text.as_bytes());
        }

        #[test]
        fn what_is_written_is_read(key in "[a-z][a-z0-9-]{0,20}", value in "[!-~]([ -~]{0,30}[!-~])?") {
            let text = format!("[s]\n{key} = {value}\n");
            prop_assert_eq!(pairs(&text), vec![("s".to_owned(), key, value)]);
        }
    }
}
