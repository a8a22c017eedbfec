//! A stack of a known size, for a reader that calls itself once for each level of what is nested in a file.

#[cfg(not(target_arch = "wasm32"))]
use crate::error::Error;
use crate::error::Result;
use crate::format::file::File;

/// A type within a type takes eight bytes of a message of 64 KiB, so that thousands of levels fit into a small file. A thread of a program may
/// have little stack left. Only what is used of this one is ever taken from the system.
#[cfg(not(target_arch = "wasm32"))]
const STACK: usize = 64 << 20;

/// Runs a reader on a stack that no file can exhaust. If the reader panics, that is an error.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn on_deep_stack<T: Send>(file: &File<'_>, read: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("cellstate-hdf5".to_owned())
            .stack_size(STACK);
        let running = thread.spawn_scoped(scope, read).map_err(|_| Error::Memory {
            what: "the stack of the thread that reads HDF5",
            shape: vec![STACK],
            bytes: STACK as u64,
            repair: "close other programs, or allow this one more threads".to_owned(),
        })?;
        running.join().unwrap_or_else(|_| {
            Err(file.content(
                "HDF5",
                "HDF5 as h5py writes it",
                "contents that the reader fails on",
                "check that the file is whole, or save the model again with Keras",
            ))
        })
    })
}

/// A browser's wasm has one thread and checks its stack itself.
#[cfg(target_arch = "wasm32")]
pub(super) fn on_deep_stack<T: Send>(_: &File<'_>, read: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    read()
}
