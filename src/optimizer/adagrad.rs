//! Steps by the size of all gradients so far.

use super::common::{At, Common, Framework, Method, Slot, check_epsilon, common_options};
use super::update::{Adagrad as AdagradRule, Epsilon, Rule};
use crate::error::Result;
use crate::hyperparameter::{Range, check};
use crate::learning_rate::LearningRate;

/// Gradients divided by the root of the sum of all their squares: `keras.optimizers.Adagrad` (Keras 3.15; Duchi and others, 2011).
///
/// ```text
/// s += g²
/// w -= learning_rate · g / √(s + epsilon)
/// ```
///
/// ```
/// use cellstate::{Adagrad, Optimizer};
///
/// assert!(Optimizer::from(Adagrad::new(0.01).initial_accumulator_value(0.05)).check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Adagrad {
    pub(crate) common: Common,
    initial_accumulator_value: f64,
    epsilon: f64,
}

impl Adagrad {
    /// Keras's default learning rate is 0.001; the sum begins at 0.1, epsilon is 1e-7.
    ///
    /// ```
    /// let adagrad = cellstate::Adagrad::new(0.01);
    /// # let _ = adagrad;
    /// ```
    #[must_use]
    pub fn new(learning_rate: impl Into<LearningRate>) -> Self {
        Self {
            common: Common::new(learning_rate.into(), Framework::Keras),
            initial_accumulator_value: 0.1,
            epsilon: 1e-7,
        }
    }

    /// `torch.optim.Adagrad`: `w -= learning_rate · g / (√s + epsilon)`, the sum begins at 0, epsilon is 1e-10; weight decay is added to the
    /// gradient. PyTorch's `lr_decay` is a schedule: [`LearningRate`] has others.
    ///
    /// ```
    /// let adagrad = cellstate::Adagrad::pytorch(0.01);
    /// # let _ = adagrad;
    /// ```
    #[must_use]
    pub fn pytorch(learning_rate: impl Into<LearningRate>) -> Self {
        Self {
            common: Common::new(learning_rate.into(), Framework::PyTorch),
            initial_accumulator_value: 0.0,
            epsilon: 1e-10,
        }
    }

    /// Where the sum begins (default 0.1), 0 or more.
    ///
    /// ```
    /// use cellstate::{Adagrad, Optimizer};
    ///
    /// assert!(Optimizer::from(Adagrad::new(0.01).initial_accumulator_value(-1.0)).check().is_err());
    /// ```
    #[must_use]
    pub fn initial_accumulator_value(mut self, value: f64) -> Self {
        self.initial_accumulator_value = value;
        self
    }

    /// What keeps a division by 0 away (default 1e-7), above 0.
    ///
    /// ```
    /// use cellstate::{Adagrad, Optimizer};
    ///
    /// assert!(Optimizer::from(Adagrad::new(0.01).epsilon(f64::NAN)).check().is_err());
    /// ```
    #[must_use]
    pub fn epsilon(mut self, epsilon: f64) -> Self {
        self.epsilon = epsilon;
        self
    }
}

common_options!(Adagrad);

impl Method for Adagrad {
    fn name(&self) -> &'static str {
        "Adagrad"
    }

    fn common(&self) -> &Common {
        &self.common
    }

    fn check(&self) -> Result<()> {
        check_epsilon(self.name(), self.epsilon)?;
        let repair = "give where the sum of squares begins; 0.1 is Keras's";
        let value = self.initial_accumulator_value;
        check(
            self.name(),
            "initial_accumulator_value",
            value,
            Range::NotNegative,
            repair,
        )
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot {
            name: "accumulator",
            initial: self.initial_accumulator_value as f32,
        }]
    }

    fn rule(&self, at: &At) -> Rule {
        Rule::Adagrad(AdagradRule {
            rate: at.learning_rate as f32,
            epsilon: Epsilon::of(self.common.framework, self.epsilon),
        })
    }
}
