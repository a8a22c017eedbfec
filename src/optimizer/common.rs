//! What all optimisers have in common: the learning rate, clipping and weight decay.

use super::update::{Epsilon, Rule};
use crate::error::{Error, Result};
use crate::hyperparameter::{Range, check};
use crate::learning_rate::LearningRate;
use crate::parameters::Role;
use crate::selection::ParameterSelection;

/// The options that all optimisers have.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Common {
    pub(crate) learning_rate: LearningRate,
    pub(crate) framework: Framework,
    pub(crate) weight_decay: Option<f64>,
    /// Whether weight decay shrinks the weights, instead of being added to their gradients.
    pub(crate) decoupled: bool,
    pub(crate) excluded: Vec<ParameterSelection>,
    clips: Vec<Clip>,
}

/// Whose rule it is, where they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framework {
    Keras,
    PyTorch,
}

/// How gradients are clipped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Clip {
    /// The norm of the gradient of each parameter.
    Norm(f64),
    /// The norm of all gradients together.
    GlobalNorm(f64),
    /// Each number.
    Value(f64),
    /// The norm of all gradients together, as PyTorch's `clip_grad_norm_` does it: 1e-6 is added to the norm.
    GradNorm(f64),
}

impl Clip {
    fn name(self) -> &'static str {
        match self {
            Self::Norm(_) => "clipnorm",
            Self::GlobalNorm(_) => "global_clipnorm",
            Self::Value(_) => "clipvalue",
            Self::GradNorm(_) => "clip_grad_norm",
        }
    }

    fn limit(self) -> f64 {
        match self {
            Self::Norm(limit) | Self::GlobalNorm(limit) | Self::Value(limit) | Self::GradNorm(limit) => limit,
        }
    }
}

impl Common {
    pub(crate) fn new(learning_rate: LearningRate, framework: Framework) -> Self {
        Self {
            learning_rate,
            framework,
            weight_decay: None,
            decoupled: framework == Framework::Keras,
            excluded: Vec::new(),
            clips: Vec::new(),
        }
    }

    /// Clips so; what was said before of the same kind is replaced.
    pub(crate) fn add_clip(&mut self, clip: Clip) {
        self.clips.retain(|before| before.name() != clip.name());
        self.clips.push(clip);
    }

    pub(crate) fn clip(&self) -> Option<Clip> {
        self.clips.first().copied()
    }

    pub(crate) fn check(&self, what: &str) -> Result<()> {
        self.learning_rate.check()?;
        let repair = "give a small number (0.004 is Keras's for AdamW), or leave it out";
        if let Some(decay) = self.weight_decay {
            check(what, "weight_decay", decay, Range::NotNegative, repair)?;
        }
        for clip in &self.clips {
            let repair = "give the largest norm or value that a gradient may have, or leave it out";
            check(what, clip.name(), clip.limit(), Range::Positive, repair)?;
        }
        if self.clips.len() > 1 {
            let names: Vec<&str> = self.clips.iter().map(|clip| clip.name()).collect();
            return Err(Error::Value {
                argument: format!("clipping of {what}"),
                expected: "one of clipnorm, global_clipnorm, clipvalue and clip_grad_norm".to_owned(),
                found: names.join(" and "),
                repair: "leave all but one of them out, as Keras demands it too".to_owned(),
            });
        }
        Ok(())
    }

    /// Whether weight decay concerns a parameter.
    pub(crate) fn decays(&self, path: &str, role: Role) -> bool {
        !self.excluded.iter().any(|selection| selection.selects(path, role))
    }
}

/// One of the ways to make a step from a gradient.
pub(crate) trait Method {
    /// The name of its type.
    fn name(&self) -> &'static str;

    fn common(&self) -> &Common;

    /// Whether its own numbers make sense.
    fn check(&self) -> Result<()>;

    /// What it remembers of each element, in the order of its rule.
    fn slots(&self) -> Vec<Slot>;

    fn rule(&self, at: &At) -> Rule;

    /// What the product of the momenta grows by in a step, from 1 on: Nadam alone has such a product.
    fn momentum(&self, _step: u64) -> f64 {
        1.0
    }
}

/// Something that an optimiser remembers of each element, under Keras's name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Slot {
    pub(crate) name: &'static str,
    pub(crate) initial: f32,
}

impl Slot {
    /// Zero before the first step.
    pub(crate) const fn zero(name: &'static str) -> Self {
        Self { name, initial: 0.0 }
    }
}

/// Where training stands when a step is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct At {
    /// The number of the step, from 1 on.
    pub(crate) step: u64,
    pub(crate) learning_rate: f64,
    /// The product of the momenta up to and with this step.
    pub(crate) momentum_product: f64,
}

impl Epsilon {
    /// Where each framework adds it.
    pub(crate) fn of(framework: Framework, epsilon: f64) -> Self {
        let epsilon = epsilon as f32;
        match framework {
            Framework::Keras => Self {
                inside: epsilon,
                outside: 0.0,
            },
            Framework::PyTorch => Self {
                inside: 0.0,
                outside: epsilon,
            },
        }
    }
}

/// A share as Keras reads it, which rounds some of its numbers to f32 before it computes with them, in float64 too.
pub(crate) fn single(value: f64) -> f64 {
    f64::from(value as f32)
}

pub(crate) fn check_epsilon(what: &str, epsilon: f64) -> Result<()> {
    let repair = "give what keeps a division by 0 away; 1e-7 is Keras's";
    check(what, "epsilon", epsilon, Range::Positive, repair)
}

pub(crate) fn check_share(what: &str, name: &str, share: f64) -> Result<()> {
    let repair = "give the share of the past; 0.9 is usual";
    check(what, name, share, Range::BelowOne, repair)
}

/// The methods of the options that all optimisers have, for a struct with a [`Common`].
macro_rules! common_options {
    ($optimizer:ident) => {
        impl $optimizer {
            /// Weight decay (default none), 0 or more: before each step the weights lose this share of themselves times the learning
            /// rate, as in Keras. In optimisers made by `pytorch` it is added to the gradient instead, times the weight;
            /// [`decoupled_weight_decay`](Self::decoupled_weight_decay) says which of both.
            ///
            /// ```
            #[doc = concat!("# use cellstate::{Optimizer, ", stringify!($optimizer), "};")]
            #[doc = concat!("assert!(Optimizer::from(", stringify!($optimizer), "::new(0.01).weight_decay(0.004)).check().is_ok());")]
            #[doc = concat!("assert!(Optimizer::from(", stringify!($optimizer), "::new(0.01).weight_decay(-1.0)).check().is_err());")]
            /// ```
            #[must_use]
            pub fn weight_decay(mut self, decay: f64) -> Self {
                self.common.weight_decay = Some(decay);
                self
            }

            /// Whether weight decay shrinks the weights (true, Keras's), or is added to their gradients behind the clipping (false, the
            /// default of those made by `pytorch`).
            ///
            /// ```
            #[doc = concat!("# use cellstate::", stringify!($optimizer), ";")]
            #[doc = concat!("let optimizer = ", stringify!($optimizer), "::new(0.01).weight_decay(0.004).decoupled_weight_decay(false);")]
            /// # let _ = optimizer;
            /// ```
            #[must_use]
            pub fn decoupled_weight_decay(mut self, decoupled: bool) -> Self {
                self.common.decoupled = decoupled;
                self
            }

            /// Parameters without weight decay: those of a role, or of a layer by its path. It may be said several times.
            ///
            /// ```
            #[doc = concat!("# use cellstate::{Role, ", stringify!($optimizer), "};")]
            #[doc = concat!("let optimizer = ", stringify!($optimizer), "::new(0.01)")]
            ///     .weight_decay(0.004)
            ///     .exclude_from_weight_decay(Role::Bias)
            ///     .exclude_from_weight_decay("embedding");
            /// # let _ = optimizer;
            /// ```
            #[must_use]
            pub fn exclude_from_weight_decay(mut self, parameters: impl Into<crate::selection::ParameterSelection>) -> Self {
                self.common.excluded.push(parameters.into());
                self
            }

            /// The largest norm that the gradient of a parameter may have: Keras's `clipnorm`. A longer one is scaled down.
            ///
            /// ```
            #[doc = concat!("# use cellstate::{Optimizer, ", stringify!($optimizer), "};")]
            #[doc = concat!("let twice = ", stringify!($optimizer), "::new(0.01).clipnorm(1.0).clipvalue(0.5);")]
            /// assert!(Optimizer::from(twice).check().is_err()); // only one kind of clipping, as in Keras
            /// ```
            #[must_use]
            pub fn clipnorm(mut self, norm: f64) -> Self {
                self.common.add_clip(crate::optimizer::common::Clip::Norm(norm));
                self
            }

            /// The largest norm that all gradients together may have: Keras's `global_clipnorm`.
            ///
            /// ```
            #[doc = concat!("# use cellstate::", stringify!($optimizer), ";")]
            #[doc = concat!("let optimizer = ", stringify!($optimizer), "::new(0.01).global_clipnorm(1.0);")]
            /// # let _ = optimizer;
            /// ```
            #[must_use]
            pub fn global_clipnorm(mut self, norm: f64) -> Self {
                self.common.add_clip(crate::optimizer::common::Clip::GlobalNorm(norm));
                self
            }

            /// The largest absolute value that a number of a gradient may have: Keras's `clipvalue`.
            ///
            /// ```
            #[doc = concat!("# use cellstate::", stringify!($optimizer), ";")]
            #[doc = concat!("let optimizer = ", stringify!($optimizer), "::new(0.01).clipvalue(0.5);")]
            /// # let _ = optimizer;
            /// ```
            #[must_use]
            pub fn clipvalue(mut self, value: f64) -> Self {
                self.common.add_clip(crate::optimizer::common::Clip::Value(value));
                self
            }

            /// As [`global_clipnorm`](Self::global_clipnorm), with the 1e-6 that `torch.nn.utils.clip_grad_norm_` adds to the norm.
            ///
            /// ```
            #[doc = concat!("# use cellstate::", stringify!($optimizer), ";")]
            #[doc = concat!("let optimizer = ", stringify!($optimizer), "::new(0.01).clip_grad_norm(1.0);")]
            /// # let _ = optimizer;
            /// ```
            #[must_use]
            pub fn clip_grad_norm(mut self, norm: f64) -> Self {
                self.common.add_clip(crate::optimizer::common::Clip::GradNorm(norm));
                self
            }
        }
    };
}
pub(crate) use common_options;
