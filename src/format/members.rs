//! The members of a zip, as `.keras` and `.pt` files are: never more bytes of them than could be in the file.

use std::io::{Cursor, ErrorKind, Read};

#[cfg(feature = "pytorch")]
use zip::CompressionMethod;
use zip::ZipArchive;
use zip::result::ZipError;

use super::bound::most_bytes;
use super::file::File;
use crate::error::{Error, Result};
use crate::memory::FILE;

/// The members of a file that is a zip, by number.
pub(crate) struct Members<'a> {
    file: File<'a>,
    zip: ZipArchive<Cursor<&'a [u8]>>,
    /// How many bytes the members may still have when they are read.
    left: u64,
    /// What repairs a file that is damaged.
    repair: &'static str,
}

impl<'a> Members<'a> {
    pub(crate) fn open(file: &File<'a>, repair: &'static str) -> Result<Self> {
        let zip = ZipArchive::new(Cursor::new(file.bytes))
            .map_err(|error| file.content("the zip's directory", "a whole zip archive", error.to_string(), repair))?;
        if zip.has_duplicate_names() {
            return Err(file.content(
                "the zip's directory",
                "one member of each name",
                "several of one name, of which readers would take different ones",
                repair,
            ));
        }
        Ok(Self {
            file: *file,
            zip,
            left: most_bytes(file.bytes.len()),
            repair,
        })
    }

    /// How many there are.
    #[cfg(feature = "pytorch")]
    pub(crate) fn count(&self) -> usize {
        self.zip.len()
    }

    /// The number of the member with this name.
    #[cfg(feature = "keras")]
    pub(crate) fn of_name(&self, name: &str) -> Option<usize> {
        self.zip.index_for_name(name)
    }

    /// The names of the first members.
    #[cfg(feature = "keras")]
    pub(crate) fn names(&self, most: usize) -> Vec<String> {
        let names = self.zip.file_names().filter_map(std::result::Result::ok);
        names.take(most).map(std::borrow::Cow::into_owned).collect()
    }

    /// The name of a member, and its bytes where they stand in the file as they are. Their checksum is not looked at: PyTorch may leave it out.
    #[cfg(feature = "pytorch")]
    pub(crate) fn stored(&mut self, number: usize) -> Result<(String, Option<&'a [u8]>)> {
        let (file, repair) = (self.file, self.repair);
        let member = self.zip.by_index(number);
        let member = member.map_err(|error| damaged(&file, "the zip", &error, repair))?;
        let name = member.name();
        let name = name.map_err(|error| damaged(&file, "the zip", &error, repair))?;
        let name = name.into_owned();
        if member.compression() != CompressionMethod::Stored {
            return Ok((name, None));
        }
        let size = member.size();
        let begin = member.data_start().and_then(|begin| usize::try_from(begin).ok());
        let end = begin.and_then(|begin| begin.checked_add(usize::try_from(size).ok()?));
        let bytes = begin.zip(end).and_then(|(begin, end)| file.bytes.get(begin..end));
        match bytes {
            Some(bytes) => Ok((name, Some(bytes))),
            None => Err(too_long(&file, &name, size, file.bytes.len() as u64, repair)),
        }
    }

    /// The bytes of a member, of which there are no more than `most`, with the right checksum. `name` is what messages call it.
    pub(crate) fn read(&mut self, number: usize, name: &str, most: u64) -> Result<Vec<u8>> {
        let (file, repair, left) = (self.file, self.repair, self.left.min(most));
        let member = self.zip.by_index(number);
        let member = member.map_err(|error| damaged(&file, name, &error, repair))?;
        let declared = member.size();
        if declared > left {
            return Err(too_long(&file, name, declared, left, repair));
        }
        let mut bytes = Vec::new();
        // one byte more tells a member that is longer than it says
        let read = member.take(declared.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|error| match error.kind() {
            ErrorKind::OutOfMemory => FILE.too_large::<u8>(usize::try_from(declared).unwrap_or(usize::MAX)),
            _ => damaged(&file, name, &ZipError::Io(error), repair),
        })?;
        if bytes.len() as u64 != declared {
            return Err(file.content(
                shortened(name),
                format!("{declared} bytes, as the zip's directory says"),
                match bytes.len() as u64 > declared {
                    true => "more".to_owned(),
                    false => format!("{} bytes", bytes.len()),
                },
                repair,
            ));
        }
        self.left = self.left.saturating_sub(declared);
        Ok(bytes)
    }
}

/// A name of a hostile file may be as long as the file.
fn shortened(name: &str) -> String {
    name.chars().take(100).collect()
}

fn too_long(file: &File<'_>, name: &str, size: u64, most: u64, repair: &str) -> Error {
    file.content(
        shortened(name),
        format!("at most {most} bytes, for the file has {}", file.bytes.len()),
        format!("{size} bytes, as the zip's directory says"),
        repair,
    )
}

fn damaged(file: &File<'_>, name: &str, error: &ZipError, repair: &str) -> Error {
    file.content(
        shortened(name),
        "a stored or deflated member of the zip",
        error.to_string(),
        repair,
    )
}
