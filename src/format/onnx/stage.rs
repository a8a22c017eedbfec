//! The stages of the chain that a graph describes, before they become layers.

use std::sync::Arc;

use ndarray::{Array1, Array2};

use super::value::Data;
use crate::activation::Activation;
use crate::layer::batch_normalization::BatchNormalization;
use crate::layer::layer_normalization::LayerNormalization;
use crate::layer::recurrent::Recurrent;

/// One stage, with what it reads.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) kind: Kind,
    /// `None` for the input.
    pub(super) reads: Option<Data>,
    /// The node that made it, for messages.
    pub(super) node: usize,
}

#[derive(Debug)]
pub(super) enum Kind {
    Input,
    /// A table with a row for each token.
    Embedding(Array2<f32>),
    Recurrent(RecurrentNode),
    /// A product with a kernel, (features, units).
    Product(Array2<f32>),
    /// A product with a row, value by value.
    Scale(Array1<f32>),
    /// A sum with a row.
    Bias(Array1<f32>),
    Activation(Activation),
    BatchNormalization(BatchNormalization),
    LayerNormalization(LayerNormalization),
    /// The one value at so many time steps.
    Repeat(usize),
    /// So many time steps of so many features in one row.
    Flatten(usize, usize),
    /// Time steps and features, and what they become.
    Reshape([usize; 2], [usize; 2]),
}

/// A node LSTM, GRU or RNN.
#[derive(Debug)]
pub(super) struct RecurrentNode {
    /// One layer for each direction, without options of the sequence.
    pub(super) layers: Vec<Recurrent>,
    /// Whether the only one runs backwards.
    pub(super) reverse: bool,
    /// Whether the input's time runs the other way round than that of the layer before.
    pub(super) turned: bool,
    /// The input of the graph that gives lengths.
    pub(super) lengths: Option<Arc<str>>,
}

impl Kind {
    /// Whether every step is treated by itself, and as the others are.
    pub(super) fn is_stepwise(&self) -> bool {
        match self {
            Self::Embedding(_)
            | Self::Product(_)
            | Self::Scale(_)
            | Self::Bias(_)
            | Self::Activation(_)
            | Self::BatchNormalization(_)
            | Self::LayerNormalization(_) => true,
            Self::Input | Self::Recurrent(_) | Self::Repeat(_) | Self::Flatten(..) | Self::Reshape(..) => false,
        }
    }
}
