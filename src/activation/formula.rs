//! The formulas of the activations on the CPU, written so that neither large arguments nor small results lose digits.

use super::{Activation, vector_math};

pub(super) const SELU_SCALE: f32 = 1.050_701;
pub(super) const SELU_ALPHA: f32 = 1.673_263_2;

/// The function of one number. A row-wise function takes it for a whole row.
///
/// At -∞ gelu, silu, mish and hard_silu are -∞ · 0, and softsign is ∞ / ∞: NaN, as in Keras.
pub(super) fn scalar(activation: Activation, x: f32) -> f32 {
    match activation {
        Activation::Linear => x,
        Activation::Tanh => vector_math::tanh(x),
        Activation::Sigmoid => vector_math::sigmoid(x),
        Activation::Elu | Activation::Celu => elu(x),
        Activation::Selu if x > 0.0 => SELU_SCALE * x,
        Activation::Selu => SELU_SCALE * SELU_ALPHA * elu(x),
        Activation::Gelu => gelu(x),
        Activation::Silu => x * vector_math::sigmoid(x),
        Activation::Mish => mish(x),
        Activation::Softplus => softplus(x),
        Activation::Softsign => x / (1.0 + x.abs()),
        Activation::Squareplus => squareplus(x),
        Activation::Exponential => vector_math::exp(x),
        Activation::LogSigmoid => -softplus(-x),
        Activation::TanhShrink => tanh_shrink(x),
        // A row of one number, in the same words as a longer one.
        Activation::Softmax | Activation::LogSoftmax => {
            let mut row = [x];
            activation.apply(&mut row, 1);
            row[0]
        }
        // comparisons and `clamp` are chosen so that NaN passes; `max` would drop it
        Activation::Relu => above(0.0, x),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::LeakyRelu => leaky_relu(0.2, x),
        Activation::HardShrink => hard_shrink(x),
        Activation::SoftShrink => soft_shrink(x),
        Activation::HardSigmoid => hard_sigmoid(x),
        Activation::HardSilu => x * hard_sigmoid(x),
        Activation::HardTanh => x.clamp(-1.0, 1.0),
        Activation::SparsePlus => sparse_plus(x),
        Activation::SparseSigmoid => 0.5 * (x.clamp(-1.0, 1.0) + 1.0),
        Activation::HardSigmoidKeras2 => hard_sigmoid_with(0.2, 0.5, x),
        Activation::Affine { alpha, beta } => alpha * x + beta,
        Activation::ScaledTanh { alpha, beta } => alpha * vector_math::tanh(beta * x),
        Activation::HardSigmoidWith { alpha, beta } => hard_sigmoid_with(alpha, beta, x),
        Activation::LeakyReluWith { alpha } => leaky_relu(alpha, x),
        Activation::EluWith { alpha } if x < 0.0 => alpha * elu(x),
        Activation::EluWith { .. } => x,
        Activation::ThresholdedRelu { alpha } => above(alpha, x),
    }
}

/// x where it is above a threshold, else 0.
fn above(threshold: f32, x: f32) -> f32 {
    if x <= threshold { 0.0 } else { x }
}

/// Of NaN 0, as in Keras.
fn hard_shrink(x: f32) -> f32 {
    if x.abs() > 0.5 { x } else { 0.0 }
}

/// Of NaN 0, as in Keras.
fn soft_shrink(x: f32) -> f32 {
    if x.abs() > 0.5 { x - 0.5_f32.copysign(x) } else { 0.0 }
}

fn leaky_relu(alpha: f32, x: f32) -> f32 {
    if x < 0.0 { alpha * x } else { x }
}

fn elu(x: f32) -> f32 {
    if x > 0.0 { x } else { libm::expm1f(x) }
}

/// The complement of erf keeps the digits of the left tail, where 1 + erf would cancel; in f64, because there the tail
/// multiplies the rounding of its argument.
fn gelu(x: f32) -> f32 {
    let x = f64::from(x);
    (x * (0.5 * libm::erfc(-std::f64::consts::FRAC_1_SQRT_2 * x))) as f32
}

/// tanh(ln(1 + e)) is n / (n + 2) with n = e · (e + 2); from 20 on it is 1.
fn mish(x: f32) -> f32 {
    let power = vector_math::exp(if x > 20.0 { 20.0 } else { x });
    let n = power * (power + 2.0);
    x * (n / (n + 2.0))
}

fn softplus(x: f32) -> f32 {
    let positive = if x <= 0.0 { 0.0 } else { x };
    positive + libm::log1pf(vector_math::exp(-x.abs()))
}

/// (x + s) / 2 with s = √(x² + 4). The values at x and -x are each other's inverses, which saves the left side from
/// cancelling; from 10^4 on s is |x| to the last bit.
fn squareplus(x: f32) -> f32 {
    if x == f32::NEG_INFINITY {
        return f32::NAN; // Keras: -∞ + ∞
    }
    let magnitude = x.abs();
    let root = if magnitude > 1.0e4 {
        magnitude
    } else {
        (magnitude * magnitude + 4.0).sqrt()
    };
    let right = 0.5 * magnitude + 0.5 * root;
    if x < 0.0 { 1.0 / right } else { right }
}

/// Near 0 the two terms cancel, so that there the series has to do.
fn tanh_shrink(x: f32) -> f32 {
    let square = x * x;
    if square < 0.01 {
        return x * square * (1.0 / 3.0 + square * (-2.0 / 15.0 + square * (17.0 / 315.0)));
    }
    let x = f64::from(x);
    (x - libm::tanh(x)) as f32
}

/// x / 6 + 0.5 in an order that keeps the digits near -3.
pub(super) fn hard_sigmoid(x: f32) -> f32 {
    (x + 3.0).clamp(0.0, 6.0) / 6.0
}

/// The formula of Keras 2 and ONNX.
pub(super) fn hard_sigmoid_with(alpha: f32, beta: f32, x: f32) -> f32 {
    (alpha * x + beta).clamp(0.0, 1.0)
}

fn sparse_plus(x: f32) -> f32 {
    let shifted = x.clamp(-1.0, 1.0) + 1.0;
    if x >= 1.0 { x } else { 0.25 * shifted * shifted }
}

/// The largest value of a row; NaN if there is one.
fn largest(row: &[f32]) -> f32 {
    row.iter().fold(
        f32::NEG_INFINITY,
        |largest, &x| {
            if x > largest || x.is_nan() { x } else { largest }
        },
    )
}

pub(super) fn softmax(row: &mut [f32]) {
    let largest = largest(row);
    let mut sum = 0.0_f64;
    for value in row.iter_mut() {
        *value = vector_math::exp(*value - largest);
        sum += f64::from(*value);
    }
    for value in row {
        *value = (f64::from(*value) / sum) as f32;
    }
}

pub(super) fn log_softmax(row: &mut [f32]) {
    let largest = f64::from(largest(row));
    let sum: f64 = row.iter().map(|value| libm::exp(f64::from(*value) - largest)).sum();
    let logarithm = libm::log(sum);
    for value in row {
        *value = (f64::from(*value) - largest - logarithm) as f32;
    }
}
