//! Six steps of every optimiser and option, as Keras and PyTorch make them.

use ndarray::{ArrayD, Axis, IxDyn, stack};
use serde_json::{Map, Value};

use super::{PARAMETERS, golden_gradients, golden_weights, make_step, state};
use crate::golden::Golden;
use crate::learning_rate::{CosineDecay, ExponentialDecay, LearningRate};
use crate::optimizer::{Adagrad, Adam, AdamW, Lion, Nadam, Optimizer, RmsProp, Sgd};

/// Six steps in f32 against the frameworks in float64, as [`distance`] says it.
const TOLERANCE: f64 = 5e-7;

/// Against Keras in float32, which rounds more than once what is rounded once here: beta ^ step, and what is left of 1.
const SINGLE_TOLERANCE: f64 = 8e-7;

/// The options of a case, each of which somebody has to take.
struct Options(Map<String, Value>);

impl Options {
    fn number(&mut self, names: &[&str]) -> Option<f64> {
        names
            .iter()
            .find_map(|name| self.0.remove(*name))
            .map(|value| value.as_f64().unwrap())
    }

    fn flag(&mut self, name: &str) -> Option<bool> {
        self.0.remove(name).map(|value| value.as_bool().unwrap())
    }

    fn learning_rate(&mut self, about: &Value) -> LearningRate {
        let rate = ["learning_rate", "lr"]
            .iter()
            .find_map(|name| self.0.remove(*name))
            .unwrap();
        match rate.as_str() {
            None => LearningRate::from(rate.as_f64().unwrap()),
            Some(schedule) => {
                let option = |name: &str| about["schedules"][schedule]["options"][name].clone();
                let number = |name: &str| option(name).as_f64().unwrap();
                let (initial, steps) = (number("initial_learning_rate"), option("decay_steps").as_u64().unwrap());
                match schedule {
                    "exponential" => ExponentialDecay::new(initial, steps, number("decay_rate")).into(),
                    "cosine_warmup" => CosineDecay::new(initial, steps)
                        .alpha(number("alpha"))
                        .warmup(number("warmup_target"), option("warmup_steps").as_u64().unwrap())
                        .into(),
                    other => panic!("schedule {other}"),
                }
            }
        }
    }

    fn betas(&mut self) -> [Option<f64>; 2] {
        match self.0.remove("betas") {
            Some(betas) => [betas[0].as_f64(), betas[1].as_f64()],
            None => [self.number(&["beta_1"]), self.number(&["beta_2"])],
        }
    }
}

/// Gives an option on, where there is one.
macro_rules! given {
    ($optimizer:ident, $($method:ident = $value:expr),*) => {
        $(if let Some(value) = $value {
            $optimizer = $optimizer.$method(value);
        })*
    };
}

/// The options that all have.
macro_rules! finished {
    ($optimizer:ident, $options:ident) => {{
        given!(
            $optimizer,
            weight_decay = $options.number(&["weight_decay"]),
            decoupled_weight_decay = $options.flag("decoupled_weight_decay"),
            clipnorm = $options.number(&["clipnorm"]),
            clipvalue = $options.number(&["clipvalue"]),
            global_clipnorm = $options.number(&["global_clipnorm"]),
            clip_grad_norm = $options.number(&["clip_grad_norm"])
        );
        if let Some(names) = $options.0.remove("weight_decay_excludes") {
            for name in names.as_array().unwrap() {
                let parameter = PARAMETERS.iter().find(|(_, here, _)| Some(*here) == name.as_str());
                $optimizer = $optimizer.exclude_from_weight_decay(parameter.unwrap().2);
            }
        }
        Optimizer::from($optimizer)
    }};
}

fn optimizer(case: &Value, about: &Value) -> Optimizer {
    let mut options = Options(case["options"].as_object().unwrap().clone());
    let rate = options.learning_rate(about);
    let is_keras = case["framework"] == "keras";
    let optimizer = match case["class"].as_str().unwrap() {
        "SGD" => {
            let mut sgd = if is_keras { Sgd::new(rate) } else { Sgd::pytorch(rate) };
            given!(
                sgd,
                momentum = options.number(&["momentum"]),
                nesterov = options.flag("nesterov")
            );
            finished!(sgd, options)
        }
        "RMSprop" => {
            let mut rms_prop = if is_keras {
                RmsProp::new(rate)
            } else {
                RmsProp::pytorch(rate)
            };
            given!(
                rms_prop,
                rho = options.number(&["rho", "alpha"]),
                momentum = options.number(&["momentum"]),
                epsilon = options.number(&["epsilon", "eps"]),
                centered = options.flag("centered")
            );
            finished!(rms_prop, options)
        }
        class @ ("Adam" | "AdamW") => {
            let mut adam = match (class, is_keras) {
                ("Adam", true) => Adam::new(rate),
                ("Adam", false) => Adam::pytorch(rate),
                (_, true) => AdamW::new(rate),
                (_, false) => AdamW::pytorch(rate),
            };
            let [beta_1, beta_2] = options.betas();
            given!(
                adam,
                beta_1 = beta_1,
                beta_2 = beta_2,
                epsilon = options.number(&["epsilon", "eps"]),
                amsgrad = options.flag("amsgrad")
            );
            finished!(adam, options)
        }
        "Adagrad" => {
            let mut adagrad = if is_keras {
                Adagrad::new(rate)
            } else {
                Adagrad::pytorch(rate)
            };
            given!(
                adagrad,
                initial_accumulator_value = options.number(&["initial_accumulator_value"]),
                epsilon = options.number(&["epsilon", "eps"])
            );
            finished!(adagrad, options)
        }
        "Nadam" | "NAdam" => {
            let mut nadam = if is_keras {
                Nadam::new(rate)
            } else {
                Nadam::pytorch(rate)
            };
            let [beta_1, beta_2] = options.betas();
            given!(
                nadam,
                beta_1 = beta_1,
                beta_2 = beta_2,
                epsilon = options.number(&["epsilon", "eps"]),
                momentum_decay = options.number(&["momentum_decay"])
            );
            finished!(nadam, options)
        }
        "Lion" => {
            let mut lion = Lion::new(rate);
            let [beta_1, beta_2] = options.betas();
            given!(lion, beta_1 = beta_1, beta_2 = beta_2);
            finished!(lion, options)
        }
        other => panic!("optimizer {other}"),
    };
    assert!(options.0.is_empty(), "{}: nobody took {:?}", case["name"], options.0);
    optimizer
}

/// The values of the three parameters after each step.
type Trajectory = Vec<ArrayD<f64>>;

fn trajectory(golden: &Golden, optimizer: Optimizer) -> Trajectory {
    let mut weights = golden_weights(golden);
    let mut state = state(optimizer, &weights);
    let steps = golden.array("gradients.bias").shape()[0];
    let mut all = Vec::new();
    for step in 0..steps {
        make_step(&mut state, &mut golden_gradients(golden, step), &mut weights).unwrap();
        all.push(weights.clone());
    }
    let of_parameter = |index: usize| {
        let views: Vec<_> = all.iter().map(|weights| weights[index].1.view()).collect();
        stack(Axis(0), &views).unwrap().mapv(f64::from)
    };
    (0..PARAMETERS.len()).map(of_parameter).collect()
}

fn stored(golden: &Golden, run: &str, case: &str) -> Option<Trajectory> {
    let names = PARAMETERS.map(|(_, parameter, _)| format!("{run}.{case}.{parameter}"));
    let has = golden.has(&names[0]);
    has.then(|| names.iter().map(|name| golden.array(name)).collect())
}

/// The largest difference, relative to 1 + the largest value that the element ever had. NaN is infinitely far from everything.
fn distance(got: &Trajectory, want: &Trajectory) -> f64 {
    let mut worst = 0.0_f64;
    for (got, want) in got.iter().zip(want) {
        assert_eq!(got.shape(), want.shape());
        for (got, want) in got.lanes(Axis(0)).into_iter().zip(want.lanes(Axis(0))) {
            let largest = want.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
            for (got, want) in got.iter().zip(want) {
                let difference = (got - want).abs() / (1.0 + largest);
                worst = worst.max(if difference.is_nan() { f64::INFINITY } else { difference });
            }
        }
    }
    worst
}

#[test]
fn steps_are_those_of_keras_and_pytorch() {
    let golden = Golden::read();
    let about = golden.about();
    let mut compared = [0, 0];
    let mut wrong = Vec::new();
    let mut all = Vec::new();
    for case in about["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let got = trajectory(&golden, optimizer(case, &about));
        for (index, (run, tolerance)) in [("trajectory", TOLERANCE), ("single", SINGLE_TOLERANCE)]
            .iter()
            .enumerate()
        {
            let Some(want) = stored(&golden, run, name) else {
                continue;
            };
            let distance = distance(&got, &want);
            println!("{run}.{name}: {distance:.1e}");
            if distance > *tolerance {
                wrong.push(format!("{run}.{name} is {distance:.1e} away"));
            }
            compared[index] += 1;
        }
        all.push((name, got));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(compared, [49, 29], "49 cases, 29 of Keras");
    each_differs_from_all_others(&golden, &all);
}

/// What one option more or less gives is far from what is expected: no case is passed by the rule of another.
fn each_differs_from_all_others(golden: &Golden, all: &[(&str, Trajectory)]) {
    for (expected, _) in all {
        let want = stored(golden, "trajectory", expected).unwrap();
        for (other, got) in all {
            let is_same_rule =
                expected.trim_start_matches("torch_") == "sgd" && other.trim_start_matches("torch_") == "sgd";
            if other != expected && !is_same_rule {
                let distance = distance(got, &want);
                assert!(distance > 1e-3, "{other} passes almost for {expected}: {distance:.1e}");
            }
        }
    }
}

#[test]
fn nan_is_far_from_everything() {
    let one = vec![ArrayD::from_elem(IxDyn(&[2, 3]), 1.0)];
    let nan = vec![ArrayD::from_elem(IxDyn(&[2, 3]), f64::NAN)];
    assert_eq!(distance(&one, &one), 0.0);
    for (got, want) in [(&nan, &one), (&one, &nan), (&nan, &nan)] {
        assert_eq!(distance(got, want), f64::INFINITY);
    }
}
