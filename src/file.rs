//! How files of our own are read, up to a length, and written, as a whole.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// What a file has; nothing if there is none. One that is longer is refused.
#[cfg_attr(target_arch = "wasm32", allow(dead_code, reason = "a browser has no files"))]
pub(crate) fn read(path: &Path, longest: u64) -> io::Result<Vec<u8>> {
    match open(path).and_then(|file| read_opened(file, longest)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

/// What an opened file has. One that is longer is refused.
#[cfg_attr(target_arch = "wasm32", allow(dead_code, reason = "a browser has no files"))]
pub(crate) fn read_opened(file: File, longest: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(longest + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 <= longest {
        true => Ok(bytes),
        false => Err(io::Error::other(format!("it is longer than {longest} bytes"))),
    }
}

/// Opens a file that is one: to open a pipe waits for whoever writes into it, and a device may have no end.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    match fs::metadata(path)?.is_file() {
        true => File::open(path),
        false => Err(io::Error::new(
            ErrorKind::InvalidInput,
            "it is a folder, a pipe or a device, and no file",
        )),
    }
}

/// Puts a file in the place of what is there: the bytes are written beside it, brought to the disk and then renamed, so that nobody ever reads
/// half a file, not even where the power has failed.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // a link stays one
    let target = match fs::canonicalize(path) {
        Ok(target) => target,
        Err(error) if error.kind() == ErrorKind::NotFound => end_of_links(path),
        Err(error) => return Err(error),
    };
    if let Ok(found) = fs::metadata(&target) {
        // a rename would not ask
        if found.permissions().readonly() {
            return Err(ErrorKind::PermissionDenied.into());
        }
        if !found.is_file() {
            let what = "what is there is no file";
            return Err(io::Error::new(ErrorKind::AlreadyExists, what));
        }
    }
    let beside = beside(&target)?;
    let written = File::create_new(&beside)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&beside, &target));
    if written.is_err() {
        let _ = fs::remove_file(&beside); // the first error is the one to report
    }
    written
}

/// Where links lead to whose end does not exist yet; there is no loop of them.
fn end_of_links(path: &Path) -> PathBuf {
    const MOST_LINKS: usize = 64;
    let next = |link: &PathBuf| {
        let next = fs::read_link(link).ok()?;
        Some(link.parent().map_or_else(|| next.clone(), |folder| folder.join(&next)))
    };
    let links = std::iter::successors(Some(path.to_owned()), next);
    links.take(MOST_LINKS).last().unwrap_or_else(|| path.to_owned())
}

/// A name in the same folder that nobody else takes.
fn beside(path: &Path) -> io::Result<PathBuf> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
    let mut new = name.to_owned();
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    new.push(format!(".{}-{number}.new", std::process::id()));
    Ok(path.with_file_name(new))
}
