//! The table that a model prints.

use std::fmt;

use super::Model;
use super::options::options_of;
use crate::layer::shape::Shape;

/// The table of layers: what each gives, its parameters, and the options that differ from the default.
impl fmt::Display for Model {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<[String; 4]> = self
            .layers
            .iter()
            .zip(&self.shapes)
            .map(|(layer, shape)| {
                // a Masking layer in front has the features of the layer that reads them
                let shape = match (shape, self.features()) {
                    (Shape::Input, Some(features)) => shape.with_width(features),
                    _ => *shape,
                };
                let parameters = layer.parameter_count();
                [
                    layer.class().to_owned(),
                    shape.to_string(),
                    parameters.to_string(),
                    options_of(layer),
                ]
            })
            .collect();
        let head = ["layer", "output", "parameters", "options"].map(str::to_owned);
        let mut widths = [0; 4];
        for row in std::iter::once(&head).chain(&rows) {
            for (width, text) in widths.iter_mut().zip(row) {
                *width = (*width).max(text.len());
            }
        }
        // the options are last and of any length: no line reaches under them, and where there are none the column is left out
        let [first, second, third, _] = widths;
        let has_options = rows.iter().any(|[.., options]| !options.is_empty());
        let line = format!("{:-<first$}  {:-<second$}  {:-<third$}", "", "", "");
        let below = if has_options {
            format!("{line}  -------")
        } else {
            line.clone()
        };
        for (number, [layer, shape, parameters, options]) in std::iter::once(&head).chain(&rows).enumerate() {
            write!(formatter, "{layer:<first$}  {shape:<second$}  {parameters:>third$}")?;
            match has_options && !options.is_empty() {
                true => writeln!(formatter, "  {options}")?,
                false => writeln!(formatter)?,
            }
            if number == 0 {
                writeln!(formatter, "{below}")?;
            }
        }
        writeln!(formatter, "{line}")?;
        write!(
            formatter,
            "input {}, {} parameters in all",
            self.input_axes(),
            self.parameters().count()
        )
    }
}

impl Model {
    /// The axes of the input, as the table says them.
    fn input_axes(&self) -> String {
        let steps = match self.nested() {
            Some(_) => "batch, time_steps, inner_time_steps",
            None => "batch, time_steps",
        };
        match self.features() {
            Some(features) => format!("({steps}, {features})"),
            None if self.takes_tokens() => format!("tokens ({steps})"),
            None => format!("({steps}, features)"),
        }
    }
}
