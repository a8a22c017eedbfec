//! The options of a layer that differ from the default, as the table of a model says them.

use crate::activation::Activation;
use crate::cell::Rule;
use crate::cell::gru::GruOptions;
use crate::cell::lstm::LstmOptions;
use crate::cell::simple_rnn::SimpleRnnOptions;
use crate::layer::Layer;
use crate::layer::bidirectional::{Bidirectional, MergeMode};
use crate::layer::recurrent::Recurrent;
use crate::layer::stacked::StackedRnnCells;

/// `activation=relu, use_bias=false`, and what a layer cannot do without where the shape does not show it. How weights were drawn is
/// left out: nothing of a model that is there depends on it.
pub(super) fn options_of(layer: &Layer) -> String {
    let mut list = Vec::new();
    match layer {
        Layer::Masking(layer) if layer.mask_value() != 0.0 => list.push(format!("mask_value={}", layer.mask_value())),
        Layer::Embedding(layer) => {
            list.push(format!("input_dim={}", layer.input_dim()));
            flag(&mut list, "mask_zero", layer.masks_zero(), false);
        }
        Layer::Recurrent(layer) => recurrent(&mut list, layer),
        Layer::Bidirectional(layer) => bidirectional(&mut list, layer),
        Layer::StackedRnnCells(layer) => stacked(&mut list, layer),
        Layer::Dense(layer) => {
            activation(&mut list, "activation", layer.activation_kind(), Activation::Linear);
            flag(&mut list, "use_bias", layer.use_bias, true);
        }
        Layer::Activation(layer) => list.push(format!("activation={layer}")),
        Layer::Dropout(layer) => list.push(format!("rate={}", layer.rate())),
        Layer::BatchNormalization(layer) => {
            normalization(&mut list, layer.epsilon_value(), layer.has());
            if layer.momentum_value() != 0.99 {
                list.push(format!("momentum={}", layer.momentum_value()));
            }
        }
        Layer::LayerNormalization(layer) => normalization(&mut list, layer.epsilon_value(), layer.has()),
        Layer::TimeDistributed(layer) => list.extend(layer.layers().iter().map(inner)),
        Layer::Masking(_)
        | Layer::RepeatVector(_)
        | Layer::Flatten(_)
        | Layer::Reshape(_)
        | Layer::LastStep(_)
        | Layer::EndMask(_) => {}
    }
    list.join(", ")
}

/// A layer within another: its class, the width that it gives where that is its own, and its options.
fn inner(layer: &Layer) -> String {
    let units = match layer {
        Layer::Embedding(layer) => Some(format!("output_dim={}", layer.output_dim())),
        Layer::Recurrent(layer) => Some(format!("units={}", layer.units())),
        Layer::Dense(layer) => Some(format!("units={}", layer.units())),
        _ => None,
    };
    let parts = [layer.class().to_owned()].into_iter().chain(units);
    let parts = parts.chain(Some(options_of(layer)).filter(|options| !options.is_empty()));
    format!("({})", parts.collect::<Vec<_>>().join(", "))
}

fn flag(list: &mut Vec<String>, name: &str, value: bool, default: bool) {
    if value != default {
        list.push(format!("{name}={value}"));
    }
}

fn activation(list: &mut Vec<String>, name: &str, value: Activation, default: Activation) {
    if value != default {
        list.push(format!("{name}={value}"));
    }
}

fn normalization(list: &mut Vec<String>, epsilon: f32, [scale, center]: [bool; 2]) {
    if epsilon != 1e-3 {
        list.push(format!("epsilon={epsilon:e}"));
    }
    flag(list, "scale", scale, true);
    flag(list, "center", center, true);
}

fn recurrent(list: &mut Vec<String>, layer: &Recurrent) {
    cell(list, layer);
    list.extend(layer.options().set().map(|name| format!("{name}=true")));
}

/// The options of the cell; each is named, so that none that is new is left out.
fn cell(list: &mut Vec<String>, layer: &Recurrent) {
    match layer.cell.rule {
        Rule::Lstm(LstmOptions {
            activation: candidate,
            recurrent_activation,
            output_activation,
            peepholes,
            clip: _,
            input_forget,
            projection,
        }) => {
            let default = LstmOptions::new();
            activation(list, "activation", candidate, default.activation);
            let gates = default.recurrent_activation;
            activation(list, "recurrent_activation", recurrent_activation, gates);
            activation(list, "output_activation", output_activation, candidate);
            flag(list, "peepholes", peepholes, default.peepholes);
            flag(list, "input_forget", input_forget, default.input_forget);
            list.extend(projection.map(|width| format!("projection={width}")));
        }
        Rule::Gru(GruOptions {
            activation: candidate,
            recurrent_activation,
            reset_after,
            clip: _,
        }) => {
            let default = GruOptions::new();
            activation(list, "activation", candidate, default.activation);
            let gates = default.recurrent_activation;
            activation(list, "recurrent_activation", recurrent_activation, gates);
            flag(list, "reset_after", reset_after, default.reset_after);
        }
        Rule::SimpleRnn(SimpleRnnOptions {
            activation: candidate,
            clip: _,
        }) => {
            activation(list, "activation", candidate, SimpleRnnOptions::new().activation);
        }
    }
    list.extend(layer.cell.clip().map(|clip| format!("clip={clip}")));
    flag(list, "use_bias", layer.use_bias, true);
    let rates = layer.dropout.named().into_iter().filter(|(_, rate)| *rate != 0.0);
    list.extend(rates.map(|(option, rate)| format!("{option}={rate}")));
}

/// The class of the inner layers, and the options of the forward one; those of the backward one where they are others.
fn bidirectional(list: &mut Vec<String>, layer: &Bidirectional) {
    let of = |inner: &Recurrent| {
        let mut list = vec![inner.class().to_owned(), format!("units={}", inner.units())];
        recurrent(&mut list, inner);
        list
    };
    let (forward, backward) = (of(layer.forward()), of(layer.backward()));
    let merge_mode = match layer.merge() {
        MergeMode::Concat => None,
        MergeMode::Sum => Some("sum"),
        MergeMode::Multiply => Some("mul"),
        MergeMode::Average => Some("ave"),
        MergeMode::Separate => Some("separate"),
    };
    let differs = forward != backward;
    list.extend(forward);
    if differs {
        list.push(format!("backward_layer=({})", backward.join(", ")));
    }
    list.extend(merge_mode.map(|mode| format!("merge_mode={mode}")));
}

fn stacked(list: &mut Vec<String>, layer: &StackedRnnCells) {
    let cells = layer.cells().iter().map(|inner| {
        let mut list = vec![inner.class().to_owned(), format!("units={}", inner.units())];
        cell(&mut list, inner);
        format!("({})", list.join(", "))
    });
    list.push(format!("cells=[{}]", cells.collect::<Vec<_>>().join(", ")));
    list.extend(layer.options().set().map(|name| format!("{name}=true")));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::TimeDistributed;
    use crate::layer::dense::Dense;
    use crate::layer::embedding::Embedding;
    use crate::layer::gru::Gru;
    use crate::layer::lstm::Lstm;
    use crate::layer::simple_rnn::SimpleRnn;

    #[test]
    fn what_differs_from_the_default_is_said() {
        for (layer, expected) in [
            (Layer::from(Lstm::new(2, 8)), ""),
            (
                Lstm::new(2, 8).return_sequences(true).go_backwards(true).into(),
                "return_sequences=true, go_backwards=true",
            ),
            (
                Lstm::new(2, 8)
                    .activation(Activation::Relu)
                    .projection(4)
                    .clip(3.0)
                    .into(),
                "activation=relu, projection=4, clip=3",
            ),
            (
                Lstm::new(2, 8)
                    .output_activation(Activation::Relu)
                    .peepholes(true)
                    .into(),
                "output_activation=relu, peepholes=true",
            ),
            (
                Gru::new(2, 8).reset_after(false).use_bias(false).into(),
                "reset_after=false, use_bias=false",
            ),
            (
                Lstm::new(2, 8).dropout(0.2).recurrent_dropout(0.1).into(),
                "dropout=0.2, recurrent_dropout=0.1",
            ),
            (
                Dense::new(8, 2).activation(Activation::Softmax).into(),
                "activation=softmax",
            ),
            (
                Embedding::new(20, 8).mask_zero(true).into(),
                "input_dim=20, mask_zero=true",
            ),
            (
                Bidirectional::new(Lstm::new(2, 8)).merge_mode(MergeMode::Sum).into(),
                "LSTM, units=8, merge_mode=sum",
            ),
            (
                Bidirectional::new(Lstm::new(2, 8))
                    .backward_layer(Gru::new(2, 4))
                    .into(),
                "LSTM, units=8, backward_layer=(GRU, units=4)",
            ),
            (
                StackedRnnCells::new([Recurrent::from(Lstm::new(2, 8)), SimpleRnn::new(8, 4).into()]).into(),
                "cells=[(LSTM, units=8), (SimpleRNN, units=4)]",
            ),
            (
                TimeDistributed::new(Embedding::new(20, 8).mask_zero(true))
                    .add(Bidirectional::new(Lstm::new(8, 4)))
                    .into(),
                "(Embedding, output_dim=8, input_dim=20, mask_zero=true), (Bidirectional, LSTM, units=4)",
            ),
        ] {
            assert_eq!(options_of(&layer), expected, "{layer:?}");
        }
    }
}
