//! The weights of a chain of layers by name, and what a plan takes of them.

use ndarray::{ArcArray2, Array1, Axis, Ix2};

use crate::cell::CellWeights;
use crate::error::{Error, Result};
use crate::layer::Layer;
use crate::layer::batch_normalization::{BatchNormalization, BatchNormalizationWeights};
use crate::layer::layer_normalization::LayerNormalizationWeights;
use crate::layer::recurrent::Recurrent;
use crate::layer::weights::DenseWeights;
use crate::model::paths::{direction_paths, inner_paths, paths, paths_within};
use crate::parameters::{Parameters, Role};

/// The weights of a checked chain of layers, by name: those that were given, the others drawn.
pub(crate) fn parameters_of(layers: &[Layer]) -> Result<Parameters> {
    let mut parameters = Parameters::default();
    let mut place = 0; // of the set of weights, from which it is drawn
    push_all(layers, paths(layers).into_iter(), &mut place, &mut parameters)?;
    Ok(parameters)
}

fn push_all(
    layers: &[Layer],
    paths: impl Iterator<Item = String>,
    place: &mut usize,
    parameters: &mut Parameters,
) -> Result<()> {
    for (layer, path) in layers.iter().zip(paths) {
        let mut push = |layer: &Recurrent, path: &str| -> Result<()> {
            layer.push_parameters(path, &layer.weights_at(*place)?, parameters);
            *place += 1;
            Ok(())
        };
        match layer {
            // the check of the chain allows none within another, so this calls itself once at most
            Layer::TimeDistributed(nested) => {
                let within: Vec<String> = paths_within(&path, nested.layers()).collect();
                push_all(nested.layers(), within.into_iter(), place, parameters)?;
            }
            Layer::Masking(_)
            | Layer::RepeatVector(_)
            | Layer::Activation(_)
            | Layer::Dropout(_)
            | Layer::Flatten(_)
            | Layer::Reshape(_)
            | Layer::LastStep(_)
            | Layer::EndMask(_) => {}
            Layer::BatchNormalization(layer) => push_vectors(&path, vectors_of(layer)?, parameters),
            Layer::LayerNormalization(layer) => {
                let LayerNormalizationWeights { gamma, beta } = layer.weights()?;
                push_vectors(&path, [gamma, beta, None, None], parameters);
            }
            Layer::Recurrent(layer) => push(layer, &path)?,
            Layer::StackedRnnCells(stack) => {
                for (cell, path) in stack.cells().iter().zip(inner_paths(&path)) {
                    push(cell, &path)?;
                }
            }
            Layer::Bidirectional(layer) => {
                let [forward, backward] = direction_paths(&path);
                push(layer.forward(), &forward)?;
                push(layer.backward(), &backward)?;
            }
            Layer::Embedding(embedding) => {
                let table = embedding.embeddings_at(*place)?.into_shared().into_dyn();
                parameters.push(format!("{path}/{}", Role::Embeddings), Role::Embeddings, table);
                *place += 1;
            }
            Layer::Dense(dense) => {
                push_dense(&path, dense.weights_at(*place)?, parameters);
                *place += 1;
            }
        }
    }
    Ok(())
}

/// Gamma, beta, mean and variance, those that a layer has.
fn vectors_of(layer: &BatchNormalization) -> Result<[Option<Array1<f32>>; 4]> {
    let BatchNormalizationWeights {
        gamma,
        beta,
        moving_mean,
        moving_variance,
    } = layer.weights()?;
    Ok([gamma, beta, Some(moving_mean), Some(moving_variance)])
}

fn push_dense(path: &str, weights: DenseWeights, parameters: &mut Parameters) {
    let kernel = weights.kernel.into_shared().into_dyn();
    parameters.push(format!("{path}/{}", Role::Kernel), Role::Kernel, kernel);
    if let Some(bias) = weights.bias {
        let bias = bias.into_shared().into_dyn();
        parameters.push(format!("{path}/{}", Role::Bias), Role::Bias, bias);
    }
}

/// The same under the path of the layer.
fn push_vectors(path: &str, vectors: [Option<Array1<f32>>; 4], parameters: &mut Parameters) {
    let roles = [Role::Gamma, Role::Beta, Role::MovingMean, Role::MovingVariance];
    for (role, values) in roles.into_iter().zip(vectors) {
        if let Some(values) = values {
            parameters.push(format!("{path}/{role}"), role, values.into_shared().into_dyn());
        }
    }
}

/// The weights of a cell by its path.
pub(crate) fn cell_weights(parameters: &Parameters, path: &str) -> Result<CellWeights> {
    Ok(CellWeights {
        kernel: matrix(parameters, path, Role::Kernel)?,
        recurrent_kernel: matrix(parameters, path, Role::RecurrentKernel)?,
        bias: optional(parameters, path, Role::Bias)?,
        peepholes: optional(parameters, path, Role::Peepholes)?,
        projection: optional(parameters, path, Role::Projection)?,
    })
}

/// A weight that is a matrix.
pub(super) fn matrix(parameters: &Parameters, path: &str, role: Role) -> Result<ArcArray2<f32>> {
    let parameter = parameters.get(&format!("{path}/{role}"))?;
    let values = parameter.shared().clone().into_dimensionality::<Ix2>();
    values.map_err(|_| Error::defect("the shape of a parameter"))
}

/// A weight that a layer need not have, as a matrix; a bias of one row is kept without its first axis.
pub(super) fn optional(parameters: &Parameters, path: &str, role: Role) -> Result<Option<ArcArray2<f32>>> {
    let Some(parameter) = parameters.find(&format!("{path}/{role}")) else {
        return Ok(None);
    };
    let values = parameter.shared().clone();
    let values = match values.ndim() {
        1 => values.insert_axis(Axis(0)),
        _ => values,
    };
    let values = values.into_dimensionality::<Ix2>();
    values.map(Some).map_err(|_| Error::defect("the shape of a parameter"))
}

/// The one row of a bias.
pub(super) fn row(bias: &ArcArray2<f32>) -> Array1<f32> {
    bias.row(0).to_owned()
}
