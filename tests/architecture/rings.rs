//! Whether files use each other in a ring: what stands below must be understood without what stands above.
//!
//! An arrow goes from a file to each file whose items it names, by `use` or by a path; a re-export leads on to the file that has
//! the item. Tests may look anywhere and are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::tokens::{is_identifier, tokens};
use super::{Outcome, files, module_path, name};

type Path = Vec<String>;

/// The files of the crate by their modules.
struct Files {
    /// The tokens of each module, without those of its tests.
    texts: BTreeMap<Path, Vec<String>>,
    /// What `module::name` is a re-export of.
    reexports: BTreeMap<Path, Path>,
}

#[test]
fn files_form_no_rings() -> Outcome {
    let mut texts = BTreeMap::new();
    for file in files("src", "rs")? {
        let file_name = name(&file);
        if !file_name.contains("tests") && file_name != "src/lib.rs" {
            texts.insert(module_path(&file_name), fs::read_to_string(&file)?);
        }
    }
    let rings = rings(texts);
    assert!(rings.is_empty(), "{} rings:\n{}", rings.len(), rings.join("\n"));
    Ok(())
}

/// One line for each set of files that all use each other, directly or by others of the set, with the arrows between them.
fn rings(texts: BTreeMap<Path, String>) -> Vec<String> {
    let files = Files::new(texts);
    let arrows: BTreeMap<&Path, BTreeSet<Path>> = files.texts.keys().map(|file| (file, files.arrows(file))).collect();
    let reached: BTreeMap<&Path, BTreeSet<Path>> = arrows.keys().map(|file| (*file, reached(file, &arrows))).collect();
    let mut seen = BTreeSet::new();
    let mut rings = Vec::new();
    for (file, below) in &reached {
        let ring: Vec<&Path> = below.iter().filter(|other| reached[other].contains(*file)).collect();
        if ring.is_empty() || !seen.insert(ring.clone()) {
            continue;
        }
        let within = ring
            .iter()
            .flat_map(|from| arrows[*from].iter().map(move |to| (*from, to)));
        let within = within.filter(|(_, to)| ring.contains(to));
        let lines = within.map(|(from, to)| format!("{} -> {}", from.join("::"), to.join("::")));
        rings.push(lines.collect::<Vec<_>>().join(", "));
    }
    rings
}

/// The files to which arrows lead from a file, over any number of others.
fn reached(file: &Path, arrows: &BTreeMap<&Path, BTreeSet<Path>>) -> BTreeSet<Path> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&Path> = arrows[file].iter().collect();
    while let Some(file) = next.pop() {
        if reached.insert(file.clone()) {
            next.extend(&arrows[file]);
        }
    }
    reached
}

impl Files {
    fn new(texts: BTreeMap<Path, String>) -> Self {
        let texts: BTreeMap<Path, Vec<String>> = texts
            .into_iter()
            .map(|(module, text)| (module, without_tests(&tokens(&text))))
            .collect();
        let mut reexports = BTreeMap::new();
        for (module, tokens) in &texts {
            for (is_reexport, path) in used(tokens) {
                let Some(path) = absolute(&texts, module, &path).filter(|_| is_reexport) else {
                    continue;
                };
                let mut name = module.clone();
                name.extend(path.last().cloned());
                reexports.insert(name, path);
            }
        }
        Self { texts, reexports }
    }

    /// The files that a file names. Its own re-exports are none: they are resolved where they are used.
    fn arrows(&self, module: &Path) -> BTreeSet<Path> {
        let used = used(&self.texts[module]).into_iter();
        let named = used.filter(|(is_reexport, _)| !is_reexport);
        named
            .filter_map(|(_, path)| self.file_of(absolute(&self.texts, module, &path)?))
            .filter(|file| file != module)
            .collect()
    }

    /// The file that has an item.
    fn file_of(&self, mut path: Path) -> Option<Path> {
        for _ in 0..8 {
            let known = (1..=path.len())
                .rev()
                .find_map(|length| self.reexports.get(&path[..length]).map(|to| (length, to)));
            match known {
                Some((length, to)) => path = to.iter().chain(&path[length..]).cloned().collect(),
                None => break,
            }
        }
        (1..=path.len())
            .rev()
            .map(|length| path[..length].to_vec())
            .find(|file| self.texts.contains_key(file))
    }
}

/// A path from the crate's root; `None` for one of another crate.
fn absolute(texts: &BTreeMap<Path, Vec<String>>, module: &Path, path: &[String]) -> Option<Path> {
    let mut base = module.clone();
    let mut rest = path;
    while let [first, others @ ..] = rest {
        match first.as_str() {
            "crate" => base.clear(),
            "self" => {}
            "super" => drop(base.pop()),
            _ => break,
        }
        rest = others;
    }
    let whole: Path = base.iter().chain(rest).cloned().collect();
    let is_child = || {
        rest.first()
            .is_some_and(|first| texts.contains_key(&[base.as_slice(), std::slice::from_ref(first)].concat()))
    };
    (rest.len() < path.len() || is_child()).then_some(whole)
}

/// The tokens without inline modules called `tests`.
fn without_tests(tokens: &[String]) -> Vec<String> {
    let mut left = Vec::new();
    let mut index = 0;
    while let Some(token) = tokens.get(index) {
        let is = |ahead: usize, text: &str| tokens.get(index + ahead).is_some_and(|token| token == text);
        if token == "mod" && is(1, "tests") && is(2, "{") {
            let mut depth = 0;
            index += 2;
            while let Some(token) = tokens.get(index) {
                index += 1;
                match token.as_str() {
                    "{" => depth += 1,
                    "}" => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
            }
            continue;
        }
        left.push(token.clone());
        index += 1;
    }
    left
}

/// The paths of `use` statements, whether they are re-exports, and the paths in the code that begin at `crate` or `super`.
fn used(tokens: &[String]) -> Vec<(bool, Path)> {
    let mut paths = Vec::new();
    let mut index = 0;
    while let Some(token) = tokens.get(index) {
        if token == "use" {
            let end = index + tokens[index..].iter().position(|token| token == ";").unwrap_or(0);
            let is_reexport = index > 0 && (tokens[index - 1] == "pub" || tokens[index - 1] == ")");
            tree(&tokens[index + 1..end.max(index + 1)], &[], &mut |path| {
                paths.push((is_reexport, path))
            });
            index = end.max(index) + 1;
            continue;
        }
        let starts = ["crate", "super"].contains(&token.as_str());
        if starts
            && tokens.get(index + 1).is_some_and(|token| token == "::")
            && (index == 0 || tokens[index - 1] != "::")
        {
            let mut path = vec![token.clone()];
            while tokens.get(index + 1).is_some_and(|token| token == "::")
                && tokens.get(index + 2).is_some_and(|token| is_identifier(token))
            {
                index += 2;
                path.push(tokens[index].clone());
            }
            paths.push((false, path));
        }
        index += 1;
    }
    paths
}

/// Gives every path of a tree such as `a::{b, c::{self, d}}`; `as` renames are left out.
fn tree(tokens: &[String], before: &[String], give: &mut dyn FnMut(Path)) {
    let mut path = before.to_vec();
    let mut index = 0;
    while let Some(token) = tokens.get(index) {
        match token.as_str() {
            "::" => {}
            "as" => break,
            "{" => {
                let inner = &tokens[index + 1..tokens.len().saturating_sub(1).max(index + 1)];
                let mut depth = 0;
                let mut start = 0;
                for (place, token) in inner.iter().enumerate() {
                    match token.as_str() {
                        "{" => depth += 1,
                        "}" => depth -= 1,
                        "," if depth == 0 => {
                            tree(&inner[start..place], &path, give);
                            start = place + 1;
                        }
                        _ => {}
                    }
                }
                return tree(&inner[start..], &path, give);
            }
            "self" if !path.is_empty() => {}
            name => path.push(name.to_owned()),
        }
        index += 1;
    }
    if path.len() > before.len() || !tokens.is_empty() {
        give(path);
    }
}

#[test]
fn rings_are_found() {
    let crate_of = |files: &[(&str, &str)]| {
        let texts = files
            .iter()
            .map(|(file, text)| (module_path(&format!("src/{file}")), (*text).to_owned()));
        rings(texts.collect())
    };
    let ring = crate_of(&[
        ("a/mod.rs", "mod b; mod c; pub(crate) use b::B;"),
        ("a/b.rs", "use super::c::{self, C}; pub struct B;"),
        ("a/c.rs", "fn f() { crate::a::B::new() }"),
    ]);
    assert_eq!(ring, ["a::b -> a::c, a::c -> a::b"]);
    let none = crate_of(&[
        (
            "a/mod.rs",
            "mod b; mod c; pub(crate) use b::B; pub(crate) const D: u32 = 0;",
        ),
        (
            "a/b.rs",
            "use super::D; use std::fmt; mod tests { use crate::a::c::C; }",
        ),
        ("a/c.rs", "use crate::a::{B, D};"),
    ]);
    assert!(none.is_empty(), "{none:?}");
}
