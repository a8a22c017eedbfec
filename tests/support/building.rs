//! Builds the library's models from plain data.

use cellstate::{
    Activation, BatchNormalization, BatchNormalizationWeights, Bidirectional, Dense, Dropout, Embedding, Flatten, Gru,
    GruWeights, LastStep, Layer, LayerNormalization, LayerNormalizationWeights, Lstm, LstmWeights, Masking, MergeMode,
    Model, Recurrent, RepeatVector, Reshape, Result, SimpleRnn, SimpleRnnWeights, StackedRnnCells,
};
use ndarray::{Array1, Axis};

use super::super::support::{
    cells::{CellSpec, LstmOptions, Rule},
    layers::{LayerSpec, Merge, RecurrentOptions},
};

/// The options of a sequence, on a layer of any class.
macro_rules! with_options {
    ($layer:expr, $options:expr) => {
        $layer
            .return_sequences($options.return_sequences)
            .return_state($options.return_state)
            .go_backwards($options.go_backwards)
            .zero_output_for_mask($options.zero_output_for_mask)
    };
}

/// The library's model of a chain of layers.
pub(crate) fn model(layers: &[LayerSpec]) -> Result<Model> {
    let mut builder = Model::builder();
    for layer in layers {
        builder = match layer {
            LayerSpec::Recurrent { cell, options } => builder.add(recurrent(cell, *options)?),
            LayerSpec::StackedCells { cells, options } => {
                let cell = |cell| recurrent(cell, RecurrentOptions::default());
                let cells = cells.iter().map(cell).collect::<Result<Vec<_>>>()?;
                builder.add(with_options!(StackedRnnCells::new(cells), options))
            }
            LayerSpec::Bidirectional {
                forward,
                backward,
                options,
                merge,
            } => builder.add(
                Bidirectional::new(recurrent(forward, *options)?)
                    .backward_layer(recurrent(backward, *options)?)
                    .merge_mode(match merge {
                        Merge::Concat => MergeMode::Concat,
                        Merge::Sum => MergeMode::Sum,
                        Merge::Multiply => MergeMode::Multiply,
                        Merge::Average => MergeMode::Average,
                        Merge::Separate => MergeMode::Separate,
                    }),
            ),
            LayerSpec::Masking { mask_value } => builder.add(Masking::new(*mask_value)),
            LayerSpec::RepeatVector { n } => builder.add(RepeatVector::new(*n)),
            LayerSpec::Embedding { embeddings, mask_zero } => builder.add(
                Embedding::new(embeddings.nrows(), embeddings.ncols())
                    .mask_zero(*mask_zero)
                    .with_embeddings(embeddings.clone())?,
            ),
            LayerSpec::Dense {
                kernel,
                bias,
                activation,
            } => builder.add(
                Dense::new(kernel.nrows(), kernel.ncols())
                    .activation(self::activation(activation)?)
                    .with_weights(kernel.clone(), bias.clone())?,
            ),
            other => builder.add(without_cells(other)?),
        };
    }
    builder.build()
}

/// What normalises, activates, or changes the shape.
fn without_cells(layer: &LayerSpec) -> Result<Layer> {
    Ok(match layer {
        LayerSpec::Activation { activation } => self::activation(activation)?.into(),
        LayerSpec::Dropout { rate, spatial } => Dropout::new(*rate).spatial(*spatial).into(),
        LayerSpec::BatchNormalization {
            gamma,
            beta,
            mean,
            variance,
            epsilon,
            momentum,
        } => {
            let weights = BatchNormalizationWeights {
                gamma: gamma.clone(),
                beta: beta.clone(),
                moving_mean: mean.clone(),
                moving_variance: variance.clone(),
            };
            let layer = BatchNormalization::new(mean.len())
                .epsilon(*epsilon)
                .momentum(*momentum);
            layer.with_weights(weights)?.into()
        }
        LayerSpec::LayerNormalization {
            features,
            gamma,
            beta,
            epsilon,
        } => {
            let (gamma, beta) = (gamma.clone(), beta.clone());
            let layer = LayerNormalization::new(*features).epsilon(*epsilon);
            layer.with_weights(LayerNormalizationWeights { gamma, beta })?.into()
        }
        LayerSpec::Reshape { from, to: Some(to) } => Reshape::new(*from, *to).into(),
        LayerSpec::Reshape {
            from: [steps, width],
            to: None,
        } => Flatten::new(*steps, *width).into(),
        LayerSpec::LastStep => LastStep::new().into(),
        other => panic!("{other:?} is made elsewhere"),
    })
}

/// A name of Keras, or one of ONNX with its alpha and beta.
fn activation(name: &str) -> Result<Activation> {
    match name.split_once('(') {
        None => Activation::from_name(name),
        Some((name, numbers)) => {
            let mut numbers = numbers.trim_end_matches(')').split(", ");
            let mut number = || numbers.next().and_then(|number| number.parse().ok());
            Activation::from_onnx(name, number(), number())
        }
    }
}

fn recurrent(cell: &CellSpec, options: RecurrentOptions) -> Result<Recurrent> {
    let (kernel, recurrent_kernel) = (cell.kernel.clone(), cell.recurrent_kernel.clone());
    let row = || -> Option<Array1<f32>> { cell.bias.as_ref().map(|bias| bias.index_axis(Axis(0), 0).to_owned()) };
    let (features, units, clip) = (cell.features(), cell.units(), cell.clip.into_iter());
    let activation = self::activation(&cell.activation)?;
    let recurrent_activation = self::activation(&cell.recurrent_activation)?;
    Ok(match &cell.rule {
        Rule::Lstm(own) => {
            let lstm = clip.fold(Lstm::new(features, units), Lstm::clip);
            let lstm = lstm.activation(activation).recurrent_activation(recurrent_activation);
            let weights = LstmWeights::new(kernel, recurrent_kernel, row());
            with_options!(with_own(lstm, own, weights)?, options).into()
        }
        Rule::Gru { reset_after } => {
            let gru = clip.fold(Gru::new(features, units), Gru::clip);
            let gru = gru.activation(activation).recurrent_activation(recurrent_activation);
            let weights = GruWeights::new(kernel, recurrent_kernel, cell.bias.clone());
            with_options!(gru.reset_after(*reset_after).with(weights)?, options).into()
        }
        Rule::SimpleRnn => {
            let rnn = clip.fold(SimpleRnn::new(features, units), SimpleRnn::clip);
            let weights = SimpleRnnWeights::new(kernel, recurrent_kernel, row());
            with_options!(rnn.activation(activation).with(weights)?, options).into()
        }
    })
}

/// An LSTM with what it may have on top of Keras's options.
fn with_own(mut lstm: Lstm, own: &LstmOptions, mut weights: LstmWeights) -> Result<Lstm> {
    if let Some(activation) = &own.output_activation {
        lstm = lstm.output_activation(self::activation(activation)?);
    }
    if let Some(peepholes) = &own.peepholes {
        lstm = lstm.peepholes(true);
        weights = weights.with_peepholes(peepholes.clone());
    }
    if let Some(projection) = &own.projection {
        lstm = lstm.projection(projection.ncols());
        weights = weights.with_projection(projection.clone());
    }
    lstm.input_forget(own.input_forget).with(weights)
}
