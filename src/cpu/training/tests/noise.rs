//! Dropout and the statistics of a batch: forward by their formulas, backward by differences of the forward pass itself.

use ndarray::{Array1, Axis};

use super::support::golden;
use super::support::layers::{LayerSpec, RecurrentOptions};
use super::support::masks::Pattern;
use super::support::random::Random;
use super::*;

const NOISE: Option<Noise> = Some(Noise { seed: 77, batch: 3 });

const SEQUENCES: RecurrentOptions = RecurrentOptions {
    return_sequences: true,
    return_state: false,
    go_backwards: false,
    zero_output_for_mask: false,
};

/// The output of one forward pass with noise.
fn output(trial: &Trial, noise: Option<Noise>) -> ArrayD<f32> {
    let model = trial.model();
    let mut training = CpuTraining::new(Arc::clone(model.plan()), &Settings::new(), "CPU".into()).unwrap();
    let (mut output, mut before) = (Output::default(), states(&trial.initial));
    let flow = trial.flow(&model);
    training
        .forward(&flow, trial.input(), Some(&mut before), noise, &mut output)
        .unwrap();
    output.values
}

fn loss(trial: &Trial) -> f64 {
    let values = output(trial, NOISE);
    let pairs = values.iter().zip(&trial.outputs[0]);
    pairs
        .map(|(&value, &weight)| f64::from(value) * f64::from(weight))
        .sum()
}

/// Gradients of the input and of the first kernel against differences of the f32 forward pass.
fn check(layers: Vec<LayerSpec>, pattern: Pattern, random: &mut Random) {
    let mask = pattern.mask(4, 6, random);
    let input = golden::Input::Values(random.array3((4, 6, 3), 1.0));
    let mut trial = Trial::new(layers, (input, mask), random);
    // a loss of the outputs alone
    trial.states.iter_mut().for_each(|(hidden, cell)| {
        hidden.fill(0.0);
        cell.fill(0.0);
    });
    let gradients = trial.gradients_with(NOISE);
    let of_input = gradients.input.unwrap();
    let step = 1.0 / 64.0;
    let mut nonzero = 0;
    for ((sequence, time_step, feature), &got) in of_input.indexed_iter() {
        let by = |by: f32| {
            let mut changed = trial.clone();
            if let golden::Input::Values(values) = &mut changed.input {
                values[[sequence, time_step, feature]] += by;
            }
            loss(&changed)
        };
        let coarse = (by(step) - by(-step)) / f64::from(2.0 * step);
        let fine = (by(step / 2.0) - by(-step / 2.0)) / f64::from(step);
        let wanted = (4.0 * fine - coarse) / 3.0;
        assert!(
            (f64::from(got) - wanted).abs() < 2e-3 * wanted.abs().max(1.0),
            "{sequence}, {time_step}, {feature}: {got}, wanted {wanted}"
        );
        nonzero += usize::from(got != 0.0);
    }
    assert!(nonzero > 10);
}

#[test]
fn dropout_goes_back_as_it_went_forward() {
    let random = &mut Random::new(20);
    for spatial in [false, true] {
        for pattern in [Pattern::None, Pattern::Holes] {
            let dropout = || LayerSpec::Dropout { rate: 0.4, spatial };
            let layers = vec![
                dropout(),
                LayerSpec::Recurrent {
                    cell: random.cell(3, 5),
                    options: SEQUENCES,
                },
                dropout(),
                LayerSpec::Activation {
                    activation: "tanh".to_owned(),
                },
                LayerSpec::Recurrent {
                    cell: random.cell(5, 4),
                    options: SEQUENCES,
                },
            ];
            check(layers, pattern, random);
        }
    }
}

#[test]
fn the_statistics_of_a_batch_go_back_too() {
    let random = &mut Random::new(21);
    for pattern in [Pattern::None, Pattern::Holes] {
        let layers = vec![
            random.batch_normalization(3),
            LayerSpec::Recurrent {
                cell: random.cell(3, 5),
                options: SEQUENCES,
            },
            random.batch_normalization(5),
            LayerSpec::Activation {
                activation: "tanh".to_owned(),
            },
        ];
        check(layers, pattern, random);
    }
}

/// Each entry is 0 or has grown; a step has its own noise, or all steps of a sequence have one; another batch has another.
#[test]
fn dropout_leaves_out_what_it_should() {
    let random = &mut Random::new(22);
    let input = golden::Input::Values(random.array3((4, 6, 40), 1.0));
    for spatial in [false, true] {
        let layers = vec![
            LayerSpec::Dropout { rate: 0.25, spatial },
            LayerSpec::Dense {
                kernel: ndarray::Array2::eye(40),
                bias: None,
                activation: "elu".to_owned(),
            },
        ];
        let trial = Trial::new(layers, (input.clone(), None), random);
        let [with, again, without] = [NOISE, NOISE, None].map(|noise| output(&trial, noise));
        assert_eq!(with, again);
        let golden::Input::Values(values) = &input else {
            panic!()
        };
        let (mut dropped, mut patterns) = (0, Vec::new());
        for sequence in 0..4 {
            for step in 0..6 {
                let row = with.index_axis(Axis(0), sequence);
                let row = row.index_axis(Axis(0), step);
                let pattern: Vec<bool> = row.iter().map(|value| *value == 0.0).collect();
                for (feature, &value) in row.iter().enumerate() {
                    let x = values[[sequence, step, feature]] / 0.75;
                    let wanted = if x > 0.0 { x } else { x.exp_m1() };
                    assert!(value == 0.0 || (value - wanted).abs() < 1e-6);
                    dropped += usize::from(value == 0.0);
                }
                patterns.push(pattern);
            }
        }
        assert!((150..330).contains(&dropped), "{dropped} of 960");
        patterns.sort();
        patterns.dedup();
        assert_eq!(patterns.len(), if spatial { 4 } else { 24 });
        assert_ne!(with, output(&trial, Some(Noise { seed: 77, batch: 4 })));
        assert!(without.iter().all(|value| *value != 0.0));
    }
}

/// Mean and variance over the steps that count, and the moving ones behind the batch.
#[test]
fn a_batch_normalization_is_kerass() {
    let random = &mut Random::new(23);
    for pattern in [Pattern::None, Pattern::Holes] {
        let mask = pattern.mask(4, 6, random);
        let values = random.array3((4, 6, 3), 1.0);
        let layers = vec![random.batch_normalization(3)];
        let LayerSpec::BatchNormalization {
            gamma,
            beta,
            momentum: _,
            mean,
            variance,
            epsilon,
        } = layers[0].clone()
        else {
            panic!()
        };
        let trial = Trial::new(layers, (golden::Input::Values(values.clone()), mask.clone()), random);
        let got = output(&trial, NOISE);
        let moved = trial.gradients_with(NOISE).moved;
        let counts = |(sequence, step): (usize, usize)| mask.as_ref().is_none_or(|mask| mask[[sequence, step]]);
        let paths: Vec<&str> = moved.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(
            paths,
            ["batch_normalization/moving_mean", "batch_normalization/moving_variance"]
        );
        for feature in 0..3 {
            let all = values.index_axis(Axis(2), feature);
            let counted: Array1<f64> = all
                .indexed_iter()
                .filter(|(at, _)| counts(*at))
                .map(|(_, &x)| f64::from(x))
                .collect();
            let batch_mean = counted.mean().unwrap();
            let batch_variance = counted.mapv(|x| (x - batch_mean).powi(2)).mean().unwrap();
            for ((sequence, step), &x) in all.indexed_iter() {
                let normal = (f64::from(x) - batch_mean) / (batch_variance + f64::from(epsilon)).sqrt();
                let [gamma, beta] = [&gamma, &beta].map(|list| f64::from(list.as_ref().unwrap()[feature]));
                let error = f64::from(got[[sequence, step, feature]]) - (normal * gamma + beta);
                assert!(error.abs() < 1e-5, "{error}");
            }
            for (before, batch, after) in [
                (&mean, batch_mean, &moved[0].1),
                (&variance, batch_variance, &moved[1].1),
            ] {
                let wanted = f64::from(before[feature]) * 0.99 + batch * 0.01;
                assert!((f64::from(after[[feature]]) - wanted).abs() < 1e-6);
            }
        }
    }
}
