//! The state of a recurrent layer.

use ndarray::{Array2, ArrayView2, ArrayViewMut2, Dim, s};

use crate::error::{Error, Result};
use crate::memory::STATES;

/// The state of one recurrent layer for a batch: `hidden` (h), and for an LSTM the cell state (c) besides; each (batch, units).
///
/// These are the arrays that Keras 3.15 returns with `return_state` and takes as `initial_state`, in the same order, and
/// PyTorch's `h_n` and `c_n` of one layer and direction. With an LSTM's projection `hidden` has its width, and the cell state
/// that of the units.
///
/// ```
/// use cellstate::{Device, Lstm};
///
/// let mut states = Lstm::new(2, 64).on(&Device::cpu())?.zero_state(3);
/// let state = &mut states[0];
/// assert_eq!((state.batch(), state.hidden().dim()), (3, (3, 64)));
/// state.hidden_mut().fill(0.5);
/// state.reset_row(1)?;
/// assert_eq!(state.hidden().row(1).sum(), 0.0);
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    hidden: Array2<f32>,
    cell: Option<Array2<f32>>,
}

impl State {
    /// A state of `hidden` alone, (batch, units): that of a GRU or a SimpleRNN.
    ///
    /// ```
    /// # use cellstate::State;
    /// # use ndarray::array;
    /// let state = State::new(array![[1.0, 2.0]]);
    /// assert!(state.cell().is_none());
    /// ```
    #[must_use]
    pub fn new(hidden: Array2<f32>) -> Self {
        Self { hidden, cell: None }
    }

    /// A state of `hidden`, (batch, units or projection), and the cell state, (batch, units): that of an LSTM.
    ///
    /// # Errors
    ///
    /// [`Error::Size`] if they are for batches of different size.
    ///
    /// ```
    /// # use cellstate::State;
    /// # use ndarray::array;
    /// let state = State::with_cell(array![[1.0], [2.0]], array![[3.0], [4.0]])?;
    /// assert_eq!(state.cell(), Some(array![[3.0], [4.0]].view()));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn with_cell(hidden: Array2<f32>, cell: Array2<f32>) -> Result<Self> {
        if hidden.nrows() != cell.nrows() {
            return Err(Error::Size {
                argument: "cell state".to_owned(),
                expected: format!("(batch, units) for the batch of {} of `hidden`", hidden.nrows()),
                found: format!("shape {:?}", cell.shape()),
                repair: "give both the rows of the same sequences".to_owned(),
            });
        }
        Ok(Self {
            hidden,
            cell: Some(cell),
        })
    }

    /// Zeros for a batch that nobody has checked: an error where there is no memory for it.
    pub(crate) fn zeros(batch: usize, widths: impl Iterator<Item = usize>) -> Result<Self> {
        let mut arrays = widths.map(|width| STATES.array(Dim([batch, width])));
        Ok(Self {
            hidden: arrays.next().transpose()?.unwrap_or_default(),
            cell: arrays.next().transpose()?,
        })
    }

    /// A clone, or an error where there is no memory for it.
    pub(crate) fn copied(&self) -> Result<Self> {
        let cell = self.cell.as_ref().map(|cell| STATES.copied(&cell.view()));
        Ok(Self {
            hidden: STATES.copied(&self.hidden.view())?,
            cell: cell.transpose()?,
        })
    }

    /// The same of all cells.
    pub(crate) fn all_copied(states: &[Self]) -> Result<Vec<Self>> {
        states.iter().map(Self::copied).collect()
    }

    /// The number of sequences.
    ///
    /// ```
    /// # use cellstate::State;
    /// # use ndarray::Array2;
    /// assert_eq!(State::new(Array2::zeros((3, 64))).batch(), 3);
    /// ```
    #[must_use]
    pub fn batch(&self) -> usize {
        self.hidden.nrows()
    }

    /// The hidden state h, (batch, units): the last output.
    ///
    /// ```
    /// # use cellstate::State;
    /// # use ndarray::array;
    /// assert_eq!(State::new(array![[1.0, 2.0]]).hidden(), array![[1.0, 2.0]]);
    /// ```
    #[must_use]
    pub fn hidden(&self) -> ArrayView2<'_, f32> {
        self.hidden.view()
    }

    /// The hidden state, to be changed; its shape stays.
    ///
    /// ```
    /// # use cellstate::State;
    /// # use ndarray::array;
    /// let mut state = State::new(array![[1.0, 2.0]]);
    /// state.hidden_mut().fill(0.5);
    /// assert_eq!(state.hidden(), array![[0.5, 0.5]]);
    /// ```
    pub fn hidden_mut(&mut self) -> ArrayViewMut2<'_, f32> {
        self.hidden.view_mut()
    }

    /// The cell state c, (batch, units), where there is one: in an LSTM.
    ///
    /// ```
    /// # use cellstate::{Device, Gru, Lstm};
    /// assert!(Lstm::new(2, 8).on(&Device::cpu())?.zero_state(3)[0].cell().is_some());
    /// assert!(Gru::new(2, 8).on(&Device::cpu())?.zero_state(3)[0].cell().is_none());
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn cell(&self) -> Option<ArrayView2<'_, f32>> {
        self.cell.as_ref().map(|cell| cell.view())
    }

    /// The cell state, to be changed; its shape stays.
    ///
    /// ```
    /// # use cellstate::{Device, Lstm};
    /// let mut states = Lstm::new(2, 8).on(&Device::cpu())?.zero_state(3);
    /// if let Some(mut cell) = states[0].cell_mut() {
    ///     cell.fill(0.5);
    /// }
    /// assert_eq!(states[0].cell().map(|cell| cell.sum()), Some(3.0 * 8.0 * 0.5));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn cell_mut(&mut self) -> Option<ArrayViewMut2<'_, f32>> {
        self.cell.as_mut().map(|cell| cell.view_mut())
    }

    /// Hidden and, where there is one, the cell state.
    pub(crate) fn arrays(&self) -> impl Iterator<Item = &Array2<f32>> {
        std::iter::once(&self.hidden).chain(&self.cell)
    }

    pub(crate) fn arrays_mut(&mut self) -> impl Iterator<Item = &mut Array2<f32>> {
        std::iter::once(&mut self.hidden).chain(&mut self.cell)
    }

    /// Sets the state of all sequences to zero.
    ///
    /// ```
    /// # use cellstate::State;
    /// # use ndarray::array;
    /// let mut state = State::new(array![[1.0, 2.0]]);
    /// state.reset();
    /// assert_eq!(state.hidden(), array![[0.0, 0.0]]);
    /// ```
    pub fn reset(&mut self) {
        self.arrays_mut().for_each(|array| array.fill(0.0));
    }

    /// Sets the state of one sequence of the batch to zero: a stream has ended and another takes its place.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] if the batch has no such row.
    ///
    /// ```
    /// # use cellstate::State;
    /// # use ndarray::array;
    /// let mut state = State::with_cell(array![[1.0], [2.0]], array![[3.0], [4.0]])?;
    /// state.reset_row(1)?;
    /// assert_eq!(state, State::with_cell(array![[1.0], [0.0]], array![[3.0], [0.0]])?);
    /// assert!(state.reset_row(2).is_err());
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn reset_row(&mut self, row: usize) -> Result<()> {
        self.check_row("reset_row", row)?;
        self.arrays_mut().for_each(|array| array.row_mut(row).fill(0.0));
        Ok(())
    }

    /// The states of some sequences, in the order of `rows`, which may repeat.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] if the batch has not all of the rows, [`Error::Memory`] if there is no memory for so many.
    ///
    /// ```
    /// # use cellstate::State;
    /// # use ndarray::array;
    /// let state = State::new(array![[1.0], [2.0], [3.0]]);
    /// assert_eq!(state.select(&[2, 0])?.hidden(), array![[3.0], [1.0]]);
    /// assert!(state.select(&[3]).is_err());
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn select(&self, rows: &[usize]) -> Result<Self> {
        rows.iter().try_for_each(|&row| self.check_row("select", row))?;
        let select = |array: &Array2<f32>| {
            let mut selected = STATES.array(Dim([rows.len(), array.ncols()]))?;
            for (mut to, &row) in selected.outer_iter_mut().zip(rows) {
                to.assign(&array.row(row));
            }
            Ok(selected)
        };
        Ok(Self {
            hidden: select(&self.hidden)?,
            cell: self.cell.as_ref().map(select).transpose()?,
        })
    }

    /// The states of several batches as that of one, one behind the other.
    ///
    /// # Errors
    ///
    /// [`Error::Size`] if they are not the states of one layer, or if there are none; [`Error::Memory`] if there is no memory for
    /// so many.
    ///
    /// ```
    /// # use cellstate::State;
    /// # use ndarray::array;
    /// let (one, two) = (State::new(array![[1.0]]), State::new(array![[2.0], [3.0]]));
    /// assert_eq!(State::concat(&[&one, &two])?.hidden(), array![[1.0], [2.0], [3.0]]);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn concat(states: &[&Self]) -> Result<Self> {
        let cells = || states.iter().filter_map(|state| state.cell());
        Ok(Self {
            hidden: joined(states.iter().map(|state| state.hidden()))?,
            cell: match cells().count() {
                0 => None,
                count if count == states.len() => Some(joined(cells())?),
                _ => return Err(different_layers()),
            },
        })
    }

    pub(crate) fn check_row(&self, argument: &str, row: usize) -> Result<()> {
        if row < self.batch() {
            return Ok(());
        }
        Err(Error::Value {
            argument: argument.to_owned(),
            expected: format!("a row below the batch of {}", self.batch()),
            found: row.to_string(),
            repair: "rows are numbered from 0 in the order of the batch".to_owned(),
        })
    }
}

/// Arrays of one width, one behind the other.
fn joined<'a>(arrays: impl Iterator<Item = ArrayView2<'a, f32>> + Clone) -> Result<Array2<f32>> {
    let first = arrays.clone().next().ok_or_else(different_layers)?;
    let width = first.ncols();
    if arrays.clone().any(|array| array.ncols() != width) {
        return Err(different_layers());
    }
    let rows = arrays
        .clone()
        .fold(0_usize, |rows, array| rows.saturating_add(array.nrows()));
    let mut joined = STATES.array(Dim([rows, width]))?;
    let mut first = 0;
    for array in arrays {
        let rows = first..first + array.nrows();
        first = rows.end;
        joined.slice_mut(s![rows, ..]).assign(&array);
    }
    Ok(joined)
}

/// States that do not belong together.
pub(crate) fn different_layers() -> Error {
    Error::Size {
        argument: "states to concat".to_owned(),
        expected: "at least one, all of the same layer: as many arrays of the same widths".to_owned(),
        found: "none, or states of different layers".to_owned(),
        repair: "join the states of one runner with each other".to_owned(),
    }
}
