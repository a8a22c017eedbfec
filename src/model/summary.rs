//! The table that a model prints.

use std::fmt;

use super::Model;
use crate::layer::shape::Shape;

impl fmt::Display for Model {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<[String; 3]> = self
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
                [layer.class().to_owned(), shape.to_string(), parameters.to_string()]
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
            None if self.takes_tokens() => "tokens (batch, time_steps)".to_owned(),
            None => "(batch, time_steps, features)".to_owned(),
        };
        write!(
            formatter,
            "input {input}, {} parameters in all",
            self.parameters().count()
        )
    }
}
