//! Paths at which no model lies, or where none can be written: an error each, soon, and nothing is lost.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use cellstate::{Dense, Error, Model, Modules};

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("opened").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn model() -> Model {
    Model::builder().add(Dense::new(2, 1)).build().unwrap()
}

/// What a function gives within a few seconds.
#[track_caller]
fn soon<T: Send + 'static>(what: &str, of: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(of()));
    receiver
        .recv_timeout(Duration::from_secs(20))
        .unwrap_or_else(|_| panic!("{what} takes long"))
}

#[track_caller]
fn refused(path: &Path, wanted: &[&str]) {
    let path = path.to_owned();
    let named = path.display().to_string();
    let errors = soon(&named, move || {
        let mut model = model();
        [
            Model::open(&path).map(|_| ()).unwrap_err(),
            Modules::open(&path).map(|_| ()).unwrap_err(),
            model.load_weights(&path).unwrap_err(),
            model.load_modules(&path, &["a"]).unwrap_err(),
        ]
    });
    for error in errors {
        let message = error.to_string();
        for wanted in wanted.iter().chain([&named.as_str()]) {
            assert!(message.contains(wanted), "{wanted:?} is not in: {message}");
        }
    }
}

#[test]
fn nobody_waits_for_a_pipe() {
    let folder = folder("pipe");
    for name in ["pipe.keras", "pipe.onnx", "pipe.safetensors"] {
        pipe(&folder.join(name));
        refused(&folder.join(name), &["a file, not a folder, pipe or device"]);
    }
    symlink(folder.join("pipe.onnx"), folder.join("link.onnx")).unwrap();
    refused(&folder.join("link.onnx"), &["a file, not a folder, pipe or device"]);
}

#[test]
fn what_has_no_end_is_not_read() {
    let folder = folder("endless");
    symlink("/dev/zero", folder.join("zero.safetensors")).unwrap();
    refused(
        &folder.join("zero.safetensors"),
        &["a file, not a folder, pipe or device"],
    );
    // ten gigabytes of nothing are no model by their first bytes
    let large = fs::File::create(folder.join("large.keras")).unwrap();
    large.set_len(10 << 30).unwrap();
    refused(&folder.join("large.keras"), &["the bytes 00 00 00 00 00 00 00 00"]);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn folders_and_empty_files_are_no_models() {
    let folder = folder("empty");
    refused(&folder, &["a file, not a folder, pipe or device"]);
    fs::write(folder.join("empty.keras"), b"").unwrap();
    refused(&folder.join("empty.keras"), &["an empty file"]);
    refused(&folder.join("missing.keras"), &["a model file that can be read"]);
    symlink("loop.onnx", folder.join("loop.onnx")).unwrap();
    refused(&folder.join("loop.onnx"), &["a model file that can be read"]);
}

#[test]
fn nothing_but_a_file_is_replaced() {
    let folder = folder("saved");
    pipe(&folder.join("pipe.onnx"));
    symlink(folder.join("pipe.onnx"), folder.join("link.onnx")).unwrap();
    fs::create_dir(folder.join("folder.onnx")).unwrap();
    let before = names(&folder);
    for name in [
        "pipe.onnx",
        "link.onnx",
        "folder.onnx",
        "missing/model.onnx",
        "pipe.onnx/model.onnx",
    ] {
        let path = folder.join(name);
        let error = soon(name, move || model().save(path)).unwrap_err();
        assert!(matches!(error, Error::File { .. }), "{name}: {error}");
        assert!(error.to_string().contains(name), "{error}");
    }
    assert_eq!(names(&folder), before);
    assert!(fs::metadata(folder.join("pipe.onnx")).unwrap().file_type().is_fifo());
    for name in ["", ".", "..", "/", "model", "onnx", "model.onnx/..", "model.onnx "] {
        let error = model().save(folder.join(name)).unwrap_err();
        assert!(matches!(error, Error::Value { .. }), "{name:?}: {error}");
    }
    assert_eq!(names(&folder), before);
}

fn names(folder: &Path) -> Vec<PathBuf> {
    let mut names: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    names
}

/// The data of a tensor that a pipe beside the file would give.
#[test]
fn nobody_waits_for_a_pipe_of_external_data() {
    let folder = folder("external");
    pipe(&folder.join("pipe.bin"));
    let path = folder.join("model.onnx");
    fs::write(&path, super::onnx_made::with_external("pipe.bin")).unwrap();
    let error = soon("external data", move || Model::open(path).map(|_| ())).unwrap_err();
    assert!(error.to_string().contains("pipe.bin"), "{error}");
}
