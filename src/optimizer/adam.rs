//! Steps by the first two moments of the gradients.

use super::common::{At, Common, Framework, Method, Slot, check_epsilon, check_share, common_options, single};
use super::update::{Moments, Rule};
use crate::error::Result;
use crate::learning_rate::LearningRate;

/// Adam, adaptive moment estimation: `keras.optimizers.Adam` (Keras 3.15; Kingma and Ba, 2014).
///
/// ```text
/// m += (g - m) · (1 - beta_1)
/// v += (g² - v) · (1 - beta_2)
/// w -= learning_rate · √(1 - beta_2^t) / (1 - beta_1^t) · m / (√v + epsilon)
/// ```
///
/// ```
/// use cellstate::{Adam, Optimizer};
///
/// let adam = Adam::new(1e-3).beta_1(0.8).epsilon(1e-6).amsgrad(true).clipnorm(1.0).weight_decay(0.01);
/// assert!(Optimizer::from(adam).check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Adam {
    pub(crate) common: Common,
    beta_1: f64,
    beta_2: f64,
    epsilon: f64,
    amsgrad: bool,
}

impl Adam {
    /// Keras's default learning rate is 0.001; beta_1 is 0.9, beta_2 0.999, epsilon 1e-7.
    ///
    /// ```
    /// let adam = cellstate::Adam::new(1e-3);
    /// # let _ = adam;
    /// ```
    #[must_use]
    pub fn new(learning_rate: impl Into<LearningRate>) -> Self {
        Self::of(learning_rate.into(), Framework::Keras, 1e-7)
    }

    /// `torch.optim.Adam`: epsilon, 1e-8 there, is added behind the correction of v, `√(v / (1 - beta_2^t)) + epsilon`; weight decay is
    /// added to the gradient.
    ///
    /// ```
    /// let adam = cellstate::Adam::pytorch(1e-3).clip_grad_norm(1.0);
    /// # let _ = adam;
    /// ```
    #[must_use]
    pub fn pytorch(learning_rate: impl Into<LearningRate>) -> Self {
        Self::of(learning_rate.into(), Framework::PyTorch, 1e-8)
    }

    fn of(learning_rate: LearningRate, framework: Framework, epsilon: f64) -> Self {
        Self {
            common: Common::new(learning_rate, framework),
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon,
            amsgrad: false,
        }
    }

    /// The share of the past in the mean of the gradients, from 0 to less than 1 (default 0.9).
    ///
    /// ```
    /// use cellstate::{Adam, Optimizer};
    ///
    /// assert!(Optimizer::from(Adam::new(1e-3).beta_1(1.0)).check().is_err());
    /// ```
    #[must_use]
    pub fn beta_1(mut self, beta_1: f64) -> Self {
        self.beta_1 = beta_1;
        self
    }

    /// The share of the past in the mean of their squares, from 0 to less than 1 (default 0.999).
    ///
    /// ```
    /// use cellstate::{Adam, Optimizer};
    ///
    /// assert!(Optimizer::from(Adam::new(1e-3).beta_2(-0.1)).check().is_err());
    /// ```
    #[must_use]
    pub fn beta_2(mut self, beta_2: f64) -> Self {
        self.beta_2 = beta_2;
        self
    }

    /// What keeps a division by 0 away (default 1e-7), above 0.
    ///
    /// ```
    /// use cellstate::{Adam, Optimizer};
    ///
    /// assert!(Optimizer::from(Adam::new(1e-3).epsilon(0.0)).check().is_err());
    /// ```
    #[must_use]
    pub fn epsilon(mut self, epsilon: f64) -> Self {
        self.epsilon = epsilon;
        self
    }

    /// Whether the largest v so far takes the place of v (default false): AMSGrad (Reddi and others, 2018).
    ///
    /// ```
    /// use cellstate::{Adam, Optimizer};
    ///
    /// assert!(Optimizer::from(Adam::new(1e-3).amsgrad(true)).check().is_ok());
    /// ```
    #[must_use]
    pub fn amsgrad(mut self, amsgrad: bool) -> Self {
        self.amsgrad = amsgrad;
        self
    }
}

common_options!(Adam);

impl Method for Adam {
    fn name(&self) -> &'static str {
        "Adam"
    }

    fn common(&self) -> &Common {
        &self.common
    }

    fn check(&self) -> Result<()> {
        check_moments(self.name(), [self.beta_1, self.beta_2], self.epsilon)
    }

    fn slots(&self) -> Vec<Slot> {
        let mut slots = vec![Slot::zero("momentum"), Slot::zero("velocity")];
        if self.amsgrad {
            slots.push(Slot::zero("velocity_hat"));
        }
        slots
    }

    /// Both frameworks divide by the same sum, but for where epsilon is added: √(v / c) + epsilon is (√v + epsilon · √c) / √c.
    fn rule(&self, at: &At) -> Rule {
        let step = at.step as f64;
        let left = |beta: f64| 1.0 - beta.powf(step);
        let [first, second, epsilon] = match self.common.framework {
            Framework::Keras => [left(single(self.beta_1)), left(single(self.beta_2)), self.epsilon],
            Framework::PyTorch => {
                let second = left(self.beta_2);
                [left(self.beta_1), second, self.epsilon * second.sqrt()]
            }
        };
        Rule::Moments(Moments {
            rest_1: (1.0 - self.beta_1) as f32,
            rest_2: (1.0 - self.beta_2) as f32,
            amsgrad: self.amsgrad,
            momentum: (at.learning_rate * second.sqrt() / first) as f32,
            gradient: 0.0,
            epsilon: epsilon as f32,
        })
    }
}

/// Whether the numbers of moments make sense.
pub(super) fn check_moments(what: &str, [beta_1, beta_2]: [f64; 2], epsilon: f64) -> Result<()> {
    check_share(what, "beta_1", beta_1)?;
    check_share(what, "beta_2", beta_2)?;
    check_epsilon(what, epsilon)
}
