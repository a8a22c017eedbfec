//! The layers that are not recurrent.

use ndarray::{Array1, ArrayD, Ix1, Ix2};
use serde_json::Value;

use super::activation;
use super::chain::Node;
use super::config::{Config, Object, shown};
use super::last_step::{LAST_STEP, LAST_STEP_OF_KERAS_2};
use super::reader::{NESTED, Reader};
use super::weights::Wanted;
use crate::error::{Error, Result};
use crate::layer::Layer;
use crate::layer::batch_normalization::{BatchNormalization, BatchNormalizationWeights};
use crate::layer::dense::Dense;
use crate::layer::dropout::Dropout;
use crate::layer::embedding::Embedding;
use crate::layer::flatten::Flatten;
use crate::layer::last_step::LastStep;
use crate::layer::layer_normalization::{LayerNormalization, LayerNormalizationWeights};
use crate::layer::masking::Masking;
use crate::layer::repeat_vector::RepeatVector;
use crate::layer::reshape::Reshape;
use crate::layer::weights::DenseWeights;

/// What a TimeDistributed may hold besides recurrent layers: it reads no more than the last axis.
pub(super) const OF_EACH_STEP: [&str; 14] = [
    "Dense",
    "Activation",
    "ReLU",
    "LeakyReLU",
    "ELU",
    "ThresholdedReLU",
    "Softmax",
    "Dropout",
    "GaussianNoise",
    "GaussianDropout",
    "ActivityRegularization",
    "Identity",
    "BatchNormalization",
    "LayerNormalization",
];

impl<'a> Reader<'a> {
    /// The layer of a node, or `None` for one that computes nothing in inference.
    pub(super) fn layer(&mut self, node: &Node<'a>, config: &Config<'a>, last: bool) -> Result<Option<Layer>> {
        if let Some(activation) = activation::of_layer(node.object.class, config, &self.version)? {
            if node.object.class == "Softmax" && self.is_masked() {
                return Err(config.unsupported(
                    "a Softmax layer under a mask, which Keras adds to the features",
                    "use Activation(\"softmax\"), which leaves masks alone",
                ));
            }
            return Ok(Some(activation.into()));
        }
        Ok(Some(match node.object.class {
            "LSTM" | "GRU" | "SimpleRNN" | "RNN" | "Bidirectional" => self.recurrent(node, config, last)?,
            "Dense" => self.dense(node, config)?,
            "Embedding" => self.embedding(node, config)?,
            "Masking" => Masking::new(config.real("mask_value", 0.0)?).into(),
            "TimeDistributed" => return self.time_distributed(node, config),
            "RepeatVector" => {
                let n = config.size("n")?;
                (self.shape.sequences, self.shape.time_steps) = (true, Some(n));
                RepeatVector::new(n).into()
            }
            LAST_STEP | LAST_STEP_OF_KERAS_2 => {
                config.pass_over(&["function"]);
                (self.shape.sequences, self.shape.time_steps) = (false, None);
                LastStep::new().into()
            }
            "Flatten" => self.flatten(config)?,
            "Reshape" => self.reshape(config)?,
            "BatchNormalization" => self.batch_normalization(node, config)?,
            "LayerNormalization" => self.layer_normalization(node, config)?,
            "Dropout" | "SpatialDropout1D" => {
                config.pass_over(&["seed", "noise_shape"]);
                let rate = config.real("rate", 0.0)?;
                Dropout::new(rate)
                    .spatial(node.object.class == "SpatialDropout1D")
                    .into()
            }
            "GaussianNoise" | "GaussianDropout" | "AlphaDropout" | "ActivityRegularization" | "Identity" => {
                // what they do, training alone does
                config.pass_over(&["stddev", "rate", "seed", "noise_shape", "l1", "l2"]);
                return Ok(None);
            }
            other => return Err(unknown(config, other)),
        }))
    }

    /// The tensors of a layer itself, or of a part of it.
    pub(super) fn take(&mut self, node: &Node<'a>, part: &str, wanted: &[Wanted]) -> Result<Vec<ArrayD<f32>>> {
        self.weights.take(&Self::place(node, part), wanted)
    }

    fn dense(&mut self, node: &Node<'a>, config: &Config<'a>) -> Result<Layer> {
        config.refuse("quantization_config", "save the model in float32, not quantized")?;
        config.refuse("lora_rank", "merge the low-rank weights and save the model again")?;
        config.pass_over(&["lora_alpha"]);
        let units = config.size("units")?;
        let use_bias = config.flag("use_bias", true)?;
        let linear = crate::activation::Activation::Linear;
        let activation = activation::of_option(config, "activation", linear, &self.version)?;
        let wanted = wanted_of_dense(self.shape.width, units, use_bias);
        let mut tensors = self.take(node, "", &wanted)?.into_iter();
        let kernel = matrix(tensors.next())?;
        let bias = tensors.next().map(|bias| vector(Some(bias))).transpose()?;
        let dense = Dense::new(kernel.nrows(), units)
            .activation(activation)
            .use_bias(use_bias);
        self.shape.width = Some(units);
        Ok(dense
            .with_weights_in(DenseWeights { kernel, bias }, self.file.range)?
            .into())
    }

    fn embedding(&mut self, node: &Node<'a>, config: &Config<'a>) -> Result<Layer> {
        config.refuse("quantization_config", "save the model in float32, not quantized")?;
        config.refuse("lora_rank", "merge the low-rank weights and save the model again")?;
        config.pass_over(&["lora_alpha", "input_length", "weights", "sparse"]);
        let (rows, width) = (config.size("input_dim")?, config.size("output_dim")?);
        let wanted = Wanted {
            role: "embeddings",
            axes: "(input_dim, output_dim)",
            shape: vec![Some(rows), Some(width)],
        };
        let table = matrix(self.take(node, "", &[wanted])?.into_iter().next())?;
        self.shape.width = Some(width);
        let embedding = Embedding::new(rows, width).mask_zero(config.flag("mask_zero", false)?);
        Ok(embedding.with_embeddings_in(table, self.file.range)?.into())
    }

    fn time_distributed(&mut self, node: &Node<'a>, config: &Config<'a>) -> Result<Option<Layer>> {
        let (inner, inner_config) = self.wrapped(node, config)?;
        let object = &inner.object;
        let adds_mask = object.class == "Softmax" && self.is_masked();
        if object.is_custom() || adds_mask || !OF_EACH_STEP.contains(&object.class) {
            return Err(config.unsupported(
                format!("a layer {} at each time step", object.title()),
                format!("apply Dense, an activation, a normalization or a Dropout to each time step; {NESTED}"),
            ));
        }
        if object.class == "BatchNormalization" {
            self.check_mask_of_inner(config)?;
        }
        self.note_dtype(&inner_config)?;
        self.note_training(&inner, &inner_config);
        // a layer at each time step has no axis of time: its last axis is the one behind the batch
        let sequences = std::mem::replace(&mut self.shape.sequences, false);
        let layer = self.layer(&inner, &inner_config, false)?;
        self.shape.sequences = sequences;
        inner_config.finish()?;
        Ok(layer)
    }

    fn flatten(&mut self, config: &Config<'a>) -> Result<Layer> {
        let format = config.text("data_format", "channels_last")?;
        let [time_steps, width] = self.known_shape(config)?;
        if format != "channels_last" && time_steps != 1 {
            return Err(config.unsupported(format!("data_format = {format:?}"), "leave data_format out"));
        }
        let flatten = Flatten::new(time_steps, width);
        (self.shape.sequences, self.shape.time_steps) = (false, None);
        self.shape.width = Some(flatten.width());
        Ok(flatten.into())
    }

    fn reshape(&mut self, config: &Config<'a>) -> Result<Layer> {
        let from = self.known_shape(config)?;
        let target = config.value("target_shape").unwrap_or(&Value::Null);
        let wrong = || config.wrong("target_shape", "a list of sizes, one of which may be -1", target);
        let sizes = list(target).ok_or_else(wrong)?;
        let sizes = sizes
            .iter()
            .map(|size| size.as_i64().ok_or_else(wrong))
            .collect::<Result<Vec<i64>>>()?;
        let all = from[0].saturating_mul(from[1]);
        let known = sizes.iter().filter(|size| **size != -1);
        let known = known.fold(1_usize, |product, &size| {
            product.saturating_mul(usize::try_from(size).unwrap_or(0))
        });
        let open = sizes.iter().filter(|size| **size == -1).count();
        if open > 1 || known == 0 || all % known != 0 || (open == 0 && known != all) {
            return Err(wrong());
        }
        let size = |size: &i64| usize::try_from(*size).unwrap_or(all / known.max(1));
        match sizes.as_slice() {
            [_] => {
                (self.shape.sequences, self.shape.time_steps, self.shape.width) = (false, None, Some(all));
                Ok(Flatten::new(from[0], from[1]).into())
            }
            [time_steps, width] => {
                let to = [size(time_steps), size(width)];
                (self.shape.sequences, self.shape.time_steps, self.shape.width) = (true, Some(to[0]), Some(to[1]));
                Ok(Reshape::new(from, to).into())
            }
            _ => Err(config.unsupported(
                format!("target_shape = {}", shown(target)),
                "reshape to (time_steps, features), or to (features,)",
            )),
        }
    }

    /// The time steps and the width of what comes, for layers that need both.
    fn known_shape(&self, config: &Config<'a>) -> Result<[usize; 2]> {
        let time_steps = match self.shape.sequences {
            true => self.shape.time_steps,
            false => Some(1),
        };
        match (time_steps, self.shape.width) {
            (Some(time_steps), Some(width)) => Ok([time_steps, width]),
            _ => Err(config.unsupported(
                "an input whose number of time steps or features is open",
                "give the model an input of fixed size: keras.Input((time_steps, features))",
            )),
        }
    }

    fn batch_normalization(&mut self, node: &Node<'a>, config: &Config<'a>) -> Result<Layer> {
        self.check_axis(config)?;
        config.pass_over(&[
            "synchronized",
            "renorm_clipping",
            "renorm_momentum",
            "fused",
            "_USE_V2_BEHAVIOR",
        ]);
        if config.flag("renorm", false)? {
            return Err(config.unsupported("renorm = true", "train the model with renorm=False"));
        }
        config.refuse("virtual_batch_size", "leave virtual_batch_size out")?;
        config.refuse("adjustment", "leave adjustment out")?;
        let [scale, center] = [config.flag("scale", true)?, config.flag("center", true)?];
        let epsilon = config.real("epsilon", 1e-3)?;
        let wanted = wanted_of_norm(self.shape.width, scale, center, true);
        let mut tensors = self.take(node, "", &wanted)?.into_iter();
        let mut next = |there: bool| there.then(|| vector(tensors.next())).transpose();
        let (gamma, beta) = (next(scale)?, next(center)?);
        let (Some(moving_mean), Some(moving_variance)) = (next(true)?, next(true)?) else {
            return Err(Error::defect("the tensors of a BatchNormalization"));
        };
        self.shape.width = Some(moving_mean.len());
        let weights = BatchNormalizationWeights {
            gamma,
            beta,
            moving_mean,
            moving_variance,
        };
        let layer = BatchNormalization::new(weights.moving_mean.len());
        let layer = layer.epsilon(epsilon).momentum(config.real("momentum", 0.99)?);
        Ok(layer.with_weights_in(weights, self.file.range)?.into())
    }

    fn layer_normalization(&mut self, node: &Node<'a>, config: &Config<'a>) -> Result<Layer> {
        self.check_axis(config)?;
        if config.flag("rms_scaling", false)? {
            return Err(config.unsupported("rms_scaling = true", "train the model with rms_scaling=False"));
        }
        let [scale, center] = [config.flag("scale", true)?, config.flag("center", true)?];
        let epsilon = config.real("epsilon", 1e-3)?;
        let wanted = wanted_of_norm(self.shape.width, scale, center, false);
        let mut tensors = match wanted.is_empty() {
            true => Vec::new(),
            false => self.take(node, "", &wanted)?,
        }
        .into_iter();
        let mut next = |there: bool| there.then(|| vector(tensors.next())).transpose();
        let (gamma, beta) = (next(scale)?, next(center)?);
        let width = gamma.as_ref().or(beta.as_ref()).map(Array1::len).or(self.shape.width);
        let Some(width) = width else {
            self.known_shape(config)?;
            return Err(Error::defect("the width of a LayerNormalization"));
        };
        self.shape.width = Some(width);
        let layer = LayerNormalization::new(width)
            .epsilon(epsilon)
            .scale(scale)
            .center(center);
        let weights = LayerNormalizationWeights { gamma, beta };
        Ok(layer.with_weights_in(weights, self.file.range)?.into())
    }

    /// The axis of a normalization is the last one.
    fn check_axis(&self, config: &Config<'a>) -> Result<()> {
        let Some(axis) = config.value("axis") else {
            return Ok(());
        };
        let rank = self.more_axes + if self.shape.sequences { 3 } else { 2 };
        let number = match list(axis) {
            Some([one]) => one.as_i64(),
            Some(_) => None,
            None => axis.as_i64(),
        };
        match number {
            Some(-1) => Ok(()),
            Some(number) if number == rank - 1 => Ok(()),
            _ => Err(config.unsupported(
                format!("axis = {}", shown(axis)),
                "normalize the last axis, the features: axis=-1",
            )),
        }
    }
}

/// A list, or a tuple as Keras serializes one.
fn list(value: &Value) -> Option<&[Value]> {
    let value = value.get("items").unwrap_or(value);
    let value = match value.get("class_name") {
        Some(_) => value.get("config")?,
        None => value,
    };
    value.as_array().map(Vec::as_slice)
}

fn unknown(config: &Config<'_>, class: &str) -> Error {
    let instead = match class {
        "CuDNNLSTM" | "CuDNNGRU" => {
            "load the model with Keras 2 and save it with the layers LSTM or GRU, which read the same weights"
        }
        "Concatenate" | "Add" | "Multiply" | "Average" | "Dot" | "Attention" | "MultiHeadAttention" => {
            "cellstate runs one chain of layers: run the branches as models of their own"
        }
        "Lambda" => "cellstate cannot run Python's code: put a layer of Keras in its place",
        _ => "leave the layer out, or compute it outside of the model",
    };
    config.unsupported(format!("the class {:?}", super::config::short(class)), instead)
}

fn wanted_of_dense(features: Option<usize>, units: usize, use_bias: bool) -> Vec<Wanted> {
    let mut wanted = vec![Wanted {
        role: "kernel",
        axes: "(features, units)",
        shape: vec![features, Some(units)],
    }];
    if use_bias {
        wanted.push(Wanted {
            role: "bias",
            axes: "(units)",
            shape: vec![Some(units)],
        });
    }
    wanted
}

/// The vectors of a normalization, in Keras's order.
fn wanted_of_norm(width: Option<usize>, scale: bool, center: bool, moving: bool) -> Vec<Wanted> {
    let vectors = [
        ("gamma", scale),
        ("beta", center),
        ("moving_mean", moving),
        ("moving_variance", moving),
    ];
    let there = vectors.into_iter().filter(|(_, there)| *there);
    there
        .map(|(role, _)| Wanted {
            role,
            axes: "(features)",
            shape: vec![width],
        })
        .collect()
}

/// A tensor that was read with two axes.
pub(super) fn matrix(tensor: Option<ArrayD<f32>>) -> Result<ndarray::Array2<f32>> {
    let tensor = tensor.and_then(|tensor| tensor.into_dimensionality::<Ix2>().ok());
    tensor.ok_or_else(|| Error::defect("a tensor of two axes"))
}

/// A tensor that was read with one axis.
fn vector(tensor: Option<ArrayD<f32>>) -> Result<Array1<f32>> {
    let tensor = tensor.and_then(|tensor| tensor.into_dimensionality::<Ix1>().ok());
    tensor.ok_or_else(|| Error::defect("a tensor of one axis"))
}

/// The object of a layer within a wrapper, with its options.
pub(super) fn inner<'a>(config: &Config<'a>, object: Object<'a>) -> Result<Config<'a>> {
    if object.is_custom() {
        return Err(config.unsupported(
            format!("a class of one's own, {}", object.title()),
            "build the model of Keras's layers; cellstate cannot run Python's code",
        ));
    }
    match object.options() {
        Some(options) => Ok(Config::new(
            config.file,
            format!("{} in {}", object.title(), config.layer),
            options,
        )),
        None => Err(config.wrong("layer", "a layer with its options", object.config)),
    }
}
