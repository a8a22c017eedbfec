//! Loops that the host writes out.
//!
//! A compiler keeps values in registers only if it sees each of them by name: an array that a loop variable indexes goes to memory,
//! which costs a real GPU ten times as much. So a text may have loops of this form, and the host writes their bodies one after the other:
//!
//! ```text
//! //for r in ROWS
//! var sum$r = Lanes();
//! //end
//! ```
//!
//! `ROWS` is a constant of the shader or of its cell, or a number; `r` is one small letter, and `$r` stands for its value, 0 to ROWS - 1.
//! Loops may stand in each other. A loop over a constant that is 0 or 1 is a condition.

const BEGIN: &str = "//for ";
const END: &str = "//end";

/// The text with its loops written out; `count` gives the value of a constant.
pub(crate) fn expand(text: &str, count: &dyn Fn(&str) -> Option<u32>) -> String {
    if !text.contains(BEGIN) {
        return text.to_owned();
    }
    let lines: Vec<&str> = text.lines().collect();
    let mut expanded = String::with_capacity(2 * text.len());
    write(&lines, &mut Vec::new(), count, &mut expanded);
    expanded
}

/// Writes lines with the letters of the loops around them. A loop without an end, or over a name that there is no constant of, is
/// left as it stands: its `$` makes the text no WGSL, so that no compiler takes it.
fn write(lines: &[&str], letters: &mut Vec<(char, u32)>, count: &dyn Fn(&str) -> Option<u32>, to: &mut String) {
    let mut rest = lines;
    while let Some((&line, after)) = rest.split_first() {
        rest = after;
        let head = line.trim().strip_prefix(BEGIN).and_then(|head| loop_of(head, count));
        let end = head.and_then(|_| end_of(rest));
        match (head, end) {
            (Some((letter, times)), Some(end)) => {
                let (body, behind) = rest.split_at(end);
                for value in 0..times {
                    letters.push((letter, value));
                    write(body, letters, count, to);
                    letters.pop();
                }
                rest = behind.get(1..).unwrap_or_default();
            }
            _ => write_line(line, letters, to),
        }
    }
}

/// The letter of a loop and how often its body is written.
fn loop_of(head: &str, count: &dyn Fn(&str) -> Option<u32>) -> Option<(char, u32)> {
    let (letter, name) = head.split_once(" in ")?;
    let mut letters = letter.trim().chars();
    let letter = letters.next().filter(|letter| letter.is_ascii_lowercase())?;
    let name = name.trim();
    let times = name.parse().ok().or_else(|| count(name))?;
    letters.next().is_none().then_some((letter, times))
}

/// The line with the end of the loop that begins before these lines.
fn end_of(lines: &[&str]) -> Option<usize> {
    let mut depth = 0_usize;
    for (number, line) in lines.iter().map(|line| line.trim()).enumerate() {
        if line.starts_with(BEGIN) {
            depth += 1;
        } else if line == END {
            match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return Some(number),
            }
        }
    }
    None
}

fn write_line(line: &str, letters: &[(char, u32)], to: &mut String) {
    let mut pieces = line.split('$');
    to.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let letter = piece.chars().next();
        // the innermost loop of a letter counts
        let known = letters.iter().rev().find(|(known, _)| Some(*known) == letter);
        match known {
            Some((_, value)) => {
                to.push_str(&value.to_string());
                to.push_str(piece.get(1..).unwrap_or_default());
            }
            None => {
                to.push('$');
                to.push_str(piece);
            }
        }
    }
    to.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> String {
        expand(text, &|name| match name {
            "TWO" => Some(2),
            "NONE" => Some(0),
            _ => None,
        })
    }

    #[test]
    fn loops_are_written_out() {
        let text = "a\n  //for r in TWO\n  x$r = y$r_$k + $ru;\n  //end\nb\n";
        assert_eq!(expanded(text), "a\n  x0 = y0_$k + 0u;\n  x1 = y1_$k + 1u;\nb\n");
    }

    #[test]
    fn loops_stand_in_each_other() {
        let text = "//for r in TWO\n//for c in 3\ns$r$c;\n//end\n//for c in NONE\nnever;\n//end\nt$r;\n//end\n";
        assert_eq!(expanded(text), "s00;\ns01;\ns02;\nt0;\ns10;\ns11;\ns12;\nt1;\n");
    }

    #[test]
    fn what_is_no_loop_stays() {
        for text in [
            "//for r in MANY\nx$r;\n//end\n",
            "//for r in TWO\nx$r;\n",
            "//for rr in TWO\nx$r;\n//end\n",
            "//for no loop\n",
        ] {
            assert_eq!(expanded(text), text);
        }
        assert_eq!(expanded("no loop, no copy"), "no loop, no copy");
    }
}
