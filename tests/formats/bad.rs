//! Damaged files: each of `golden/bad` gets what `expect.json` says.

use std::fs;

use cellstate::{Error, Model};
use serde_json::Value;

use crate::keras::folder;

#[test]
fn every_bad_file_is_refused_by_name() {
    let text = fs::read_to_string(folder("bad").join("expect.json")).unwrap();
    let list: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert!(list.len() >= 16);
    for entry in list {
        let file = entry["file"].as_str().unwrap();
        if file.ends_with(".safetensors") {
            continue; // `pytorch_refused` asks more of them
        }
        let outcome = Model::open(folder("bad").join(file));
        match entry["expect"].as_str().unwrap() {
            "error" => {
                let error = outcome.map(|_| ()).expect_err(file);
                assert!(
                    matches!(
                        error,
                        Error::Content { .. }
                            | Error::Unsupported { .. }
                            | Error::Size { .. }
                            | Error::NotFinite { .. }
                    ),
                    "{file}: {error:?}"
                );
                let message = error.to_string();
                println!("{file}: {message}\n");
                assert!(message.contains(file), "{file}: {message}");
            }
            other => panic!("{file}: {other}"),
        }
    }
}
