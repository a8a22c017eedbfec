//! The network that `train.py` trained, and what Keras gives for the sunspots.

use std::error::Error;

use cellstate::{Dense, Lstm, Model};
use ndarray::{Array1, Array2};
use safetensors::{Dtype, SafeTensors};

use crate::history::Scaling;

const WEIGHTS: &[u8] = include_bytes!("weights.safetensors");
const EXPECTED: &[u8] = include_bytes!("expected.safetensors");

/// The trained network, from arrays: for the page in a browser, which is smaller without the readers of files.
pub(crate) fn model() -> Result<Model, Box<dyn Error>> {
    let file = SafeTensors::deserialize(WEIGHTS)?;
    let kernel = matrix(&file, "lstm.kernel")?;
    let recurrent_kernel = matrix(&file, "lstm.recurrent_kernel")?;
    let (features, units) = (kernel.nrows(), recurrent_kernel.nrows());
    let lstm = Lstm::new(features, units).with_weights(kernel, recurrent_kernel, Some(vector(&file, "lstm.bias")?))?;
    let kernel = matrix(&file, "dense.kernel")?;
    let dense = Dense::new(kernel.nrows(), kernel.ncols()).with_weights(kernel, Some(vector(&file, "dense.bias")?))?;
    Ok(Model::builder().add(lstm).add(dense).build()?)
}

/// The scaling that it was trained with, from the file's metadata.
pub(crate) fn scaling() -> Result<Scaling, Box<dyn Error>> {
    let (_, header) = SafeTensors::read_metadata(WEIGHTS)?;
    let number = |name: &str| -> Result<f32, Box<dyn Error>> {
        let text = header.metadata().as_ref().and_then(|metadata| metadata.get(name));
        let text = text.ok_or_else(|| format!("weights.safetensors: expected {name} in the metadata, got none"))?;
        Ok(text.parse()?)
    };
    Ok(Scaling {
        mean: number("mean")?,
        deviation: number("deviation")?,
    })
}

/// What Keras gives for the batch that this example makes of the sunspots, (batch, 5), scaled.
pub(crate) fn keras_forecasts() -> Result<Array2<f32>, Box<dyn Error>> {
    matrix(&SafeTensors::deserialize(EXPECTED)?, "forecasts")
}

fn matrix(file: &SafeTensors<'_>, name: &str) -> Result<Array2<f32>, Box<dyn Error>> {
    let (shape, values) = tensor(file, name)?;
    let [rows, columns] = shape[..] else {
        return Err(format!("{name}: expected 2 axes, got shape {shape:?}").into());
    };
    Ok(Array2::from_shape_vec((rows, columns), values)?)
}

fn vector(file: &SafeTensors<'_>, name: &str) -> Result<Array1<f32>, Box<dyn Error>> {
    let (shape, values) = tensor(file, name)?;
    if shape.len() != 1 {
        return Err(format!("{name}: expected 1 axis, got shape {shape:?}").into());
    }
    Ok(Array1::from(values))
}

fn tensor(file: &SafeTensors<'_>, name: &str) -> Result<(Vec<usize>, Vec<f32>), Box<dyn Error>> {
    let tensor = file.tensor(name)?;
    if tensor.dtype() != Dtype::F32 {
        return Err(format!("{name}: expected F32, got {:?}", tensor.dtype()).into());
    }
    let (numbers, _) = tensor.data().as_chunks::<4>();
    Ok((
        tensor.shape().to_vec(),
        numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
    ))
}
