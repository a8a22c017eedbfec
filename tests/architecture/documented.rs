//! Whether every public item shows how it is used: an example in its documentation, which `cargo test --doc` runs.
//!
//! `unreachable_pub` is on, so what is `pub` in `src/` is public; `pub(crate)` and `pub(super)` are not. Fields, variants,
//! modules and the methods of traits need a sentence (`missing_docs`), not an example.

use std::collections::BTreeSet;
use std::fs;

use super::{Outcome, files, name};

/// Public items that have no example, and why.
const EXCEPTIONS: &[(&str, &str)] = &[];

/// What an item may begin with, after `pub` and `async`, `const` or `unsafe`.
const KINDS: &[&str] = &["fn", "struct", "enum", "type", "const", "static", "trait", "union"];

/// One public item of a text: where it is, what it is called, and its documentation.
struct Item {
    line: usize,
    name: String,
    is_async: bool,
    documentation: String,
}

#[test]
fn public_items_have_examples() -> Outcome {
    let mut wrong = Vec::new();
    let mut unused: BTreeSet<&str> = EXCEPTIONS.iter().map(|(item, _)| *item).collect();
    for file in files("src", "rs")? {
        let file_name = name(&file);
        for item in undocumented(&fs::read_to_string(&file)?) {
            let path = format!("{file_name}: {}", item.name);
            match EXCEPTIONS.iter().find(|(exception, _)| *exception == path) {
                Some((exception, _)) => drop(unused.remove(exception)),
                None => wrong.push(format!("{file_name}:{}: {} has no example", item.line, item.name)),
            }
        }
    }
    wrong.extend(unused.iter().map(|item| format!("{item} is no exception any more")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// The public items of a text that have no example and are not the async twin of one that has.
fn undocumented(text: &str) -> Vec<Item> {
    let items = public_items(text);
    let shown: BTreeSet<String> = items
        .iter()
        .filter(|item| has_example(item))
        .map(|item| item.name.clone())
        .collect();
    items
        .into_iter()
        .filter(|item| !has_example(item) && !is_twin(item, &shown))
        .collect()
}

/// An example that is compiled: not `text`, not `ignore`.
fn has_example(item: &Item) -> bool {
    let fences = item.documentation.lines().filter_map(|line| line.strip_prefix("```"));
    fences
        .step_by(2) // every other fence ends an example
        .any(|attribute| ["", "rust", "no_run", "should_panic"].contains(&attribute))
}

/// `run_async`, documented "As [`Runner::run`]", where `run` has an example.
fn is_twin(item: &Item, shown: &BTreeSet<String>) -> bool {
    let Some(twin) = item.name.strip_suffix("_async").filter(|_| item.is_async) else {
        return false;
    };
    let named = item
        .documentation
        .strip_prefix("As [`")
        .and_then(|rest| rest.split('`').next());
    shown.contains(twin) && named.is_some_and(|named| named.rsplit("::").next() == Some(twin))
}

/// The public items of a text as rustfmt leaves it, without those of the tests at its end.
fn public_items(text: &str) -> Vec<Item> {
    let mut items = Vec::new();
    let mut documentation = String::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line == "#[cfg(test)]" {
            break;
        }
        if let Some(said) = line.strip_prefix("///") {
            documentation.push_str(said.strip_prefix(' ').unwrap_or(said));
            documentation.push('\n');
            continue;
        }
        if let Some((name, is_async)) = public_item(line) {
            items.push(Item {
                line: number + 1,
                name,
                is_async,
                documentation: std::mem::take(&mut documentation),
            });
        }
        // attributes, over several lines too, stand between an item and its documentation
        if line.is_empty() || line.ends_with(['{', '}', ';']) {
            documentation.clear();
        }
    }
    items
}

/// The name of the public item that begins in this line, and whether it is async.
fn public_item(line: &str) -> Option<(String, bool)> {
    let mut words = line.strip_prefix("pub ")?.split_whitespace().peekable();
    let mut is_async = false;
    let mut kind = words.next()?;
    while words.peek().is_some_and(|next| KINDS.contains(next)) && ["async", "const", "unsafe"].contains(&kind) {
        is_async |= kind == "async";
        kind = words.next()?;
    }
    let name = words.next().filter(|_| KINDS.contains(&kind))?;
    let end = name.find(|next: char| !next.is_alphanumeric() && next != '_');
    Some((name[..end.unwrap_or(name.len())].to_owned(), is_async))
}

// The check itself, tried on texts that it must and must not complain about --------------------------------------------

fn complaints(text: &str) -> Vec<String> {
    undocumented(text).into_iter().map(|item| item.name).collect()
}

#[test]
fn items_without_examples_are_found() {
    let texts = [
        ("/// Says.\npub fn a() {}", "a"),
        (
            "impl A {\n    /// Says.\n    #[must_use]\n    pub fn a(self) -> Self {",
            "a",
        ),
        ("/// Says.\npub struct A<'a> {", "A"),
        ("/// Says.\npub type A<T> = B<T>;", "A"),
        ("/// Says.\npub const A: usize = 4;", "A"),
        ("/// Says.\npub const fn a() {}", "a"),
        ("/// ```text\n/// x\n/// ```\npub enum A {", "A"),
        ("/// ```ignore\n/// x\n/// ```\npub enum A {", "A"),
        ("/// ```\n/// x\n/// ```\nfn b() {}\n\npub fn a() {}", "a"),
        ("/// As [`b`].\npub async fn b_async() {}", "b_async"),
        (
            "/// As [`Self::b`].\npub fn c() {}\n/// ```\n/// ```\npub fn b() {}",
            "c",
        ),
        (
            "/// ```\n/// ```\npub fn b() {}\n\n/// As [`c`].\npub async fn b_async() {}",
            "b_async",
        ),
    ];
    for (text, expected) in texts {
        assert_eq!(complaints(text), [expected], "{text}");
    }
}

#[test]
fn items_with_examples_are_left_alone() {
    let texts = [
        "/// Says.\n///\n/// ```\n/// x\n/// ```\n#[allow(\n    a,\n    reason = \"b\"\n)]\npub fn a() {}",
        "/// ```text\n/// x\n/// ```\n/// ```no_run\n/// x\n/// ```\n#[derive(Debug)]\npub struct A;",
        "/// ```\n/// x\n/// ```\npub fn b() {}\n\n/// As [`A::b`].\n///\n/// # Errors\npub async fn b_async() {}",
        "pub(crate) fn a() {}\npub(super) async fn b() {}\nfn c() {}\npub mod d;\npub use e::f;\nstruct G {\n    pub h: u8,",
        "#[cfg(test)]\nmod tests {\n    pub fn a() {}",
    ];
    for text in texts {
        assert!(complaints(text).is_empty(), "{text}: {:?}", complaints(text));
    }
}
