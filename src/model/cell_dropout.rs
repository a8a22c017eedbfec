//! What cells leave out in training.

use crate::layer::recurrent::DropoutRates;
use crate::model::plan::{Plan, PlannedDropout};
use crate::random::MOST_LAYERS;

/// What a cell leaves out in training.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CellDropout {
    /// Of its input, the same for all gates: the number of a Dropout of the plan, which is a stage of its own.
    pub(crate) input: Option<usize>,
    /// Of its input and of its hidden state, and of each gate by itself.
    pub(crate) by_gate: Option<GateDropout>,
}

/// What the gates of a cell leave out in training.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GateDropout {
    pub(crate) rates: DropoutRates,
    /// The random numbers of the cell, as [`PlannedDropout::layer`].
    pub(crate) layer: u32,
}

impl Plan {
    /// Plans what the next cell leaves out. As in Keras the gates leave out values of their own as soon as the hidden state loses some.
    pub(super) fn cell_dropout(&mut self, rates: DropoutRates) {
        // counted from above: layers are counted from below
        let layer = MOST_LAYERS.saturating_sub((self.begins_at.1 + self.cells.len()) as u32);
        let by_gate = (rates.recurrent != 0.0).then_some(GateDropout { rates, layer });
        let input = (by_gate.is_none() && rates.input != 0.0).then_some(self.dropouts.len());
        if input.is_some() {
            self.dropouts.push(PlannedDropout {
                rate: rates.input,
                spatial: true,
                layer,
            });
        }
        self.cell_dropouts.push(CellDropout { input, by_gate });
    }
}
