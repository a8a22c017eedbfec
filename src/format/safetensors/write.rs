//! Writing: our own files, and state dicts for PyTorch.

use std::borrow::Cow;
use std::collections::HashMap;

use ndarray::ArrayViewD;
use safetensors::tensor::{Dtype, View, serialize};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::format::{chain, state_dict};
use crate::model::Model;

/// What stands in the metadata beside a chain whose weights have PyTorch's names: the names of the modules, in the order of the layers.
pub(super) const MODULES: &str = "cellstate_modules";

/// A model as the bytes of a file of ours: its parameters under their paths, and the chain in the metadata.
pub(crate) fn own(model: &Model) -> Result<Vec<u8>> {
    let parameters = model.parameters().iter();
    let tensors = parameters.map(|parameter| (parameter.path().to_owned(), parameter.values()));
    bytes(tensors.collect(), [(chain::KEY, chain::write(model.layers())?)])
}

/// A model as the bytes of a state dict of PyTorch, with the chain in the metadata.
pub(crate) fn modules(model: &Model, names: &[&str]) -> Result<Vec<u8>> {
    let tensors = state_dict::write::tensors(model, names)?;
    let views = tensors.iter().map(|(name, values)| (name.clone(), values.view()));
    let names = Value::from(names.to_vec()).to_string();
    bytes(
        views.collect(),
        [(chain::KEY, chain::write(model.layers())?), (MODULES, names)],
    )
}

/// A file of tensors with texts in its header.
pub(crate) fn bytes<const N: usize>(
    tensors: Vec<(String, ArrayViewD<'_, f32>)>,
    texts: [(&str, String); N],
) -> Result<Vec<u8>> {
    let texts: HashMap<String, String> = texts.into_iter().map(|(key, text)| (key.to_owned(), text)).collect();
    let tensors = tensors.into_iter().map(|(name, values)| (name, Numbers(values)));
    serialize(tensors, Some(texts)).map_err(|error| Error::Value {
        argument: "the model that is saved".to_owned(),
        expected: "parameters that a safetensors file can hold".to_owned(),
        found: error.to_string(),
        repair: "save a smaller model".to_owned(),
    })
}

/// The numbers of a tensor, row by row.
struct Numbers<'v>(ArrayViewD<'v, f32>);

impl View for Numbers<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        self.0.shape()
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match self.0.as_slice().filter(|_| cfg!(target_endian = "little")) {
            Some(slice) => Cow::Borrowed(bytemuck::cast_slice(slice)),
            None => self.0.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    }

    fn data_len(&self) -> usize {
        self.0.len() * size_of::<f32>()
    }
}
