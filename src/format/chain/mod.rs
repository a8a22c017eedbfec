#![doc = include_str!("../../../docs/chain.md")]

mod activation;
mod cell;
mod fields;
mod initializer;
mod layer;

use serde_json::{Value, json};

use crate::error::Result;
use crate::format::file::File;
use crate::layer::Layer;
use fields::Fields;

/// The version of the format.
const VERSION: u64 = 1;

/// What the versions stand under, and the metadata of our own files.
pub(crate) const KEY: &str = "cellstate";

/// A chain as JSON.
pub(crate) fn write(layers: &[Layer]) -> Result<String> {
    let layers = layers.iter().map(layer::write).collect::<Result<Vec<_>>>()?;
    Ok(json!({KEY: VERSION, "layers": layers}).to_string())
}

/// The layers of a chain, without weights.
pub(crate) fn read(text: &str, file: &File<'_>) -> Result<Vec<Layer>> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        file.content(
            "the chain of layers",
            "JSON with `cellstate` and `layers`",
            error.to_string(),
            "correct the JSON; `Model::save` writes it into its files",
        )
    })?;
    let mut fields = Fields::new(value, "the chain of layers".to_owned(), file)?;
    let version = fields.whole(KEY, None)?;
    if version != VERSION as usize {
        return Err(file.content(
            "the chain of layers",
            format!("version {VERSION} of the format"),
            format!("version {version}"),
            "read the file with the version of cellstate that wrote it, or a later one",
        ));
    }
    let layers = fields.list("layers")?;
    file.check_layers("the chain of layers", layers.len())?;
    fields.finish()?;
    let layers = layers.into_iter().enumerate();
    layers
        .map(|(position, value)| layer::read(value, format!("layer {position}"), file))
        .collect()
}
