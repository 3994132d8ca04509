//! Text set into lines of a given width.

const NO_BREAK: char = '\u{a0}';

/// Sets text into lines of at most `width` characters, each after `indent` blanks. A line feed in
/// the text begins a new line; a word longer than a line stands alone; a no-break space does not
/// break.
pub(super) fn wrap(text: &str, indent: usize, width: usize) -> String {
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in paragraph.split(' ').filter(|word| !word.is_empty()) {
            let longer = indent + line.chars().count() + 1 + word.chars().count();
            if !line.is_empty() && longer > width {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    let margin = " ".repeat(indent);
    let set = |line: &String| format!("{margin}{line}").trim_end().replace(NO_BREAK, " ") + "\n";
    lines.iter().map(set).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_to_the_width() {
        assert_eq!(wrap("aa bb cc\ndd", 2, 7), "  aa bb\n  cc\n  dd\n");
        assert_eq!(wrap("abcdefghij k", 0, 5), "abcdefghij\nk\n");
        assert_eq!(wrap("", 4, 80), "\n");
        assert_eq!(wrap("a b\u{a0}c", 0, 4), "a\nb c\n");
    }
}
