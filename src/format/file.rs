//! A file that is read, and the errors that name it.

use std::path::{Path, PathBuf};

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

/// The whole file at a path.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Error::File {
        argument: "path",
        expected: "a model file that can be read",
        path: PathBuf::from(path),
        cause: Cause::new(error),
        repair: "name a file that is there and may be read".to_owned(),
    })
}
