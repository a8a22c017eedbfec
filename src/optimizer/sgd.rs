//! Gradient descent, with momentum where it is wanted.

use super::common::{At, Common, Framework, Method, Slot, common_options};
use super::update::{Momentum, Rule};
use crate::error::{Error, Result};
use crate::hyperparameter::{Range, check};
use crate::learning_rate::LearningRate;

/// Gradient descent: `keras.optimizers.SGD` (Keras 3.15).
///
/// ```text
/// w -= learning_rate · g                           without momentum
/// m = momentum · m - learning_rate · g;  w += m    with momentum
/// w += momentum · m - learning_rate · g            with Nesterov's momentum
/// ```
///
/// ```
/// use cellstate::{Optimizer, Sgd};
///
/// let sgd = Sgd::new(0.01).momentum(0.9).nesterov(true);
/// assert!(Optimizer::from(sgd).check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Sgd {
    pub(crate) common: Common,
    momentum: f64,
    nesterov: bool,
}

impl Sgd {
    /// Without momentum. Keras's default learning rate is 0.01.
    ///
    /// ```
    /// let sgd = cellstate::Sgd::new(0.01);
    /// # let _ = sgd;
    /// ```
    #[must_use]
    pub fn new(learning_rate: impl Into<LearningRate>) -> Self {
        Self::of(learning_rate.into(), Framework::Keras)
    }

    /// `torch.optim.SGD`: the momentum sums up gradients without the learning rate, `m = momentum · m + g; w -= learning_rate · m`, so
    /// that another learning rate acts at once; weight decay is added to the gradient.
    ///
    /// ```
    /// let sgd = cellstate::Sgd::pytorch(0.01).momentum(0.9).weight_decay(1e-4);
    /// # let _ = sgd;
    /// ```
    #[must_use]
    pub fn pytorch(learning_rate: impl Into<LearningRate>) -> Self {
        Self::of(learning_rate.into(), Framework::PyTorch)
    }

    fn of(learning_rate: LearningRate, framework: Framework) -> Self {
        Self {
            common: Common::new(learning_rate, framework),
            momentum: 0.0,
            nesterov: false,
        }
    }

    /// The share of the last step that is made again, from 0 to 1 (default 0).
    ///
    /// ```
    /// use cellstate::{Optimizer, Sgd};
    ///
    /// assert!(Optimizer::from(Sgd::new(0.01).momentum(0.9)).check().is_ok());
    /// assert!(Optimizer::from(Sgd::new(0.01).momentum(9.0)).check().is_err());
    /// ```
    #[must_use]
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    /// Whether the momentum is Nesterov's (default false), which wants a momentum above 0.
    ///
    /// ```
    /// use cellstate::{Optimizer, Sgd};
    ///
    /// assert!(Optimizer::from(Sgd::new(0.01).momentum(0.9).nesterov(true)).check().is_ok());
    /// assert!(Optimizer::from(Sgd::new(0.01).nesterov(true)).check().is_err());
    /// ```
    #[must_use]
    pub fn nesterov(mut self, nesterov: bool) -> Self {
        self.nesterov = nesterov;
        self
    }
}

common_options!(Sgd);

impl Method for Sgd {
    fn name(&self) -> &'static str {
        "Sgd"
    }

    fn common(&self) -> &Common {
        &self.common
    }

    fn check(&self) -> Result<()> {
        let repair = "give the share of the last step; 0.9 is usual";
        check(self.name(), "momentum", self.momentum, Range::Share, repair)?;
        if self.nesterov && self.momentum == 0.0 {
            return Err(Error::Value {
                argument: "nesterov of Sgd".to_owned(),
                expected: "a momentum above 0".to_owned(),
                found: "momentum 0".to_owned(),
                repair: "add .momentum(0.9), or leave nesterov out".to_owned(),
            });
        }
        Ok(())
    }

    fn slots(&self) -> Vec<Slot> {
        match self.momentum == 0.0 {
            true => Vec::new(),
            false => vec![Slot::zero("momentum")],
        }
    }

    fn rule(&self, at: &At) -> Rule {
        let rate = at.learning_rate as f32;
        if self.momentum == 0.0 {
            return Rule::Descent { rate };
        }
        let (gradient, step) = match self.common.framework {
            Framework::Keras => (-rate, 1.0),
            Framework::PyTorch => (1.0, -rate),
        };
        Rule::Momentum(Momentum {
            momentum: self.momentum as f32,
            gradient,
            step,
            nesterov: self.nesterov,
        })
    }
}
