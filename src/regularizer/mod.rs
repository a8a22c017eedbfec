//! Regularisers: a part of the loss that keeps weights small.

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test that finds no value has failed")]
mod tests;

use ndarray::{ArrayD, Zip};

use crate::error::{Error, Result};
use crate::hyperparameter::{Range, check};
use crate::parameters::{Parameters, Role};
use crate::selection::ParameterSelection;
use crate::sums::sum;

/// A part of the loss that keeps some weights small: `keras.regularizers.L1`, `L2` and `L1L2` (Keras 3.15). The loss grows by
/// `l1 · Σ |w| + l2 · Σ w²` over all weights that it is [`on`](Self::on).
///
/// In Keras it is an option of a layer (`kernel_regularizer`, `recurrent_regularizer`, `bias_regularizer`), here one of training. As in Keras it
/// changes gradients before they are clipped, and frozen parameters do not count.
///
/// ```
/// use cellstate::{Regularizer, Role};
///
/// let on_all_layers = Regularizer::l2(1e-4).on(Role::Kernel).on(Role::RecurrentKernel);
/// let on_one_layer = Regularizer::l1(1e-5).on("lstm/bias");
/// assert!(on_all_layers.check().is_ok() && on_one_layer.check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Regularizer {
    l1: f64,
    l2: f64,
    selections: Vec<ParameterSelection>,
}

impl Regularizer {
    /// `factor · Σ |w|`, which makes weights 0. Keras's default is 0.01.
    ///
    /// ```
    /// # use cellstate::{Regularizer, Role};
    /// assert!(Regularizer::l1(0.01).on(Role::Kernel).check().is_ok());
    /// ```
    #[must_use]
    pub fn l1(factor: f64) -> Self {
        Self::l1_l2(factor, 0.0)
    }

    /// `factor · Σ w²`, which makes weights small. Keras's default is 0.01; half of it is what others call weight decay of a loss.
    ///
    /// ```
    /// # use cellstate::{Regularizer, Role};
    /// assert!(Regularizer::l2(0.01).on(Role::Kernel).check().is_ok());
    /// ```
    #[must_use]
    pub fn l2(factor: f64) -> Self {
        Self::l1_l2(0.0, factor)
    }

    /// Both.
    ///
    /// ```
    /// # use cellstate::{Regularizer, Role};
    /// assert!(Regularizer::l1_l2(0.01, 0.01).on(Role::Kernel).check().is_ok());
    /// ```
    #[must_use]
    pub fn l1_l2(l1: f64, l2: f64) -> Self {
        Self {
            l1,
            l2,
            selections: Vec::new(),
        }
    }

    /// Weights that it is on: those of a role, or of a layer by its path. It may be said several times.
    ///
    /// ```
    /// # use cellstate::{Regularizer, Role};
    /// let regularizer = Regularizer::l2(1e-4).on(Role::Kernel).on("dense/bias");
    /// # let _ = regularizer;
    /// ```
    #[must_use]
    pub fn on(mut self, parameters: impl Into<ParameterSelection>) -> Self {
        self.selections.push(parameters.into());
        self
    }

    /// Whether the factors make sense, and whether it is on anything.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] that says which is wrong.
    ///
    /// ```
    /// # use cellstate::{Regularizer, Role};
    /// assert!(Regularizer::l2(-1.0).on(Role::Kernel).check().is_err());
    /// assert!(Regularizer::l2(0.01).check().unwrap_err().to_string().contains(".on(Role::Kernel)"));
    /// ```
    pub fn check(&self) -> Result<()> {
        let repair = "give a small number; 0.01 is Keras's";
        check("the regularizer", "l1", self.l1, Range::NotNegative, repair)?;
        check("the regularizer", "l2", self.l2, Range::NotNegative, repair)?;
        if self.selections.is_empty() {
            return Err(Error::Value {
                argument: "regularizer".to_owned(),
                expected: "the weights that it is on".to_owned(),
                found: "none".to_owned(),
                repair:
                    "add .on(Role::Kernel), .on(Role::RecurrentKernel), .on(Role::Bias) or .on(\"path of a layer\")"
                        .to_owned(),
            });
        }
        Ok(())
    }

    fn selects(&self, path: &str, role: Role) -> bool {
        self.selections.iter().any(|selection| selection.selects(path, role))
    }
}

/// The regularisers of a training, by the paths of parameters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Regularizers {
    factors: Vec<(String, Factors)>,
}

/// What those of one parameter come to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Factors {
    l1: f64,
    l2: f64,
}

impl Factors {
    /// The loss, from `Σ |w|` and `Σ w²`.
    pub(crate) fn loss(self, [absolute, squares]: [f64; 2]) -> f64 {
        // (a sum that nothing is multiplied by may be infinite)
        let part = |factor: f64, sum: f64| if factor == 0.0 { 0.0 } else { factor * sum };
        part(self.l1, absolute) + part(self.l2, squares)
    }

    /// What the gradient multiplies `sign(w)` and `w` by.
    pub(crate) fn of_gradient(self) -> [f32; 2] {
        [self.l1 as f32, (2.0 * self.l2) as f32]
    }
}

impl Regularizers {
    /// Those on the parameters with the paths of `trained`; several on one parameter add up.
    pub(crate) fn new<'a>(
        regularizers: &[Regularizer],
        parameters: &Parameters,
        trained: impl Iterator<Item = &'a str>,
    ) -> Result<Self> {
        for regularizer in regularizers {
            regularizer.check()?;
            let mut selections = regularizer.selections.iter();
            selections.try_for_each(|selection| selection.check(parameters))?;
        }
        let mut factors = Vec::new();
        for path in trained {
            let role = parameters.get(path)?.role();
            let here = regularizers
                .iter()
                .filter(|regularizer| regularizer.selects(path, role));
            let [l1, l2] = here.fold([0.0, 0.0], |[l1, l2], regularizer| {
                [l1 + regularizer.l1, l2 + regularizer.l2]
            });
            if l1 > 0.0 || l2 > 0.0 {
                factors.push((path.to_owned(), Factors { l1, l2 }));
            }
        }
        Ok(Self { factors })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.factors.is_empty()
    }

    /// Those of a parameter, if it has any.
    pub(crate) fn factors_of(&self, path: &str) -> Option<Factors> {
        let mut factors = self.factors.iter();
        factors.find_map(|(here, factors)| (here == path).then_some(*factors))
    }

    /// What they add to the loss of a batch.
    pub(crate) fn loss(&self, parameters: &Parameters) -> Result<f64> {
        let mut loss = 0.0;
        for (path, factors) in &self.factors {
            let term = |weight: f64| factors.loss([weight.abs(), weight * weight]);
            let weights = parameters.get(path)?.shared().as_standard_layout();
            loss += sum(weights.as_slice().unwrap_or_default(), term);
        }
        Ok(loss)
    }

    /// Adds their gradients: `l1 · sign(w) + 2 · l2 · w`, where the sign of 0 is 0.
    pub(crate) fn add_gradients(&self, parameters: &Parameters, gradients: &mut [(String, ArrayD<f32>)]) -> Result<()> {
        for (path, factors) in &self.factors {
            let weights = parameters.get(path)?.values();
            let found = gradients.iter_mut().find(|(here, _)| here == path);
            let (_, gradient) = found.ok_or_else(|| Error::defect("the gradient of a parameter"))?;
            if gradient.shape() != weights.shape() {
                return Err(Error::defect("the shape of a gradient"));
            }
            let [l1, twice_l2] = factors.of_gradient();
            Zip::from(gradient).and(weights).for_each(|gradient, &weight| {
                let sign = f32::from(weight > 0.0) - f32::from(weight < 0.0);
                *gradient += l1 * sign + twice_l2 * weight;
            });
        }
        Ok(())
    }
}
