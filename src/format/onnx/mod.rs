//! ONNX models.

use super::file::File;
use crate::error::{Error, Result};
use crate::model::Model;

fn not_yet(file: &File<'_>) -> Error {
    file.content("byte 0", "another format", "this one", "wait")
}

pub(crate) fn model(file: &File<'_>) -> Result<Model> {
    Err(not_yet(file))
}

pub(crate) fn weights(file: &File<'_>, _model: &mut Model) -> Result<()> {
    Err(not_yet(file))
}

/// The model as the bytes of a file.
pub(crate) fn bytes_of(_model: &Model) -> Result<Vec<u8>> {
    Err(Error::Unsupported {
        layer: "Model".to_owned(),
        option: "this format".to_owned(),
        instead: "another one".to_owned(),
    })
}
