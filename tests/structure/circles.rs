//! Imports between the files of one module must be acyclic: files in a circle can only be read and tested together.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

use super::{SourceFile, production_files, root};

/// Circles that still exist, each as the names of its files below `src`. The list may only shrink.
const KNOWN: &[&[&str]] = &[];

/// The path of a module: `["repo", "archive", "read"]`.
type ModulePath = Vec<String>;

/// The modules of the library by their paths, each with its code and the names that it imports.
struct Tree {
    modules: BTreeMap<ModulePath, Module>,
}

struct Module {
    code: String,
    /// What each imported name stands for, as a path in full.
    imports: BTreeMap<String, ModulePath>,
}

impl Tree {
    fn read() -> Self {
        let files: Vec<(ModulePath, String)> = production_files()
            .iter()
            .filter_map(|file| Some((module_path(file)?, file.production_code())))
            .collect();
        let imports_of = |(path, code): (ModulePath, String)| {
            let imports = imports(&path, &code);
            (path, Module { code, imports })
        };
        Self { modules: files.into_iter().map(imports_of).collect() }
    }

    /// The file that a path in full leads to, through the imports of the files on its way.
    fn file_of(&self, path: &[String], steps_left: usize) -> ModulePath {
        let own = (0..=path.len()).rev().find(|len| self.modules.contains_key(&path[..*len]));
        let (file, rest) = path.split_at(own.unwrap_or(0));
        let imported = self.modules.get(file).zip(rest.first());
        let target = imported.and_then(|(module, name)| module.imports.get(name));
        match target {
            Some(target) if steps_left > 0 && target != path => {
                self.file_of(target, steps_left - 1)
            }
            _ => file.to_vec(),
        }
    }

    /// The files of the same module that each file needs. A file may name those below it.
    fn edges(&self) -> BTreeMap<&ModulePath, BTreeSet<ModulePath>> {
        let needed = |(path, module): (&'_ ModulePath, &Module)| -> BTreeSet<ModulePath> {
            let named = paths_named(&module.code);
            let targets = named.iter().filter_map(|named| in_full(path, named));
            targets
                .map(|target| self.file_of(&target, 8))
                .filter(|target| target.first() == path.first() && !target.starts_with(path))
                .collect()
        };
        self.modules.iter().map(|entry| (entry.0, needed(entry))).collect()
    }
}

/// The module that a file is; `None` for `lib.rs` and `main.rs`.
fn module_path(file: &SourceFile) -> Option<ModulePath> {
    let relative = file.path.strip_prefix(root().join("src")).ok()?.with_extension("");
    let mut path: ModulePath =
        relative.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if path.last().is_some_and(|last| last == "mod") {
        path.pop();
    }
    (path != ["lib"] && path != ["main"]).then_some(path)
}

/// All paths in the code that begin with `crate`, `super` or `self`, groups taken apart.
fn paths_named(code: &str) -> Vec<ModulePath> {
    let start = Regex::new(r"(?:^|[^:\w])((?:crate|super|self)::)").expect("pattern");
    let found = start.captures_iter(code).filter_map(|found| found.get(1));
    found.flat_map(|start| alternatives(&code[start.start()..])).collect()
}

/// The paths that `a::{b, c::d} …` stands for; what follows the path is left.
fn alternatives(text: &str) -> Vec<ModulePath> {
    let head_len = text.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
    let (head, rest) = text.split_at(head_len.unwrap_or(text.len()));
    let head: ModulePath = head.split("::").filter(|n| !n.is_empty()).map(str::to_owned).collect();
    let Some(group) = rest.strip_prefix('{') else { return vec![head] };
    let with_head = |tail: ModulePath| head.iter().cloned().chain(tail).collect();
    let items = group_items(group);
    items.iter().flat_map(|item| alternatives(item.trim())).map(with_head).collect()
}

/// The items of a `{…}` group whose opening brace was read already.
fn group_items(text: &str) -> Vec<&str> {
    let (mut items, mut depth, mut begin) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                items.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
        if c == '}' && begin == at + 1 {
            break;
        }
    }
    items.retain(|item| !item.trim().is_empty());
    items
}

/// A path as the module `at` writes it, counted from the root of the crate.
fn in_full(at: &[String], written: &[String]) -> Option<ModulePath> {
    let mut base = at;
    let mut rest = written;
    while let Some((first, tail)) = rest.split_first() {
        match first.as_str() {
            "crate" => base = &[],
            "self" => {}
            "super" => base = &base[..base.len().checked_sub(1)?],
            _ => break,
        }
        rest = tail;
    }
    Some(base.iter().chain(rest).cloned().collect())
}

/// What the `use` items of the module `at` make its names stand for.
fn imports(at: &[String], code: &str) -> BTreeMap<String, ModulePath> {
    let item = Regex::new(r"(?m)^ *(?:pub(?:\([^)]*\))? +)?use +([^;]+);").expect("pattern");
    let renamed = Regex::new(r" as \w+").expect("pattern");
    let mut imports = BTreeMap::new();
    for found in item.captures_iter(code) {
        for path in alternatives(&renamed.replace_all(&found[1], "")) {
            let from_here = path.first().is_some_and(|first| first != "crate");
            let target = in_full(if from_here { at } else { &[] }, &path);
            if let (Some(name), Some(target)) = (path.last(), target) {
                imports.insert(name.clone(), target);
            }
        }
    }
    imports
}

/// Every file from which a file can be reached.
fn reachable<'a>(
    edges: &'a BTreeMap<&ModulePath, BTreeSet<ModulePath>>,
    from: &'a ModulePath,
) -> BTreeSet<&'a ModulePath> {
    let mut seen = BTreeSet::new();
    let mut waiting: Vec<&ModulePath> = edges.get(from).into_iter().flatten().collect();
    while let Some(file) = waiting.pop() {
        if seen.insert(file) {
            waiting.extend(edges.get(file).into_iter().flatten());
        }
    }
    seen
}

/// The circles, each as the sorted names of its files.
fn circles(tree: &Tree) -> BTreeSet<Vec<String>> {
    let edges = tree.edges();
    let reach: BTreeMap<&ModulePath, BTreeSet<&ModulePath>> =
        edges.keys().map(|file| (*file, reachable(&edges, file))).collect();
    let circle_of = |file: &&ModulePath| -> Vec<String> {
        let with = reach[*file].iter().filter(|other| reach[**other].contains(*file));
        with.map(|other| other.join("/")).collect()
    };
    edges.keys().map(circle_of).filter(|circle| circle.len() > 1).collect()
}

#[test]
fn files_of_a_module_do_not_need_each_other_in_circles() {
    let known: BTreeSet<Vec<String>> =
        KNOWN.iter().map(|circle| circle.iter().map(|&file| file.to_owned()).collect()).collect();
    let found = circles(&Tree::read());
    let new: Vec<_> = found.difference(&known).collect();
    assert!(new.is_empty(), "files that need each other in a circle: {new:#?}");
    let gone: Vec<_> = known.difference(&found).collect();
    assert!(gone.is_empty(), "no circle any more, take it off the list: {gone:#?}");
}

#[test]
fn paths_are_read_from_code() {
    let code = "use super::{a::{B, c::D}, e};\nfn f() -> crate::g::H { self::i() }";
    let named: Vec<String> = paths_named(code).iter().map(|path| path.join("::")).collect();
    assert_eq!(
        named,
        ["super::a::B", "super::a::c::D", "super::e", "crate::g::H", "self::i"].map(str::to_owned)
    );
}

#[test]
fn a_name_leads_to_the_file_that_defines_it() {
    let path = |text: &str| -> ModulePath { text.split('/').map(str::to_owned).collect() };
    let module = |name: &str, code: &str| {
        let imports = imports(&path(name), code);
        (path(name), Module { code: code.to_owned(), imports })
    };
    let tree = Tree {
        modules: [
            module("m", "pub use b::B;\n"),
            module("m/a", "use super::B;\n"),
            module("m/b", "use crate::m::a::A;\n"),
            module("m/c", "use super::a::A;\n"),
        ]
        .into(),
    };
    assert_eq!(circles(&tree), [vec!["m/a".to_owned(), "m/b".to_owned()]].into());
}
