//! The zip: its members as slices of the file where they are stored, as PyTorch does, else decompressed within bounds.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{Cursor, Read};

use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use crate::error::{Error, Result};
use crate::format::file::File;

/// How much all compressed members may come to, as a multiple of the file, and what they may have in any case.
const MOST_TIMES: u64 = 64;
const MOST_AT_LEAST: u64 = 1 << 20;

pub(super) struct Archive<'a> {
    /// By name, without the folder that PyTorch puts before all of them.
    members: HashMap<String, Cow<'a, [u8]>>,
    pub(super) big_endian: bool,
}

impl<'a> Archive<'a> {
    pub(super) fn read(file: &File<'a>) -> Result<Self> {
        let mut archive = ZipArchive::new(Cursor::new(file.bytes)).map_err(|error| damaged(file, &error))?;
        if archive.has_duplicate_names() {
            return Err(file.content(
                "the directory of the zip",
                "a name for each member",
                "two members of one name",
                "save the file again with `torch.save`",
            ));
        }
        let mut members = HashMap::new();
        let mut left = (file.bytes.len() as u64).saturating_mul(MOST_TIMES).max(MOST_AT_LEAST);
        let mut folder = None;
        for index in 0..archive.len() {
            let (name, bytes) = member(&mut archive, index, file, &mut left)?;
            if let Some(before) = name.strip_suffix("data.pkl") {
                folder.get_or_insert_with(|| before.to_owned());
            }
            members.insert(name, bytes);
        }
        let folder = folder.unwrap_or_default();
        let members = members.into_iter();
        let within = members.filter_map(|(name, bytes)| Some((name.strip_prefix(folder.as_str())?.to_owned(), bytes)));
        let mut archive = Self {
            members: within.collect(),
            big_endian: false,
        };
        archive.big_endian = archive.is_big_endian(file)?;
        archive.check_version(file)?;
        Ok(archive)
    }

    /// The bytes of a member.
    pub(super) fn member(&self, name: &str, file: &File<'_>) -> Result<&[u8]> {
        match self.members.get(name) {
            Some(bytes) => Ok(bytes),
            None => Err(file.content(
                format!("member {}", name.chars().take(100).collect::<String>()),
                "a member of the zip",
                "none of this name",
                "copy or save the file again; it is damaged",
            )),
        }
    }

    fn is_big_endian(&self, file: &File<'_>) -> Result<bool> {
        match self.members.get("byteorder").map(Cow::as_ref) {
            None | Some(b"little") => Ok(false), // PyTorch before 2.1 wrote none, and only little
            Some(b"big") => Ok(true),
            Some(other) => Err(file.content(
                "member byteorder",
                "little or big",
                shortened(other),
                "save the file again with `torch.save`",
            )),
        }
    }

    fn check_version(&self, file: &File<'_>) -> Result<()> {
        const LAST: u32 = 10; // what PyTorch 2 reads
        let Some(version) = self.members.get("version") else {
            return Ok(());
        };
        let number = std::str::from_utf8(version)
            .ok()
            .and_then(|text| text.trim().parse::<u32>().ok());
        match number.filter(|number| *number <= LAST) {
            Some(_) => Ok(()),
            None => Err(file.content(
                "member version",
                format!("a version up to {LAST}"),
                shortened(version),
                "save the file again with an earlier version of PyTorch",
            )),
        }
    }
}

fn shortened(bytes: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(bytes).chars().take(40).collect();
    format!("{text:?}")
}

type Named<'a> = (String, Cow<'a, [u8]>);

/// A member with its name; `left` is what may still be decompressed.
fn member<'a>(
    archive: &mut ZipArchive<Cursor<&'a [u8]>>,
    index: usize,
    file: &File<'a>,
    left: &mut u64,
) -> Result<Named<'a>> {
    let mut member = archive.by_index(index).map_err(|error| damaged(file, &error))?;
    let name = member.name().map_err(|error| damaged(file, &error))?.into_owned();
    let size = member.size();
    if member.compression() == CompressionMethod::Stored {
        let begin = member.data_start().and_then(|begin| usize::try_from(begin).ok());
        let end = begin.and_then(|begin| begin.checked_add(usize::try_from(size).ok()?));
        let bytes = begin.zip(end).and_then(|(begin, end)| file.bytes.get(begin..end));
        return match bytes {
            Some(bytes) => Ok((name, Cow::Borrowed(bytes))),
            None => Err(too_long(file, &name, size, file.bytes.len() as u64)),
        };
    }
    if size > *left {
        return Err(too_long(file, &name, size, *left));
    }
    let mut bytes = Vec::new();
    // one byte more tells a member that is longer than it says
    let read = (&mut member).take(size.saturating_add(1)).read_to_end(&mut bytes);
    match read {
        Ok(read) if read as u64 == size => {
            *left -= size;
            Ok((name, Cow::Owned(bytes)))
        }
        Ok(read) => Err(too_long(file, &name, read as u64, size)),
        Err(error) => Err(damaged(file, &ZipError::Io(error))),
    }
}

fn too_long(file: &File<'_>, name: &str, size: u64, most: u64) -> Error {
    file.content(
        format!("member {}", name.chars().take(100).collect::<String>()),
        format!("at most {most} bytes"),
        format!("{size} bytes"),
        "save the file again with `torch.save`, which compresses nothing; it may be damaged",
    )
}

fn damaged(file: &File<'_>, error: &ZipError) -> Error {
    file.content(
        "the zip",
        "a whole archive of PyTorch",
        error.to_string(),
        "copy or save the file again; it is cut off or damaged",
    )
}
