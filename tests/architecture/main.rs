//! The house holds: arrows between modules point only downwards, files stay small, and what allocates or compiles on the
//! GPU is called in one file each, so that the counts kept there are true and nothing is without a label.

mod documented;
mod functions;
mod map;
mod rings;
mod tokens;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use tokens::{is_identifier, tokens};

/// The modules of the crate, from the cellar to the roof. A module may use those of the floors below its own, not its
/// neighbours. Every module needs a place here.
const FLOORS: &[&[&str]] = &[
    &[
        "error",
        "half_precision",
        "file",
        "trace",
        "sums",
        "random",
        "golden",
        "drawn",
    ],
    &["memory", "parameters", "activation", "recent", "hyperparameter"],
    &[
        "sequences",
        "state",
        "settings",
        "cell",
        "copy",
        "selection",
        "learning_rate",
        "loss",
    ],
    &[
        "schedule",
        "states",
        "output",
        "tuning",
        "optimizer",
        "regularizer",
        "gradients",
        "metric",
    ],
    &["layer"],
    &["model"],
    &["format"],
    &["flow"],
    &["cpu", "gpu"],
    &["device"],
    &["runner"],
    &["trainer"],
    &["lib"],
];

/// What wgpu does at a price, and the one file that may ask for it.
const PRICED_CALLS: &[(&str, &str)] = &[
    ("enumerate_adapters", "src/gpu/device/adapter.rs"),
    ("request_device", "src/gpu/device/adapter.rs"),
    ("create_buffer", "src/gpu/device/buffer.rs"),
    ("create_buffer_init", "src/gpu/device/buffer.rs"),
    ("create_shader_module", "src/gpu/device/module.rs"),
    ("create_shader_module_trusted", "src/gpu/device/module.rs"),
    ("create_compute_pipeline", "src/gpu/shader/mod.rs"),
    ("create_bind_group", "src/gpu/device/buffer.rs"),
    ("create_command_encoder", "src/gpu/device/buffer.rs"),
    ("create_query_set", "src/gpu/device/timer.rs"),
    ("create_bind_group_layout", "src/gpu/shader/mod.rs"),
    ("create_pipeline_layout", "src/gpu/shader/mod.rs"),
    ("create_pipeline_cache", "src/gpu/device/module.rs"),
    ("begin_compute_pass", "src/gpu/commands.rs"),
];

/// How many lines a file may have, by its ending.
const LONGEST: &[(&str, usize)] = &[("rs", 400), ("wgsl", 150)];

type Outcome = Result<(), Box<dyn Error>>;

#[test]
fn arrows_point_only_downwards() -> Outcome {
    let reexports = reexports(&tokens(&fs::read_to_string(root().join("src/lib.rs"))?));
    let mut wrong = Vec::new();
    for file in files("src", "rs")? {
        wrong.extend(upward_arrows(&name(&file), &fs::read_to_string(&file)?, &reexports));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn files_stay_small() -> Outcome {
    let mut wrong = Vec::new();
    for (ending, most) in LONGEST {
        for folder in ["src", "shaders", "tests", "benches", "examples"] {
            for file in files(folder, ending)? {
                let lines = fs::read_to_string(&file)?.lines().count();
                if lines > *most {
                    wrong.push(format!(
                        "{}: {lines} lines, at most {most} are allowed; split it by noun",
                        name(&file)
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn priced_calls_stand_in_one_file_each() -> Outcome {
    let mut wrong = Vec::new();
    for file in files("src", "rs")? {
        wrong.extend(misplaced_calls(&name(&file), &fs::read_to_string(&file)?));
    }
    for (call, allowed) in PRICED_CALLS {
        if root().join("src/gpu").exists() && !root().join(allowed).exists() {
            wrong.push(format!(
                "{allowed}, the one place of {call}, does not exist: has it another name now?"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// The files under `folder` of the project with this ending.
fn files(folder: &str, ending: &str) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        if !folder.exists() {
            continue;
        }
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `src/gpu/buffer.rs`, on every system.
fn name(file: &Path) -> String {
    let parts: Vec<_> = file
        .strip_prefix(root())
        .unwrap_or(file)
        .iter()
        .map(|part| part.to_string_lossy())
        .collect();
    parts.join("/")
}

/// The complaints about the paths of one file that lead upwards or to a neighbour.
fn upward_arrows(file: &str, text: &str, reexports: &BTreeMap<String, String>) -> Vec<String> {
    let own_path = module_path(file);
    let own = own_path.first().map_or("lib", String::as_str);
    let Some(own_floor) = floor(own) else {
        return vec![format!(
            "{file}: module {own} has no floor in the table of tests/architecture"
        )];
    };
    let mut wrong = Vec::new();
    for used in used_from_root(&tokens(text), own_path.len()) {
        let module = if floor(&used).is_some() {
            &used
        } else {
            reexports.get(&used).unwrap_or(&used)
        };
        match floor(module) {
            _ if module == own => {}
            Some(floor) if floor < own_floor => {}
            Some(_) => wrong.push(format!("{file}: {own} uses {module}, which does not stand below it")),
            None if own == "lib" => {} // an item of lib.rs itself
            None => wrong.push(format!(
                "{file}: crate::{used} is neither a module with a floor nor a name in lib.rs"
            )),
        }
    }
    wrong
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// The module of a file: `["gpu", "buffer"]` for `src/gpu/buffer.rs`, nothing for `src/lib.rs`.
fn module_path(file: &str) -> Vec<String> {
    let inner = file.trim_start_matches("src/").trim_end_matches(".rs");
    inner
        .split('/')
        .filter(|part| !["lib", "mod"].contains(part))
        .map(String::from)
        .collect()
}

/// Which module each name that `lib.rs` re-exports comes from: `Error` from `error`.
fn reexports(tokens: &[String]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut rest = tokens;
    while let Some(start) = rest.iter().position(|token| token == "use") {
        rest = &rest[start + 1..];
        let statement = &rest[..rest.iter().position(|token| token == ";").unwrap_or(rest.len())];
        let path = &statement[statement
            .iter()
            .take_while(|token| ["crate", "self", "::"].contains(&token.as_str()))
            .count()..];
        if let Some((module, names)) = path.split_first() {
            for name in names.iter().filter(|name| is_identifier(name)) {
                found.insert(name.clone(), module.clone());
            }
        }
    }
    found
}

/// The first names after the crate's root of all paths that start there: by `crate::`, or by enough `super::` in a file
/// whose module is `depth` below the root.
fn used_from_root(tokens: &[String], depth: usize) -> Vec<String> {
    let mut used = Vec::new();
    let mut braces = Vec::new(); // for each open brace, whether it is that of an inline module
    let mut index = 0;
    while let Some(token) = tokens.get(index) {
        index += 1;
        match token.as_str() {
            "{" => braces.push(index >= 3 && tokens[index - 3] == "mod"),
            "}" => drop(braces.pop()),
            "crate" if is(tokens, index, "::") => used.extend(first_names(tokens, index + 1)),
            "super" if is(tokens, index, "::") => {
                let mut above = 1;
                while is(tokens, index + 1, "super") && is(tokens, index + 2, "::") {
                    above += 1;
                    index += 2;
                }
                if above >= depth + braces.iter().filter(|inline| **inline).count() {
                    used.extend(first_names(tokens, index + 1));
                }
            }
            _ => {}
        }
    }
    used
}

/// The name at `index`, or the first names in the braces there: `a` and `b` of `{a::{c, d}, b}`.
fn first_names(tokens: &[String], index: usize) -> Vec<String> {
    if !is(tokens, index, "{") {
        return tokens.get(index).cloned().into_iter().collect();
    }
    let mut names = Vec::new();
    let mut depth = 0;
    for (before, token) in tokens[index..].iter().zip(&tokens[index + 1..]) {
        match before.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if depth == 1 && ["{", ","].contains(&before.as_str()) && token != "}" {
            names.push(token.clone());
        }
    }
    names
}

fn is(tokens: &[String], index: usize, expected: &str) -> bool {
    tokens.get(index).is_some_and(|token| token == expected)
}

/// The complaints about the calls of one file that only another may make.
fn misplaced_calls(file: &str, text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let calls = PRICED_CALLS
        .iter()
        .filter(|(call, allowed)| *allowed != file && tokens.iter().any(|token| token == call));
    let calls = calls.map(|(call, allowed)| format!("{file}: {call} is called in {allowed} alone"));
    let nameless = tokens.windows(3).filter(|three| *three == ["label", ":", "None"]);
    calls
        .chain(nameless.map(|_| format!("{file}: an object of wgpu without a label")))
        .collect()
}

// The checks themselves, tried on texts that they must and must not complain about -------------------------------------

fn complaints(file: &str, text: &str) -> usize {
    let reexports = reexports(&tokens(
        "pub use error::{Error, Result}; pub use crate::device::Device;",
    ));
    upward_arrows(file, text, &reexports).len()
}

#[test]
fn upward_arrows_are_found() {
    let cases = [
        ("src/layer/lstm.rs", "use crate::runner::Runner;", 1),
        ("src/layer/lstm.rs", "use crate::Device;", 1),
        (
            "src/layer/lstm.rs",
            "use crate::{error::{Error, Result}, cpu::{self, step}, gpu};",
            2,
        ),
        ("src/layer/lstm.rs", "use super::super::device::Device;", 1),
        (
            "src/layer/lstm.rs",
            "fn f(x: &'static str) { let c = '\"'; crate::runner::f(); let d = '\\''; crate::gpu::g() }",
            2,
        ),
        ("src/cpu/step.rs", "use crate::gpu::step;", 1),
        ("src/gpu.rs", "use crate::cpu;", 1),
        ("src/error.rs", "fn f() { super::state::g() }", 1),
        ("src/error.rs", "mod tests { use super::super::state; }", 1),
        ("src/error.rs", "use crate::*;", 1),
        ("src/error.rs", "use crate::Unknown;", 1),
        ("src/unknown.rs", "", 1),
        ("src/runner.rs", "use crate::lib;", 1),
    ];
    for (file, text, expected) in cases {
        assert_eq!(complaints(file, text), expected, "{file}: {text}");
    }
}

#[test]
fn downward_arrows_are_left_alone() {
    let cases = [
        ("src/lib.rs", "pub use runner::Runner; use crate::gpu::Gpu;"),
        (
            "src/runner.rs",
            "use crate::{Device, Error, cpu, gpu::{Gpu, shader::{self, Shader}}, };",
        ),
        (
            "src/gpu/mod.rs",
            "mod buffer; use self::buffer::Buffer; pub(crate) use super::error; use crate::gpu::shader;",
        ),
        (
            "src/cpu/step.rs",
            "use super::gates; use super::super::layer; mod tests { use super::super::gates; }",
        ),
        (
            "src/error.rs",
            "/// [`crate::Device`]\n// crate::gpu\n/* /* crate::cpu */ crate::cpu */ pub(crate) fn f() {}",
        ),
        (
            "src/error.rs",
            r##"const A: &str = "\"crate::gpu"; const B: &str = r#"" crate::cpu "#; mod tests { use super::*; }"##,
        ),
    ];
    for (file, text) in cases {
        assert_eq!(complaints(file, text), 0, "{file}: {text}");
    }
}

#[test]
fn misplaced_calls_are_found() {
    assert_eq!(
        misplaced_calls("src/gpu/workspace.rs", "device.create_buffer(&descriptor)").len(),
        1
    );
    assert_eq!(
        misplaced_calls("src/cpu/step.rs", "wgpu::Device::create_bind_group(&device, x)").len(),
        1
    );
    assert_eq!(
        misplaced_calls("src/gpu/device/buffer.rs", "device.create_buffer(&descriptor)").len(),
        0
    );
    let nameless = "device.create_buffer(&wgpu::BufferDescriptor { label: None, size: 4 })";
    assert_eq!(misplaced_calls("src/gpu/device/buffer.rs", nameless).len(), 1);
    assert_eq!(
        misplaced_calls(
            "src/gpu/workspace.rs",
            "// create_buffer\n\"create_buffer\"; create_sampler()"
        )
        .len(),
        0
    );
}
