//! What layers and cells leave out in training, in a plan.

use rayon::prelude::*;

use crate::layer::recurrent::DropoutRates;
use crate::random::{MOST_LAYERS, Noise, row_of_gate};

/// So many factors are worth another thread.
const TOGETHER: usize = 1 << 14;

/// A Dropout layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlannedDropout {
    pub(crate) rate: f32,
    /// Whether a feature is left out at all time steps of a sequence, or at none.
    pub(crate) spatial: bool,
    /// Its position in the model, with a bit more within a TimeDistributed: each layer has random numbers of its own.
    pub(crate) layer: u32,
    /// The cell whose input it is about, by its number in the plan; `None` for a layer of its own.
    pub(crate) cell: Option<usize>,
}

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
    /// Of a cell behind so many others of the model, and of a plan; the Dropout of its input becomes the last of the plan. As in Keras the gates
    /// leave out values of their own as soon as the hidden state loses some.
    pub(super) fn planned(
        rates: DropoutRates,
        (is_inner, before, cell): (bool, usize, usize),
        dropouts: &mut Vec<PlannedDropout>,
    ) -> Self {
        // counted from above: layers are counted from below; within a TimeDistributed cells from the middle
        let layer = (MOST_LAYERS >> u32::from(is_inner)).saturating_sub((before + cell) as u32);
        if rates.recurrent != 0.0 {
            return Self {
                input: None,
                by_gate: Some(GateDropout { rates, layer }),
            };
        }
        let input = (rates.input != 0.0).then_some(dropouts.len());
        if input.is_some() {
            dropouts.push(PlannedDropout {
                rate: rates.input,
                spatial: true,
                layer,
                cell: Some(cell),
            });
        }
        Self { input, by_gate: None }
    }
}

impl GateDropout {
    /// What each gate leaves out of its input: factors for each of these sequences, gate and value.
    pub(crate) fn of_input(self, noise: Noise, sequences: &[u32], size: (usize, usize), factors: &mut [f32]) {
        self.draw(noise, (sequences, false), size, factors);
    }

    /// The same of the hidden state.
    pub(crate) fn of_hidden(self, noise: Noise, sequences: &[u32], size: (usize, usize), factors: &mut [f32]) {
        self.draw(noise, (sequences, true), size, factors);
    }

    fn draw(
        self,
        noise: Noise,
        (sequences, is_recurrent): (&[u32], bool),
        (gates, width): (usize, usize),
        factors: &mut [f32],
    ) {
        let DropoutRates { input, recurrent } = self.rates;
        let rate = if is_recurrent { recurrent } else { input };
        if rate == 0.0 {
            return factors.fill(1.0);
        }
        let of_sequence = (gates * width).max(1);
        let draw = |(factors, sequences): (&mut [f32], &[u32])| {
            for (factors, &sequence) in factors.chunks_exact_mut(of_sequence).zip(sequences) {
                for (gate, factors) in factors.chunks_exact_mut(width.max(1)).enumerate() {
                    let row = row_of_gate(sequence, gate, is_recurrent);
                    noise.dropout((self.layer, row), rate, 0, factors);
                }
            }
        };
        let together = TOGETHER.div_ceil(of_sequence);
        match sequences.len() <= together {
            true => draw((factors, sequences)),
            false => {
                let tasks = factors.par_chunks_mut(together * of_sequence);
                tasks.zip(sequences.par_chunks(together)).for_each(draw);
            }
        }
    }
}
