//! A model as an ONNX file: batch first, masks left to the caller, for the runtimes that know opset 20.

mod activation;
mod attributes;
mod lengths;
mod recurrent;
mod writer;

use prost::Message;

use super::messages::{ModelProto, OperatorSetIdProto, ValueInfoProto, data_type};
use crate::error::{Error, Result};
use crate::layer::Layer;
use crate::layer::batch_normalization::BatchNormalization;
use crate::layer::embedding::Embedding;
use crate::layer::layer_normalization::LayerNormalization;
use crate::layer::repeat_vector::RepeatVector;
use crate::model::Model;
use crate::parameters::Role;
use attributes::{float, int, ints};
use writer::{LENGTHS, Writer, free, info, size, unsupported};

/// The version of the operators: the first one with Gelu.
const OPSET: i64 = 20;
/// The version of the format that came with it.
const IR_VERSION: i64 = 9;

/// The file of a model.
pub(super) fn bytes_of(model: &Model) -> Result<Vec<u8>> {
    let mut writer = Writer::new(model);
    let mut inputs = vec![writer.input(model)?];
    writer.has_lengths = lengths::wanted(model.layers())?;
    if writer.has_lengths {
        inputs.push(info(LENGTHS, data_type::INT32, vec![free("batch")]));
    }
    let count = model.layers().len();
    for (number, layer) in (1..).zip(model.layers()) {
        writer.layer(layer, number == count)?;
        writer.has_lengths &= lengths::are_handed_on(layer);
    }
    let graph = writer.finish(inputs);
    let proto = ModelProto {
        ir_version: IR_VERSION,
        producer_name: "cellstate".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: OPSET,
        }],
    };
    Ok(proto.encode_to_vec())
}

fn nested(class: &str) -> Error {
    unsupported(
        class,
        "sequences within sequences",
        "save the inner layers and the others as two models, or the whole as .keras or .safetensors",
    )
}

impl<'m> Writer<'m> {
    /// The input: tokens, or values whose number of time steps is free unless a layer fixes it.
    fn input(&self, model: &Model) -> Result<ValueInfoProto> {
        let time = match model.time_steps() {
            Some(steps) => size(steps),
            None => free("time_steps"),
        };
        if model.takes_tokens() {
            return Ok(info("input", data_type::INT64, vec![free("batch"), time]));
        }
        match model.features() {
            Some(features) => Ok(info(
                "input",
                data_type::FLOAT,
                vec![free("batch"), time, size(features)],
            )),
            None => Err(unsupported(
                "the Model",
                "an input of any number of features",
                "add a layer that has features",
            )),
        }
    }

    fn layer(&mut self, layer: &'m Layer, is_last: bool) -> Result<()> {
        let class = layer.class();
        match layer {
            Layer::Masking(_) => Err(unsupported(
                class,
                "a mask that the values say",
                "leave it out and say zero_output_for_mask(true) of the recurrent layers: the file then has an input of lengths",
            )),
            Layer::Embedding(embedding) if embedding.masks_zero() => Err(unsupported(
                class,
                "mask_zero(true)",
                "leave it out and say zero_output_for_mask(true) of the recurrent layers: the file then has an input of lengths",
            )),
            Layer::Embedding(embedding) => self.embedding(embedding),
            Layer::Recurrent(layer) => self.recurrent(layer, is_last),
            Layer::StackedRnnCells(stack) => self.stacked(stack, is_last),
            Layer::Bidirectional(layer) => self.bidirectional(layer, is_last),
            Layer::RepeatVector(repeat) => {
                self.repeat(repeat);
                Ok(())
            }
            Layer::Dense(dense) => {
                let kernel = self.weight(Role::Kernel)?;
                self.value = self.apply("MatMul", &[&kernel], vec![]);
                if let Some(bias) = self.optional(Role::Bias) {
                    self.value = self.apply("Add", &[&bias], vec![]);
                }
                self.width = dense.units();
                self.activation(class, dense.activation_kind())
            }
            Layer::Activation(activation) => self.activation(class, *activation),
            // an EndMask ends the lengths, which is said of the layers behind it
            Layer::Dropout(_) | Layer::EndMask(_) => Ok(()),
            Layer::TimeDistributed(_) => Err(nested(class)),
            Layer::BatchNormalization(layer) => self.batch_normalization(layer),
            Layer::LayerNormalization(layer) => self.layer_normalization(layer),
            Layer::Flatten(flatten) => {
                let shape = self.integers(&[0, -1]);
                self.value = self.apply("Reshape", &[&shape], vec![]);
                (self.sequences, self.width) = (false, flatten.width());
                Ok(())
            }
            Layer::Reshape(reshape) => {
                let [steps, features] = reshape.to_shape();
                let shape = [steps, features].map(|size| i64::try_from(size).unwrap_or(i64::MAX));
                let shape = self.integers(&[0, shape[0], shape[1]]);
                self.value = self.apply("Reshape", &[&shape], vec![]);
                (self.sequences, self.width) = (true, features);
                Ok(())
            }
            Layer::LastStep(_) => {
                let last = self.scalar(-1);
                self.value = self.apply("Gather", &[&last], vec![int("axis", 1)]);
                self.sequences = false;
                Ok(())
            }
        }
    }

    fn embedding(&mut self, embedding: &Embedding) -> Result<()> {
        let table = self.weight(Role::Embeddings)?;
        let tokens = self.value.clone();
        self.value = self.node("Gather", &[&table, &tokens], vec![int("axis", 0)]);
        self.width = embedding.output_dim();
        Ok(())
    }

    fn repeat(&mut self, repeat: &RepeatVector) {
        let steps = i64::try_from(repeat.n()).unwrap_or(i64::MAX);
        let one = self.integers(&[1]);
        let times = self.integers(&[1, steps, 1]);
        let value = self.apply("Unsqueeze", &[&one], vec![]);
        self.value = self.node("Tile", &[&value, &times], vec![]);
        self.sequences = true;
    }

    fn batch_normalization(&mut self, layer: &BatchNormalization) -> Result<()> {
        let rows = self.affine(layer.features());
        let (mean, variance) = (self.weight(Role::MovingMean)?, self.weight(Role::MovingVariance)?);
        let epsilon = float("epsilon", layer.epsilon_value());
        let turn = |writer: &mut Self| {
            if writer.sequences {
                writer.value = writer.apply("Transpose", &[], vec![ints("perm", &[0, 2, 1])]);
            }
        };
        turn(self);
        self.value = self.apply(
            "BatchNormalization",
            &[&rows[0], &rows[1], &mean, &variance],
            vec![epsilon, float("momentum", layer.momentum_value())],
        );
        turn(self);
        Ok(())
    }

    fn layer_normalization(&mut self, layer: &LayerNormalization) -> Result<()> {
        let [gamma, beta] = self.affine(layer.features());
        let attributes = vec![int("axis", -1), float("epsilon", layer.epsilon_value())];
        self.value = self.apply("LayerNormalization", &[&gamma, &beta], attributes);
        Ok(())
    }

    /// Gamma and beta: ones and zeros where the layer has none.
    fn affine(&mut self, features: usize) -> [String; 2] {
        [(Role::Gamma, 1.0), (Role::Beta, 0.0)].map(|(role, value)| match self.optional(role) {
            Some(name) => name,
            None => self.floats(
                &format!("{role}_{}", self.graph.initializer.len()),
                &[features],
                &vec![value; features],
            ),
        })
    }
}
