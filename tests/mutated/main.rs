//! Model files that are changed at random: whatever is in them, reading ends soon, takes memory in proportion and never panics, and a model
//! that is read runs and is written.
//!
//! The short run is a test like others. The long one is ignored: `MINUTES=20 cargo test --test mutated -- --ignored --nocapture`, with
//! `FORMAT=keras` for one format alone and `SEED=7` for another sequence of changes. The file that is being read lies in the folder for
//! temporary files, under `cellstate_mutated`, and those that did harm beside it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]
#![allow(
    unsafe_code,
    reason = "an allocator is unsafe by definition; this one counts and passes everything on"
)]

mod change;
mod json;
mod made;
mod memory;
mod message;
mod seeds;
#[path = "../support/split_mix.rs"]
mod split_mix;
mod trial;

use std::env;
use std::time::{Duration, Instant};

use seeds::Format;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

#[test]
fn a_few_changed_files_do_no_harm() {
    let mut harm = Vec::new();
    for format in Format::ALL {
        harm.extend(trial::run(format, 1, Duration::from_secs(600), 150));
    }
    assert!(harm.is_empty(), "{}", harm.join("\n"));
}

#[test]
#[ignore = "takes as many minutes for each format as MINUTES says, or one"]
fn many_changed_files_do_no_harm() {
    let minutes = number("MINUTES").unwrap_or(1);
    let seed = number("SEED").unwrap_or(1);
    let only = env::var("FORMAT").ok();
    let mut harm = Vec::new();
    for format in Format::ALL {
        if only.as_deref().is_some_and(|only| only != format.name()) {
            continue;
        }
        let begin = Instant::now();
        harm.extend(trial::run(format, seed, Duration::from_secs(60 * minutes), usize::MAX));
        println!(
            "{}: {:?}, {} files did harm so far",
            format.name(),
            begin.elapsed(),
            harm.len()
        );
    }
    assert!(harm.is_empty(), "{}", harm.join("\n"));
}
