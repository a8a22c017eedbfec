//! Data that an ONNX file keeps in a file beside it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use super::messages::TensorProto;
use crate::error::{Cause, Error, Result};
use crate::file;
use crate::format::file::File;

/// Tensors may share bytes, but all of them together are not much more than the files beside.
const SHARED: u64 = 4;

/// Reads from the files beside one file.
#[derive(Debug)]
pub(super) struct External<'a> {
    file: File<'a>,
    /// The sizes of the files that were read from, by their names.
    sizes: BTreeMap<String, u64>,
    read: u64,
}

impl<'a> External<'a> {
    pub(super) fn new(file: File<'a>) -> Self {
        Self {
            file,
            sizes: BTreeMap::new(),
            read: 0,
        }
    }

    /// So many bytes of a tensor.
    pub(super) fn read(&mut self, tensor: &TensorProto, bytes: usize, place: &str) -> Result<Vec<u8>> {
        let entry = |key: &str| {
            let entry = tensor.external_data.iter().find(|entry| entry.key == key);
            entry.map(|entry| entry.value.as_str())
        };
        let location = entry("location").unwrap_or_default();
        let path = self.beside(location, place)?;
        let number = |key: &str, default: u64| match entry(key) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| {
                self.file
                    .content(place, format!("a number of bytes as {key}"), format!("{text:?}"), AGAIN)
            }),
        };
        let wanted = bytes as u64;
        let (offset, length) = (number("offset", 0)?, number("length", wanted)?);
        if length != wanted {
            let expected = format!("{wanted} bytes, as type and shape say");
            return Err(self.file.content(place, expected, format!("length {length}"), AGAIN));
        }
        let unreadable = |error| unreadable(&path, error);
        let mut opened = file::open(&path).map_err(unreadable)?;
        let size = opened.metadata().map_err(unreadable)?.len();
        if offset.checked_add(length).is_none_or(|end| end > size) {
            let expected = format!("{length} bytes from byte {offset} on in {location:?}");
            return Err(self
                .file
                .content(place, expected, format!("a file of {size} bytes"), AGAIN));
        }
        self.sizes.insert(location.to_owned(), size);
        self.read = self.read.saturating_add(length);
        let most = self.sizes.values().fold(0_u64, |sum, size| sum.saturating_add(*size));
        if self.read > most.saturating_mul(SHARED) {
            let expected = "tensors with data of their own".to_owned();
            return Err(self
                .file
                .content(place, expected, "the same bytes again and again", AGAIN));
        }
        opened.seek(SeekFrom::Start(offset)).map_err(unreadable)?;
        let mut data = Vec::new();
        opened.take(length).read_to_end(&mut data).map_err(unreadable)?;
        match data.len() == bytes {
            true => Ok(data),
            false => Err(self
                .file
                .content(place, format!("{bytes} bytes"), format!("{}", data.len()), AGAIN)),
        }
    }

    /// The path of a location, which has to stay in the folder of the file, links included.
    fn beside(&self, location: &str, place: &str) -> Result<PathBuf> {
        let refused = |found: &str| {
            let expected = "the name of a file in the folder of the model";
            let repair = "put the data beside the model, or save the model as one file";
            Err(self.file.content(place, expected, found, repair))
        };
        let Some(folder) = self.file.folder else {
            return refused("a model in memory, which has no folder");
        };
        let folder = match folder.as_os_str().is_empty() {
            true => Path::new("."),
            false => folder,
        };
        let name = Path::new(location);
        let plain = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
        if location.is_empty() || location.contains(['\\', '\0', ':']) || !name.components().all(plain) {
            return refused(&format!("{location:?}"));
        }
        let path = folder.join(name);
        let real = |path: &Path| fs::canonicalize(path).map_err(|error| unreadable(path, error));
        match real(&path)?.starts_with(real(folder)?) {
            true => Ok(path),
            false => refused(&format!("{location:?}, which leads out of it")),
        }
    }
}

const AGAIN: &str = "export the model again, or copy the file beside it too";

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    Error::File {
        argument: "external_data",
        expected: "the file beside the model that holds its weights",
        path: path.to_owned(),
        cause: Cause::new(error),
        repair: "put it beside the model".to_owned(),
    }
}
