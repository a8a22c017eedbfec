//! The files of Keras: `.keras`, `.weights.h5` and legacy `.h5`.

use super::file::File;
use crate::error::{Error, Result};
use crate::model::Model;

fn not_yet(file: &File<'_>) -> Error {
    file.content("byte 0", "another format", "this one", "wait")
}

pub(crate) fn model_of_archive(file: &File<'_>) -> Result<Model> {
    Err(not_yet(file))
}

pub(crate) fn model_of_hdf5(file: &File<'_>) -> Result<Model> {
    Err(not_yet(file))
}

pub(crate) fn weights_of_archive(file: &File<'_>, _model: &mut Model) -> Result<()> {
    Err(not_yet(file))
}

pub(crate) fn weights_of_hdf5(file: &File<'_>, _model: &mut Model) -> Result<()> {
    Err(not_yet(file))
}

/// The model as the bytes of a file.
pub(crate) fn archive_of(_model: &Model) -> Result<Vec<u8>> {
    Err(Error::Unsupported {
        layer: "Model".to_owned(),
        option: "this format".to_owned(),
        instead: "another one".to_owned(),
    })
}

/// The model as the bytes of a file.
pub(crate) fn weights_of(_model: &Model) -> Result<Vec<u8>> {
    Err(Error::Unsupported {
        layer: "Model".to_owned(),
        option: "this format".to_owned(),
        instead: "another one".to_owned(),
    })
}
