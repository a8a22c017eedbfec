//! What cells leave out in training.

use crate::layer::recurrent::DropoutRates;
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
    /// The random numbers of the cell, as those of a Dropout.
    pub(crate) layer: u32,
}

impl CellDropout {
    /// Of the cell of this number in the model; `next` is the number of the next Dropout of the plan. As in Keras the gates leave out values of
    /// their own as soon as the hidden state loses some.
    pub(super) fn new(rates: DropoutRates, cell: usize, next: usize) -> Self {
        let layer = Self::layer(cell);
        let by_gate = (rates.recurrent != 0.0).then_some(GateDropout { rates, layer });
        let input = (by_gate.is_none() && rates.input != 0.0).then_some(next);
        Self { input, by_gate }
    }

    /// Cells are counted from above: layers are counted from below.
    pub(super) fn layer(cell: usize) -> u32 {
        MOST_LAYERS.saturating_sub(cell as u32)
    }
}
