//! The gradients of a loss: with respect to the weights of a model, its input and its initial states.

use ndarray::{Array3, ArrayD, ArrayView3, ArrayViewD};

use crate::error::{Error, Result};
use crate::state::State;

/// The gradients of a loss with respect to what a run gave: from where gradients go back through a model, by
/// [`Trainer::gradients`](crate::Trainer::gradients).
///
/// ```
/// use cellstate::Upstream;
/// use ndarray::Array2;
///
/// let of_the_sum = Upstream::new(Array2::ones((3, 8)).into_dyn());
/// # let _ = of_the_sum;
/// ```
#[derive(Clone, Debug, Default)]
pub struct Upstream {
    /// With respect to `Output::values`, and to `Output::backward` where there is one; in their shapes.
    pub(crate) outputs: Vec<ArrayD<f32>>,
    /// With respect to the final states of all cells; `None` where the loss does not depend on them.
    pub(crate) states: Option<Vec<State>>,
}

/// What is wanted of a way back.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wants {
    /// Whether the gradient of the input is.
    pub(crate) input: bool,
    /// Whether the gradients of the weights stay on the device, where a step of an optimiser reads them.
    pub(crate) keeps: bool,
    /// Whether their sizes are found there: what clipping by a norm needs.
    pub(crate) sizes: bool,
}

impl Wants {
    /// All gradients, that of the input too.
    pub(crate) const ALL: Self = Self {
        input: true,
        keeps: false,
        sizes: false,
    };
}

/// The gradients of one plan.
#[derive(Clone, Debug, Default)]
pub(crate) struct PlanGradients {
    /// With respect to each weight that is trained, with its path and in its shape, in the order of the model's parameters; none that stay on
    /// the device.
    pub(crate) parameters: Vec<(String, ArrayD<f32>)>,
    /// With respect to the input, (batch, time_steps, features), if that was wanted and the input has numbers; 0 where a step does not count.
    pub(crate) input: Option<Array3<f32>>,
    /// With respect to the initial state of each cell.
    pub(crate) states: Vec<State>,
    /// The means and variances that training follows, as they are after the batch, with their paths.
    pub(crate) moved: Vec<(String, ArrayD<f32>)>,
}

/// The gradients of a loss with respect to the weights of a model, to its input and to its initial states: what `tape.gradient` gives in
/// Keras 3.15 on TensorFlow, and `backward()` in PyTorch, but that padding has no part in them, whatever it holds.
///
/// ```
/// use cellstate::{Adam, Device, Loss, Lstm, Model, Sequences, Trainer, Upstream};
/// use ndarray::Array3;
///
/// let model = Model::builder().add(Lstm::new(2, 8)).build()?;
/// let mut trainer = Trainer::new(model, &Device::cpu(), Loss::MeanSquaredError, Adam::new(1e-3))?;
/// let sequences = Sequences::from(Array3::ones((3, 20, 2)));
/// // the loss is the sum of all outputs
/// let gradients = trainer.gradients(&sequences, None, |output, _| Upstream::new(output.values().mapv(|_| 1.0)))?;
/// assert_eq!(gradients.get("lstm/kernel")?.shape(), [2, 4 * 8]);
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    parameters: Vec<(String, ArrayD<f32>)>,
    input: Option<Array3<f32>>,
    states: Vec<State>,
}

impl Gradients {
    pub(crate) fn new(parameters: Vec<(String, ArrayD<f32>)>, input: Option<Array3<f32>>, states: Vec<State>) -> Self {
        Self {
            parameters,
            input,
            states,
        }
    }

    /// The gradient of each weight that is trained, by its path, in the order of [`Model::parameters`](crate::Model::parameters) and in the
    /// shape of the weight.
    ///
    /// ```
    /// # use cellstate::{Adam, Dense, Device, Loss, Model, Sequences, Trainer, Upstream};
    /// # use ndarray::array;
    /// # let model = Model::builder().add(Dense::new(2, 1)).build()?;
    /// # let mut trainer = Trainer::new(model, &Device::cpu(), Loss::MeanSquaredError, Adam::new(1e-3))?;
    /// # let sequences = Sequences::from(array![[[10.0, 1.0]]]);
    /// let gradients = trainer.gradients(&sequences, None, |output, _| Upstream::new(output.values().mapv(|_| 1.0)))?;
    /// assert_eq!(gradients.parameters().map(|(path, _)| path).collect::<Vec<_>>(), ["dense/kernel", "dense/bias"]);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn parameters(&self) -> impl ExactSizeIterator<Item = (&str, ArrayViewD<'_, f32>)> + '_ {
        self.parameters
            .iter()
            .map(|(path, gradient)| (path.as_str(), gradient.view()))
    }

    /// The gradient of the weight with this path.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] if no weight that is trained has this path.
    ///
    /// ```
    /// # use cellstate::{Adam, Dense, Device, Loss, Model, Sequences, Trainer, Upstream};
    /// # use ndarray::array;
    /// # let model = Model::builder().add(Dense::new(2, 1)).build()?;
    /// # let mut trainer = Trainer::new(model, &Device::cpu(), Loss::MeanSquaredError, Adam::new(1e-3))?;
    /// # let sequences = Sequences::from(array![[[10.0, 1.0]]]);
    /// let gradients = trainer.gradients(&sequences, None, |output, _| Upstream::new(output.values().mapv(|_| 1.0)))?;
    /// assert_eq!(gradients.get("dense/kernel")?, array![[10.0], [1.0]].into_dyn());
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn get(&self, path: &str) -> Result<ArrayViewD<'_, f32>> {
        let found = self.parameters.iter().find(|(known, _)| known == path);
        found.map(|(_, gradient)| gradient.view()).ok_or_else(|| Error::Value {
            argument: "path of a parameter".to_owned(),
            expected: "the path of a weight that is trained".to_owned(),
            found: format!("{path:?}"),
            repair: "`gradients.parameters()` lists the paths".to_owned(),
        })
    }

    /// The gradient of the input, (batch, time_steps, features): 0 at steps that do not count. `None` for tokens, and where nobody asked for it. Of
    /// [`nested`](crate::Sequences::nested) sequences it is (batch·time_steps, inner_time_steps, features).
    ///
    /// ```
    /// # use cellstate::{Adam, Dense, Device, Loss, Model, Sequences, Trainer, Upstream};
    /// # use ndarray::array;
    /// # let model = Model::builder().add(Dense::new(2, 1)).build()?;
    /// # let mut trainer = Trainer::new(model, &Device::cpu(), Loss::MeanSquaredError, Adam::new(1e-3))?;
    /// # let sequences = Sequences::from(array![[[10.0, 1.0]]]);
    /// let gradients = trainer.gradients(&sequences, None, |output, _| Upstream::new(output.values().mapv(|_| 1.0)))?;
    /// assert_eq!(gradients.input().map(|input| input.dim()), Some((1, 1, 2)));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn input(&self) -> Option<ArrayView3<'_, f32>> {
        self.input.as_ref().map(|input| input.view())
    }

    /// The gradients of the initial states, one for each cell of the model, in the shapes of the states.
    ///
    /// ```
    /// # use cellstate::{Adam, Lstm, Device, Loss, Model, Sequences, Trainer, Upstream};
    /// # use ndarray::array;
    /// # let model = Model::builder().add(Lstm::new(2, 3)).build()?;
    /// # let mut trainer = Trainer::new(model, &Device::cpu(), Loss::MeanSquaredError, Adam::new(1e-3))?;
    /// # let sequences = Sequences::from(array![[[10.0, 1.0]]]);
    /// let gradients = trainer.gradients(&sequences, None, |output, _| Upstream::new(output.values().mapv(|_| 1.0)))?;
    /// assert_eq!(gradients.states()[0].hidden().dim(), (1, 3));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn states(&self) -> &[State] {
        &self.states
    }
}
