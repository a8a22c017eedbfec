//! Whether functions stay short: what has more lines does more than one thing.

use std::collections::BTreeSet;
use std::fs;

use super::{Outcome, files, name};

/// The lines that a function may have, from its signature to its last brace.
const MOST: usize = 60;

/// Longer functions, and why.
const EXCEPTIONS: &[(&str, &str)] = &[(
    "src/gpu/shader/mod.rs: make_pipeline",
    "the descriptors that wgpu wants of one pipeline, one after the other",
)];

#[test]
fn functions_stay_short() -> Outcome {
    let mut wrong = Vec::new();
    let mut unused: BTreeSet<&str> = EXCEPTIONS.iter().map(|(function, _)| *function).collect();
    for file in files("src", "rs")? {
        let file_name = name(&file);
        if file_name.contains("tests") {
            continue;
        }
        for (function, lines) in functions(&fs::read_to_string(&file)?) {
            let path = format!("{file_name}: {function}");
            if lines > MOST && !unused.remove(path.as_str()) {
                wrong.push(format!("{path} has {lines} lines, at most {MOST} are allowed"));
            }
        }
    }
    wrong.extend(
        unused
            .iter()
            .map(|function| format!("{function} is no exception any more")),
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// The functions of a text as rustfmt leaves it, without the tests at its end, and the lines of each.
fn functions(text: &str) -> Vec<(String, usize)> {
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (first, line) in lines.iter().enumerate() {
        let Some(function) = function(line) else { continue };
        let indent = &line[..line.len() - line.trim_start().len()];
        let (last, of_trait) = (format!("{indent}}}"), format!("{indent})"));
        let ends = |(number, line): (usize, &&str)| {
            let is_short = number == 0 && line.ends_with(['}', ';']);
            is_short || *line == last || (line.starts_with(&of_trait) && line.ends_with(';'))
        };
        let length = lines[first..]
            .iter()
            .enumerate()
            .position(ends)
            .map_or(1, |last| last + 1);
        found.push((function, length));
    }
    found
}

/// The name of the function that begins in this line.
fn function(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let before = |word: &&str| ["const", "async", "unsafe"].contains(word) || word.starts_with("pub");
    let mut word = words.next()?;
    while before(&word) {
        word = words.next()?;
    }
    let name = words.next().filter(|_| word == "fn")?;
    let end = name.find(|next: char| !next.is_alphanumeric() && next != '_');
    Some(name[..end.unwrap_or(name.len())].to_owned())
}

#[test]
fn lines_are_counted() {
    let text = "\
fn one() {
    a;
}

impl A {
    /// fn none() {
    pub(crate) async fn two(
        self,
    ) -> B {
        match self {
            A => {
                c;
            }
        }
    }

    fn three() {}
    fn four(&self);
    fn five(
        self,
    ) -> B;
}

#[cfg(test)]
mod tests {
    fn six() {
    }
}
";
    let found = functions(text);
    let found: Vec<(&str, usize)> = found
        .iter()
        .map(|(function, lines)| (function.as_str(), *lines))
        .collect();
    assert_eq!(found, [("one", 3), ("two", 9), ("three", 1), ("four", 1), ("five", 3)]);
}
