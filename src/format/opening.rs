//! Files at paths, which may be anything.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::file::File;
use super::kind::Kind;
use crate::error::{Cause, Error, Result};
use crate::file;

/// How many bytes say what a file is.
const HEAD: u64 = 16;

/// The whole of the model file at a path. What is no model by its first bytes is not read further.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    read_as(path, Kind::of)
}

/// The whole of a file of tensors by name.
#[cfg(feature = "safetensors")]
pub(crate) fn read_tensors(path: &Path) -> Result<Vec<u8>> {
    read_as(path, |_| Ok(Kind::Safetensors))
}

fn read_as(path: &Path, kind: impl FnOnce(&File<'_>) -> Result<Kind>) -> Result<Vec<u8>> {
    let mut file = open(path)?;
    let size = file.metadata().map_or(0, |found| found.len());
    let mut bytes = Vec::new();
    let head = (&mut file).take(HEAD).read_to_end(&mut bytes);
    head.map_err(|error| unreadable(path, error))?;
    let begin = File::new(&bytes, path, None);
    kind(&begin)?.check_begin(&begin, size)?;
    rest(file, bytes, size, path)
}

/// The text of a file beside a model, or `None` if there is no such file.
#[cfg(feature = "safetensors")]
pub(crate) fn read_beside(path: &Path) -> Result<Option<Vec<u8>>> {
    /// A chain of as many layers as models have is far shorter.
    const LONGEST: u64 = 16 << 20;
    // a link that leads nowhere is there too
    if path
        .symlink_metadata()
        .is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    {
        return Ok(None);
    }
    let read = file::open(path).and_then(|opened| file::read_opened(opened, LONGEST));
    read.map(Some).map_err(|error| Error::File {
        argument: "path",
        expected: "a file that can be read, with the chain of layers of the weights beside it",
        path: PathBuf::from(path),
        cause: Cause::new(error),
        repair: "write the chain of layers there as JSON, or give what lies there another name".to_owned(),
    })
}

fn open(path: &Path) -> Result<fs::File> {
    file::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidInput => Error::File {
            argument: "path",
            expected: "a file, not a folder, pipe or device",
            path: PathBuf::from(path),
            cause: Cause::new(error),
            repair: "name the model file; for bytes that come from elsewhere there is `Model::from_bytes`".to_owned(),
        },
        _ => unreadable(path, error),
    })
}

/// What follows the bytes that were read, behind them.
fn rest(mut file: fs::File, mut bytes: Vec<u8>, size: u64, path: &Path) -> Result<Vec<u8>> {
    let more = usize::try_from(size).unwrap_or(usize::MAX).saturating_sub(bytes.len());
    let room = bytes.try_reserve_exact(more).map_err(io::Error::from);
    room.and_then(|()| file.read_to_end(&mut bytes))
        .map_err(|error| unreadable(path, error))?;
    Ok(bytes)
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    Error::File {
        argument: "path",
        expected: "a model file that can be read",
        path: PathBuf::from(path),
        repair: match error.kind() {
            io::ErrorKind::OutOfMemory => "read it on a machine with more memory",
            _ => "name a file that is there and may be read",
        }
        .to_owned(),
        cause: Cause::new(error),
    }
}
