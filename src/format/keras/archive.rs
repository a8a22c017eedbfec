//! The zip that a `.keras` file is, and its three members.

use std::io::{Cursor, Read};

use serde_json::Value;
use zip::ZipArchive;

use super::bound::{most_bytes, most_text};
use super::version::Version;
use crate::error::{Error, Result};
use crate::format::file::File;

const CONFIG: &str = "config.json";
const METADATA: &str = "metadata.json";
const WEIGHTS: &str = "model.weights.h5";

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
        let mut members = Members::open(file)?;
        let config = members.json(CONFIG)?.ok_or_else(|| members.missing(CONFIG))?;
        let version = match members.json(METADATA)? {
            Some(metadata) => Version::of_metadata(&metadata),
            None => None,
        };
        let weights = members
            .bytes(WEIGHTS, u64::MAX)?
            .ok_or_else(|| members.missing(WEIGHTS))?;
        Ok(Self {
            config,
            version,
            weights,
        })
    }
}

/// The weights alone.
pub(super) fn weights(file: &File<'_>) -> Result<Vec<u8>> {
    let mut members = Members::open(file)?;
    members
        .bytes(WEIGHTS, u64::MAX)?
        .ok_or_else(|| members.missing(WEIGHTS))
}

struct Members<'a> {
    file: &'a File<'a>,
    zip: ZipArchive<Cursor<&'a [u8]>>,
    /// How many bytes the members may still have when they are decompressed.
    left: u64,
}

impl<'a> Members<'a> {
    fn open(file: &'a File<'a>) -> Result<Self> {
        let zip = ZipArchive::new(Cursor::new(file.bytes)).map_err(|error| {
            file.content(
                "the zip's directory",
                "a whole zip archive",
                error.to_string(),
                "check that the file was copied to its end, or save the model again with Keras",
            )
        })?;
        let members = Self {
            file,
            zip,
            left: most_bytes(file.bytes.len()),
        };
        let directory = usize::try_from(members.zip.central_directory_start()).unwrap_or(0);
        for name in [CONFIG, METADATA, WEIGHTS] {
            if listed(file.bytes.get(directory..).unwrap_or_default(), name) > 1 {
                return Err(file.content(
                    format!("the zip's directory, {name}"),
                    "one member of this name",
                    "several, of which readers would take different ones",
                    "save the model again with Keras",
                ));
            }
        }
        Ok(members)
    }

    /// A member, decompressed, or `None` if there is none.
    fn bytes(&mut self, name: &str, most: u64) -> Result<Option<Vec<u8>>> {
        let Some(index) = self.zip.index_for_name(name) else {
            return Ok(None);
        };
        let (file, left) = (self.file, self.left.min(most));
        let damaged = |error: &dyn std::error::Error| {
            file.content(
                name,
                "a stored or deflated member of the zip",
                error.to_string(),
                "check that the file is whole, or save the model again with Keras",
            )
        };
        let member = self.zip.by_index(index).map_err(|error| damaged(&error))?;
        let declared = member.size();
        if declared > left {
            return Err(file.content(
                name,
                format!("no more than {left} bytes for a file of {} bytes", file.bytes.len()),
                format!("{declared} bytes, as the zip's directory says"),
                "save the model again with Keras, which stores its members as they are",
            ));
        }
        let mut bytes = Vec::new();
        member
            .take(declared.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|error| damaged(&error))?;
        if bytes.len() as u64 != declared {
            return Err(file.content(
                name,
                format!("{declared} bytes, as the zip's directory says"),
                match bytes.len() as u64 > declared {
                    true => "more".to_owned(),
                    false => format!("{} bytes", bytes.len()),
                },
                "check that the file is whole, or save the model again with Keras",
            ));
        }
        self.left = self.left.saturating_sub(declared);
        Ok(Some(bytes))
    }

    fn json(&mut self, name: &str) -> Result<Option<Value>> {
        let Some(bytes) = self.bytes(name, most_text(self.file.bytes.len()))? else {
            return Ok(None);
        };
        parse(self.file, name, &bytes).map(Some)
    }

    fn missing(&self, name: &str) -> Error {
        let names = self.zip.file_names().filter_map(std::result::Result::ok);
        let names: Vec<String> = names.take(8).map(std::borrow::Cow::into_owned).collect();
        self.file.content(
            "the zip's directory",
            format!("the member {name}, as every .keras file has it"),
            match names.is_empty() {
                true => "no members".to_owned(),
                false => names.join(", "),
            },
            "save the model with `model.save(\"model.keras\")` of Keras",
        )
    }
}

/// How often the directory of a zip names a member.
fn listed(bytes: &[u8], name: &str) -> usize {
    const NAME_AT: usize = 46;
    let entries = bytes
        .windows(4)
        .enumerate()
        .filter(|(_, window)| *window == b"PK\x01\x02");
    let named = entries.filter(|(at, _)| {
        let long = bytes.get(at + 28..at + 30).map(|length| match length {
            [low, high] => usize::from(*low) | usize::from(*high) << 8,
            _ => 0,
        });
        long == Some(name.len()) && bytes.get(at + NAME_AT..at + NAME_AT + name.len()) == Some(name.as_bytes())
    });
    named.count()
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
