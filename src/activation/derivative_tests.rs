//! The derivatives against differences of the functions in f64, and against Keras.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

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
        _ => with_kinks(activation, x),
    }
}

fn leaky(alpha: f64, x: f64) -> f64 {
    if x < 0.0 { alpha * x } else { x }
}

fn elu(alpha: f64, x: f64) -> f64 {
    if x < 0.0 { alpha * x.exp_m1() } else { x }
}

/// Those with a kink.
fn with_kinks(activation: Activation, x: f64) -> f64 {
    let with = |alpha: f32, beta: f32| (f64::from(alpha) * x + f64::from(beta)).clamp(0.0, 1.0);
    match activation {
        Activation::Relu => x.max(0.0),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::LeakyRelu => leaky(0.2, x),
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
        Activation::LeakyReluWith { alpha } => leaky(f64::from(alpha), x),
        Activation::EluWith { alpha } => elu(f64::from(alpha), x),
        Activation::ThresholdedRelu { alpha } => {
            if x > f64::from(alpha) {
                x
            } else {
                0.0
            }
        }
        _ => f64::NAN,
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
