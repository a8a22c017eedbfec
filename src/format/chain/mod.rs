//! A chain of layers as JSON: in the metadata of our own files, and beside the weights of others.
//!
//! ```json
//! {"cellstate": 1, "layers": [
//!     {"class": "Embedding", "input_dim": 100, "output_dim": 8, "mask_zero": true},
//!     {"class": "LSTM", "features": 8, "units": 16, "return_sequences": true},
//!     {"class": "Dense", "features": 16, "units": 3, "activation": "softmax"}
//! ]}
//! ```
//!
//! `cellstate` is the version of the format, 1. `layers` are the layers in their order, the one nearest to the input first. `class`
//! is what `Layer::class` gives, and the other names are those of the layer's options, with the values that they have where they are
//! left out. An option that is not known is an error, so that none is left out without a word.
//!
//! | class | needs | may have |
//! |---|---|---|
//! | `Masking` | | `mask_value` (0) |
//! | `Embedding` | `input_dim`, `output_dim` | `mask_zero` (false), `initializer`, `seed` |
//! | `LSTM` | `features`, `units` | `activation` (tanh), `recurrent_activation` (sigmoid), `output_activation` (as `activation`), `peepholes` (false), `clip`, `input_forget` (false), `projection`, `unit_forget_bias` (true); those of all recurrent layers |
//! | `GRU` | `features`, `units` | `activation` (tanh), `recurrent_activation` (sigmoid), `reset_after` (true), `clip`; those of all recurrent layers |
//! | `SimpleRNN` | `features`, `units` | `activation` (tanh), `clip`; those of all recurrent layers |
//! | `Bidirectional` | `forward` | `backward` (as `forward`), `merge_mode` (`concat`, or `sum`, `mul`, `ave`, `separate`) |
//! | `StackedRNNCells` | `cells` | those of the sequence |
//! | `RepeatVector` | `n` | |
//! | `Activation` | `activation` | |
//! | `Dropout`, `SpatialDropout1D` | `rate` | |
//! | `BatchNormalization`, `LayerNormalization` | `features` | `epsilon` (0.001), `scale` (true), `center` (true) |
//! | `Flatten` | `time_steps`, `features` | |
//! | `Reshape` | `from`, `to`: time steps and features | |
//! | `LastStep`, `EndMask` | | |
//! | `TimeDistributed` | `layers`: those that run within each time step | |
//! | `Dense` | `features`, `units` | `activation` (linear), `use_bias` (true), `kernel_initializer`, `bias_initializer`, `seed` |
//!
//! All recurrent layers may have those of the sequence, `return_sequences`, `return_state`, `go_backwards`, `zero_output_for_mask` and
//! `input_order` (all false), and `dropout` and `recurrent_dropout` (0), `use_bias` (true), `kernel_initializer`, `recurrent_initializer`, `bias_initializer` and `seed` (0). What is drawn changes
//! nothing where the weights are there.
//!
//! An activation is its name in Keras, or an object of `name`, `alpha` and `beta`: `{"name": "leaky_relu_with", "alpha": 0.01}`. An
//! initialiser is its name in Keras, or an object of `name` and what it has: `{"name": "constant", "value": 0.5}`. A number that JSON has
//! no word for is a text: `"inf"`, `"-inf"`.

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
