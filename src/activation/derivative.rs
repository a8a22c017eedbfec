//! The derivatives of the activations, from what goes into them.
//!
//! Where a function has a kink the derivative is that of Keras 3.15 on TensorFlow: of the left side for `relu`, `leaky_relu` and the shrinks,
//! of the inside for what is cut off at ±1.

use super::{Activation, formula, vector_math};

impl Activation {
    /// The derivative of the function of one number. A row-wise function takes the number for a whole row.
    pub(crate) fn derivative(self, x: f32) -> f32 {
        match self {
            Self::Linear => 1.0,
            Self::Tanh => of_tanh(x),
            Self::Sigmoid => of_sigmoid(x),
            Self::Elu | Self::Celu if x < 0.0 => vector_math::exp(x),
            Self::Elu | Self::Celu => 1.0,
            Self::Selu if x < 0.0 => formula::SELU_SCALE * formula::SELU_ALPHA * vector_math::exp(x),
            Self::Selu => formula::SELU_SCALE,
            Self::Gelu => of_gelu(x),
            Self::Silu => of_silu(x),
            Self::Mish => of_mish(x),
            Self::Softplus => vector_math::sigmoid(x),
            Self::Softsign => {
                let inverse = 1.0 / (1.0 + x.abs());
                inverse * inverse
            }
            // the value through √(x² + 4), which from 10^4 on is |x| to the last bit
            Self::Squareplus if x.abs() > 1e4 => formula::scalar(self, x) / x.abs(),
            Self::Squareplus => formula::scalar(self, x) / (x * x + 4.0).sqrt(),
            Self::Exponential => vector_math::exp(x),
            Self::LogSigmoid => vector_math::sigmoid(-x),
            Self::TanhShrink => {
                let tanh = vector_math::tanh(x);
                tanh * tanh
            }
            // a row of one number is 1, or 0, whatever it is
            Self::Softmax | Self::LogSoftmax => 0.0,
            Self::Relu => step(x > 0.0, 1.0),
            Self::Relu6 => step(x > 0.0 && x < 6.0, 1.0),
            Self::LeakyRelu => slope(0.2, x),
            Self::HardShrink | Self::SoftShrink => step(x.abs() > 0.5, 1.0),
            Self::HardSigmoid => step(x > -3.0 && x < 3.0, 1.0 / 6.0),
            Self::HardSilu => formula::hard_sigmoid(x) + step(x > -3.0 && x < 3.0, x / 6.0),
            Self::HardTanh => step((-1.0..=1.0).contains(&x), 1.0),
            Self::SparsePlus if x >= 1.0 => 1.0,
            Self::SparsePlus => step(x > -1.0, 0.5 * (x + 1.0)),
            Self::SparseSigmoid => step(x > -1.0 && x < 1.0, 0.5),
            Self::HardSigmoidKeras2 => of_hard_sigmoid(0.2, 0.5, x),
            Self::Affine { alpha, .. } => alpha,
            Self::ScaledTanh { alpha, beta } => alpha * beta * of_tanh(beta * x),
            Self::HardSigmoidWith { alpha, beta } => of_hard_sigmoid(alpha, beta, x),
            Self::LeakyReluWith { alpha } => slope(alpha, x),
            Self::EluWith { alpha } if x < 0.0 => alpha * vector_math::exp(x),
            Self::EluWith { .. } => 1.0,
            Self::ThresholdedRelu { alpha } => step(x > alpha, 1.0),
        }
    }

    /// From the gradients of what comes out to those of what went in, `inputs`: rows of `width` numbers, as [`Activation::apply`] takes them.
    /// A gradient of 0 stays 0, whatever went in: of padding nobody knows what it holds.
    pub(crate) fn pull_back(self, inputs: &[f32], gradients: &mut [f32], width: usize) {
        match self {
            Self::Linear => {}
            Self::Softmax | Self::LogSoftmax => {
                let rows = inputs.chunks(width.max(1)).zip(gradients.chunks_mut(width.max(1)));
                rows.for_each(|(inputs, gradients)| self.pull_row_back(inputs, gradients));
            }
            // a loop for each that is common becomes vector code
            Self::Tanh => times(inputs, gradients, of_tanh),
            Self::Sigmoid => times(inputs, gradients, of_sigmoid),
            Self::Relu => times(inputs, gradients, |x| step(x > 0.0, 1.0)),
            Self::HardSigmoid => times(inputs, gradients, |x| step(x > -3.0 && x < 3.0, 1.0 / 6.0)),
            _ => times(inputs, gradients, |x| self.derivative(x)),
        }
    }

    /// The same from what came out, where that says all: tells whether it did.
    pub(crate) fn pull_back_by_outputs(self, outputs: &[f32], gradients: &mut [f32], width: usize) -> bool {
        match self {
            Self::Linear => {}
            Self::Tanh => times(outputs, gradients, |y| 1.0 - y * y),
            Self::Sigmoid => times(outputs, gradients, |y| y * (1.0 - y)),
            Self::Relu => times(outputs, gradients, |y| step(y > 0.0, 1.0)),
            Self::Softmax => {
                let rows = outputs.chunks(width.max(1)).zip(gradients.chunks_mut(width.max(1)));
                rows.for_each(|(outputs, gradients)| softmax(outputs, gradients));
            }
            _ => return false,
        }
        true
    }

    fn pull_row_back(self, inputs: &[f32], gradients: &mut [f32]) {
        if are_zero(gradients) {
            return;
        }
        // the largest one subtracted, nothing overflows
        let largest = inputs.iter().fold(f32::NEG_INFINITY, |largest, &x| largest.max(x));
        let share = |x: f32| libm::exp(f64::from(x) - f64::from(largest));
        let sum: f64 = inputs.iter().map(|&x| share(x)).sum();
        let shares = || inputs.iter().map(|&x| share(x) / sum);
        let weight: f64 = match self {
            Self::Softmax => shares().zip(&*gradients).map(|(share, &g)| share * f64::from(g)).sum(),
            _ => gradients.iter().map(|&g| f64::from(g)).sum(),
        };
        for (gradient, share) in gradients.iter_mut().zip(shares()) {
            let given = f64::from(*gradient);
            *gradient = match self {
                Self::Softmax => (share * (given - weight)) as f32,
                _ => (given - share * weight) as f32,
            };
        }
    }
}

/// `g = y · (g − Σ g·y)`
fn softmax(outputs: &[f32], gradients: &mut [f32]) {
    if are_zero(gradients) {
        return;
    }
    let pairs = outputs.iter().zip(&*gradients);
    let weight: f64 = pairs.map(|(&y, &g)| f64::from(y) * f64::from(g)).sum();
    for (gradient, &y) in gradients.iter_mut().zip(outputs) {
        *gradient = (f64::from(y) * (f64::from(*gradient) - weight)) as f32;
    }
}

#[inline(always)]
fn times(values: &[f32], gradients: &mut [f32], derivative: impl Fn(f32) -> f32) {
    for (gradient, &value) in gradients.iter_mut().zip(values) {
        let product = *gradient * derivative(value);
        // a choice between two numbers, which stays vector code
        *gradient = if *gradient == 0.0 { 0.0 } else { product };
    }
}

/// Whether nothing depends on a row: all of its gradients are 0.
pub(crate) fn are_zero(gradients: &[f32]) -> bool {
    gradients.iter().all(|&gradient| gradient == 0.0)
}

#[inline(always)]
fn step(is_there: bool, value: f32) -> f32 {
    if is_there { value } else { 0.0 }
}

fn slope(alpha: f32, x: f32) -> f32 {
    if x > 0.0 { 1.0 } else { alpha }
}

/// 1 / cosh² = 4t / (1 + t)² with t = exp(−2|x|): 1 − tanh² would cancel.
#[inline(always)]
fn of_tanh(x: f32) -> f32 {
    let tail = vector_math::exp(-2.0 * x.abs());
    let whole = 1.0 + tail;
    4.0 * tail / (whole * whole)
}

/// t / (1 + t)² with t = exp(−|x|).
#[inline(always)]
fn of_sigmoid(x: f32) -> f32 {
    let tail = vector_math::exp(-x.abs());
    let whole = 1.0 + tail;
    tail / (whole * whole)
}

/// Φ(x) + x · φ(x), in f64 for the left tail, where the two cancel.
fn of_gelu(x: f32) -> f32 {
    let x = f64::from(x);
    let below = 0.5 * libm::erfc(-std::f64::consts::FRAC_1_SQRT_2 * x);
    let density = libm::exp(-0.5 * x * x) * 0.398_942_280_401_432_7; // 1 / √(2π)
    (below + x * density) as f32
}

/// s + x · s · (1 − s) with s = sigmoid(x).
fn of_silu(x: f32) -> f32 {
    vector_math::sigmoid(x) + x * of_sigmoid(x)
}

/// t + x · sigmoid(x) · (1 − t²) with t = tanh(ln(1 + eˣ)) = n / (n + 2), n = e · (e + 2); from 20 on it is 1.
fn of_mish(x: f32) -> f32 {
    let x = f64::from(if x > 20.0 { 20.0 } else { x });
    let power = libm::exp(x);
    let n = power * (power + 2.0);
    let rest = 4.0 * (n + 1.0) / ((n + 2.0) * (n + 2.0));
    (n / (n + 2.0) + x * (power / (1.0 + power)) * rest) as f32
}

fn of_hard_sigmoid(alpha: f32, beta: f32, x: f32) -> f32 {
    let value = alpha * x + beta;
    step(value > 0.0 && value < 1.0, alpha)
}

#[cfg(test)]
#[path = "derivative_tests.rs"]
mod tests;
