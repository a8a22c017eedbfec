//! Several cells as one layer.

use super::recurrent::{Recurrent, RecurrentOptions};
use crate::error::{Error, Result};

/// Several cells that run one behind the other in every time step, as `keras.layers.RNN([LSTMCell, LSTMCell, …])`
/// (`StackedRNNCells`, Keras 3.15).
///
/// Of each recurrent layer only what a cell has is used: sizes, activations, weights. What concerns the whole sequence is said
/// to the stack; said to a cell it is refused when the model is built. The output is the last cell's. A masked step leaves
/// the states of all cells alone.
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
    cells: Vec<Recurrent>,
    options: RecurrentOptions,
}

impl StackedRnnCells {
    /// The cells, the one nearest to the input first; each takes as many features as the one before it has units. Nothing
    /// is checked until the layer becomes part of a model.
    ///
    /// ```
    /// # use cellstate::{Lstm, StackedRnnCells};
    /// assert_eq!(StackedRnnCells::new([Lstm::new(3, 8), Lstm::new(8, 4)]).cells().len(), 2);
    /// ```
    #[must_use]
    pub fn new<C: Into<Recurrent>>(cells: impl IntoIterator<Item = C>) -> Self {
        Self {
            cells: cells.into_iter().map(Into::into).collect(),
            options: RecurrentOptions::default(),
        }
    }

    /// As [`Lstm::return_sequences`](crate::Lstm::return_sequences).
    ///
    /// ```
    /// # use cellstate::{Device, Lstm, Sequences, StackedRnnCells};
    /// # use ndarray::Array3;
    /// let layer = StackedRnnCells::new([Lstm::new(3, 8), Lstm::new(8, 4)]).return_sequences(true);
    /// let output = layer.on(&Device::cpu())?.run(&Sequences::from(Array3::zeros((2, 6, 3))))?;
    /// assert_eq!(output.values().shape(), [2, 6, 4]);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn return_sequences(mut self, return_sequences: bool) -> Self {
        self.options.return_sequences = return_sequences;
        self
    }

    /// As [`Lstm::return_state`](crate::Lstm::return_state); there is one state for each cell.
    ///
    /// ```
    /// # use cellstate::{Device, Lstm, Sequences, StackedRnnCells};
    /// # use ndarray::Array3;
    /// let layer = StackedRnnCells::new([Lstm::new(3, 8), Lstm::new(8, 4)]).return_state(true);
    /// let output = layer.on(&Device::cpu())?.run(&Sequences::from(Array3::zeros((2, 6, 3))))?;
    /// assert_eq!((output.states()[0].hidden().dim(), output.states()[1].hidden().dim()), ((2, 8), (2, 4)));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn return_state(mut self, return_state: bool) -> Self {
        self.options.return_state = return_state;
        self
    }

    /// As [`Lstm::go_backwards`](crate::Lstm::go_backwards).
    ///
    /// ```
    /// # use cellstate::{Device, Lstm, Sequences, StackedRnnCells};
    /// # use ndarray::array;
    /// let stack = StackedRnnCells::new([Lstm::new(1, 8), Lstm::new(8, 4)]);
    /// let (there, back) = (array![[[1.0], [2.0]]], array![[[2.0], [1.0]]]);
    /// let forwards = stack.clone().on(&Device::cpu())?.run(&Sequences::from(there))?;
    /// let backwards = stack.go_backwards(true).on(&Device::cpu())?.run(&Sequences::from(back))?;
    /// assert_eq!(forwards.last(), backwards.last());
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn go_backwards(mut self, go_backwards: bool) -> Self {
        self.options.go_backwards = go_backwards;
        self
    }

    /// As [`Lstm::zero_output_for_mask`](crate::Lstm::zero_output_for_mask).
    ///
    /// ```
    /// # use cellstate::{Device, Lstm, Sequences, StackedRnnCells};
    /// # use ndarray::array;
    /// let stack = StackedRnnCells::new([Lstm::new(1, 8), Lstm::new(8, 4)]).zero_output_for_mask(true);
    /// let batch = Sequences::from(array![[[1.0], [2.0], [0.0]]]).with_lengths(&[2])?;
    /// let output = stack.on(&Device::cpu())?.run(&batch)?;
    /// assert!(output.last().iter().all(|&value| value == 0.0)); // the last step is masked
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn zero_output_for_mask(mut self, zero_output_for_mask: bool) -> Self {
        self.options.zero_output_for_mask = zero_output_for_mask;
        self
    }

    /// As [`Lstm::input_order`](crate::Lstm::input_order).
    ///
    /// ```
    /// # use cellstate::{Lstm, StackedRnnCells};
    /// let stack = StackedRnnCells::new([Lstm::new(3, 8), Lstm::new(8, 4)]).go_backwards(true).input_order(true);
    /// assert!(stack.options().input_order);
    /// ```
    #[must_use]
    pub fn input_order(mut self, input_order: bool) -> Self {
        self.options.input_order = input_order;
        self
    }

    /// The cells, the one nearest to the input first.
    ///
    /// ```
    /// # use cellstate::{Lstm, StackedRnnCells};
    /// let stack = StackedRnnCells::new([Lstm::new(3, 8), Lstm::new(8, 4)]);
    /// assert_eq!(stack.cells(), [Lstm::new(3, 8).into(), Lstm::new(8, 4).into()]);
    /// ```
    #[must_use]
    pub fn cells(&self) -> &[Recurrent] {
        &self.cells
    }

    /// What the stack was told to do with a sequence.
    ///
    /// ```
    /// # use cellstate::{Lstm, StackedRnnCells};
    /// let stack = StackedRnnCells::new([Lstm::new(3, 8), Lstm::new(8, 4)]).return_sequences(true);
    /// assert!(stack.options().return_sequences);
    /// ```
    #[must_use]
    pub fn options(&self) -> RecurrentOptions {
        self.options
    }

    /// The features of the input: those of the first cell.
    #[allow(
        dead_code,
        reason = "only readers of files set all of them, and each is behind a feature"
    )]
    pub(crate) fn with_options(mut self, options: RecurrentOptions) -> Self {
        self.options = options;
        self
    }

    pub(crate) fn features(&self) -> usize {
        self.cells.first().map_or(0, Recurrent::features)
    }

    /// The width of the output: that of the last cell.
    pub(crate) fn output_width(&self) -> usize {
        self.cells.last().map_or(0, Recurrent::output_width)
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.cells.is_empty() {
            return Err(Error::Value {
                argument: "cells of StackedRnnCells".to_owned(),
                expected: "at least one cell".to_owned(),
                found: "none".to_owned(),
                repair: "pass the cells: `StackedRnnCells::new([Lstm::new(…), …])`".to_owned(),
            });
        }
        for (number, cell) in self.cells.iter().enumerate() {
            cell.check()?;
            cell.check_says_nothing("StackedRnnCells", number)?;
        }
        for (number, pair) in self.cells.windows(2).enumerate() {
            if let [before, after] = pair
                && before.output_width() != after.features()
            {
                return Err(Error::Features {
                    layer: format!("cell {} of StackedRnnCells", number + 1),
                    expected: after.features(),
                    found: before.output_width(),
                    shape: Vec::new(),
                    repair: format!(
                        "make it `{}::new({}, {})`",
                        after.cell.layer(),
                        before.output_width(),
                        after.units()
                    ),
                });
            }
        }
        Ok(())
    }
}
