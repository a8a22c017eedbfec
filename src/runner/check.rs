//! What a runner is given: whether it is what the model takes.

use super::Runner;
use crate::error::{Error, Result};
use crate::flow::Input;
use crate::sequences::Sequences;
use crate::state::State;

impl Runner {
    /// What the model reads of a batch, if it is the kind and the features that it takes.
    pub(super) fn check_input<'a>(&self, sequences: &'a Sequences<'_>) -> Result<Input<'a>> {
        match (self.parts.features, sequences.values(), sequences.tokens()) {
            (None, _, Some(tokens)) => Ok(Input::Tokens(tokens)),
            (None, _, None) => Err(Error::InputKind {
                layer: self.parts.reader.clone(),
                expected: "tokens (batch, time_steps) of i32",
                found: "numbers (batch, time_steps, features) of f32",
                repair: "pass an Array2<i32> of token numbers".to_owned(),
            }),
            (Some(expected), Some(values), _) => {
                let (_, time_steps, found) = values.dim();
                if found == expected {
                    return Ok(Input::Values(values));
                }
                let repair = if time_steps == expected {
                    "the axes look swapped (time_steps equals the features wanted): call \
                     `.permuted_axes([0, 2, 1])` to get (batch, time_steps, features)"
                        .to_owned()
                } else {
                    format!("give every time step {expected} features, or make the layer for {found}")
                };
                let shape = values.shape().to_vec();
                Err(Error::Features {
                    layer: self.parts.reader.clone(),
                    expected,
                    found,
                    shape,
                    repair,
                })
            }
            (Some(features), None, _) => Err(Error::InputKind {
                layer: self.parts.reader.clone(),
                expected: "numbers (batch, time_steps, features) of f32",
                found: "tokens (batch, time_steps) of i32",
                repair: format!(
                    "put an Embedding first: `Model::builder().add(Embedding::new(vocabulary, {features}))`, or pass an \
                     Array3<f32>"
                ),
            }),
        }
    }

    /// Whether the states are those of this model, for this batch.
    pub(super) fn check_states(&self, states: &[State], batch: usize) -> Result<()> {
        let begin = || format!("begin with `runner.zero_state({batch})`");
        if states.len() != self.parts.cells.len() {
            return Err(Error::Size {
                argument: "states".to_owned(),
                expected: format!(
                    "one state for each of the {} LSTMs of the model",
                    self.parts.cells.len()
                ),
                found: format!("{} states", states.len()),
                repair: begin(),
            });
        }
        for (number, (state, cell)) in states.iter().zip(&self.parts.cells).enumerate() {
            let wanted = (batch, cell.units());
            for (name, part) in [("hidden", &state.hidden), ("cell", &state.cell)] {
                if part.dim() != wanted {
                    let repair = match part.nrows() {
                        rows if rows == batch || part.ncols() != cell.units() => begin(),
                        rows => format!(
                            "the states are of {rows} sequences and the batch has {batch}: take those of the sequences that \
                             go on with `states.select(&rows)`, add those of new ones with `States::concat`, or {}",
                            begin()
                        ),
                    };
                    return Err(Error::Size {
                        argument: format!("states[{number}].{name}"),
                        expected: format!("shape (batch, units) = {wanted:?}"),
                        found: format!("shape {:?}", part.dim()),
                        repair,
                    });
                }
            }
        }
        Ok(())
    }
}
