//! The zip: its members as slices of the file where they are stored, as PyTorch does, else decompressed within bounds.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::error::Result;
use crate::format::file::File;
use crate::format::members::Members;

/// What repairs a file that is damaged.
const REPAIR: &str = "copy the file again, or save it again with `torch.save`, which compresses nothing";

pub(super) struct Archive<'a> {
    /// By name, without the folder that PyTorch puts before all of them.
    members: HashMap<String, Cow<'a, [u8]>>,
    pub(super) big_endian: bool,
}

impl<'a> Archive<'a> {
    pub(super) fn read(file: &File<'a>) -> Result<Self> {
        let mut zip = Members::open(file, REPAIR)?;
        let mut members = HashMap::new();
        let mut folder = None;
        for number in 0..zip.count() {
            let (name, stored) = zip.stored(number)?;
            let bytes = match stored {
                Some(bytes) => Cow::Borrowed(bytes),
                None => Cow::Owned(zip.read(number, &name, u64::MAX)?),
            };
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
