//! Steps by the size of the last gradients.

use super::common::{At, Common, Framework, Method, Slot, check_epsilon, check_share, common_options};
use super::update::{Epsilon, RmsProp as RmsPropRule, Rule};
use crate::error::Result;
use crate::hyperparameter::{Range, check};
use crate::learning_rate::LearningRate;

/// Gradients divided by the root of the mean of their last squares: `keras.optimizers.RMSprop` (Keras 3.15).
///
/// ```text
/// v = rho · v + (1 - rho) · g²
/// w -= learning_rate · g / √(v + epsilon)
/// ```
///
/// Centered, the variance of the gradients stands in the place of v. Where rounding makes a variance less than 0, it counts as 0 here; Keras
/// takes the root of it and gets NaN.
///
/// ```
/// use cellstate::{Optimizer, RmsProp};
///
/// assert!(Optimizer::from(RmsProp::new(1e-3).rho(0.95).centered(true)).check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RmsProp {
    pub(crate) common: Common,
    rho: f64,
    momentum: f64,
    epsilon: f64,
    centered: bool,
}

impl RmsProp {
    /// Keras's default learning rate is 0.001; rho is 0.9, epsilon 1e-7.
    ///
    /// ```
    /// let rms_prop = cellstate::RmsProp::new(1e-3);
    /// # let _ = rms_prop;
    /// ```
    #[must_use]
    pub fn new(learning_rate: impl Into<LearningRate>) -> Self {
        Self::of(learning_rate.into(), Framework::Keras, 0.9, 1e-7)
    }

    /// `torch.optim.RMSprop`: `w -= learning_rate · g / (√v + epsilon)`, rho (there `alpha`) is 0.99, epsilon 1e-8; the momentum sums up
    /// steps without the learning rate; weight decay is added to the gradient.
    ///
    /// ```
    /// let rms_prop = cellstate::RmsProp::pytorch(0.01);
    /// # let _ = rms_prop;
    /// ```
    #[must_use]
    pub fn pytorch(learning_rate: impl Into<LearningRate>) -> Self {
        Self::of(learning_rate.into(), Framework::PyTorch, 0.99, 1e-8)
    }

    fn of(learning_rate: LearningRate, framework: Framework, rho: f64, epsilon: f64) -> Self {
        Self {
            common: Common::new(learning_rate, framework),
            rho,
            momentum: 0.0,
            epsilon,
            centered: false,
        }
    }

    /// The share of the past in the mean, from 0 to less than 1 (default 0.9).
    ///
    /// ```
    /// use cellstate::{Optimizer, RmsProp};
    ///
    /// assert!(Optimizer::from(RmsProp::new(1e-3).rho(1.0)).check().is_err());
    /// ```
    #[must_use]
    pub fn rho(mut self, rho: f64) -> Self {
        self.rho = rho;
        self
    }

    /// The share of the last step that is made again, from 0 to 1 (default 0).
    ///
    /// ```
    /// use cellstate::{Optimizer, RmsProp};
    ///
    /// assert!(Optimizer::from(RmsProp::new(1e-3).momentum(0.9)).check().is_ok());
    /// ```
    #[must_use]
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    /// What keeps a division by 0 away (default 1e-7), above 0.
    ///
    /// ```
    /// use cellstate::{Optimizer, RmsProp};
    ///
    /// assert!(Optimizer::from(RmsProp::new(1e-3).epsilon(0.0)).check().is_err());
    /// ```
    #[must_use]
    pub fn epsilon(mut self, epsilon: f64) -> Self {
        self.epsilon = epsilon;
        self
    }

    /// Whether gradients are divided by their deviation, instead of their size (default false).
    ///
    /// ```
    /// use cellstate::{Optimizer, RmsProp};
    ///
    /// assert!(Optimizer::from(RmsProp::new(1e-3).centered(true)).check().is_ok());
    /// ```
    #[must_use]
    pub fn centered(mut self, centered: bool) -> Self {
        self.centered = centered;
        self
    }
}

common_options!(RmsProp);

impl Method for RmsProp {
    fn name(&self) -> &'static str {
        "RmsProp"
    }

    fn common(&self) -> &Common {
        &self.common
    }

    fn check(&self) -> Result<()> {
        check_share(self.name(), "rho", self.rho)?;
        check_epsilon(self.name(), self.epsilon)?;
        let repair = "give the share of the last step; 0.9 is usual";
        check(self.name(), "momentum", self.momentum, Range::Share, repair)
    }

    fn slots(&self) -> Vec<Slot> {
        let mut slots = vec![Slot::zero("velocity")];
        if self.centered {
            slots.push(Slot::zero("average_gradient"));
        }
        if self.momentum != 0.0 {
            slots.push(Slot::zero("momentum"));
        }
        slots
    }

    fn rule(&self, at: &At) -> Rule {
        let rate = at.learning_rate as f32;
        let (gradient, step) = match self.common.framework {
            Framework::Keras => (rate, -1.0),
            Framework::PyTorch => (1.0, -rate),
        };
        Rule::RmsProp(RmsPropRule {
            rho: self.rho as f32,
            rest: (1.0 - self.rho) as f32,
            centered: self.centered,
            epsilon: Epsilon::of(self.common.framework, self.epsilon),
            momentum: self.momentum as f32,
            gradient,
            step,
        })
    }
}
