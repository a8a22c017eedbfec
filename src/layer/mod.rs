//! The layers: what is computed. Each is a value with Keras's options; a [`Model`](crate::Model) is a chain of them.

mod affine;
pub(crate) mod batch_normalization;
pub(crate) mod bidirectional;
mod builder;
pub(crate) mod dense;
pub(crate) mod dropout;
pub(crate) mod embedding;
pub(crate) mod end_mask;
pub(crate) mod flatten;
pub(crate) mod gru;
pub(crate) mod initializer;
pub(crate) mod last_step;
pub(crate) mod layer_normalization;
pub(crate) mod lstm;
pub(crate) mod masking;
pub(crate) mod recurrent;
pub(crate) mod repeat_vector;
pub(crate) mod reshape;
pub(crate) mod shape;
pub(crate) mod simple_rnn;
pub(crate) mod size;
pub(crate) mod stacked;
pub(crate) mod weights;

use crate::activation::Activation;
use batch_normalization::BatchNormalization;
use bidirectional::Bidirectional;
use dense::Dense;
use dropout::Dropout;
use embedding::Embedding;
use end_mask::EndMask;
use flatten::Flatten;
use last_step::LastStep;
use layer_normalization::LayerNormalization;
use masking::Masking;
use recurrent::Recurrent;
use repeat_vector::RepeatVector;
use reshape::Reshape;
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
    /// An activation by itself, on every step.
    Activation(Activation),
    /// What only training does.
    Dropout(Dropout),
    /// Each feature brought to mean 0 and variance 1 by what training has seen.
    BatchNormalization(BatchNormalization),
    /// Each row brought to mean 0 and variance 1.
    LayerNormalization(LayerNormalization),
    /// All time steps of a sequence in one row.
    Flatten(Flatten),
    /// The same values in other time steps.
    Reshape(Reshape),
    /// The last time step of each sequence.
    LastStep(LastStep),
    /// No mask from here on.
    EndMask(EndMask),
    /// Layers that run over a sequence within each time step.
    TimeDistributed(TimeDistributed),
}

/// Layers that run over a sequence within each time step, as `keras.layers.TimeDistributed` around a recurrent layer (Keras 3.15): the
/// characters of each word of a text, the readings of each day of a year.
///
/// The input of the model is (batch, time_steps, inner_time_steps, features), or tokens (batch, time_steps, inner_time_steps):
/// [`Sequences::nested`](crate::Sequences::nested) and [`Sequences::nested_tokens`](crate::Sequences::nested_tokens). Every inner sequence is run by
/// itself and begins at zero, and the one value that comes out of it is the time step of the outer sequence: (batch, time_steps, units).
///
/// The layer stands first, for nothing gives four axes but the input. The inner layers have a mask of their own, that of the inner steps, which
/// ends with them. The mask of the outer steps goes on behind. An outer step that it leaves out costs nothing: its inner sequence counts as
/// one without steps, from which a recurrent layer gives zeros; a `Masking` or `mask_zero` within makes a mask anew, as everywhere. An inner
/// mask says nothing about outer steps: a `Masking` layer behind leaves those out that are zeros. A `Dense` layer needs no wrapper: it is applied to each time step anyway.
///
/// The states of inner layers end with each inner sequence, so [`States`](crate::States) has none of them.
///
/// ```
/// use cellstate::{Bidirectional, Dense, Device, Embedding, Lstm, Model, Sequences, TimeDistributed};
/// use ndarray::Array3;
///
/// // 3 texts of 7 words of 5 characters, the character 0 being padding
/// let characters = Array3::from_shape_fn((3, 7, 5), |(text, word, place)| (text + word + place) as i32 % 30);
/// let model = Model::builder()
///     .add(TimeDistributed::new(Embedding::new(30, 8).mask_zero(true)).add(Bidirectional::new(Lstm::new(8, 16))))
///     .add(Bidirectional::new(Lstm::new(32, 10).return_sequences(true)))
///     .add(Dense::new(20, 4))
///     .build()?;
/// let texts = Sequences::nested_tokens(&characters)?.with_lengths(&[7, 4, 6])?;
/// assert_eq!(model.on(&Device::cpu())?.run(&texts)?.sequences()?.dim(), (3, 7, 4));
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TimeDistributed {
    layers: Vec<Layer>,
}

impl TimeDistributed {
    /// Of one layer, to which [`add`](Self::add) adds others. Nothing is checked until the layer becomes part of a model.
    ///
    /// ```
    /// # use cellstate::{Device, Lstm, Model, Sequences, TimeDistributed};
    /// # use ndarray::Array4;
    /// let model = Model::builder().add(TimeDistributed::new(Lstm::new(2, 8))).build()?;
    /// let output = model.on(&Device::cpu())?.run(&Sequences::nested(Array4::zeros((3, 7, 5, 2)))?)?;
    /// assert_eq!(output.values().shape(), [3, 7, 8]);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn new(layer: impl Into<Layer>) -> Self {
        Self {
            layers: vec![layer.into()],
        }
    }

    /// Adds a layer behind those that are there. The last of them has to give one value for each inner sequence.
    ///
    /// ```
    /// # use cellstate::{Lstm, Masking, Model, TimeDistributed};
    /// assert!(Model::builder().add(TimeDistributed::new(Masking::new(0.0)).add(Lstm::new(2, 8))).build().is_ok());
    /// let every_step = TimeDistributed::new(Lstm::new(2, 8).return_sequences(true));
    /// assert!(Model::builder().add(every_step).build().is_err());
    /// ```
    #[allow(clippy::should_implement_trait, reason = "the name is that of a model's builder")]
    #[must_use]
    pub fn add(mut self, layer: impl Into<Layer>) -> Self {
        self.layers.push(layer.into());
        self
    }

    /// The inner layers, the one nearest to the input first.
    ///
    /// ```
    /// # use cellstate::{Embedding, Lstm, TimeDistributed};
    /// assert_eq!(TimeDistributed::new(Embedding::new(30, 8)).add(Lstm::new(8, 16)).layers().len(), 2);
    /// ```
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The same with layers in the place of those that are there, as many.
    #[allow(
        dead_code,
        reason = "only readers of files give weights, and each is behind a feature"
    )]
    pub(crate) fn with_layers(layers: Vec<Layer>) -> Self {
        Self { layers }
    }

    pub(crate) fn parameter_count(&self) -> usize {
        let counts = self.layers.iter().map(Layer::parameter_count);
        counts.fold(0, usize::saturating_add)
    }
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
            Self::Activation(_) => "Activation",
            Self::Dropout(layer) if layer.is_spatial() => "SpatialDropout1D",
            Self::Dropout(_) => "Dropout",
            Self::BatchNormalization(_) => "BatchNormalization",
            Self::LayerNormalization(_) => "LayerNormalization",
            Self::Flatten(_) => "Flatten",
            Self::Reshape(_) => "Reshape",
            Self::LastStep(_) => "LastStep",
            Self::EndMask(_) => "EndMask",
            Self::TimeDistributed(_) => "TimeDistributed",
        }
    }

    /// The number of values of the layer's weights, Keras's `count_params()`; of both directions, of all cells. The mean and the variance of a
    /// `BatchNormalization` are among them.
    ///
    /// ```
    /// # use cellstate::{Bidirectional, Layer, Lstm};
    /// let layer = Layer::from(Bidirectional::new(Lstm::new(2, 8)));
    /// assert_eq!(layer.parameter_count(), 2 * Lstm::new(2, 8).parameter_count());
    /// ```
    #[must_use]
    pub fn parameter_count(&self) -> usize {
        match self {
            Self::Masking(_)
            | Self::RepeatVector(_)
            | Self::Activation(_)
            | Self::Dropout(_)
            | Self::Flatten(_)
            | Self::Reshape(_)
            | Self::LastStep(_)
            | Self::EndMask(_) => 0,
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
            Self::BatchNormalization(layer) => layer.parameter_count(),
            Self::LayerNormalization(layer) => layer.parameter_count(),
            Self::TimeDistributed(layer) => layer.parameter_count(),
        }
    }

    /// The time steps that the layer reads at once, of one that reads all of a sequence.
    pub(crate) fn time_steps(&self) -> Option<usize> {
        match self {
            Self::Flatten(layer) => Some(layer.time_steps()),
            Self::Reshape(layer) => Some(layer.from_shape()[0]),
            _ => None,
        }
    }

    /// The number of features that the layer reads; `None` where it takes any number, or tokens.
    pub(crate) fn features(&self) -> Option<usize> {
        match self {
            Self::Masking(_)
            | Self::Embedding(_)
            | Self::RepeatVector(_)
            | Self::Activation(_)
            | Self::Dropout(_)
            | Self::LastStep(_)
            | Self::EndMask(_)
            | Self::TimeDistributed(_) => None,
            Self::Recurrent(layer) => Some(layer.features()),
            Self::Bidirectional(layer) => Some(layer.forward().features()),
            Self::StackedRnnCells(layer) => Some(layer.features()),
            Self::Dense(layer) => Some(layer.features()),
            Self::BatchNormalization(layer) => Some(layer.features()),
            Self::LayerNormalization(layer) => Some(layer.features()),
            Self::Flatten(layer) => Some(layer.features()),
            Self::Reshape(layer) => Some(layer.from_shape()[1]),
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
    Dense,
    Activation,
    Dropout,
    BatchNormalization,
    LayerNormalization,
    Flatten,
    Reshape,
    LastStep,
    EndMask,
    TimeDistributed
);
