//! The activations of Keras 3 and of ONNX in f64, each as its formula.

/// Applies the activation to one row (softmax and log_softmax look at the whole row, the others at each element). A name of
/// ONNX has its alpha and beta behind it, as in `HardSigmoid(0.25, 0.4)`.
pub(crate) fn activate(name: &str, row: &mut [f64]) {
    match name {
        // e^(x - max) / sum of e^(x - max)
        "softmax" => {
            let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            row.iter_mut().for_each(|x| *x = (*x - largest).exp());
            let sum: f64 = row.iter().sum();
            row.iter_mut().for_each(|x| *x /= sum);
        }
        // x - max - ln(sum of e^(x - max))
        "log_softmax" => {
            let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = row.iter().map(|x| (x - largest).exp()).sum();
            row.iter_mut().for_each(|x| *x = *x - largest - sum.ln());
        }
        _ => match name.split_once('(') {
            None => row.iter_mut().for_each(|x| *x = elementwise(name, *x)),
            Some((name, numbers)) => {
                let numbers: Vec<f64> = numbers
                    .trim_end_matches(')')
                    .split(", ")
                    .map(|number| number.parse().expect("a number"))
                    .collect();
                row.iter_mut().for_each(|x| *x = of_onnx(name, *x, &numbers));
            }
        },
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// ln(1 + e^x), without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// The functions of ONNX that have an alpha, and perhaps a beta.
fn of_onnx(name: &str, x: f64, numbers: &[f64]) -> f64 {
    match (name, numbers) {
        ("Affine", &[alpha, beta]) => alpha * x + beta,
        ("ScaledTanh", &[alpha, beta]) => alpha * (beta * x).tanh(),
        ("HardSigmoid", &[alpha, beta]) => (alpha * x + beta).clamp(0.0, 1.0),
        ("LeakyRelu", &[alpha]) => x.max(0.0) + alpha * x.min(0.0),
        ("ThresholdedRelu", &[alpha]) => {
            if x > alpha {
                x
            } else {
                0.0
            }
        }
        ("Elu", &[alpha]) => x.max(0.0) + alpha * x.min(0.0).exp_m1(),
        _ => panic!("the reference has no activation {name} of {numbers:?}"),
    }
}

fn elementwise(name: &str, x: f64) -> f64 {
    match name {
        "linear" => x,
        "tanh" => x.tanh(),
        "sigmoid" => sigmoid(x),
        "relu" => x.max(0.0),
        "relu6" => x.clamp(0.0, 6.0),
        "leaky_relu" => x.max(0.2 * x),
        // alpha = 1 makes celu the same function
        "elu" | "celu" => {
            if x > 0.0 {
                x
            } else {
                x.exp_m1()
            }
        }
        "selu" => {
            const ALPHA: f64 = 1.673_263_242_354_377_2;
            const SCALE: f64 = 1.050_700_987_355_480_5;
            SCALE * if x > 0.0 { x } else { ALPHA * x.exp_m1() }
        }
        // the exact form, not the one with tanh
        "gelu" => 0.5 * x * (1.0 + libm::erf(x / std::f64::consts::SQRT_2)),
        "silu" | "swish" => x * sigmoid(x),
        "mish" => x * softplus(x).tanh(),
        "softplus" => softplus(x),
        "softsign" => x / (1.0 + x.abs()),
        // b = 4
        "squareplus" => (x + (x * x + 4.0).sqrt()) / 2.0,
        "exponential" => x.exp(),
        "log_sigmoid" => -softplus(-x),
        "tanh_shrink" => x - x.tanh(),
        "hard_shrink" => {
            if x.abs() > 0.5 {
                x
            } else {
                0.0
            }
        }
        "soft_shrink" => x.signum() * (x.abs() - 0.5).max(0.0),
        // Keras 3: slope 1/6 (Keras 2 had 0.2)
        "hard_sigmoid" => (x + 3.0).clamp(0.0, 6.0) / 6.0,
        "hard_silu" | "hard_swish" => x * ((x + 3.0).clamp(0.0, 6.0) / 6.0),
        "hard_tanh" => x.clamp(-1.0, 1.0),
        "sparse_plus" => {
            if x <= -1.0 {
                0.0
            } else if x < 1.0 {
                (x + 1.0) * (x + 1.0) / 4.0
            } else {
                x
            }
        }
        "sparse_sigmoid" => ((x + 1.0) / 2.0).clamp(0.0, 1.0),
        other => panic!("the reference has no activation {other}"),
    }
}
