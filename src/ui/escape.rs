//! Escapes control characters in names and texts of other origin: databases, annotations, objects, servers. They could
//! control the terminal or fake log lines. They are written as `\uXXXX`, which in a JSON string means the character
//! itself.

use std::{
    borrow::Cow,
    io::{self, Write},
};

/// Text that may have several lines: escapes all control characters but line feeds.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && c != '\t' && is_control(c))
}

/// A name, which has one line: escapes all control characters.
pub fn name(text: &str) -> Cow<'_, str> {
    escaped(text, is_control)
}

fn escaped(text: &str, wanted: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&wanted) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if wanted(c) { out += &format!("\\u{:04x}", u32::from(c)) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// C0, DEL and C1, line and paragraph separators, and bidirectional control characters.
fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A writer that escapes. A character may be split between two writes.
pub struct Escaped<W> {
    out: W,
    /// The first bytes of an incomplete character.
    held: Vec<u8>,
}

impl<W: Write> Escaped<W> {
    pub fn new(out: W) -> Self {
        Self { out, held: Vec::new() }
    }
}

impl<W: Write> Write for Escaped<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let joined = [std::mem::take(&mut self.held), bytes.to_vec()].concat();
        let mut rest: &[u8] = &joined;
        loop {
            let (valid, after) = match std::str::from_utf8(rest) {
                Ok(valid) => (valid, None),
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    let valid = std::str::from_utf8(valid).unwrap_or_default();
                    (valid, Some((after, error.error_len())))
                }
            };
            self.out.write_all(text(valid).as_bytes())?;
            match after {
                None => return Ok(bytes.len()),
                Some((after, None)) => {
                    self.held = after.to_vec();
                    return Ok(bytes.len());
                }
                Some((after, Some(len))) => {
                    self.out.write_all("\u{fffd}".as_bytes())?;
                    rest = &after[len..];
                }
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped() {
        assert_eq!(text("a\x1b[2Jb\r\n\tc"), "a\\u001b[2Jb\\u000d\n\tc");
        assert_eq!(
            text("\u{9b}31m \u{202e}txt.exe\u{2069} \x7f"),
            "\\u009b31m \\u202etxt.exe\\u2069 \\u007f"
        );
        assert_eq!(name("a\nb"), "a\\u000ab");
        assert!(matches!(name("größe 日本"), Cow::Borrowed("größe 日本")));
    }

    #[test]
    fn characters_may_come_in_parts() {
        let mut out = Vec::new();
        let mut escaped = Escaped::new(&mut out);
        for byte in "é\x1b日\u{9b}".bytes() {
            escaped.write_all(&[byte]).unwrap();
        }
        escaped.write_all(b"\xff!").unwrap();
        drop(escaped);
        assert_eq!(String::from_utf8(out).unwrap(), "é\\u001b日\\u009b\u{fffd}!");
    }

    #[test]
    fn json_stays_what_it_was() {
        let value = serde_json::json!({ "name": "a\u{9b}\u{202e}\x1b\n\"\\" });
        let mut out = Vec::new();
        Escaped::new(&mut out).write_all(value.to_string().as_bytes()).unwrap();
        assert!(!out.contains(&0x9b), "{out:?}");
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&out).unwrap(), value);
    }
}
