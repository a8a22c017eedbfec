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
    let pairs = outputs.iter().zip(&*gradients);
    let weight: f64 = pairs.map(|(&y, &g)| f64::from(y) * f64::from(g)).sum();
    for (gradient, &y) in gradients.iter_mut().zip(outputs) {
        *gradient = (f64::from(y) * (f64::from(*gradient) - weight)) as f32;
    }
}

#[inline(always)]
fn times(values: &[f32], gradients: &mut [f32], derivative: impl Fn(f32) -> f32) {
    for (gradient, &value) in gradients.iter_mut().zip(values) {
        *gradient *= derivative(value);
    }
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
#[allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    const WITH_PARAMETERS: [Activation; 6] = [
        Activation::Affine { alpha: 2.0, beta: 0.5 },
        Activation::ScaledTanh { alpha: 1.7, beta: 0.6 },
        Activation::HardSigmoidWith { alpha: 0.25, beta: 0.4 },
        Activation::LeakyReluWith { alpha: 0.01 },
        Activation::EluWith { alpha: 1.5 },
        Activation::ThresholdedRelu { alpha: 1.0 },
    ];

    fn pointwise() -> impl Iterator<Item = Activation> {
        let all = Activation::ALL.iter().copied().chain(WITH_PARAMETERS);
        all.filter(|activation| !activation.is_rowwise())
    }

    /// The functions in f64, where central differences are good to 1e-9.
    fn truth(activation: Activation, x: f64) -> f64 {
        let sigmoid = |x: f64| {
            if x < 0.0 {
                x.exp() / (1.0 + x.exp())
            } else {
                1.0 / (1.0 + (-x).exp())
            }
        };
        let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
        let elu = |alpha: f64, x: f64| if x < 0.0 { alpha * x.exp_m1() } else { x };
        let with = |alpha: f32, beta: f32| (f64::from(alpha) * x + f64::from(beta)).clamp(0.0, 1.0);
        match activation {
            Activation::Linear => x,
            Activation::Tanh => x.tanh(),
            Activation::Sigmoid => sigmoid(x),
            Activation::Elu | Activation::Celu => elu(1.0, x),
            Activation::Selu => 1.050_700_987_355_480_5 * elu(1.673_263_242_354_377_2, x),
            Activation::Gelu => x * 0.5 * libm::erfc(-x / 2.0_f64.sqrt()),
            Activation::Silu => x * sigmoid(x),
            Activation::Mish => x * softplus(x).tanh(),
            Activation::Softplus => softplus(x),
            Activation::Softsign => x / (1.0 + x.abs()),
            Activation::Squareplus => (x + (x * x + 4.0).sqrt()) / 2.0,
            Activation::Exponential => x.exp(),
            Activation::LogSigmoid => -softplus(-x),
            Activation::TanhShrink => x - x.tanh(),
            Activation::Relu => x.max(0.0),
            Activation::Relu6 => x.clamp(0.0, 6.0),
            Activation::LeakyRelu => {
                if x < 0.0 {
                    0.2 * x
                } else {
                    x
                }
            }
            Activation::HardShrink => {
                if x.abs() > 0.5 {
                    x
                } else {
                    0.0
                }
            }
            Activation::SoftShrink => {
                if x.abs() > 0.5 {
                    x - 0.5_f64.copysign(x)
                } else {
                    0.0
                }
            }
            Activation::HardSigmoid => (x / 6.0 + 0.5).clamp(0.0, 1.0),
            Activation::HardSilu => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
            Activation::HardTanh => x.clamp(-1.0, 1.0),
            Activation::SparsePlus if x >= 1.0 => x,
            Activation::SparsePlus => (x.max(-1.0) + 1.0).powi(2) / 4.0,
            Activation::SparseSigmoid => (x.clamp(-1.0, 1.0) + 1.0) / 2.0,
            Activation::HardSigmoidKeras2 => with(0.2, 0.5),
            Activation::Affine { alpha, beta } => f64::from(alpha) * x + f64::from(beta),
            Activation::ScaledTanh { alpha, beta } => f64::from(alpha) * (f64::from(beta) * x).tanh(),
            Activation::HardSigmoidWith { alpha, beta } => with(alpha, beta),
            Activation::LeakyReluWith { alpha } => {
                if x < 0.0 {
                    f64::from(alpha) * x
                } else {
                    x
                }
            }
            Activation::EluWith { alpha } => elu(f64::from(alpha), x),
            Activation::ThresholdedRelu { alpha } => {
                if x > f64::from(alpha) {
                    x
                } else {
                    0.0
                }
            }
            Activation::Softmax | Activation::LogSoftmax => f64::NAN,
        }
    }

    /// Whether a kink lies within reach of the differences.
    fn is_near_a_kink(x: f32) -> bool {
        let kinks = [-3.0, -2.5, -1.6, -1.0, -0.5, 0.0, 0.5, 1.0, 2.4, 2.5, 3.0, 6.0_f32];
        kinks.iter().any(|kink| (x - kink).abs() < 1e-3)
    }

    #[test]
    fn they_are_the_differences_of_the_functions() {
        for activation in pointwise() {
            let mut worst = 0.0_f64;
            for n in -40_000..40_000 {
                let x = n as f32 * 1.03e-3;
                if is_near_a_kink(x) {
                    continue;
                }
                let (at, h) = (f64::from(x), 1e-5);
                let wanted = (truth(activation, at + h) - truth(activation, at - h)) / (2.0 * h);
                let error = (f64::from(activation.derivative(x)) - wanted).abs() / wanted.abs().max(1.0);
                worst = if error > worst || error.is_nan() { error } else { worst };
            }
            assert!(worst < 1e-6, "{activation}: {worst}");
        }
    }

    /// Far out there are no differences to take, but a limit, and never NaN.
    #[test]
    fn far_out_they_are_finite() {
        for activation in pointwise() {
            for x in (0..=u32::MAX)
                .step_by(99_991)
                .map(f32::from_bits)
                .filter(|x| x.is_finite())
            {
                let derivative = activation.derivative(x);
                let may_overflow = activation == Activation::Exponential && x > 88.0;
                assert!(
                    derivative.is_finite() || may_overflow,
                    "{activation} at {x}: {derivative}"
                );
                let mut gradients = [2.0];
                activation.pull_back(&[x], &mut gradients, 1);
                assert_eq!(
                    gradients[0].to_bits(),
                    (2.0 * derivative).to_bits(),
                    "{activation} at {x}"
                );
            }
        }
    }

    #[test]
    fn rows_are_the_differences_of_the_functions() {
        let row = [0.3_f64, -1.2, 2.5, 0.0, -40.0];
        let weights = [1.5_f64, -0.5, 0.25, 2.0, 1.0];
        let loss = |activation, row: &[f64; 5]| {
            let largest = row.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
            let sum: f64 = row.iter().map(|x| (x - largest).exp()).sum();
            let terms = row.iter().zip(weights).map(|(x, weight)| match activation {
                Activation::Softmax => weight * (x - largest).exp() / sum,
                _ => weight * (x - largest - sum.ln()),
            });
            terms.sum::<f64>()
        };
        for activation in [Activation::Softmax, Activation::LogSoftmax] {
            let inputs = row.map(|x| x as f32);
            let mut gradients = weights.map(|weight| weight as f32);
            activation.pull_back(&inputs, &mut gradients, 5);
            for (k, gradient) in gradients.iter().enumerate() {
                let (mut above, mut below) = (row, row);
                (above[k], below[k]) = (row[k] + 1e-5, row[k] - 1e-5);
                let wanted = (loss(activation, &above) - loss(activation, &below)) / 2e-5;
                assert!(
                    (f64::from(*gradient) - wanted).abs() < 1e-6,
                    "{activation}, {k}: {gradient}, {wanted}"
                );
            }
        }
    }

    #[test]
    fn outputs_say_the_same_where_they_say_all() {
        let inputs = [-3.0_f32, -0.2, 0.0, 0.7, 2.5, 0.1];
        let mut said = Vec::new();
        for &activation in Activation::ALL {
            let mut outputs = inputs;
            activation.apply(&mut outputs, 3);
            let (mut one, mut other) = ([1.0, -2.0, 0.5, 3.0, 1.0, -1.0], [1.0, -2.0, 0.5, 3.0, 1.0, -1.0]);
            activation.pull_back(&inputs, &mut one, 3);
            if activation.pull_back_by_outputs(&outputs, &mut other, 3) {
                said.push(activation.name());
                let close = one.iter().zip(other).all(|(one, other)| (one - other).abs() < 1e-6);
                assert!(close, "{activation}: {one:?}, {other:?}");
            }
        }
        assert_eq!(said, ["linear", "tanh", "sigmoid", "softmax", "relu"]);
    }

    #[test]
    #[cfg(feature = "safetensors")]
    fn they_are_those_of_keras() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/cases/keras_activations.safetensors");
        let bytes = std::fs::read(path).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let numbers = |name: &str| -> Vec<f32> {
            let tensor = file.tensor(name).unwrap();
            let bytes = tensor.data().chunks_exact(4);
            bytes
                .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
                .collect()
        };
        let (x, weights) = (numbers("x"), numbers("loss_weight"));
        let mut seen = 0;
        for &activation in Activation::ALL {
            if file.tensor(&format!("grad.{}", activation.name())).is_err() {
                continue;
            }
            let wanted = numbers(&format!("grad.{}", activation.name()));
            let mut gradients = weights.clone();
            activation.pull_back(&x, &mut gradients, 8);
            for ((got, wanted), x) in gradients.iter().zip(&wanted).zip(&x) {
                let error = (got - wanted).abs() / wanted.abs().max(1.0);
                assert!(error < 1e-6, "{activation} at {x}: {got}, Keras {wanted}");
            }
            seen += 1;
        }
        assert_eq!(seen, 27);
    }
}
