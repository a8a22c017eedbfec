//! The network that `train.py` trained, and what Keras gives for the sunspots.

use std::error::Error;
use std::path::Path;

use cellstate::Model;
use ndarray::Array2;
use safetensors::{Dtype, SafeTensors};

use crate::history::Scaling;

const EXPECTED: &[u8] = include_bytes!("expected.safetensors");

/// The scaling that the network was trained with (`train.py`).
pub(crate) const SCALING: Scaling = Scaling {
    mean: 6.0,
    deviation: 4.0,
};

/// The trained network, as Keras saved it: a history of any length in, (batch, time_steps, 2); the 5 years after it out, (batch, 5).
pub(crate) fn model() -> cellstate::Result<Model> {
    Model::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/forecast/forecast.keras"))
}

/// What Keras gives for the batch that this example makes of the sunspots, (batch, 5), scaled.
pub(crate) fn keras_forecasts() -> Result<Array2<f32>, Box<dyn Error>> {
    matrix(&SafeTensors::deserialize(EXPECTED)?, "forecasts")
}

fn matrix(file: &SafeTensors<'_>, name: &str) -> Result<Array2<f32>, Box<dyn Error>> {
    let tensor = file.tensor(name)?;
    let (shape, dtype) = (tensor.shape(), tensor.dtype());
    let [rows, columns] = *shape else {
        return Err(format!("{name}: expected 2 axes, got shape {shape:?}").into());
    };
    if dtype != Dtype::F32 {
        return Err(format!("{name}: expected F32, got {dtype:?}").into());
    }
    let (numbers, _) = tensor.data().as_chunks::<4>();
    let values = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    Ok(Array2::from_shape_vec((rows, columns), values)?)
}
