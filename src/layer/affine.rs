//! What normalised values are multiplied by, and what is added: gamma and beta, of which a layer may have both, one or none.

use ndarray::{Array1, ArrayView1};

use crate::cell::ValueRange;
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
    pub(crate) fn take(
        &mut self,
        layer: &str,
        features: usize,
        [gamma, beta]: [Option<Array1<f32>>; 2],
        range: ValueRange,
    ) -> Result<()> {
        for (name, values) in [("gamma", &gamma), ("beta", &beta)] {
            if let Some(values) = values {
                check_vector(layer, name, features, &values.view(), range)?;
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

/// Whether a vector of a layer has a value for each feature.
pub(crate) fn check_vector(
    layer: &str,
    name: &str,
    features: usize,
    values: &ArrayView1<'_, f32>,
    range: ValueRange,
) -> Result<()> {
    range.check_tensor(&format!("{name} of the {layer}"), values, &[features], "(features)")
}

/// The methods that both normalisations have: `normalization!(LayerNormalization)` for a struct with `features` and an [`Affine`].
macro_rules! normalization {
    ($layer:ident) => {
        impl $layer {
            /// Added to the variance (default 0.001, as in Keras; PyTorch's default is 0.00001). It has to be above 0.
            ///
            /// ```
            #[doc = concat!("# use cellstate::", stringify!($layer), ";")]
            #[doc = concat!("assert_eq!(", stringify!($layer), "::new(3).epsilon(1e-5).epsilon_value(), 1e-5);")]
            /// ```
            #[must_use]
            pub fn epsilon(mut self, epsilon: f32) -> Self {
                self.affine.epsilon = epsilon;
                self
            }

            /// Whether the values are multiplied by gamma (default true).
            ///
            /// ```
            #[doc = concat!("# use cellstate::", stringify!($layer), ";")]
            #[doc = concat!("assert_eq!(", stringify!($layer), "::new(3).scale(false).weights()?.gamma, None);")]
            /// # Ok::<(), cellstate::Error>(())
            /// ```
            #[must_use]
            pub fn scale(mut self, scale: bool) -> Self {
                self.affine.scale = scale;
                self
            }

            /// Whether beta is added (default true).
            ///
            /// ```
            #[doc = concat!("# use cellstate::", stringify!($layer), ";")]
            #[doc = concat!("assert_eq!(", stringify!($layer), "::new(3).center(false).weights()?.beta, None);")]
            /// # Ok::<(), cellstate::Error>(())
            /// ```
            #[must_use]
            pub fn center(mut self, center: bool) -> Self {
                self.affine.center = center;
                self
            }

            /// The number of features.
            ///
            /// ```
            #[doc = concat!("assert_eq!(cellstate::", stringify!($layer), "::new(3).features(), 3);")]
            /// ```
            #[must_use]
            pub fn features(&self) -> usize {
                self.features
            }

            /// What is added to the variance.
            ///
            /// ```
            #[doc = concat!("assert_eq!(cellstate::", stringify!($layer), "::new(3).epsilon_value(), 1e-3);")]
            /// ```
            #[must_use]
            pub fn epsilon_value(&self) -> f32 {
                self.affine.epsilon
            }

            /// Whether there is a gamma, and whether there is a beta.
            pub(crate) fn has(&self) -> [bool; 2] {
                [self.affine.scale, self.affine.center]
            }
        }
    };
}
pub(crate) use normalization;
