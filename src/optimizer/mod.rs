//! Optimisers: how the parameters of a model follow their gradients.

mod adagrad;
mod adam;
mod adam_w;
mod apply;
mod common;
mod lion;
mod nadam;
mod rms_prop;
mod sgd;
mod state;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test that finds no value has failed")]
mod tests;
mod update;

pub use adagrad::Adagrad;
pub use adam::Adam;
pub use adam_w::AdamW;
pub use lion::Lion;
pub use nadam::Nadam;
pub use rms_prop::RmsProp;
pub use sgd::Sgd;
#[cfg(any(test, feature = "safetensors"))]
pub(crate) use state::Progress;
pub(crate) use state::{GradientSize, LARGEST, OptimizerState, Step};

pub(crate) use update::{Rule, Update};

use crate::error::Result;
use common::Method;

/// One of the optimisers, each with its options. `Into<Optimizer>` takes any of them.
///
/// They are those of Keras 3.15, in float32; each has a `pytorch` beside its `new` where PyTorch's differs by more than defaults. All
/// take a number or a schedule as [`LearningRate`](crate::LearningRate), one kind of clipping, and weight decay.
///
/// The gradient of an `Embedding` is that of its whole table, as with Keras on JAX and PyTorch: tokens that come more than once are added up
/// before anything is squared, clipped or normalised. Keras on TensorFlow adds them up afterwards, so that with any optimiser but [`Sgd`] without
/// clipping it gives other steps there.
///
/// ```
/// use cellstate::{Adam, Optimizer, Sgd};
///
/// let optimizers = [Optimizer::from(Adam::new(1e-3)), Optimizer::from(Sgd::new(0.01).momentum(0.9))];
/// assert!(optimizers.iter().all(|optimizer| optimizer.check().is_ok()));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Optimizer {
    /// Gradient descent, with momentum where it is wanted.
    Sgd(Sgd),
    /// Steps by the size of the last gradients.
    RmsProp(RmsProp),
    /// Steps by the first two moments of the gradients; AdamW too.
    Adam(Adam),
    /// Steps by the size of all gradients so far.
    Adagrad(Adagrad),
    /// Adam with Nesterov's momentum.
    Nadam(Nadam),
    /// Steps of one size.
    Lion(Lion),
}

impl Optimizer {
    /// Whether the options make sense; whoever trains with them asks it first.
    ///
    /// # Errors
    ///
    /// [`Error::Value`](crate::Error::Value) that names the option, its range and its value; [`Error::Size`](crate::Error::Size) for a
    /// schedule of lists that do not fit together.
    ///
    /// ```
    /// use cellstate::{Optimizer, Sgd};
    ///
    /// let error = Optimizer::from(Sgd::new(f64::NAN)).check().unwrap_err();
    /// assert!(error.to_string().contains("learning_rate"));
    /// ```
    pub fn check(&self) -> Result<()> {
        let method = self.method();
        method.common().check(method.name())?;
        method.check()
    }

    fn method(&self) -> &dyn Method {
        match self {
            Self::Sgd(optimizer) => optimizer,
            Self::RmsProp(optimizer) => optimizer,
            Self::Adam(optimizer) => optimizer,
            Self::Adagrad(optimizer) => optimizer,
            Self::Nadam(optimizer) => optimizer,
            Self::Lion(optimizer) => optimizer,
        }
    }
}

/// `Optimizer::from(Sgd)` for the variant `Sgd`.
macro_rules! from {
    ($($optimizer:ident)*) => {
        $(impl From<$optimizer> for Optimizer {
            fn from(optimizer: $optimizer) -> Self {
                Self::$optimizer(optimizer)
            }
        })*
    };
}

from!(Sgd RmsProp Adam Adagrad Nadam Lion);
