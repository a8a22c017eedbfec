//! A Rust text as names and signs: enough to see which paths it takes and what it calls.

/// The names and signs of a Rust text, without comments, strings and characters; `::` is one sign.
pub(crate) fn tokens(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => quoted(rest),
            '\'' => character(rest),
            'r' | 'b' | 'c' if raw_string(rest).is_some() => raw_string(rest).unwrap_or(1),
            ':' if rest.starts_with("::") => 2,
            _ if is_identifier(rest) => rest
                .find(|next: char| !next.is_alphanumeric() && next != '_')
                .unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        let skipped = first.is_whitespace() || first == '"' || first == '\'' || token.ends_with(['"', '#']);
        if !(skipped || token.starts_with("//") || token.starts_with("/*")) {
            found.push(token.to_owned());
        }
        rest = after;
    }
    found
}

pub(crate) fn is_identifier(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// The length of the block comment, with those inside it, that `text` starts with.
fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    for (index, _) in text.char_indices() {
        if text[index..].starts_with("/*") {
            depth += 1;
        } else if text[index..].starts_with("*/") {
            depth -= 1;
            if depth == 0 {
                return index + 2;
            }
        }
    }
    text.len()
}

/// The length of the string that `text` starts with.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (index, next) in text.char_indices().skip(1) {
        match next {
            '"' if !escaped => return index + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

/// The length of the character that `text` starts with, 1 for the sign of a lifetime.
fn character(text: &str) -> usize {
    let inner = &text[1..];
    let Some(first) = inner.chars().next() else { return 1 };
    if first == '\\' {
        return inner.get(2..).and_then(|rest| rest.find('\'')).map_or(1, |end| end + 4);
    }
    if inner[first.len_utf8()..].starts_with('\'') {
        first.len_utf8() + 2
    } else {
        1
    }
}

/// The length of the raw string, `r#"…"#`, that `text` starts with.
fn raw_string(text: &str) -> Option<usize> {
    let inner = text.trim_start_matches(['b', 'c']).strip_prefix('r')?;
    let hashes = inner.len() - inner.trim_start_matches('#').len();
    let content = inner[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = content.find(&end).map_or(content.len(), |found| found + end.len());
    Some(text.len() - content.len() + length)
}

#[test]
fn only_code_is_left() {
    let text = r##"a::b /* x /* y */ z */ 'c' '\'' '\u{41}' &'static "s \" t" r#"u " v"# b"w" // end
        d"##;
    assert_eq!(tokens(text), ["a", "::", "b", "&", "static", "b", "d"]);
}
