//! The states of all recurrent layers of a model.

use std::ops::{Deref, DerefMut};

use crate::error::Result;
use crate::memory::STATES;
use crate::state::{State, different_layers};

/// The states of all recurrent layers of a model, in the model's order.
///
/// One [`State`] for each recurrent layer: a `Bidirectional` has two (forward, then backward), stacked cells have one each, in
/// their order, as in the lists of Keras 3.15. Carrying them from batch to batch is what Keras calls `stateful`, but a state is
/// a value here and not part of the layer: cloning it is saving it, and one runner serves any number of them. It reads as
/// a slice of [`State`].
///
/// ```
/// use cellstate::{Device, Lstm, Sequences};
/// use ndarray::Array3;
///
/// let runner = Lstm::new(2, 4).on(&Device::cpu())?;
/// let mut states = runner.zero_state(3);
/// let chunk = Array3::from_elem((3, 5, 2), 0.5);
/// runner.run_from(&Sequences::from(&chunk), &mut states)?; // the first five steps
/// runner.run_from(&Sequences::from(&chunk), &mut states)?; // goes on where they ended
/// states.reset_row(1)?; // sequence 1 starts anew
/// assert_eq!(states[0].hidden().dim(), (3, 4));
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct States {
    states: Vec<State>,
}

impl States {
    pub(crate) fn new(states: Vec<State>) -> Self {
        Self { states }
    }

    /// Sets every state to zero, as Keras's `reset_state()` does.
    ///
    /// ```
    /// # use cellstate::{Device, Lstm};
    /// let runner = Lstm::new(2, 4).on(&Device::cpu())?;
    /// let mut states = runner.zero_state(3);
    /// states[0].hidden_mut().fill(0.5);
    /// states.reset();
    /// assert_eq!(states, runner.zero_state(3));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn reset(&mut self) {
        self.states.iter_mut().for_each(State::reset);
    }

    /// Sets the state of one sequence of the batch to zero, in all layers.
    ///
    /// # Errors
    ///
    /// [`Error::Value`](crate::Error::Value) if the batch has no such row; then no state is changed.
    ///
    /// ```
    /// # use cellstate::{Device, Lstm, Model};
    /// let model = Model::builder().add(Lstm::new(2, 4).return_sequences(true)).add(Lstm::new(4, 4)).build()?;
    /// let mut states = model.on(&Device::cpu())?.zero_state(3);
    /// states.iter_mut().for_each(|state| state.hidden_mut().fill(0.5));
    /// states.reset_row(1)?;
    /// assert!(states.iter().all(|state| state.hidden().row(1).sum() == 0.0 && state.hidden().row(2).sum() == 2.0));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn reset_row(&mut self, row: usize) -> Result<()> {
        self.states
            .iter()
            .try_for_each(|state| state.check_row("reset_row", row))?;
        self.states.iter_mut().try_for_each(|state| state.reset_row(row))
    }

    /// The states of some sequences of the batch, in the order of `rows`, which may repeat: streams that go on in a smaller
    /// batch, or in another order.
    ///
    /// # Errors
    ///
    /// [`Error::Value`](crate::Error::Value) if the batch has not all of the rows,
    /// [`Error::Memory`](crate::Error::Memory) if there is no memory for so many.
    ///
    /// ```
    /// # use cellstate::{Device, Lstm};
    /// let runner = Lstm::new(2, 4).on(&Device::cpu())?;
    /// let states = runner.zero_state(3);
    /// assert_eq!(states.select(&[2, 0])?, runner.zero_state(2));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn select(&self, rows: &[usize]) -> Result<Self> {
        let selected: Result<_> = self.states.iter().map(|state| state.select(rows)).collect();
        Ok(Self::new(selected?))
    }

    /// The states of several batches of one model as those of one batch, one behind the other: streams that go on together.
    ///
    /// # Errors
    ///
    /// [`Error::Size`](crate::Error::Size) if they are not the states of one model, or if there are none;
    /// [`Error::Memory`](crate::Error::Memory) if there is no memory for so many.
    ///
    /// ```
    /// # use cellstate::{Device, Lstm, States};
    /// let runner = Lstm::new(2, 4).on(&Device::cpu())?;
    /// let (playing, new) = (runner.zero_state(3), runner.zero_state(1));
    /// assert_eq!(States::concat(&[&playing, &new])?, runner.zero_state(4));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn concat(states: &[&Self]) -> Result<Self> {
        let layers = states.first().map_or(0, |states| states.len());
        if states.is_empty() || states.iter().any(|states| states.len() != layers) {
            return Err(different_layers());
        }
        let of_layer = |layer: usize| {
            let states = states.iter().filter_map(|states| states.get(layer));
            State::concat(&STATES.collected(states)?)
        };
        let joined: Result<_> = (0..layers).map(of_layer).collect();
        Ok(Self::new(joined?))
    }
}

impl Deref for States {
    type Target = [State];

    fn deref(&self) -> &[State] {
        &self.states
    }
}

impl DerefMut for States {
    fn deref_mut(&mut self) -> &mut [State] {
        &mut self.states
    }
}
