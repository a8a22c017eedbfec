#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::path::Path;

use super::*;

fn sample() -> impl Iterator<Item = f32> {
    (0..=u32::MAX)
        .step_by(99_991)
        .map(f32::from_bits)
        .filter(|x| x.is_finite())
}

/// One of each function with parameters.
const WITH_PARAMETERS: [Activation; 6] = [
    Activation::Affine { alpha: 2.0, beta: 0.5 },
    Activation::ScaledTanh { alpha: 1.7, beta: 0.6 },
    Activation::HardSigmoidWith { alpha: 0.25, beta: 0.4 },
    Activation::LeakyReluWith { alpha: 0.01 },
    Activation::EluWith { alpha: 1.5 },
    Activation::ThresholdedRelu { alpha: 1.0 },
];

/// Every function there is.
fn all() -> impl Iterator<Item = Activation> {
    Activation::ALL.iter().copied().chain(WITH_PARAMETERS)
}

/// The shader's text as naga understands it.
fn shader() -> naga::Module {
    let text = concat!(
        include_str!("../../shaders/shared/formulas.wgsl"),
        include_str!("../../shaders/shared/activations.wgsl")
    );
    let module = naga::front::wgsl::parse_str(text).unwrap();
    let mut validator =
        naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::empty());
    validator.validate(&module).unwrap();
    module
}

/// The files of shaders/.
fn shaders() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let folders = [folder.clone(), folder.join("shared"), folder.join("cell")];
    let files = folders
        .into_iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    files
        .filter(|path| path.is_file())
        .map(|path| (path.display().to_string(), std::fs::read_to_string(&path).unwrap()))
        .collect()
}

#[test]
fn codes_are_those_of_the_shader() {
    let module = shader();
    let mut found = 0;
    for (_, constant) in module.constants.iter() {
        let name = constant.name.as_deref().unwrap();
        let Some(name) = name.strip_prefix("ACTIVATION_") else {
            continue;
        };
        let activation = all()
            .find(|activation| activation.name() == name.to_lowercase())
            .unwrap();
        let value = &module.global_expressions[constant.init];
        assert!(
            matches!(value, naga::Expression::Literal(naga::Literal::U32(code)) if *code == activation.code()),
            "{name}: {value:?} in the shader, {} here",
            activation.code()
        );
        found += 1;
    }
    assert_eq!(found, all().count());
}

#[test]
fn every_elementwise_activation_has_its_case_in_the_shader() {
    let module = shader();
    let (_, activate) = module
        .functions
        .iter()
        .find(|(_, function)| function.name.as_deref() == Some("activate"))
        .unwrap();
    let codes: Vec<u32> = activate
        .body
        .iter()
        .filter_map(|statement| match statement {
            naga::Statement::Switch { cases, .. } => Some(cases),
            _ => None,
        })
        .flatten()
        .filter_map(|case| match case.value {
            naga::SwitchValue::U32(code) => Some(code),
            _ => None,
        })
        .collect();
    for activation in all() {
        let expected = !activation.is_rowwise() && activation != Activation::Linear;
        assert_eq!(codes.contains(&activation.code()), expected, "{activation}");
    }
}

#[test]
fn no_shader_uses_the_tanh_of_wgsl() {
    let mut functions: Vec<naga::Function> = Vec::new();
    for (path, text) in shaders() {
        // Some files are parts of a shader and cannot be read alone, so that the words are looked at too.
        let code: String = text
            .lines()
            .map(|line| line.split("//").next().unwrap_or_default())
            .collect();
        let words = code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        assert!(
            !words.clone().any(|word| word == "tanh"),
            "{path} calls tanh: call hyperbolic_tangent"
        );
        if let Ok(module) = naga::front::wgsl::parse_str(&text) {
            functions.extend(module.functions.iter().map(|(_, function)| function.clone()));
            functions.extend(module.entry_points.iter().map(|entry| entry.function.clone()));
        }
    }
    assert!(!functions.is_empty());
    for function in &functions {
        for (_, expression) in function.expressions.iter() {
            assert!(
                !matches!(
                    expression,
                    naga::Expression::Math {
                        fun: naga::MathFunction::Tanh,
                        ..
                    }
                ),
                "{:?} calls tanh",
                function.name
            );
        }
    }
}

#[test]
fn names_are_read_back_and_codes_are_positions() {
    for (position, activation) in Activation::ALL.iter().enumerate() {
        assert_eq!(activation.name().parse::<Activation>().unwrap(), *activation);
        assert_eq!(activation.to_string(), activation.name());
        assert_eq!(activation.code() as usize, position);
    }
    for (position, activation) in WITH_PARAMETERS.iter().enumerate() {
        assert_eq!(activation.code() as usize, Activation::ALL.len() + position);
        let error = activation.name().parse::<Activation>().unwrap_err();
        assert!(error.to_string().contains("Activation::from_onnx"), "{error}");
    }
    assert_eq!(WITH_PARAMETERS[0].to_string(), "affine(alpha 2, beta 0.5)");
    assert_eq!(
        format!("{:>32}", WITH_PARAMETERS[5]),
        "       thresholded_relu(alpha 1)"
    );
    assert_eq!(Activation::from_name("swish").unwrap(), Activation::Silu);
    assert_eq!(Activation::from_name("hard_swish").unwrap(), Activation::HardSilu);
}

#[test]
fn wrong_names_say_what_to_write() {
    for (name, hint) in [
        ("Tanh", "write \"tanh\""),
        ("HardSigmoid", "write \"hard_sigmoid\""),
        ("Swish", "write \"swish\""),
        ("log softmax", "write \"log_softmax\""),
        ("None", "write \"linear\""),
        ("", "write \"linear\""),
        ("sine", "one of linear, tanh, sigmoid"),
    ] {
        let error = Activation::from_name(name).unwrap_err();
        assert!(matches!(error, Error::Value { .. }), "{name}: {error:?}");
        assert!(error.to_string().contains(hint), "{name}: {error}");
    }
    for (name, hint) in [
        ("sparsemax", "use softmax"),
        ("glu", "use silu"),
        ("threshold", "use relu"),
    ] {
        let error = Activation::from_name(name).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{name}: {error:?}");
        assert!(error.to_string().contains(hint), "{name}: {error}");
    }
}

#[test]
fn finite_arguments_give_no_nan_and_nan_gives_nan() {
    for activation in all() {
        for x in sample() {
            let y = activation.scalar(x);
            assert!(!y.is_nan(), "{activation}({x})");
            let overflows = match activation {
                Activation::Exponential => true,
                Activation::Selu => x > 3e38,
                Activation::Affine { .. } => x.abs() > 1.5e38,
                _ => false,
            };
            assert!(y.is_finite() || overflows, "{activation}({x}) = {y}");
        }
        // 0 in Keras
        let shrinks = matches!(activation, Activation::HardShrink | Activation::SoftShrink);
        let y = activation.scalar(f32::NAN);
        assert!(if shrinks { y == 0.0 } else { y.is_nan() }, "{activation}(NaN) = {y}");
        let mut row = [1.0, f32::NAN, 0.5];
        activation.apply(&mut row, 3);
        assert_eq!(row[1].is_nan(), !shrinks, "{activation}");
    }
}

#[test]
fn parameters_have_to_be_finite() {
    for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for activation in [
            Activation::Affine {
                alpha: wrong,
                beta: 0.0,
            },
            Activation::ScaledTanh {
                alpha: 1.0,
                beta: wrong,
            },
            Activation::HardSigmoidWith {
                alpha: 1.0,
                beta: wrong,
            },
            Activation::LeakyReluWith { alpha: wrong },
            Activation::EluWith { alpha: wrong },
            Activation::ThresholdedRelu { alpha: wrong },
        ] {
            let error = activation.checked().unwrap_err();
            assert!(error.to_string().contains(activation.name()), "{error}");
        }
        assert!(Activation::from_onnx("Elu", Some(wrong), None).is_err());
    }
    for activation in all() {
        assert_eq!(activation.checked().unwrap(), activation);
    }
}

/// The formulas of the documentation in f64, as they stand there.
fn truth(activation: Activation, x: f64) -> f64 {
    use Activation as A;
    let tail = libm::log1p((-x.abs()).exp());
    match activation {
        A::Tanh => x.tanh(),
        A::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        A::Elu | A::Celu => {
            if x > 0.0 {
                x
            } else {
                x.exp_m1()
            }
        }
        A::Selu => 1.0507009873554805 * if x > 0.0 { x } else { 1.6732632423543772 * x.exp_m1() },
        A::Gelu => x * 0.5 * libm::erfc(-x / 2.0_f64.sqrt()),
        A::Silu => x / (1.0 + (-x).exp()),
        A::Mish => x * (x.max(0.0) + tail).tanh(),
        A::Softplus => x.max(0.0) + tail,
        A::Softsign => x / (1.0 + x.abs()),
        A::Squareplus if x < 0.0 => 2.0 / ((x * x + 4.0).sqrt() - x),
        A::Squareplus => 0.5 * (x + (x * x + 4.0).sqrt()),
        A::Exponential => x.exp(),
        A::LogSigmoid => x.min(0.0) - tail,
        A::TanhShrink => x - x.tanh(),
        A::Relu => x.max(0.0),
        A::Relu6 => x.clamp(0.0, 6.0),
        A::LeakyRelu => x.max(0.2 * x),
        A::HardShrink => {
            if x.abs() > 0.5 {
                x
            } else {
                0.0
            }
        }
        A::SoftShrink => x.signum() * (x.abs() - 0.5).max(0.0),
        A::HardSigmoid => (x / 6.0 + 0.5).clamp(0.0, 1.0),
        A::HardSigmoidKeras2 => (0.2 * x + 0.5).clamp(0.0, 1.0),
        A::Affine { alpha, beta } => f64::from(alpha) * x + f64::from(beta),
        A::ScaledTanh { alpha, beta } => f64::from(alpha) * (f64::from(beta) * x).tanh(),
        A::HardSigmoidWith { alpha, beta } => (f64::from(alpha) * x + f64::from(beta)).clamp(0.0, 1.0),
        A::LeakyReluWith { alpha } => x.max(f64::from(alpha) * x),
        A::EluWith { alpha } if x < 0.0 => f64::from(alpha) * x.exp_m1(),
        A::ThresholdedRelu { alpha } if x <= f64::from(alpha) => 0.0,
        A::HardSilu => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
        A::HardTanh => x.clamp(-1.0, 1.0),
        A::SparsePlus => {
            if x <= -1.0 {
                0.0
            } else if x >= 1.0 {
                x
            } else {
                0.25 * (x + 1.0) * (x + 1.0)
            }
        }
        A::SparseSigmoid => (0.5 * (x + 1.0)).clamp(0.0, 1.0),
        _ => x,
    }
}

#[test]
fn formulas_are_exact_to_rounding() {
    for activation in all().filter(|activation| !activation.is_rowwise()) {
        let mut worst = (0.0_f64, 0.0_f32);
        for x in sample() {
            let (got, want) = (f64::from(activation.scalar(x)), truth(activation, f64::from(x)));
            if want.abs() > f64::from(f32::MAX) {
                continue;
            }
            // Relative to the value, or to the argument or to a parameter where that is what the formula adds up.
            let adds_beta = matches!(
                activation,
                Activation::HardSigmoidKeras2 | Activation::HardSigmoidWith { .. } | Activation::Affine { .. }
            );
            let want_scale = if adds_beta { want.abs().max(0.5) } else { want.abs() };
            let scale = want_scale.max(1e-3 * f64::from(x.abs()).min(1.0)).max(1e-30);
            let error = (got - want).abs() / scale;
            assert!(
                error < 1e-3 || want.abs() < 1e-30,
                "{activation}({x}): {got}, not {want}"
            );
            if error > worst.0 {
                worst = (error, x);
            }
        }
        println!("{activation}: {:.2e} at {}", worst.0, worst.1);
        assert!(
            worst.0 < 6e-7,
            "{activation}: relative error {} at {}",
            worst.0,
            worst.1
        );
    }
}

#[test]
fn rows_sum_to_one_and_large_numbers_do_not_matter() {
    let mut row = [1000.0, 1000.0, -3e38, f32::NEG_INFINITY];
    Activation::Softmax.apply(&mut row, 4);
    assert_eq!(row, [0.5, 0.5, 0.0, 0.0]);
    let mut row = [3e38, -3e38, 3e38];
    Activation::LogSoftmax.apply(&mut row, 3);
    assert_eq!(
        row,
        [-std::f32::consts::LN_2, f32::NEG_INFINITY, -std::f32::consts::LN_2]
    );
    // The last row is shorter; a width of 0 makes rows of one number.
    let mut rows = [0.0, 0.0, 5.0];
    Activation::Softmax.apply(&mut rows, 2);
    assert_eq!(rows, [0.5, 0.5, 1.0]);
    Activation::Softmax.apply(&mut rows, 0);
    assert_eq!(rows, [1.0; 3]);
    Activation::Softmax.apply(&mut [], 4);
}
