//! Where the weights of a chain come from: one walk over its layers, whatever names a file has for them.

use ndarray::Array2;

use crate::cell::{CellWeights, ValueRange};
use crate::error::Result;
use crate::layer::batch_normalization::{BatchNormalization, BatchNormalizationWeights};
use crate::layer::bidirectional::Bidirectional;
use crate::layer::dense::Dense;
use crate::layer::embedding::Embedding;
use crate::layer::layer_normalization::{LayerNormalization, LayerNormalizationWeights};
use crate::layer::recurrent::Recurrent;
use crate::layer::stacked::StackedRnnCells;
use crate::layer::weights::DenseWeights;
use crate::layer::{Layer, TimeDistributed};
use crate::model::Model;
use crate::model::paths::{direction_paths, inner_paths, paths, paths_within};

/// Gives the weights of one layer after the other, in the order of the chain. `path` is what stands before the names of the layer's
/// parameters.
pub(crate) trait Source {
    /// Of a recurrent layer, or of one direction of a bidirectional one: first the forward one, then the other.
    fn recurrent(&mut self, layer: &Recurrent, path: &str, is_backward: bool) -> Result<CellWeights>;

    fn dense(&mut self, layer: &Dense, path: &str) -> Result<DenseWeights>;

    fn embeddings(&mut self, layer: &Embedding, path: &str) -> Result<Array2<f32>>;

    fn batch_normalization(&mut self, layer: &BatchNormalization, path: &str) -> Result<BatchNormalizationWeights>;

    fn layer_normalization(&mut self, layer: &LayerNormalization, path: &str) -> Result<LayerNormalizationWeights>;

    /// After the last layer: whether anything is left that no layer wanted.
    fn finish(&self) -> Result<()>;
}

/// The layers with the weights of a source.
pub(crate) fn with_weights(layers: &[Layer], source: &mut impl Source, range: ValueRange) -> Result<Vec<Layer>> {
    let layers = all_with_weights(layers, paths(layers).into_iter(), source, range)?;
    source.finish()?;
    Ok(layers)
}

fn all_with_weights(
    layers: &[Layer],
    paths: impl Iterator<Item = String>,
    source: &mut impl Source,
    range: ValueRange,
) -> Result<Vec<Layer>> {
    let with_paths = layers.iter().zip(paths);
    with_paths
        .map(|(layer, path)| layer_with_weights(layer, &path, source, range))
        .collect()
}

fn layer_with_weights(layer: &Layer, path: &str, source: &mut impl Source, range: ValueRange) -> Result<Layer> {
    let mut recurrent = |layer: &Recurrent, path: &str, is_backward: bool| -> Result<Recurrent> {
        let weights = source.recurrent(layer, path, is_backward)?;
        let mut layer = layer.clone();
        layer.take_weights(weights, range)?;
        Ok(layer)
    };
    Ok(match layer {
        Layer::Masking(_)
        | Layer::RepeatVector(_)
        | Layer::Activation(_)
        | Layer::Dropout(_)
        | Layer::Flatten(_)
        | Layer::Reshape(_)
        | Layer::LastStep(_)
        | Layer::EndMask(_) => layer.clone(),
        Layer::TimeDistributed(nested) => {
            let within: Vec<String> = paths_within(path, nested.layers()).collect();
            let layers = all_with_weights(nested.layers(), within.into_iter(), source, range)?;
            TimeDistributed::with_layers(layers).into()
        }
        Layer::Recurrent(layer) => recurrent(layer, path, false)?.into(),
        Layer::StackedRnnCells(stack) => {
            let cells = stack.cells().iter().zip(inner_paths(path));
            let cells = cells.map(|(cell, path)| recurrent(cell, &path, false));
            StackedRnnCells::new(cells.collect::<Result<Vec<_>>>()?)
                .with_options(stack.options())
                .into()
        }
        Layer::Bidirectional(layer) => {
            let [forward, backward] = direction_paths(path);
            Bidirectional::new(recurrent(layer.forward(), &forward, false)?)
                .backward_layer(recurrent(layer.backward(), &backward, true)?)
                .merge_mode(layer.merge())
                .into()
        }
        Layer::Dense(dense) => {
            let weights = source.dense(dense, path)?;
            dense.clone().with_weights_in(weights, range)?.into()
        }
        Layer::Embedding(embedding) => {
            let embeddings = source.embeddings(embedding, path)?;
            embedding.clone().with_embeddings_in(embeddings, range)?.into()
        }
        Layer::BatchNormalization(layer) => {
            let weights = source.batch_normalization(layer, path)?;
            layer.clone().with_weights_in(weights, range)?.into()
        }
        Layer::LayerNormalization(layer) if layer.has() == [false, false] => layer.clone().into(),
        Layer::LayerNormalization(layer) => {
            let weights = source.layer_normalization(layer, path)?;
            layer.clone().with_weights_in(weights, range)?.into()
        }
    })
}

/// A model of layers that have their weights.
pub(crate) fn model_of(layers: Vec<Layer>, notes: Vec<String>) -> Result<Model> {
    let builder = layers
        .into_iter()
        .fold(Model::builder(), |builder, layer| builder.add(layer));
    Ok(builder.build()?.with_notes(notes))
}

/// The weights of a source in a model, which stays as it was if anything is wrong with them.
pub(crate) fn load_into(
    model: &mut Model,
    source: &mut impl Source,
    notes: Vec<String>,
    range: ValueRange,
) -> Result<()> {
    let layers = with_weights(model.layers(), source, range)?;
    let mut all = model.notes().to_vec();
    all.extend(notes);
    *model = model_of(layers, all)?;
    model.renew_notes();
    Ok(())
}
