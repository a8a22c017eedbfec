//! A file that is read, and the errors that name it.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::kind::Kind;
use crate::error::{Cause, Error, Result};

/// A file in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct File<'a> {
    pub(crate) bytes: &'a [u8],
    /// What messages call it.
    pub(crate) path: &'a Path,
    /// Where it lies, for data that is kept beside it; `None` where there is no such place.
    #[allow(dead_code, reason = "only some formats have data beside the file")]
    pub(crate) folder: Option<&'a Path>,
}

impl<'a> File<'a> {
    pub(crate) fn new(bytes: &'a [u8], path: &'a Path, folder: Option<&'a Path>) -> Self {
        Self { bytes, path, folder }
    }

    /// The contents are not what they should be, at a place: a member, a tensor, a byte.
    pub(crate) fn content(
        &self,
        place: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
        repair: impl Into<String>,
    ) -> Error {
        Error::Content {
            path: self.path.to_owned(),
            place: place.into(),
            expected: expected.into(),
            found: found.into(),
            repair: repair.into(),
        }
    }
}

/// How many bytes say what a file is.
const HEAD: u64 = 16;

/// The whole of the model file at a path. What is no model by its first bytes is not read further.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let mut file = open(path)?;
    let mut bytes = Vec::new();
    let head = (&mut file).take(HEAD).read_to_end(&mut bytes);
    head.map_err(|error| unreadable(path, error))?;
    Kind::of(&File::new(&bytes, path, None))?;
    rest(file, bytes, path)
}

/// The whole file at a path, whatever is in it.
#[cfg(feature = "safetensors")]
pub(crate) fn read_text(path: &Path) -> Result<Vec<u8>> {
    rest(open(path)?, Vec::new(), path)
}

/// A file that is one: to open a pipe waits for whoever writes into it, and a device may have no end.
fn open(path: &Path) -> Result<fs::File> {
    let found = fs::metadata(path).map_err(|error| unreadable(path, error))?;
    if !found.is_file() {
        let what = "the path is that of something else";
        let error = io::Error::new(io::ErrorKind::InvalidInput, what);
        return Err(Error::File {
            argument: "path",
            expected: "a file, not a folder, pipe or device",
            path: PathBuf::from(path),
            cause: Cause::new(error),
            repair: "name the model file; for bytes that come from elsewhere there is `Model::from_bytes`".to_owned(),
        });
    }
    fs::File::open(path).map_err(|error| unreadable(path, error))
}

/// What follows the bytes that were read, behind them.
fn rest(mut file: fs::File, mut bytes: Vec<u8>, path: &Path) -> Result<Vec<u8>> {
    let size = file.metadata().map_or(0, |found| found.len());
    let more = usize::try_from(size).unwrap_or(usize::MAX).saturating_sub(bytes.len());
    let room = bytes.try_reserve_exact(more).map_err(io::Error::other);
    room.and_then(|()| file.read_to_end(&mut bytes))
        .map_err(|error| unreadable(path, error))?;
    Ok(bytes)
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    Error::File {
        argument: "path",
        expected: "a model file that can be read",
        path: PathBuf::from(path),
        cause: Cause::new(error),
        repair: "name a file that is there and may be read".to_owned(),
    }
}
