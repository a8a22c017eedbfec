//! LayerNormalization and BatchNormalization.

use ndarray::{Array1, Ix1};

use super::node::{Node, in_node};
use super::operators::Inputs;
use super::reader::{Reader, Role};
use super::stage::Kind;
use super::value::{Axis, Data, Tokens, Value};
use crate::error::Result;
use crate::layer::batch_normalization::{BatchNormalization, BatchNormalizationWeights};
use crate::layer::layer_normalization::{LayerNormalization, LayerNormalizationWeights};

impl Reader<'_> {
    pub(super) fn layer_normalization(&mut self, node: &Node<'_>, inputs: Inputs<'_>) -> Result<Value> {
        node.only(&["axis", "epsilon", "stash_type"])?;
        let data = self.normalized(node, inputs)?;
        let axis = node.axis(node.int("axis")?.unwrap_or(-1), data.axes.len())?;
        if axis + 1 != data.axes.len() {
            return Err(node.no_chain("a normalization over more axes than the features"));
        }
        self.bind(node, data.axes.last().copied(), Role::Features)?;
        let gamma = self.row(node, node.input(inputs, 1)?, "the scale")?;
        let beta = match inputs.get(2) {
            Some(Some(value)) => Some(self.row(node, value, "the bias")?),
            _ => None,
        };
        let epsilon = node.float("epsilon")?.unwrap_or(1e-5);
        let layer = LayerNormalization::new(gamma.len()).epsilon(epsilon);
        let weights = LayerNormalizationWeights {
            gamma: Some(gamma),
            beta,
        };
        let layer = layer
            .with_weights_in(weights, node.file.range)
            .map_err(|error| in_node(node, error))?;
        let width = layer.features();
        let made = self.stepwise(node, Kind::LayerNormalization(layer), &data, width);
        Ok(Value::Data(with_features(made, axis)))
    }

    pub(super) fn batch_normalization(&mut self, node: &Node<'_>, inputs: Inputs<'_>) -> Result<Value> {
        node.only(&["epsilon", "momentum", "training_mode", "spatial"])?;
        if node.int("training_mode")?.unwrap_or(0) != 0 {
            return Err(node.unsupported("training_mode", "export the model for inference (`model.eval()`)"));
        }
        let data = self.normalized(node, inputs)?;
        // the channels stand behind the batch
        self.bind(node, data.axes.get(1).copied(), Role::Features)?;
        let mut row = |place: usize, name: &str| self.row(node, node.input(inputs, place)?, name);
        let (gamma, beta) = (row(1, "the scale")?, row(2, "the bias")?);
        let (moving_mean, moving_variance) = (row(3, "the mean")?, row(4, "the variance")?);
        let epsilon = node.float("epsilon")?.unwrap_or(1e-5);
        let momentum = node.float("momentum")?.unwrap_or(0.9);
        let layer = BatchNormalization::new(gamma.len()).epsilon(epsilon).momentum(momentum);
        let weights = BatchNormalizationWeights {
            gamma: Some(gamma),
            beta: Some(beta),
            moving_mean,
            moving_variance,
        };
        let layer = layer
            .with_weights_in(weights, node.file.range)
            .map_err(|error| in_node(node, error))?;
        let width = layer.features();
        let made = self.stepwise(node, Kind::BatchNormalization(layer), &data, width);
        Ok(Value::Data(with_features(made, 1)))
    }

    fn normalized(&self, node: &Node<'_>, inputs: Inputs<'_>) -> Result<Data> {
        match node.input(inputs, 0)? {
            Value::Data(data) if !data.axes.contains(&Axis::Directions) && data.tokens == Tokens::No => {
                Ok(data.clone())
            }
            _ => Err(node.no_chain("a normalization of each direction by itself, or of constants")),
        }
    }

    fn row(&mut self, node: &Node<'_>, value: &Value, what: &str) -> Result<Array1<f32>> {
        let values = self.floats(node, value, what)?;
        let row = values.into_dimensionality::<Ix1>();
        let row = row.map_err(|_| node.no_chain(format!("{what} of more than one axis")))?;
        self.take_room(node, row.len())?;
        Ok(row.into_owned())
    }
}

/// The input's axis of features is that of the stage now.
fn with_features(data: Data, axis: usize) -> Data {
    let mut axes = data.axes.clone();
    if let Some(place) = axes.get_mut(axis) {
        *place = Axis::Features;
    }
    data.with_axes(axes)
}
