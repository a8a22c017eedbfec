//! The gradients of any loss: of the weights, the input and the initial states.

use ndarray::ArrayD;

use super::Trainer;
use crate::error::{Error, Result};
use crate::gradients::{Gradients, Upstream, Wants};
use crate::output::Output;
use crate::sequences::Sequences;
use crate::state::State;
use crate::states::States;

impl Trainer {
    /// The gradients of a loss of the caller's: `upstream` makes of what the model gives, and of the final states of all recurrent layers,
    /// the gradient of that loss with respect to them. Gradients are those of inference, in which no Dropout leaves anything out. No weight
    /// is changed.
    ///
    /// `states` are those in which the batch begins; zeros without.
    ///
    /// # Errors
    ///
    /// Those of [`Runner::run_from`](crate::Runner::run_from); [`Error::Size`] if a gradient has not the shape of what it belongs to.
    ///
    /// ```
    /// use cellstate::{Adam, Dense, Device, Loss, Model, Sequences, Trainer, Upstream};
    /// use ndarray::array;
    ///
    /// let mut model = Model::builder().add(Dense::new(2, 1)).build()?;
    /// model.replace_parameter("dense/kernel", array![[2.0], [3.0]].into_dyn())?;
    /// let mut trainer = Trainer::new(model, &Device::cpu(), Loss::MeanSquaredError, Adam::new(1e-3))?;
    /// let sequences = Sequences::from(array![[[10.0, 1.0]]]);
    /// // the loss is the sum of all outputs
    /// let sum = |output: &cellstate::Output, _: &cellstate::States| Upstream::new(output.values().mapv(|_| 1.0));
    /// let gradients = trainer.gradients(&sequences, None, sum)?;
    /// assert_eq!(gradients.get("dense/kernel")?, array![[10.0], [1.0]].into_dyn());
    /// assert_eq!(gradients.input(), Some(array![[[2.0, 3.0]]].view()));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn gradients(
        &mut self,
        sequences: &Sequences<'_>,
        states: Option<&States>,
        upstream: impl FnOnce(&Output, &States) -> Upstream,
    ) -> Result<Gradients> {
        pollster::block_on(self.gradients_async(sequences, states, upstream))
    }

    /// As [`Trainer::gradients`].
    ///
    /// # Errors
    ///
    /// As [`Trainer::gradients`].
    pub async fn gradients_async(
        &mut self,
        sequences: &Sequences<'_>,
        states: Option<&States>,
        upstream: impl FnOnce(&Output, &States) -> Upstream,
    ) -> Result<Gradients> {
        let mut finals = match states {
            Some(states) => {
                self.engine.check_states(states, sequences.batch())?;
                State::all_copied(states)?
            }
            None => self.engine.zero_states(sequences.batch())?,
        };
        let mut pass = self.engine.forward(sequences, Some(&mut finals), None).await?;
        let finals = States::new(finals);
        let outputs = self.head.outputs_of(&pass.output.values)?;
        let given = outputs.map(|outputs| std::mem::replace(&mut pass.output.values, outputs));
        let mut upstream = upstream(&pass.output, &finals);
        check_upstream(&upstream, &pass.output, &finals)?;
        if let Some(given) = given {
            self.head.pull_back(&given, &mut upstream)?;
        }
        let found = self.engine.backward(&pass, upstream, Wants::ALL).await?;
        Ok(Gradients::new(found.parameters, found.input, found.states))
    }
}

/// Whether each gradient has the shape of what it belongs to.
fn check_upstream(upstream: &Upstream, output: &Output, finals: &States) -> Result<()> {
    let wrong = |what: String, expected: Vec<usize>, found: Vec<usize>| Error::Size {
        argument: format!("gradient with respect to {what}"),
        expected: format!("shape {expected:?}"),
        found: format!("shape {found:?}"),
        repair: "give a number for each that the model gave, 0 where the loss does not depend on it".to_owned(),
    };
    let outputs = std::iter::once(&output.values).chain(&output.backward);
    let shapes: Vec<Vec<usize>> = outputs.map(|values| values.shape().to_vec()).collect();
    let given: Vec<Vec<usize>> = upstream.outputs.iter().map(|values| values.shape().to_vec()).collect();
    for (number, shape) in shapes.iter().enumerate() {
        let found = given.get(number).cloned().unwrap_or_default();
        if found != *shape {
            return Err(wrong(format!("output {number}"), shape.clone(), found));
        }
    }
    if given.len() > shapes.len() {
        return Err(wrong(
            "a second output".to_owned(),
            Vec::new(),
            given.last().cloned().unwrap_or_default(),
        ));
    }
    let Some(states) = &upstream.states else {
        return Ok(());
    };
    if states.len() != finals.len() {
        return Err(wrong(
            "the final states".to_owned(),
            vec![finals.len()],
            vec![states.len()],
        ));
    }
    for (number, (given, state)) in states.iter().zip(finals.iter()).enumerate() {
        let shapes = |state: &State| state.arrays().map(|array| array.shape().to_vec()).collect::<Vec<_>>();
        let (expected, found) = (shapes(state).concat(), shapes(given).concat());
        if expected != found {
            return Err(wrong(format!("the final state of cell {number}"), expected, found));
        }
    }
    Ok(())
}

/// How a loss of the caller's depends on what a model gives.
impl Upstream {
    /// The gradient with respect to [`Output::values`], in its shape.
    ///
    /// ```
    /// let upstream = cellstate::Upstream::new(ndarray::Array2::ones((3, 8)).into_dyn());
    /// # let _ = upstream;
    /// ```
    #[must_use]
    pub fn new(values: ArrayD<f32>) -> Self {
        Self {
            outputs: vec![values],
            states: None,
        }
    }

    /// That with respect to [`Output::backward`], of a model that ends with both outputs of a `Bidirectional`.
    ///
    /// ```
    /// # use ndarray::Array2;
    /// let upstream = cellstate::Upstream::new(Array2::ones((3, 8)).into_dyn()).backward(Array2::ones((3, 8)).into_dyn());
    /// # let _ = upstream;
    /// ```
    #[must_use]
    pub fn backward(mut self, values: ArrayD<f32>) -> Self {
        self.outputs.truncate(1);
        self.outputs.push(values);
        self
    }

    /// Those with respect to the final states of all recurrent layers, in the order of [`States`].
    ///
    /// ```
    /// # use cellstate::{State, Upstream};
    /// # use ndarray::Array2;
    /// let of_state = State::with_cell(Array2::ones((3, 8)), Array2::zeros((3, 8)))?;
    /// let upstream = Upstream::new(Array2::ones((3, 8)).into_dyn()).states(vec![of_state]);
    /// # let _ = upstream;
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn states(mut self, states: Vec<State>) -> Self {
        self.states = Some(states);
        self
    }
}
