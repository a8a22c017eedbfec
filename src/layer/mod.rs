//! The layers: what is computed. Each is a value with Keras's options; a [`Model`](crate::Model) is a chain of them.

pub(crate) mod bidirectional;
mod builder;
pub(crate) mod dense;
pub(crate) mod embedding;
pub(crate) mod gru;
pub(crate) mod initializer;
pub(crate) mod lstm;
pub(crate) mod masking;
pub(crate) mod recurrent;
pub(crate) mod repeat_vector;
pub(crate) mod shape;
pub(crate) mod simple_rnn;
pub(crate) mod size;
pub(crate) mod stacked;
pub(crate) mod weights;

use bidirectional::Bidirectional;
use dense::Dense;
use embedding::Embedding;
use masking::Masking;
use recurrent::Recurrent;
use repeat_vector::RepeatVector;
use stacked::StackedRnnCells;

/// One layer of a [`Model`](crate::Model). Each kind becomes one with [`From`], so that
/// [`ModelBuilder::add`](crate::ModelBuilder::add) takes them as they are.
///
/// ```
/// # use cellstate::{Dense, Layer, Lstm, Model};
/// let layers: Vec<Layer> = vec![Lstm::new(2, 8).into(), Dense::new(8, 1).into()];
/// let model = layers.into_iter().fold(Model::builder(), |builder, layer| builder.add(layer)).build()?;
/// assert!(matches!(model.layers(), [Layer::Recurrent(_), Layer::Dense(_)]));
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[allow(
    clippy::large_enum_variant,
    reason = "a model has few layers, and a box would be in every user's way"
)]
pub enum Layer {
    /// Steps with a certain value do not count.
    Masking(Masking),
    /// A row of a table for each token.
    Embedding(Embedding),
    /// An LSTM, a GRU or a SimpleRNN.
    Recurrent(Recurrent),
    /// Two recurrent layers, one in each direction of time.
    Bidirectional(Bidirectional),
    /// Several cells that run as one layer.
    StackedRnnCells(StackedRnnCells),
    /// The last output, at every one of some time steps.
    RepeatVector(RepeatVector),
    /// A matrix product, a bias and an activation on every step.
    Dense(Dense),
}

impl Layer {
    /// The layer's class, by its name in Keras 3.15: what messages and the table of a model call it.
    ///
    /// ```
    /// # use cellstate::{Layer, Lstm};
    /// assert_eq!(Layer::from(Lstm::new(2, 8)).class(), "LSTM");
    /// ```
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::Masking(_) => "Masking",
            Self::Embedding(_) => "Embedding",
            Self::Recurrent(layer) => layer.class(),
            Self::Bidirectional(_) => "Bidirectional",
            Self::StackedRnnCells(_) => "RNN(StackedRNNCells)",
            Self::RepeatVector(_) => "RepeatVector",
            Self::Dense(_) => "Dense",
        }
    }

    /// The number of trained values of the layer, Keras's `count_params()`; of both directions, of all cells.
    ///
    /// ```
    /// # use cellstate::{Bidirectional, Layer, Lstm};
    /// let layer = Layer::from(Bidirectional::new(Lstm::new(2, 8)));
    /// assert_eq!(layer.parameter_count(), 2 * Lstm::new(2, 8).parameter_count());
    /// ```
    #[must_use]
    pub fn parameter_count(&self) -> usize {
        match self {
            Self::Masking(_) | Self::RepeatVector(_) => 0,
            Self::Embedding(layer) => layer.parameter_count(),
            Self::Recurrent(layer) => layer.parameter_count(),
            Self::Bidirectional(layer) => layer
                .forward()
                .parameter_count()
                .saturating_add(layer.backward().parameter_count()),
            Self::StackedRnnCells(layer) => layer
                .cells()
                .iter()
                .fold(0, |sum, cell| sum.saturating_add(cell.parameter_count())),
            Self::Dense(layer) => layer.parameter_count(),
        }
    }
}

macro_rules! layer_from {
    ($($kind:ident),*) => {$(
        impl From<$kind> for Layer {
            fn from(layer: $kind) -> Self {
                Self::$kind(layer)
            }
        }
    )*};
}

layer_from!(
    Masking,
    Embedding,
    Recurrent,
    Bidirectional,
    StackedRnnCells,
    RepeatVector,
    Dense
);
