//! The zip that a `.keras` file is, and its three members.

use serde_json::Value;

use super::version::Version;
use crate::error::{Error, Result};
use crate::format::bound::most_text;
use crate::format::file::File;
use crate::format::members::Members;

pub(super) const CONFIG: &str = "config.json";
pub(super) const METADATA: &str = "metadata.json";
/// What a file of weights alone ends in.
pub(super) const WEIGHTS: &str = "model.weights.h5";

/// What repairs a file that is damaged.
const REPAIR: &str = "check that the file was copied to its end, or save the model again with Keras";

/// The members of an archive, decompressed.
#[derive(Debug)]
pub(super) struct Archive {
    pub(super) config: Value,
    /// `None` where the file has no `metadata.json`.
    pub(super) version: Option<Version>,
    pub(super) weights: Vec<u8>,
}

impl Archive {
    pub(super) fn read(file: &File<'_>) -> Result<Self> {
        let mut members = Members::open(file, REPAIR)?;
        let config = json(&mut members, CONFIG, file)?.ok_or_else(|| missing(&members, CONFIG, file))?;
        let version = json(&mut members, METADATA, file)?.and_then(|metadata| Version::of_metadata(&metadata));
        let weights = weights_of(&mut members, file)?;
        Ok(Self {
            config,
            version,
            weights,
        })
    }
}

/// The weights alone.
pub(super) fn weights(file: &File<'_>) -> Result<Vec<u8>> {
    weights_of(&mut Members::open(file, REPAIR)?, file)
}

fn weights_of(members: &mut Members<'_>, file: &File<'_>) -> Result<Vec<u8>> {
    match members.of_name(WEIGHTS) {
        Some(number) => members.read(number, WEIGHTS, u64::MAX),
        None => Err(missing(members, WEIGHTS, file)),
    }
}

/// A member, or `None` if there is none.
fn json(members: &mut Members<'_>, name: &str, file: &File<'_>) -> Result<Option<Value>> {
    let Some(number) = members.of_name(name) else {
        return Ok(None);
    };
    let bytes = members.read(number, name, most_text(file.bytes.len()))?;
    parse(file, name, &bytes).map(Some)
}

fn missing(members: &Members<'_>, name: &str, file: &File<'_>) -> Error {
    let names = members.names(8);
    file.content(
        "the zip's directory",
        format!("the member {name}, as every .keras file has it"),
        match names.is_empty() {
            true => "no members".to_owned(),
            false => names.join(", "),
        },
        "save the model with `model.save(\"model.keras\")` of Keras",
    )
}

/// A text as JSON.
pub(super) fn parse(file: &File<'_>, place: &str, text: &[u8]) -> Result<Value> {
    serde_json::from_slice(text).map_err(|error| {
        file.content(
            format!("{place}, line {}, column {}", error.line(), error.column()),
            "the model's configuration as JSON",
            error.to_string(),
            "save the model again with Keras",
        )
    })
}
