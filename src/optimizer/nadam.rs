//! Adam with Nesterov's momentum.

use super::adam::check_moments;
use super::common::{At, Common, Framework, Method, Slot, common_options, single};
use super::update::{Moments, Rule};
use crate::error::Result;
use crate::hyperparameter::{Range, check};
use crate::learning_rate::LearningRate;

/// Adam with Nesterov's momentum: `keras.optimizers.Nadam` (Keras 3.15; Dozat, 2015).
///
/// ```text
/// u_t = beta_1 · (1 - 0.96^(t · momentum_decay) / 2),  p_t = u_1 · … · u_t
/// m and v as in Adam
/// n = u_t+1 · m / (1 - p_t · u_t+1) + (1 - u_t) · g / (1 - p_t)
/// w -= learning_rate · n / (√(v / (1 - beta_2^t)) + epsilon)
/// ```
///
/// ```
/// use cellstate::{Nadam, Optimizer};
///
/// assert!(Optimizer::from(Nadam::new(1e-3).beta_1(0.8)).check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Nadam {
    pub(crate) common: Common,
    beta_1: f64,
    beta_2: f64,
    epsilon: f64,
    momentum_decay: f64,
}

impl Nadam {
    /// Keras's default learning rate is 0.001; beta_1 is 0.9, beta_2 0.999, epsilon 1e-7.
    ///
    /// ```
    /// let nadam = cellstate::Nadam::new(1e-3);
    /// # let _ = nadam;
    /// ```
    #[must_use]
    pub fn new(learning_rate: impl Into<LearningRate>) -> Self {
        Self::of(learning_rate.into(), Framework::Keras, 1e-7, 1.0)
    }

    /// `torch.optim.NAdam`: epsilon is 1e-8, momentum_decay 0.004 where Keras has 1; weight decay is added to the gradient.
    ///
    /// ```
    /// let nadam = cellstate::Nadam::pytorch(2e-3);
    /// # let _ = nadam;
    /// ```
    #[must_use]
    pub fn pytorch(learning_rate: impl Into<LearningRate>) -> Self {
        Self::of(learning_rate.into(), Framework::PyTorch, 1e-8, 0.004)
    }

    fn of(learning_rate: LearningRate, framework: Framework, epsilon: f64, momentum_decay: f64) -> Self {
        Self {
            common: Common::new(learning_rate, framework),
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon,
            momentum_decay,
        }
    }

    /// The share of the past in the mean of the gradients, from 0 to less than 1 (default 0.9).
    ///
    /// ```
    /// use cellstate::{Nadam, Optimizer};
    ///
    /// assert!(Optimizer::from(Nadam::new(1e-3).beta_1(1.5)).check().is_err());
    /// ```
    #[must_use]
    pub fn beta_1(mut self, beta_1: f64) -> Self {
        self.beta_1 = beta_1;
        self
    }

    /// The share of the past in the mean of their squares, from 0 to less than 1 (default 0.999).
    ///
    /// ```
    /// use cellstate::{Nadam, Optimizer};
    ///
    /// assert!(Optimizer::from(Nadam::new(1e-3).beta_2(f64::NAN)).check().is_err());
    /// ```
    #[must_use]
    pub fn beta_2(mut self, beta_2: f64) -> Self {
        self.beta_2 = beta_2;
        self
    }

    /// What keeps a division by 0 away (default 1e-7), above 0.
    ///
    /// ```
    /// use cellstate::{Nadam, Optimizer};
    ///
    /// assert!(Optimizer::from(Nadam::new(1e-3).epsilon(-1e-7)).check().is_err());
    /// ```
    #[must_use]
    pub fn epsilon(mut self, epsilon: f64) -> Self {
        self.epsilon = epsilon;
        self
    }

    /// How fast the momentum grows from beta_1 / 2 to beta_1 (default 1, which is fixed in Keras; PyTorch's is 0.004), 0 or more.
    ///
    /// ```
    /// use cellstate::{Nadam, Optimizer};
    ///
    /// assert!(Optimizer::from(Nadam::new(1e-3).momentum_decay(0.004)).check().is_ok());
    /// ```
    #[must_use]
    pub fn momentum_decay(mut self, decay: f64) -> Self {
        self.momentum_decay = decay;
        self
    }

    fn betas(&self) -> [f64; 2] {
        match self.common.framework {
            Framework::Keras => [single(self.beta_1), single(self.beta_2)],
            Framework::PyTorch => [self.beta_1, self.beta_2],
        }
    }
}

common_options!(Nadam);

impl Method for Nadam {
    fn name(&self) -> &'static str {
        "Nadam"
    }

    fn common(&self) -> &Common {
        &self.common
    }

    fn check(&self) -> Result<()> {
        check_moments(self.name(), [self.beta_1, self.beta_2], self.epsilon)?;
        let repair = "give 1 for Keras's Nadam, 0.004 for PyTorch's";
        check(
            self.name(),
            "momentum_decay",
            self.momentum_decay,
            Range::NotNegative,
            repair,
        )
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::zero("momentum"), Slot::zero("velocity")]
    }

    fn momentum(&self, step: u64) -> f64 {
        let [beta_1, _] = self.betas();
        beta_1 * (1.0 - 0.5 * 0.96_f64.powf(step as f64 * self.momentum_decay))
    }

    /// As in Adam, √(v / c) + epsilon is (√v + epsilon · √c) / √c.
    fn rule(&self, at: &At) -> Rule {
        let [beta_1, beta_2] = self.betas();
        let [now, next] = [at.step, at.step.saturating_add(1)].map(|step| self.momentum(step));
        let root = (1.0 - beta_2.powf(at.step as f64)).sqrt();
        let rate = at.learning_rate * root;
        Rule::Moments(Moments {
            rest_1: (1.0 - beta_1) as f32,
            rest_2: (1.0 - beta_2) as f32,
            amsgrad: false,
            momentum: (rate * next / (1.0 - at.momentum_product * next)) as f32,
            gradient: (rate * (1.0 - now) / (1.0 - at.momentum_product)) as f32,
            epsilon: (self.epsilon * root) as f32,
        })
    }
}
