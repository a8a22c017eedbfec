//! Whether the pages on the source say what is there: `docs/architecture.md`, and the lists of `docs/adding.md`.

use std::collections::BTreeSet;
use std::fs;

use super::tokens::tokens;
use super::{Outcome, files, name, root};

/// What stands for the name of a new thing.
const PLACEHOLDER: &str = "NAME";

/// The cells that there are.
const CELLS: &[&str] = &["lstm", "gru", "simple_rnn"];

/// Paths of a page that are written as code.
fn paths(page: &str) -> BTreeSet<String> {
    let begins = ["src/", "shaders/", "tests/", "golden/", "docs/", "scripts/"];
    let code = page.split('`').skip(1).step_by(2);
    let paths = code.filter(|code| begins.iter().any(|begin| code.starts_with(begin)) && !code.contains(' '));
    paths.map(str::to_owned).collect()
}

/// The part of a page below a heading.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let start = page.find(&format!("\n## {heading}\n")).unwrap_or(page.len());
    let below = &page[start..];
    let end = below[1..].find("\n## ").map_or(below.len(), |end| end + 1);
    &below[..end]
}

#[test]
fn the_paths_of_the_pages_exist() -> Outcome {
    let mut wrong = Vec::new();
    for page in [
        "docs/architecture.md",
        "docs/adding.md",
        "docs/design.md",
        "CONTRIBUTING.md",
    ] {
        for path in paths(&fs::read_to_string(root().join(page))?) {
            if !path.contains(PLACEHOLDER) && !root().join(&path).exists() {
                wrong.push(format!("{page}: there is no {path}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn the_map_names_every_folder() -> Outcome {
    let map = paths(&fs::read_to_string(root().join("docs/architecture.md"))?);
    let mut wrong = BTreeSet::new();
    for (folder, ending) in [("src", "rs"), ("shaders", "wgsl")] {
        for file in files(folder, ending)? {
            let file = name(&file);
            let folder = format!("{}/", file.rsplit_once('/').map_or("", |(folder, _)| folder));
            let is_module = folder == "src/" && !map.contains(&file);
            let is_tests = folder.ends_with("/tests/");
            if is_module || (folder != "src/" && !is_tests && !map.contains(&folder)) {
                wrong.insert(format!(
                    "docs/architecture.md does not name {}",
                    if is_module { file } else { folder }
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.into_iter().collect::<Vec<_>>().join("\n"));
    Ok(())
}

/// The four files of a cell are there for each, and only the files of the list name a cell in their code.
#[test]
fn a_cell_is_named_where_the_list_says() -> Outcome {
    let page = fs::read_to_string(root().join("docs/adding.md"))?;
    let list = paths(section(&page, "A cell"));
    let mut allowed = BTreeSet::new();
    let mut wrong = Vec::new();
    for path in &list {
        for cell in CELLS {
            let path = path.replace(PLACEHOLDER, cell);
            if !root().join(&path).exists() {
                wrong.push(format!("docs/adding.md: there is no {path}"));
            }
            allowed.insert(path);
        }
    }
    for file in files("src", "rs")? {
        let file_name = name(&file);
        if allowed.contains(&file_name) || file_name.contains("tests") {
            continue;
        }
        if let Some(token) = names_a_cell(&fs::read_to_string(&file)?) {
            wrong.push(format!(
                "{file_name}: {token}, but docs/adding.md does not list the file"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// The first name in the code that is a cell's, or has one as a word of it. The tests at the end of a file may name any.
fn names_a_cell(text: &str) -> Option<String> {
    let text = text.split("#[cfg(test)]\n").next().unwrap_or_default();
    let is_cell = |token: &String| {
        let words = words(token);
        let pairs = words.windows(2).map(|pair| pair.join("_"));
        words
            .iter()
            .cloned()
            .chain(pairs)
            .any(|word| CELLS.contains(&word.as_str()))
    };
    tokens(text).into_iter().find(is_cell)
}

/// `LstmWeights` and `lstm_weights` are `lstm` and `weights`.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut small_before = false;
    for letter in name.chars() {
        if letter == '_' || (letter.is_uppercase() && small_before) {
            words.push(String::new());
        }
        small_before = letter.is_lowercase();
        if let Some(word) = words.last_mut().filter(|_| letter != '_') {
            word.extend(letter.to_lowercase());
        }
    }
    words
}

/// Every path of the other lists stands for at least one file that is there.
#[test]
fn the_lists_are_of_files() -> Outcome {
    let page = fs::read_to_string(root().join("docs/adding.md"))?;
    let examples = [
        ("A layer", "dense"),
        ("A stage", "gather"),
        ("A strategy", "step"),
        ("An activation", ""),
    ];
    let mut wrong = Vec::new();
    for (heading, example) in examples {
        let list = paths(section(&page, heading));
        assert!(list.len() > 2, "docs/adding.md has no list under {heading}");
        for path in list {
            let path = path.replace(PLACEHOLDER, example);
            let strategy = path.replace(&format!("shaders/{example}"), &format!("shaders/recurrent_{example}"));
            if ![&path, &strategy].iter().any(|path| root().join(path).exists()) {
                wrong.push(format!("docs/adding.md, {heading}: there is no {path}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn cells_are_found_in_code() {
    for text in [
        "use crate::cell::lstm::GATES;",
        "Rule::Gru(_) => 1",
        "fn make_simple_rnn() {}",
        "SimpleRnnOptions",
    ] {
        assert!(names_a_cell(text).is_some(), "{text}");
    }
    for text in [
        "// an Lstm",
        "\"lstm\"",
        "congruent",
        "a_group",
        "fn f() {}\n#[cfg(test)]\nmod tests { use Lstm; }",
    ] {
        assert!(names_a_cell(text).is_none(), "{text}");
    }
}
