//! Networks: the example's, a larger one, and those of the reader's files.

use cellstate::{Dense, Lstm, Model};
use wasm_bindgen::prelude::*;

use crate::machine::Machine;
use crate::run::Prepared;
use crate::{trained, words};

/// A network on the host.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Network {
    model: Model,
    /// Whether it is the example's, whose forecasts Keras has made too.
    is_example: bool,
}

#[wasm_bindgen]
impl Network {
    /// The one that `examples/forecast/train.py` trained in Keras.
    pub fn example() -> Result<Self, JsError> {
        Ok(Self {
            model: trained::model().map_err(words)?,
            is_example: true,
        })
    }

    /// One that gives a GPU more to do: 128 units, of random weights.
    pub fn larger() -> Result<Self, JsError> {
        let layers = Model::builder().add(Lstm::new(8, 128)).add(Dense::new(128, 1));
        Ok(Self {
            model: layers.build().map_err(words)?,
            is_example: false,
        })
    }

    /// One of a file, by what its first bytes say it is.
    #[cfg(feature = "files")]
    #[wasm_bindgen(js_name = fromFile)]
    pub fn from_file(bytes: &[u8], name: &str) -> Result<Self, JsError> {
        Ok(Self {
            model: Model::from_bytes(bytes, name).map_err(words)?,
            is_example: false,
        })
    }

    /// The table of layers, shapes and parameters.
    #[wasm_bindgen(getter)]
    pub fn table(&self) -> String {
        self.model.to_string()
    }

    /// What the file left open, a sentence each.
    #[wasm_bindgen(getter)]
    pub fn notes(&self) -> Vec<String> {
        self.model.notes().to_vec()
    }

    /// Puts the weights on a device.
    pub async fn on(&self, machine: &Machine) -> Result<Prepared, JsError> {
        let runner = self.model.on_async(&machine.device).await.map_err(words)?;
        let tokens = self.model.layers().first().filter(|layer| layer.class() == "Embedding");
        let embeddings = self
            .model
            .parameters()
            .iter()
            .next()
            .map(|first| first.values().shape().to_vec());
        Ok(Prepared {
            runner,
            is_example: self.is_example,
            features: self.model.features(),
            tokens: tokens.and(embeddings).and_then(|shape| shape.first().copied()),
        })
    }
}
