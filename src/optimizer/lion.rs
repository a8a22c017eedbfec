//! Steps of one size, in the direction of the gradients.

use super::common::{At, Common, Framework, Method, Slot, check_share, common_options, single};
use super::update::{Lion as LionRule, Rule};
use crate::error::{Error, Result};
use crate::learning_rate::LearningRate;

/// The sign of a mean of gradients: `keras.optimizers.Lion` (Keras 3.15; Chen and others, 2023). It wants a third to a tenth of Adam's
/// learning rate. PyTorch has no such optimiser.
///
/// ```text
/// w -= learning_rate · sign(m · beta_1 + g · (1 - beta_1))
/// m = m · beta_2 + g · (1 - beta_2)
/// ```
///
/// ```
/// use cellstate::{Lion, Optimizer};
///
/// assert!(Optimizer::from(Lion::new(1e-4).weight_decay(0.1)).check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Lion {
    pub(crate) common: Common,
    beta_1: f64,
    beta_2: f64,
}

impl Lion {
    /// Keras's default learning rate is 0.001; beta_1 is 0.9, beta_2 0.99.
    ///
    /// ```
    /// let lion = cellstate::Lion::new(1e-4);
    /// # let _ = lion;
    /// ```
    #[must_use]
    pub fn new(learning_rate: impl Into<LearningRate>) -> Self {
        Self {
            common: Common::new(learning_rate.into(), Framework::Keras),
            beta_1: 0.9,
            beta_2: 0.99,
        }
    }

    /// The share of the past in the direction of a step, from more than 0 to less than 1 (default 0.9).
    ///
    /// ```
    /// use cellstate::{Lion, Optimizer};
    ///
    /// assert!(Optimizer::from(Lion::new(1e-4).beta_1(0.0)).check().is_err());
    /// ```
    #[must_use]
    pub fn beta_1(mut self, beta_1: f64) -> Self {
        self.beta_1 = beta_1;
        self
    }

    /// The share of the past in the mean of the gradients, from 0 to less than 1 (default 0.99).
    ///
    /// ```
    /// use cellstate::{Lion, Optimizer};
    ///
    /// assert!(Optimizer::from(Lion::new(1e-4).beta_2(1.0)).check().is_err());
    /// ```
    #[must_use]
    pub fn beta_2(mut self, beta_2: f64) -> Self {
        self.beta_2 = beta_2;
        self
    }
}

common_options!(Lion);

impl Method for Lion {
    fn name(&self) -> &'static str {
        "Lion"
    }

    fn common(&self) -> &Common {
        &self.common
    }

    fn check(&self) -> Result<()> {
        check_share(self.name(), "beta_1", self.beta_1)?;
        check_share(self.name(), "beta_2", self.beta_2)?;
        if self.beta_1 == 0.0 {
            return Err(Error::Value {
                argument: "beta_1 of Lion".to_owned(),
                expected: "a number above 0, as in Keras".to_owned(),
                found: "0".to_owned(),
                repair:
                    "give the share of the past; 0.9 is usual (without a past it would be the sign of the gradient)"
                        .to_owned(),
            });
        }
        Ok(())
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::zero("momentum")]
    }

    fn rule(&self, at: &At) -> Rule {
        Rule::Lion(LionRule {
            rate: at.learning_rate as f32,
            beta_1: self.beta_1 as f32,
            rest_1: (1.0 - single(self.beta_1)) as f32,
            beta_2: self.beta_2 as f32,
            rest_2: (1.0 - single(self.beta_2)) as f32,
        })
    }
}
