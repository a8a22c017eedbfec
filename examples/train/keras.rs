//! What Keras gave: the training that `reference.py` made, in `reference.safetensors`.

use std::error::Error;

use cellstate::{Dense, Lstm, Model};
use ndarray::{Array1, Array2, Ix1, Ix2};
use safetensors::{Dtype, SafeTensors};

use crate::stretches::Stretch;

const REFERENCE: &[u8] = include_bytes!("reference.safetensors");

/// Two trainings of Keras.
pub(crate) struct Keras {
    file: SafeTensors<'static>,
    /// The stretches of the first, in their order.
    pub(crate) stretches: Vec<Stretch>,
    /// Its losses in float64, (epochs, batches).
    pub(crate) losses: Array2<f64>,
    /// Those in float32.
    pub(crate) losses_float32: Array2<f64>,
    /// The losses of all batches of the training of `examples/forecast/train.py`.
    pub(crate) forecast_losses: Array1<f64>,
}

impl Keras {
    pub(crate) fn read() -> Result<Self, Box<dyn Error>> {
        let file = SafeTensors::deserialize(REFERENCE)?;
        let stretches: Array2<f64> = numbers(&file, "stretches")?.into_dimensionality::<Ix2>()?;
        let stretches = stretches.rows().into_iter().map(|row| Stretch {
            start: row[0],
            pace: row[1],
            louder: row[2],
        });
        Ok(Self {
            stretches: stretches.collect(),
            losses: numbers(&file, "losses")?.into_dimensionality()?,
            losses_float32: numbers(&file, "losses_float32")?.into_dimensionality()?,
            forecast_losses: numbers(&file, "forecast_losses")?.into_dimensionality()?,
            file,
        })
    }

    /// The network with the weights that the first training began with.
    pub(crate) fn initial(&self) -> Result<Model, Box<dyn Error>> {
        let matrix = |name: &str| -> Result<Array2<f32>, Box<dyn Error>> {
            let values = numbers(&self.file, &format!("initial.{name}"))?.into_dimensionality::<Ix2>()?;
            Ok(values.mapv(|value| value as f32))
        };
        let vector = |name: &str| -> Result<Array1<f32>, Box<dyn Error>> {
            let values = numbers(&self.file, &format!("initial.{name}"))?.into_dimensionality::<Ix1>()?;
            Ok(values.mapv(|value| value as f32))
        };
        let (kernel, recurrent_kernel) = (matrix("lstm.kernel")?, matrix("lstm.recurrent_kernel")?);
        let lstm = Lstm::new(kernel.nrows(), recurrent_kernel.nrows()).return_sequences(true);
        let lstm = lstm.with_weights(kernel, recurrent_kernel, Some(vector("lstm.bias")?))?;
        let kernel = matrix("dense.kernel")?;
        let dense = Dense::new(kernel.nrows(), kernel.ncols());
        let dense = dense.with_weights(kernel, Some(vector("dense.bias")?))?;
        Ok(Model::builder().add(lstm).add(dense).build()?)
    }
}

/// A tensor of either width.
fn numbers(file: &SafeTensors<'_>, name: &str) -> Result<ndarray::ArrayD<f64>, Box<dyn Error>> {
    let tensor = file.tensor(name)?;
    let bytes = tensor.data();
    let values: Vec<f64> = match tensor.dtype() {
        Dtype::F64 => bytes
            .as_chunks()
            .0
            .iter()
            .map(|bytes| f64::from_le_bytes(*bytes))
            .collect(),
        Dtype::F32 => bytes
            .as_chunks()
            .0
            .iter()
            .map(|bytes| f64::from(f32::from_le_bytes(*bytes)))
            .collect(),
        other => return Err(format!("{name}: expected F32 or F64, got {other:?}").into()),
    };
    Ok(ndarray::ArrayD::from_shape_vec(tensor.shape().to_vec(), values)?)
}
