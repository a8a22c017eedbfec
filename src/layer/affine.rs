//! What normalised values are multiplied by, and what is added: gamma and beta, of which a layer may have both, one or none.

use ndarray::{Array1, ArrayView1};

use crate::cell::check_tensor;
use crate::error::{Error, Result};
use crate::memory::WEIGHTS;

/// Gamma and beta as they were given, and the epsilon of a normalisation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Affine {
    pub(crate) scale: bool,
    pub(crate) center: bool,
    pub(crate) epsilon: f32,
    gamma: Option<Array1<f32>>,
    beta: Option<Array1<f32>>,
}

impl Affine {
    /// Gamma of ones and beta of zeros.
    pub(crate) fn new(epsilon: f32) -> Self {
        Self {
            scale: true,
            center: true,
            epsilon,
            gamma: None,
            beta: None,
        }
    }

    /// Takes trained values: `None` says that there is none.
    pub(crate) fn take(&mut self, layer: &str, features: usize, [gamma, beta]: [Option<Array1<f32>>; 2]) -> Result<()> {
        for (name, values) in [("gamma", &gamma), ("beta", &beta)] {
            if let Some(values) = values {
                check_vector(layer, name, features, &values.view())?;
            }
        }
        (self.scale, self.center) = (gamma.is_some(), beta.is_some());
        (self.gamma, self.beta) = (gamma, beta);
        Ok(())
    }

    pub(crate) fn check(&self, layer: &str) -> Result<()> {
        if self.epsilon > 0.0 && self.epsilon.is_finite() {
            return Ok(());
        }
        Err(Error::Value {
            argument: format!("epsilon of the {layer} layer"),
            expected: "a number above 0".to_owned(),
            found: self.epsilon.to_string(),
            repair: "give the epsilon of the training: 0.001 is Keras's, 0.00001 PyTorch's".to_owned(),
        })
    }

    /// Gamma and beta, where the layer has them: those given, else ones and zeros.
    pub(crate) fn weights(&self, features: usize) -> Result<[Option<Array1<f32>>; 2]> {
        let made = |has: bool, given: &Option<Array1<f32>>, value: f32| match (has, given) {
            (false, _) => Ok(None),
            (true, Some(given)) => Ok(Some(given.clone())),
            (true, None) => constant(features, value).map(Some),
        };
        Ok([made(self.scale, &self.gamma, 1.0)?, made(self.center, &self.beta, 0.0)?])
    }

    /// How many vectors it has.
    pub(crate) fn count(&self) -> usize {
        usize::from(self.scale) + usize::from(self.center)
    }
}

/// So many equal values.
pub(crate) fn constant(features: usize, value: f32) -> Result<Array1<f32>> {
    Ok(Array1::from_vec(WEIGHTS.filled(features, value)?))
}

/// Whether a vector of a layer has a finite value for each feature.
pub(crate) fn check_vector(layer: &str, name: &str, features: usize, values: &ArrayView1<'_, f32>) -> Result<()> {
    check_tensor(&format!("{name} of the {layer}"), values, &[features], "(features)")
}
