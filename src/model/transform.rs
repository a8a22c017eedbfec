//! What becomes of each row by itself: normalisations and activations, with their weights as runs need them.

use ndarray::{Array1, Ix1};

use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::layer::batch_normalization::{BatchNormalization, check_variance};
use crate::layer::layer_normalization::LayerNormalization;
use crate::memory::WEIGHTS;
use crate::parameters::{Parameters, Role};

/// How a row becomes another of the same width.
#[derive(Clone, Debug)]
pub(crate) enum Transform {
    /// `activation(x · scale + shift)`, or `activation(x)`.
    Scale { by: Option<Scale>, activation: Activation },
    /// `activation((x − mean) / √(variance + epsilon) · gamma + beta)` over the row.
    Normalize {
        gamma: Vec<f32>,
        beta: Vec<f32>,
        epsilon: f32,
        activation: Activation,
    },
}

/// What each feature is multiplied by, and what is added then.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    pub(crate) scale: Vec<f32>,
    pub(crate) shift: Vec<f32>,
    /// What both are made of.
    pub(crate) of: BatchWeights,
}

/// The weights of a BatchNormalization, as training needs them.
#[derive(Clone, Debug)]
pub(crate) struct BatchWeights {
    pub(crate) gamma: Option<Array1<f32>>,
    pub(crate) beta: Option<Array1<f32>>,
    pub(crate) mean: Array1<f32>,
    pub(crate) variance: Array1<f32>,
    pub(crate) epsilon: f32,
    /// What share of a moving mean stays at each batch.
    pub(crate) momentum: f32,
}

impl Transform {
    /// `scale = gamma / √(variance + epsilon)`, `shift = beta − mean · scale`, both rounded once.
    pub(super) fn batch(layer: &BatchNormalization, path: &str, parameters: &Parameters) -> Result<Self> {
        let (gamma, beta) = (
            vector(parameters, path, Role::Gamma)?,
            vector(parameters, path, Role::Beta)?,
        );
        let missing = || Error::defect("a weight of a BatchNormalization");
        let mean = vector(parameters, path, Role::MovingMean)?.ok_or_else(missing)?;
        let variance = vector(parameters, path, Role::MovingVariance)?.ok_or_else(missing)?;
        check_variance(&variance)?;
        let mut scales = WEIGHTS.list(mean.len())?;
        let mut shifts = WEIGHTS.list(mean.len())?;
        for (feature, (&mean, &variance)) in mean.iter().zip(&variance).enumerate() {
            let of = |vector: &Option<Array1<f32>>, absent: f64| {
                let value = vector.as_ref().and_then(|vector| vector.get(feature));
                value.map_or(absent, |&value| f64::from(value))
            };
            let scale = of(&gamma, 1.0) / (f64::from(variance) + f64::from(layer.epsilon_value())).sqrt();
            let shift = of(&beta, 0.0) - f64::from(mean) * scale;
            for (name, value) in [("scale", scale), ("shift", shift)] {
                // weights that are not finite were asked for
                if value.is_finite() && !(value as f32).is_finite() {
                    return Err(beyond(path, name, feature, value));
                }
            }
            scales.push(scale as f32);
            shifts.push(shift as f32);
        }
        let by = Scale {
            scale: scales,
            shift: shifts,
            of: BatchWeights {
                gamma,
                beta,
                mean,
                variance,
                epsilon: layer.epsilon_value(),
                momentum: layer.momentum_value(),
            },
        };
        Ok(Self::Scale {
            by: Some(by),
            activation: Activation::Linear,
        })
    }

    /// An absent gamma is ones, an absent beta zeros: neither changes a bit.
    pub(super) fn rows(layer: &LayerNormalization, path: &str, parameters: &Parameters) -> Result<Self> {
        let values = |role, absent| match vector(parameters, path, role)? {
            Some(vector) => WEIGHTS.listed(vector.iter().copied()),
            None => WEIGHTS.filled(layer.features(), absent),
        };
        Ok(Self::Normalize {
            gamma: values(Role::Gamma, 1.0)?,
            beta: values(Role::Beta, 0.0)?,
            epsilon: layer.epsilon_value(),
            activation: Activation::Linear,
        })
    }

    /// What a BatchNormalization is made of.
    pub(crate) fn batch_weights(&self) -> Option<&BatchWeights> {
        match self {
            Self::Scale { by: Some(by), .. } => Some(&by.of),
            _ => None,
        }
    }

    /// The values of each of its weights; 0 without weights.
    pub(crate) fn values(&self) -> usize {
        match self {
            Self::Scale { by, .. } => by.as_ref().map_or(0, |by| by.scale.len()),
            Self::Normalize { gamma, .. } => gamma.len(),
        }
    }

    /// The activation with which it ends.
    pub(crate) fn activation(&self) -> Activation {
        match self {
            Self::Scale { activation, .. } | Self::Normalize { activation, .. } => *activation,
        }
    }

    pub(crate) fn activation_mut(&mut self) -> &mut Activation {
        match self {
            Self::Scale { activation, .. } | Self::Normalize { activation, .. } => activation,
        }
    }

    /// A number that no value is beyond, whatever goes in, if there is one.
    pub(crate) fn bound(&self) -> Option<f32> {
        let largest = |values: &[f32]| values.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        let bound = match self {
            _ if self.activation().is_within_one() => 1.0,
            // the square of a value is not larger than the sum of all squares, which is the width times the variance
            Self::Normalize {
                gamma,
                beta,
                activation: Activation::Linear,
                ..
            } => (gamma.len() as f32).sqrt() * largest(gamma) + largest(beta),
            _ => f32::INFINITY,
        };
        Some(bound).filter(|bound| bound.is_finite())
    }
}

fn beyond(path: &str, name: &str, feature: usize, value: f64) -> Error {
    Error::Value {
        argument: format!("{path}: the {name} of feature {feature}"),
        expected: "a number that f32 has".to_owned(),
        found: format!("{value:e}, of gamma, beta, moving_mean, moving_variance and epsilon"),
        repair: "give the weights and the epsilon of the training".to_owned(),
    }
}

fn vector(parameters: &Parameters, path: &str, role: Role) -> Result<Option<Array1<f32>>> {
    let parameter = parameters.find(&format!("{path}/{role}"));
    let values = parameter.map(|parameter| parameter.shared().clone().into_dimensionality::<Ix1>());
    let values = values
        .transpose()
        .map_err(|_| Error::defect("the shape of a parameter"))?;
    Ok(values.map(|values| values.into_owned()))
}
