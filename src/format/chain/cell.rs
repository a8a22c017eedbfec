//! A recurrent layer as JSON.

use serde_json::{Map, Value};

use super::fields::{Fields, number_of};
use super::{activation, initializer};
use crate::cell::Rule;
use crate::cell::gru::GruOptions;
use crate::cell::lstm::LstmOptions;
use crate::cell::simple_rnn::SimpleRnnOptions;
use crate::error::{Error, Result};
use crate::layer::gru::Gru;
use crate::layer::lstm::Lstm;
use crate::layer::recurrent::{DropoutRates, Recurrent, RecurrentOptions};
use crate::layer::simple_rnn::SimpleRnn;

/// The options of a recurrent layer.
pub(super) fn write(layer: &Recurrent) -> Value {
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| drop(map.insert(key.to_owned(), value));
    put("class", layer.class().into());
    put("features", layer.features().into());
    put("units", layer.units().into());
    // each option is named, so that none that is new is left out
    match layer.cell.rule {
        Rule::Lstm(LstmOptions {
            activation,
            recurrent_activation,
            output_activation,
            peepholes,
            clip: _,
            input_forget,
            projection,
        }) => {
            put("activation", activation::write(activation));
            put("recurrent_activation", activation::write(recurrent_activation));
            put("output_activation", activation::write(output_activation));
            put("peepholes", peepholes.into());
            put("input_forget", input_forget.into());
            put("projection", projection.into());
            put("unit_forget_bias", layer.drawing.gate_of_ones.is_some().into());
        }
        Rule::Gru(GruOptions {
            activation,
            recurrent_activation,
            reset_after,
            clip: _,
        }) => {
            put("activation", activation::write(activation));
            put("recurrent_activation", activation::write(recurrent_activation));
            put("reset_after", reset_after.into());
        }
        Rule::SimpleRnn(SimpleRnnOptions { activation, clip: _ }) => put("activation", activation::write(activation)),
    }
    put("clip", layer.cell.clip().map_or(Value::Null, number_of));
    put("use_bias", layer.use_bias.into());
    for (option, rate) in layer.dropout.named() {
        if rate != 0.0 {
            put(option, number_of(rate));
        }
    }
    put("kernel_initializer", initializer::write(layer.drawing.kernel));
    put(
        "recurrent_initializer",
        initializer::write(layer.drawing.recurrent_kernel),
    );
    put("bias_initializer", initializer::write(layer.drawing.bias));
    put("seed", layer.drawing.seed.into());
    write_sequence(layer.options, &mut map);
    Value::Object(map)
}

/// The options of the sequence.
pub(super) fn write_sequence(options: RecurrentOptions, map: &mut Map<String, Value>) {
    let RecurrentOptions {
        return_sequences,
        return_state,
        go_backwards,
        zero_output_for_mask,
        input_order,
    } = options;
    let named = [
        ("return_sequences", return_sequences),
        ("return_state", return_state),
        ("go_backwards", go_backwards),
        ("zero_output_for_mask", zero_output_for_mask),
        ("input_order", input_order),
    ];
    map.extend(named.map(|(key, value)| (key.to_owned(), Value::from(value))));
}

/// The layer of a class; `None` if the class is that of no recurrent layer.
pub(super) fn read(class: &str, fields: &mut Fields<'_>) -> Result<Option<Recurrent>> {
    let mut layer: Recurrent = match class {
        "LSTM" => lstm(fields)?.into(),
        "GRU" => gru(fields)?.into(),
        "SimpleRNN" => simple_rnn(fields)?.into(),
        _ => return Ok(None),
    };
    layer.use_bias = fields.flag("use_bias", true)?;
    layer.dropout = DropoutRates {
        input: fields.number("dropout", Some(0.0))?,
        recurrent: fields.number("recurrent_dropout", Some(0.0))?,
    };
    let drawing = &mut layer.drawing;
    drawing.kernel = initializer::read(fields, "kernel_initializer", drawing.kernel)?;
    drawing.recurrent_kernel = initializer::read(fields, "recurrent_initializer", drawing.recurrent_kernel)?;
    drawing.bias = initializer::read(fields, "bias_initializer", drawing.bias)?;
    drawing.seed = fields.seed("seed")?.unwrap_or(0);
    layer.options = read_sequence(fields)?;
    Ok(Some(layer))
}

pub(super) fn read_sequence(fields: &mut Fields<'_>) -> Result<RecurrentOptions> {
    Ok(RecurrentOptions {
        return_sequences: fields.flag("return_sequences", false)?,
        return_state: fields.flag("return_state", false)?,
        go_backwards: fields.flag("go_backwards", false)?,
        zero_output_for_mask: fields.flag("zero_output_for_mask", false)?,
        input_order: fields.flag("input_order", false)?,
    })
}

/// A recurrent layer within another.
pub(super) fn read_inner(value: Value, place: String, fields: &Fields<'_>) -> Result<Recurrent> {
    let mut inner = Fields::new(value, place, fields.file)?;
    let class = inner.text("class", None)?;
    let layer = read(&class, &mut inner)?.ok_or_else(|| unknown(&inner, &class))?;
    inner.finish()?;
    Ok(layer)
}

fn unknown(fields: &Fields<'_>, class: &str) -> Error {
    fields.wrong("class", "LSTM, GRU or SimpleRNN", &class.into())
}

fn lstm(fields: &mut Fields<'_>) -> Result<Lstm> {
    let layer = Lstm::new(fields.whole("features", None)?, fields.whole("units", None)?);
    let before = layer.cell_options();
    let activation = activation::read(fields, "activation", Some(before.activation))?;
    let layer = layer
        .activation(activation)
        .recurrent_activation(activation::read(
            fields,
            "recurrent_activation",
            Some(before.recurrent_activation),
        )?)
        .output_activation(activation::read(fields, "output_activation", Some(activation))?)
        .peepholes(fields.flag("peepholes", false)?)
        .input_forget(fields.flag("input_forget", false)?)
        .unit_forget_bias(fields.flag("unit_forget_bias", true)?);
    let layer = match fields.optional_whole("projection")? {
        Some(width) => layer.projection(width),
        None => layer,
    };
    Ok(match fields.optional_number("clip")? {
        Some(clip) => layer.clip(clip),
        None => layer,
    })
}

fn gru(fields: &mut Fields<'_>) -> Result<Gru> {
    let layer = Gru::new(fields.whole("features", None)?, fields.whole("units", None)?);
    let before = layer.cell_options();
    let layer = layer
        .activation(activation::read(fields, "activation", Some(before.activation))?)
        .recurrent_activation(activation::read(
            fields,
            "recurrent_activation",
            Some(before.recurrent_activation),
        )?)
        .reset_after(fields.flag("reset_after", true)?);
    Ok(match fields.optional_number("clip")? {
        Some(clip) => layer.clip(clip),
        None => layer,
    })
}

fn simple_rnn(fields: &mut Fields<'_>) -> Result<SimpleRnn> {
    let layer = SimpleRnn::new(fields.whole("features", None)?, fields.whole("units", None)?);
    let before = layer.cell_options();
    let layer = layer.activation(activation::read(fields, "activation", Some(before.activation))?);
    Ok(match fields.optional_number("clip")? {
        Some(clip) => layer.clip(clip),
        None => layer,
    })
}
