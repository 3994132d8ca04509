//! The test vectors of `docs/repository-format.md`.

const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/repository-format.md"));

/// A vector as text, with continued lines joined.
pub(crate) fn text(name: &str) -> String {
    let (_, block) = PAGE.split_once("```vectors\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let mut lines = block.lines().skip_while(|line| !line.starts_with(&format!("{name} = ")));
    let first = lines.next().unwrap_or_else(|| panic!("the page has no vector {name}"));
    let rest = lines.take_while(|line| line.starts_with(' ')).map(str::trim_start);
    let (_, value) = first.split_once(" = ").unwrap();
    std::iter::once(value).chain(rest).collect()
}

/// A vector as bytes.
pub(crate) fn bytes(name: &str) -> Vec<u8> {
    hex::decode(text(name)).unwrap()
}
