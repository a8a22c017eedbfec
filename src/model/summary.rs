//! The table that a model prints.

use std::fmt;

use super::Model;
use crate::layer::Layer;
use crate::layer::bidirectional::MergeMode;

impl fmt::Display for Model {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sequences = true;
        let rows: Vec<[String; 3]> = self
            .layers()
            .iter()
            .map(|layer| {
                let shape = shape_after(layer, &mut sequences, self.features());
                [layer.class().to_owned(), shape, layer.parameter_count().to_string()]
            })
            .collect();
        let head = ["layer", "output", "parameters"].map(str::to_owned);
        let mut widths = [0; 3];
        for row in std::iter::once(&head).chain(&rows) {
            for (width, text) in widths.iter_mut().zip(row) {
                *width = (*width).max(text.len());
            }
        }
        let [first, second, third] = widths;
        let line = format!("{:-<first$}  {:-<second$}  {:-<third$}", "", "", "");
        for (number, [layer, shape, parameters]) in std::iter::once(&head).chain(&rows).enumerate() {
            writeln!(formatter, "{layer:<first$}  {shape:<second$}  {parameters:>third$}")?;
            if number == 0 {
                writeln!(formatter, "{line}")?;
            }
        }
        writeln!(formatter, "{line}")?;
        let input = match self.features() {
            Some(features) => format!("(batch, time_steps, {features})"),
            None => "tokens (batch, time_steps)".to_owned(),
        };
        write!(
            formatter,
            "input {input}, {} parameters in all",
            self.parameters().count()
        )
    }
}

fn shape_after(layer: &Layer, sequences: &mut bool, features: Option<usize>) -> String {
    let recurrent = match layer {
        Layer::Recurrent(layer) => Some(layer.options().return_sequences),
        Layer::Bidirectional(layer) => Some(layer.forward().options().return_sequences),
        Layer::StackedRnnCells(stack) => Some(stack.options().return_sequences),
        Layer::Masking(_) | Layer::Embedding(_) | Layer::Dense(_) => None,
    };
    *sequences = recurrent.unwrap_or(*sequences);
    let shape = |width: usize| {
        if *sequences {
            format!("(batch, time_steps, {width})")
        } else {
            format!("(batch, {width})")
        }
    };
    match layer {
        Layer::Masking(_) => shape(features.unwrap_or(0)),
        Layer::Embedding(embedding) => shape(embedding.output_dim()),
        Layer::Dense(dense) => shape(dense.units()),
        Layer::Recurrent(layer) => shape(layer.output_width()),
        Layer::StackedRnnCells(stack) => shape(stack.output_width()),
        Layer::Bidirectional(layer) if layer.merge() == MergeMode::Separate => {
            format!(
                "{} and {}",
                shape(layer.forward().output_width()),
                shape(layer.backward().output_width())
            )
        }
        Layer::Bidirectional(layer) => shape(layer.width()),
    }
}
