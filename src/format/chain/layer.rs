//! A layer as JSON.

use serde_json::{Map, Value, json};

use super::cell::{read_inner, read_sequence, write_sequence};
use super::fields::{Fields, number_of};
use super::{activation, cell, initializer};
use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::format::file::File;
use crate::layer::batch_normalization::BatchNormalization;
use crate::layer::bidirectional::{Bidirectional, MergeMode};
use crate::layer::dense::Dense;
use crate::layer::dropout::Dropout;
use crate::layer::embedding::Embedding;
use crate::layer::end_mask::EndMask;
use crate::layer::flatten::Flatten;
use crate::layer::last_step::LastStep;
use crate::layer::layer_normalization::LayerNormalization;
use crate::layer::masking::Masking;
use crate::layer::repeat_vector::RepeatVector;
use crate::layer::reshape::Reshape;
use crate::layer::stacked::StackedRnnCells;
use crate::layer::{Layer, TimeDistributed};

const MERGE_MODES: [(&str, MergeMode); 5] = [
    ("concat", MergeMode::Concat),
    ("sum", MergeMode::Sum),
    ("mul", MergeMode::Multiply),
    ("ave", MergeMode::Average),
    ("separate", MergeMode::Separate),
];

const STACKED: &str = "StackedRNNCells";
const NESTED: &str = "TimeDistributed";

pub(super) fn write(layer: &Layer) -> Result<Value> {
    Ok(match layer {
        Layer::Masking(masking) => json!({"class": "Masking", "mask_value": number_of(masking.mask_value())}),
        Layer::Embedding(embedding) => json!({
            "class": "Embedding",
            "input_dim": embedding.input_dim(),
            "output_dim": embedding.output_dim(),
            "mask_zero": embedding.masks_zero(),
            "initializer": initializer::write(embedding.initializer),
            "seed": embedding.seed,
        }),
        Layer::Recurrent(layer) => cell::write(layer),
        Layer::Bidirectional(layer) => write_bidirectional(layer)?,
        Layer::StackedRnnCells(stack) => write_stacked(stack),
        Layer::RepeatVector(repeat) => json!({"class": "RepeatVector", "n": repeat.n()}),
        Layer::Activation(activation) => json!({"class": "Activation", "activation": activation::write(*activation)}),
        Layer::Dropout(dropout) => json!({"class": layer.class(), "rate": number_of(dropout.rate())}),
        Layer::Flatten(flatten) => {
            json!({"class": "Flatten", "time_steps": flatten.time_steps(), "features": flatten.features()})
        }
        Layer::Reshape(reshape) => json!({"class": "Reshape", "from": reshape.from_shape(), "to": reshape.to_shape()}),
        Layer::LastStep(_) => json!({"class": "LastStep"}),
        Layer::EndMask(_) => json!({"class": "EndMask"}),
        Layer::TimeDistributed(nested) => {
            let layers = nested.layers().iter().map(write).collect::<Result<Vec<_>>>()?;
            json!({"class": NESTED, "layers": layers})
        }
        Layer::BatchNormalization(layer) => {
            let mut value = normalization(
                "BatchNormalization",
                layer.features(),
                layer.epsilon_value(),
                layer.has(),
            );
            if let Some(fields) = value.as_object_mut() {
                fields.insert("momentum".to_owned(), number_of(layer.momentum_value()));
            }
            value
        }
        Layer::LayerNormalization(layer) => normalization(
            "LayerNormalization",
            layer.features(),
            layer.epsilon_value(),
            layer.has(),
        ),
        Layer::Dense(dense) => json!({
            "class": "Dense",
            "features": dense.features(),
            "units": dense.units(),
            "activation": activation::write(dense.activation_kind()),
            "use_bias": dense.use_bias,
            "kernel_initializer": initializer::write(dense.kernel_initializer),
            "bias_initializer": initializer::write(dense.bias_initializer),
            "seed": dense.seed,
        }),
    })
}

fn write_bidirectional(layer: &Bidirectional) -> Result<Value> {
    let mode = MERGE_MODES.iter().find(|(_, mode)| *mode == layer.merge());
    let (mode, _) = mode.ok_or_else(|| Error::defect("the name of a merge mode"))?;
    Ok(json!({
        "class": "Bidirectional",
        "forward": cell::write(layer.forward()),
        "backward": cell::write(layer.backward()),
        "merge_mode": mode,
    }))
}

fn write_stacked(stack: &StackedRnnCells) -> Value {
    let mut map = Map::new();
    map.insert("class".to_owned(), STACKED.into());
    map.insert("cells".to_owned(), stack.cells().iter().map(cell::write).collect());
    write_sequence(stack.options(), &mut map);
    Value::Object(map)
}

fn normalization(class: &str, features: usize, epsilon: f32, [scale, center]: [bool; 2]) -> Value {
    json!({"class": class, "features": features, "epsilon": number_of(epsilon), "scale": scale, "center": center})
}

pub(super) fn read(value: Value, place: String, file: &File<'_>) -> Result<Layer> {
    let mut fields = Fields::new(value, place, file)?;
    let class = fields.text("class", None)?;
    fields.name_place(format!(
        "{} ({})",
        fields.place(),
        class.chars().take(40).collect::<String>()
    ));
    let layer = layer(&class, &mut fields)?;
    fields.finish()?;
    Ok(layer)
}

fn layer(class: &str, fields: &mut Fields<'_>) -> Result<Layer> {
    Ok(match class {
        "Masking" => Masking::new(fields.number("mask_value", Some(0.0))?).into(),
        "Embedding" => embedding(fields)?.into(),
        "Bidirectional" => bidirectional(fields)?.into(),
        STACKED => stacked(fields)?.into(),
        "RepeatVector" => RepeatVector::new(fields.whole("n", None)?).into(),
        "Dense" => dense(fields)?.into(),
        "Activation" => activation::read(fields, "activation", None)?.into(),
        "Dropout" => Dropout::new(fields.number("rate", None)?).into(),
        "SpatialDropout1D" => Dropout::new(fields.number("rate", None)?).spatial(true).into(),
        "Flatten" => Flatten::new(fields.whole("time_steps", None)?, fields.whole("features", None)?).into(),
        "Reshape" => Reshape::new(fields.pair("from")?, fields.pair("to")?).into(),
        "LastStep" => LastStep::new().into(),
        "EndMask" => EndMask::new().into(),
        NESTED => nested(fields)?.into(),
        "BatchNormalization" => {
            let layer = BatchNormalization::new(fields.whole("features", None)?);
            let epsilon = fields.number("epsilon", Some(layer.epsilon_value()))?;
            let momentum = fields.number("momentum", Some(layer.momentum_value()))?;
            let layer = layer
                .epsilon(epsilon)
                .momentum(momentum)
                .scale(fields.flag("scale", true)?);
            layer.center(fields.flag("center", true)?).into()
        }
        "LayerNormalization" => {
            let layer = LayerNormalization::new(fields.whole("features", None)?);
            let epsilon = fields.number("epsilon", Some(layer.epsilon_value()))?;
            let layer = layer.epsilon(epsilon).scale(fields.flag("scale", true)?);
            layer.center(fields.flag("center", true)?).into()
        }
        class => match cell::read(class, fields)? {
            Some(layer) => layer.into(),
            None => return Err(fields.wrong("class", "a layer of this version of cellstate", &class.into())),
        },
    })
}

fn nested(fields: &mut Fields<'_>) -> Result<TimeDistributed> {
    let layers = fields.list("layers")?;
    fields.file.check_layers(fields.place(), layers.len())?;
    let layers = layers.into_iter().enumerate();
    let layers = layers.map(|(number, value)| {
        // no model may have it, and so deep nothing is read
        match value.get("class").and_then(Value::as_str) {
            Some(NESTED) => Err(fields.wrong("layers", "layers that run over one sequence", &NESTED.into())),
            _ => read(
                value,
                format!("inner layer {number} of {}", fields.place()),
                fields.file,
            ),
        }
    });
    Ok(TimeDistributed::with_layers(layers.collect::<Result<_>>()?))
}

fn embedding(fields: &mut Fields<'_>) -> Result<Embedding> {
    let layer = Embedding::new(fields.whole("input_dim", None)?, fields.whole("output_dim", None)?);
    let initializer = initializer::read(fields, "initializer", layer.initializer)?;
    Ok(layer
        .mask_zero(fields.flag("mask_zero", false)?)
        .initializer(initializer)
        .seed(fields.seed("seed")?.unwrap_or(0)))
}

fn dense(fields: &mut Fields<'_>) -> Result<Dense> {
    let layer = Dense::new(fields.whole("features", None)?, fields.whole("units", None)?);
    let kernel = initializer::read(fields, "kernel_initializer", layer.kernel_initializer)?;
    let bias = initializer::read(fields, "bias_initializer", layer.bias_initializer)?;
    Ok(layer
        .activation(activation::read(fields, "activation", Some(Activation::Linear))?)
        .use_bias(fields.flag("use_bias", true)?)
        .kernel_initializer(kernel)
        .bias_initializer(bias)
        .seed(fields.seed("seed")?.unwrap_or(0)))
}

fn bidirectional(fields: &mut Fields<'_>) -> Result<Bidirectional> {
    let inner = |value: Value, direction: &str, fields: &Fields<'_>| {
        read_inner(value, format!("{direction} of {}", fields.place()), fields)
    };
    let forward = fields.needed("forward", "a recurrent layer")?;
    let mut layer = Bidirectional::new(inner(forward, "forward", fields)?);
    if let Some(backward) = fields.optional("backward") {
        layer = layer.backward_layer(inner(backward, "backward", fields)?);
    }
    let name = fields.text("merge_mode", Some("concat"))?;
    match MERGE_MODES.iter().find(|(known, _)| *known == name) {
        Some((_, mode)) => Ok(layer.merge_mode(*mode)),
        None => Err(fields.wrong("merge_mode", "concat, sum, mul, ave or separate", &name.into())),
    }
}

fn stacked(fields: &mut Fields<'_>) -> Result<StackedRnnCells> {
    let cells = fields.list("cells")?.into_iter().enumerate();
    let cells = cells.map(|(number, value)| read_inner(value, format!("cell {number} of {}", fields.place()), fields));
    let layer = StackedRnnCells::new(cells.collect::<Result<Vec<_>>>()?);
    let options = read_sequence(fields)?;
    Ok(layer.with_options(options))
}
