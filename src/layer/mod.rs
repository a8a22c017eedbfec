//! The layers: what is computed. Each is a value with Keras's options; a [`Model`](crate::Model) is a chain of them.

pub mod bidirectional;
pub mod dense;
pub mod embedding;
pub(crate) mod half;
pub mod initializer;
pub mod lstm;
pub mod masking;
pub mod stacked;
pub mod weights;

use bidirectional::Bidirectional;
use dense::Dense;
use embedding::Embedding;
use lstm::Lstm;
use masking::Masking;
use stacked::StackedRnnCells;

use crate::error::{Error, Result};

/// One layer of a [`Model`](crate::Model). Each kind becomes one with [`From`], so that
/// [`ModelBuilder::add`](crate::ModelBuilder::add) takes them as they are.
///
/// ```
/// # use cellstate::{Dense, Layer, Lstm, Model};
/// let layers: Vec<Layer> = vec![Lstm::new(2, 8).into(), Dense::new(8, 1).into()];
/// let model = layers.into_iter().fold(Model::builder(), |builder, layer| builder.add(layer)).build()?;
/// assert!(matches!(model.layers(), [Layer::Lstm(_), Layer::Dense(_)]));
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
    /// Long short-term memory.
    Lstm(Lstm),
    /// Two LSTMs, one in each direction of time.
    Bidirectional(Bidirectional),
    /// Several LSTM cells that run as one layer.
    StackedRnnCells(StackedRnnCells),
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
            Self::Lstm(_) => "LSTM",
            Self::Bidirectional(_) => "Bidirectional",
            Self::StackedRnnCells(_) => "RNN(StackedRNNCells)",
            Self::Dense(_) => "Dense",
        }
    }

    /// The number of trained values of the layer, Keras's `count_params()`; of both directions, of all cells.
    ///
    /// ```
    /// # use cellstate::{Bidirectional, Layer, Lstm};
    /// let layer = Layer::from(Bidirectional::new(Lstm::new(2, 8)));
    /// assert_eq!(layer.parameters(), 2 * Lstm::new(2, 8).parameters());
    /// ```
    #[must_use]
    pub fn parameters(&self) -> usize {
        match self {
            Self::Masking(_) => 0,
            Self::Embedding(layer) => layer.parameters(),
            Self::Lstm(layer) => layer.parameters(),
            Self::Bidirectional(layer) => layer
                .forward()
                .parameters()
                .saturating_add(layer.backward().parameters()),
            Self::StackedRnnCells(layer) => layer
                .cells()
                .iter()
                .fold(0, |sum, cell| sum.saturating_add(cell.parameters())),
            Self::Dense(layer) => layer.parameters(),
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

layer_from!(Masking, Embedding, Lstm, Bidirectional, StackedRnnCells, Dense);

/// A size of a layer has to be at least one and small enough for the GPU's 32-bit numbers.
pub(crate) fn check_size(argument: &str, value: usize) -> Result<()> {
    const LARGEST: usize = 1 << 23;
    if (1..=LARGEST).contains(&value) {
        return Ok(());
    }
    Err(Error::Value {
        argument: argument.to_owned(),
        expected: format!("a number from 1 to {LARGEST}"),
        found: value.to_string(),
        repair: "give the layer its real size".to_owned(),
    })
}
