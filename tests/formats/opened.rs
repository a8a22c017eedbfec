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
    // hundreds of gigabytes are no model by their first bytes, whatever they are called
    for (name, begin, expected) in [
        ("large.keras", &b""[..], "the bytes 00 00 00 00 00 00 00 00"),
        ("large.h5", b"", "the bytes 00 00 00 00 00 00 00 00"),
        ("large.pt", b"", "the bytes 00 00 00 00 00 00 00 00"),
        ("large.onnx", b"", "the bytes 00 00 00 00 00 00 00 00"),
        ("page.onnx", b"<!DOCTYPE html>", "the bytes 3c 21 44"),
        ("large.safetensors", b"", "that begin with 00 00 00 00 00 00 00 00 00"),
        (
            "longer.safetensors",
            b"\xff\xff\xff\xff\xff\x00\x00\x00{\"",
            "that begin with ff ff ff ff ff 00 00 00 7b",
        ),
        ("text.safetensors", b"<!DOCTYPE html>", "that begin with 3c 21 44"),
    ] {
        let path = folder.join(name);
        fs::write(&path, begin).unwrap();
        let large = fs::File::options().write(true).open(&path).unwrap();
        large.set_len(300 << 30).unwrap();
        refused(&path, &[expected]);
    }
    fs::remove_dir_all(folder).unwrap();
}

/// The chain of a state dict stands in a file beside it: what lies there and cannot be read is not passed over.
#[test]
fn what_lies_beside_weights_is_no_secret() {
    let folder = folder("beside");
    let chain = r#"{"cellstate": 1, "layers": [{"class": "Dense", "features": 3, "units": 2}]}"#;
    let open = |name: &str| {
        let path = folder.join(name);
        soon(name, move || Model::open(path).map(|_| ()))
    };
    for weights in ["x.pt", "x.safetensors"] {
        let golden = super::files::golden("pytorch").join(weights.replace('x', "gru"));
        fs::copy(golden, folder.join(weights)).unwrap();
        let beside = folder.join("x.json");
        let message = |what: &str| {
            let error = open(weights).unwrap_err();
            assert!(matches!(error, Error::File { .. }), "{what}: {error:?}");
            let message = error.to_string();
            assert!(
                message.contains("x.json") && message.contains("the chain of layers"),
                "{what}: {message}"
            );
        };
        fs::create_dir(&beside).unwrap();
        message("a folder");
        fs::remove_dir(&beside).unwrap();
        pipe(&beside);
        message("a pipe");
        fs::remove_file(&beside).unwrap();
        symlink("nowhere.json", &beside).unwrap();
        message("a link that leads nowhere");
        fs::remove_file(&beside).unwrap();
        fs::File::create(&beside).unwrap().set_len(300 << 30).unwrap();
        message("hundreds of gigabytes");
        fs::write(&beside, chain).unwrap();
        // read, and it does not fit
        assert!(!matches!(open(weights).unwrap_err(), Error::File { .. }));
        fs::remove_file(&beside).unwrap();
        assert!(open(weights).unwrap_err().to_string().contains("Model::builder()"));
    }
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

/// A file that memory holds once and not twice: the test itself runs again, with less memory.
#[test]
#[cfg(target_os = "linux")]
fn what_memory_does_not_hold_is_an_error() {
    const WITHIN: &str = "CELLSTATE_TEST_LARGE_FILE";
    if let Some(path) = std::env::var_os(WITHIN) {
        let mut model = model();
        for error in [Model::open(&path).map(|_| ()), model.load_weights(&path)] {
            let error = error.unwrap_err();
            assert!(matches!(error, Error::Memory { .. }), "{error:?}");
            println!("{error}");
        }
        return;
    }
    let folder = folder("memory");
    let path = folder.join("large.h5");
    fs::copy(super::files::golden("models/keras_masking_stack.h5"), &path).unwrap();
    let large = fs::File::options().write(true).open(&path).unwrap();
    large.set_len(1 << 30).unwrap();
    let name = thread::current().name().unwrap().to_owned();
    let program = std::env::current_exe().unwrap();
    let output = Command::new("sh")
        .args(["-c", "ulimit -v 1500000 && exec \"$0\" --exact --nocapture \"$1\""])
        .arg(program)
        .arg(name)
        .env(WITHIN, &path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(
        said.matches("the contents of the file: shape [1073741824]").count(),
        2,
        "{said}"
    );
    fs::remove_dir_all(folder).unwrap();
}
