//! What an optimiser remembers from step to step. `step` makes the steps.

mod elsewhere;
mod step;

pub(crate) use elsewhere::{GradientSize, Step};
pub(crate) use step::LARGEST;

use std::collections::{BTreeMap, BTreeSet};

use ndarray::{ArcArray, ArrayD, ArrayViewD, IxDyn};

use super::Optimizer;
use crate::cell::check_finite;
use crate::error::{Error, Result};
use crate::learning_rate::{LearningRate, check_rate};
use crate::memory::Purpose;
use crate::parameters::Parameters;
use crate::selection::ParameterSelection;

const SLOTS: Purpose = Purpose {
    what: "what the optimizer remembers of each weight",
    repair: "take an optimizer with less of it (Sgd has none), or a smaller model",
};

const CLIP: &str = "lower the learning rate, add .clipnorm(1.0) to the optimizer, and look for NaN in inputs and targets; the \
                    weights are those of the step before";

/// An optimiser at work on the parameters of a model.
#[derive(Clone, Debug)]
pub(crate) struct OptimizerState {
    optimizer: Optimizer,
    progress: Progress,
    /// Where training stood before the last step, until that is undone.
    earlier: Option<Progress>,
    trained: Vec<Trained>,
    /// The paths of the other parameters, whose gradients are left alone.
    others: BTreeSet<String>,
}

/// Where training stands: besides the slots all that a checkpoint needs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Progress {
    /// The type of the optimiser.
    pub(crate) optimizer: String,
    /// How many steps were made.
    pub(crate) iterations: u64,
    /// The product of the momenta so far, which Nadam needs.
    pub(crate) momentum_product: f64,
    /// The learning rate that was set in the place of the optimiser's own.
    pub(crate) learning_rate: Option<f64>,
    /// The optimiser's own, if it is a number.
    pub(crate) made_with: Option<f64>,
}

/// A parameter that steps change.
#[derive(Clone, Debug)]
struct Trained {
    path: String,
    shape: Vec<usize>,
    decays: bool,
    slots: Vec<Vec<f32>>,
    /// Those before the last step.
    earlier: Vec<Vec<f32>>,
    /// The weights before the last step. The next one writes where they are, unless somebody else has them too.
    spare: Option<SharedArray>,
}

/// The values of a weight.
pub(crate) type SharedArray = ArcArray<f32, IxDyn>;

impl OptimizerState {
    /// Before the first step. Trained are the parameters whose role is trained and that no selection of `frozen` has.
    pub(crate) fn new(optimizer: Optimizer, parameters: &Parameters, frozen: &[ParameterSelection]) -> Result<Self> {
        optimizer.check()?;
        let common = optimizer.method().common();
        let mut selections = frozen.iter().chain(&common.excluded);
        selections.try_for_each(|selection| selection.check(parameters))?;
        let slots = optimizer.method().slots();
        let mut trained = Vec::new();
        let mut others = BTreeSet::new();
        for parameter in parameters.iter() {
            let (path, role) = (parameter.path(), parameter.role());
            if !role.is_trained() || frozen.iter().any(|selection| selection.selects(path, role)) {
                others.insert(path.to_owned());
                continue;
            }
            let length = parameter.values().len();
            let slots = || slots.iter().map(|slot| SLOTS.filled(length, slot.initial));
            trained.push(Trained {
                earlier: slots().collect::<Result<_>>()?,
                path: path.to_owned(),
                shape: parameter.values().shape().to_vec(),
                decays: common.decays(path, role),
                slots: slots().collect::<Result<_>>()?,
                spare: None,
            });
        }
        Ok(Self {
            progress: Progress {
                optimizer: optimizer.method().name().to_owned(),
                iterations: 0,
                momentum_product: 1.0,
                learning_rate: None,
                made_with: match common.learning_rate {
                    LearningRate::Constant(rate) => Some(rate),
                    _ => None,
                },
            },
            earlier: None,
            optimizer,
            trained,
            others,
        })
    }

    /// The learning rate of the next step.
    pub(crate) fn learning_rate(&self) -> f64 {
        let schedule = &self.optimizer.method().common().learning_rate;
        let set = self.progress.learning_rate;
        set.unwrap_or_else(|| schedule.at(self.progress.iterations))
    }

    /// Sets the learning rate of the following steps. As in Keras it cannot be set where a schedule makes it.
    pub(crate) fn set_learning_rate(&mut self, rate: f64) -> Result<()> {
        check_rate(&self.progress.optimizer, "learning_rate", rate)?;
        self.check_has_no_schedule()?;
        self.progress.learning_rate = Some(rate);
        Ok(())
    }

    /// Whether the learning rate can be set.
    pub(crate) fn check_has_no_schedule(&self) -> Result<()> {
        match self.optimizer.method().common().learning_rate {
            LearningRate::Constant(_) => Ok(()),
            _ => Err(Error::Value {
                argument: "learning_rate".to_owned(),
                expected: "an optimizer made with a number, where it is to be set".to_owned(),
                found: "an optimizer made with a schedule".to_owned(),
                repair: "give the optimizer a number, or leave the schedule alone (no ReduceOnPlateau beside it)"
                    .to_owned(),
            }),
        }
    }

    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The paths of the parameters that steps change.
    pub(crate) fn trained(&self) -> impl ExactSizeIterator<Item = &str> {
        self.trained.iter().map(|trained| trained.path.as_str())
    }

    /// All slots by name: the path of the parameter and Keras's name of the slot, `lstm/kernel/velocity`.
    pub(crate) fn tensors(&self) -> Result<Vec<(String, ArrayViewD<'_, f32>)>> {
        let slots = self.optimizer.method().slots();
        let mut tensors = Vec::with_capacity(self.trained.len().saturating_mul(slots.len()));
        for trained in &self.trained {
            for (slot, values) in slots.iter().zip(&trained.slots) {
                let view = ArrayViewD::from_shape(IxDyn(&trained.shape), values);
                let view = view.map_err(|_| Error::defect("the slots of an optimizer"))?;
                tensors.push((format!("{}/{}", trained.path, slot.name), view));
            }
        }
        Ok(tensors)
    }

    /// Goes on from where another state of the same optimiser and model stood. A learning rate that was set there stays, unless this optimiser is
    /// made with another one than that was: then it is this one's. After an error nothing has changed.
    pub(crate) fn restore(&mut self, mut progress: Progress, tensors: Vec<(String, ArrayD<f32>)>) -> Result<()> {
        const REPAIR: &str =
            "go on with the model and the optimizer that the checkpoint is of, or begin a new training";
        let wrong = |argument: &str, expected: String, found: String| Error::Value {
            argument: argument.to_owned(),
            expected,
            found,
            repair: REPAIR.to_owned(),
        };
        if progress.optimizer != self.progress.optimizer {
            let expected = self.progress.optimizer.clone();
            return Err(wrong("optimizer of the checkpoint", expected, progress.optimizer));
        }
        if !(0.0..=1.0).contains(&progress.momentum_product) {
            let found = progress.momentum_product.to_string();
            return Err(wrong(
                "momentum_product of the checkpoint",
                "a number from 0 to 1".to_owned(),
                found,
            ));
        }
        if let Some(rate) = progress.learning_rate {
            check_rate("the checkpoint", "learning_rate", rate)?;
        }
        let mut tensors: BTreeMap<String, ArrayD<f32>> = tensors.into_iter().collect();
        let mut slots = Vec::new();
        for (name, own) in self.tensors()? {
            let Some(tensor) = tensors.remove(&name) else {
                return Err(wrong(
                    "tensors of the checkpoint",
                    name,
                    "no tensor of that name".to_owned(),
                ));
            };
            check_shape(&name, &tensor, own.shape(), REPAIR)?;
            let tensor = tensor.as_standard_layout();
            check_finite(&name, &tensor.view(), "the file is damaged: take an earlier checkpoint")?;
            slots.push(SLOTS.listed(tensor.iter().copied())?);
        }
        if let Some((name, _)) = tensors.pop_first() {
            return Err(wrong(
                "tensors of the checkpoint",
                "those of this optimizer alone".to_owned(),
                name,
            ));
        }
        let own = self.trained.iter_mut().flat_map(|trained| &mut trained.slots);
        own.zip(slots).for_each(|(own, slot)| *own = slot);
        if progress.made_with != self.progress.made_with {
            (progress.made_with, progress.learning_rate) = (self.progress.made_with, None);
        }
        (self.progress, self.earlier) = (progress, None);
        Ok(())
    }

    /// The gradients of the trained parameters, in their order and of their shapes.
    fn matched<'a>(&self, gradients: &'a mut [(String, ArrayD<f32>)]) -> Result<Vec<&'a mut ArrayD<f32>>> {
        const REPAIR: &str =
            "give one array for each trained parameter, of its shape, as `model.parameters()` lists them";
        let wrong = |path: &str, expected: &str, found: &str| Error::Value {
            argument: format!("gradients: {path}"),
            expected: expected.to_owned(),
            found: found.to_owned(),
            repair: REPAIR.to_owned(),
        };
        let mut by_path = BTreeMap::new();
        for (path, array) in gradients {
            let path: &str = path;
            if by_path.insert(path, array).is_some() {
                return Err(wrong(path, "one array", "two of this path"));
            }
        }
        let mut found = Vec::with_capacity(self.trained.len());
        for trained in &self.trained {
            let array = by_path.remove(trained.path.as_str());
            let array = array.ok_or_else(|| wrong(&trained.path, "an array", "none of this path"))?;
            check_shape(&format!("gradients: {}", trained.path), array, &trained.shape, REPAIR)?;
            found.push(array);
        }
        match by_path.keys().find(|&&path| !self.others.contains(path)) {
            Some(path) => Err(wrong(path, "the path of a parameter of the model", "another path")),
            None => Ok(found),
        }
    }
}

/// An error with the first number of a gradient that is NaN or infinite, if there is one.
pub(crate) fn first_not_finite(path: &str, gradient: &ArrayViewD<'_, f32>) -> Result<()> {
    check_finite(&format!("gradient of {path}"), gradient, CLIP)
}

fn check_shape(argument: &str, array: &ArrayD<f32>, shape: &[usize], repair: &str) -> Result<()> {
    if array.shape() == shape {
        return Ok(());
    }
    Err(Error::Size {
        argument: argument.to_owned(),
        expected: format!("shape {shape:?}"),
        found: format!("shape {:?}", array.shape()),
        repair: repair.to_owned(),
    })
}
