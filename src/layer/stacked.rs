//! Several LSTM cells as one layer.

use super::lstm::{Lstm, LstmOptions};
use crate::error::{Error, Result};

/// Several LSTM cells that run one behind the other in every time step, as `keras.layers.RNN([LSTMCell, LSTMCell, …])`
/// (`StackedRNNCells`).
///
/// Of each [`Lstm`] only what a cell has is used: sizes, activations, weights. What concerns the whole sequence is said
/// to the stack.
///
/// ```
/// use cellstate::{Device, Lstm, Sequences, StackedRnnCells};
/// use ndarray::Array3;
///
/// let layer = StackedRnnCells::new([Lstm::new(3, 8), Lstm::new(8, 4)]).return_state(true);
/// let output = layer.on(&Device::cpu())?.run(&Sequences::from(Array3::zeros((2, 6, 3))))?;
/// assert_eq!(output.last().dim(), (2, 4));
/// assert_eq!(output.states().len(), 2); // one for each cell
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct StackedRnnCells {
    cells: Vec<Lstm>,
    return_sequences: bool,
    return_state: bool,
    go_backwards: bool,
    zero_output_for_mask: bool,
}

impl StackedRnnCells {
    /// The cells, the one nearest to the input first.
    pub fn new(cells: impl IntoIterator<Item = Lstm>) -> Self {
        Self {
            cells: cells.into_iter().collect(),
            return_sequences: false,
            return_state: false,
            go_backwards: false,
            zero_output_for_mask: false,
        }
    }

    /// As [`Lstm::return_sequences`].
    pub fn return_sequences(mut self, return_sequences: bool) -> Self {
        self.return_sequences = return_sequences;
        self
    }

    /// As [`Lstm::return_state`]; there is one state for each cell.
    pub fn return_state(mut self, return_state: bool) -> Self {
        self.return_state = return_state;
        self
    }

    /// As [`Lstm::go_backwards`].
    pub fn go_backwards(mut self, go_backwards: bool) -> Self {
        self.go_backwards = go_backwards;
        self
    }

    /// As [`Lstm::zero_output_for_mask`].
    pub fn zero_output_for_mask(mut self, zero_output_for_mask: bool) -> Self {
        self.zero_output_for_mask = zero_output_for_mask;
        self
    }

    /// The cells.
    pub fn cells(&self) -> &[Lstm] {
        &self.cells
    }

    /// The options of the whole, with the activations of the last cell.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] if there is no cell.
    pub fn options(&self) -> Result<LstmOptions> {
        let last = self.cells.last().ok_or_else(|| Error::Value {
            argument: "cells of StackedRnnCells".to_owned(),
            expected: "at least one cell".to_owned(),
            found: "none".to_owned(),
            repair: "pass the cells: `StackedRnnCells::new([Lstm::new(…), …])`".to_owned(),
        })?;
        Ok(LstmOptions {
            return_sequences: self.return_sequences,
            return_state: self.return_state,
            go_backwards: self.go_backwards,
            zero_output_for_mask: self.zero_output_for_mask,
            ..last.options()
        })
    }

    /// The units of the last cell, which are those of the output.
    pub(crate) fn units(&self) -> usize {
        self.cells.last().map_or(0, Lstm::units)
    }

    pub(crate) fn check(&self) -> Result<()> {
        self.options()?;
        for (number, cell) in self.cells.iter().enumerate() {
            cell.check()?;
            let options = cell.options();
            let said = [
                ("return_sequences", options.return_sequences),
                ("return_state", options.return_state),
                ("go_backwards", options.go_backwards),
                ("zero_output_for_mask", options.zero_output_for_mask),
            ];
            if let Some((option, _)) = said.iter().find(|(_, set)| *set) {
                return Err(Error::Unsupported {
                    layer: format!("cell {number} of StackedRnnCells"),
                    option: format!("{option}(true) on a cell"),
                    instead: format!("call `{option}(true)` on the StackedRnnCells itself"),
                });
            }
        }
        for (number, pair) in self.cells.windows(2).enumerate() {
            if let [before, after] = pair
                && before.units() != after.features()
            {
                return Err(Error::Features {
                    layer: format!("cell {} of StackedRnnCells", number + 1),
                    expected: after.features(),
                    found: before.units(),
                    shape: Vec::new(),
                    repair: format!("make it `Lstm::new({}, {})`", before.units(), after.units()),
                });
            }
        }
        Ok(())
    }
}
