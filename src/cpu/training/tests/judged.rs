//! Every cell, every option, every mask; and mistakes that the judge has to see.

use ndarray::{Array2, Axis, s};

use super::support::cell_kinds::CellKind;
use super::support::cells::CellSpec;
use super::support::golden;
use super::support::layers::{LayerSpec, Merge, RecurrentOptions};
use super::support::masks::Pattern;
use super::support::random::Random;
use super::{Lists, Trial, lists, zoo};

const SEQUENCES: RecurrentOptions = RecurrentOptions {
    return_sequences: true,
    return_state: false,
    go_backwards: false,
    zero_output_for_mask: false,
};

/// (batch, time_steps, features)
const SIZE: (usize, usize, usize) = (3, 5, 3);

fn batch(pattern: Pattern, random: &mut Random) -> (golden::Input, Option<Array2<bool>>) {
    let mask = pattern.mask(SIZE.0, SIZE.1, random);
    (golden::Input::Values(random.array3(SIZE, 1.0)), mask)
}

fn recurrent(cell: CellSpec, options: RecurrentOptions) -> LayerSpec {
    LayerSpec::Recurrent { cell, options }
}

fn dense(random: &mut Random, features: usize, units: usize, activation: &str) -> LayerSpec {
    LayerSpec::Dense {
        kernel: random.array2((features, units), 0.7),
        bias: Some(random.array1(units, 0.5)),
        activation: activation.to_owned(),
    }
}

#[track_caller]
fn check(name: &str, layers: Vec<LayerSpec>, batch: (golden::Input, Option<Array2<bool>>), random: &mut Random) {
    let trial = Trial::new(layers, batch, random);
    let wrong = trial.wrong(&lists(&trial.gradients()));
    assert!(
        wrong.is_empty(),
        "{name}: {} wrong\n{}",
        wrong.len(),
        wrong[..wrong.len().min(12)].join("\n")
    );
}

#[test]
fn every_cell_under_every_mask_in_both_directions() {
    let random = &mut Random::new(3);
    for kind in CellKind::ALL {
        for (number, pattern) in Pattern::ALL.into_iter().enumerate() {
            for go_backwards in [false, true] {
                let options = RecurrentOptions {
                    return_sequences: number % 3 > 0,
                    go_backwards,
                    zero_output_for_mask: number % 2 == 0,
                    ..SEQUENCES
                };
                let layers = vec![recurrent(kind.cell(random, 3, 4), options)];
                let batch = batch(pattern, random);
                check(
                    &format!("{kind:?}, {pattern:?}, backwards {go_backwards}"),
                    layers,
                    batch,
                    random,
                );
            }
        }
    }
}

#[test]
fn every_activation_in_a_cell() {
    let random = &mut Random::new(4);
    for name in [
        "softmax",
        "log_softmax",
        "relu",
        "hard_sigmoid",
        "gelu",
        "softsign",
        "elu",
        "linear",
        "silu",
        "mish",
        "hard_tanh",
    ] {
        for (number, kind) in [
            CellKind::Lstm,
            CellKind::Gru,
            CellKind::GruResetBefore,
            CellKind::SimpleRnn,
            CellKind::Clip,
        ]
        .into_iter()
        .enumerate()
        {
            let mut cell = kind.cell(random, 3, 4);
            match number % 2 {
                0 => cell.activation = name.to_owned(),
                _ => cell.recurrent_activation = name.to_owned(),
            }
            let batch = batch(Pattern::Holes, random);
            check(
                &format!("{kind:?}, {name}"),
                vec![recurrent(cell, SEQUENCES)],
                batch,
                random,
            );
        }
    }
}

#[test]
fn stacks_and_both_directions() {
    let random = &mut Random::new(5);
    for kind in CellKind::ALL {
        let without_bias = |mut cell: CellSpec| {
            cell.bias = None;
            cell
        };
        let layers = vec![
            recurrent(kind.cell(random, 3, 4), SEQUENCES),
            LayerSpec::StackedCells {
                cells: vec![kind.cell(random, 4, 3), without_bias(kind.cell(random, 3, 2))],
                options: RecurrentOptions {
                    go_backwards: true,
                    ..SEQUENCES
                },
            },
            dense(random, 2, 3, "gelu"),
        ];
        let holes = batch(Pattern::Holes, random);
        check(&format!("{kind:?}, stacked"), layers, holes, random);
        for merge in Merge::ALL {
            for return_sequences in [false, true] {
                let options = RecurrentOptions {
                    return_sequences,
                    ..SEQUENCES
                };
                let mut layers = vec![LayerSpec::Bidirectional {
                    forward: kind.cell(random, 3, 2),
                    backward: kind.cell(random, 3, 2),
                    options,
                    merge,
                }];
                let width = if merge == Merge::Concat { 4 } else { 2 };
                if merge != Merge::Separate {
                    layers.push(dense(random, width, 2, "softmax"));
                }
                let mixed = batch(Pattern::Mixed, random);
                check(
                    &format!("{kind:?}, {merge:?}, {return_sequences}"),
                    layers,
                    mixed,
                    random,
                );
            }
        }
    }
}

#[test]
fn a_model_of_every_kind() {
    let random = &mut Random::new(6);
    for kind in zoo::kinds(3, 4) {
        for seed in [0, 5] {
            // the reference has no mask of the caller's behind an Embedding
            if seed > 0 && kind.name.starts_with("Embedding") {
                continue;
            }
            let batch = kind.batch(3, 5, seed);
            check(
                &format!("{}, {seed}", kind.name),
                kind.layers.clone(),
                (batch.input, batch.mask),
                random,
            );
        }
    }
}

#[test]
fn what_stands_between() {
    let random = &mut Random::new(8);
    let activation = |name: &str| LayerSpec::Activation {
        activation: name.to_owned(),
    };
    for pattern in [Pattern::None, Pattern::Holes] {
        let layers = vec![
            LayerSpec::Masking { mask_value: 0.25 },
            dense(random, 3, 4, "tanh"),
            random.layer_normalization(4),
            activation("mish"),
            random.batch_normalization(4),
            activation("log_softmax"),
            recurrent(random.cell(4, 3), SEQUENCES),
            LayerSpec::LastStep,
            LayerSpec::RepeatVector { n: 4 },
            recurrent(random.gru(3, 2, true), SEQUENCES),
            LayerSpec::Reshape { from: [4, 2], to: None },
            dense(random, 8, 2, "sigmoid"),
        ];
        let batch = batch(pattern, random);
        check(&format!("{pattern:?}"), layers, batch, random);
    }
}

/// Padding may hold anything: its gradients are 0, and the others are what they are.
#[test]
fn nan_in_padding_reaches_no_gradient() {
    let random = &mut Random::new(9);
    for kind in [
        CellKind::AllOptions,
        CellKind::Lstm,
        CellKind::Gru,
        CellKind::GruResetBefore,
    ] {
        let layers = vec![
            recurrent(kind.cell(random, 3, 4), SEQUENCES),
            recurrent(kind.cell(random, 4, 3), SEQUENCES),
        ];
        let batch = batch(Pattern::Holes, random);
        let mut trial = Trial::new(layers, batch, random);
        let clean = lists(&trial.gradients());
        let mask = trial.mask.clone().unwrap();
        if let golden::Input::Values(values) = &mut trial.input {
            for ((sequence, step), &counts) in mask.indexed_iter() {
                if !counts {
                    values.slice_mut(s![sequence, step, ..]).fill(f32::NAN);
                }
            }
        }
        assert_eq!(clean, lists(&trial.gradients()), "{kind:?}");
        let numbers = clean.iter().flat_map(|(_, list)| list);
        assert!(numbers.clone().all(|number| number.is_finite()) && numbers.clone().any(|number| *number != 0.0));
    }
}

/// Nothing to run is no error: gradients of 0, and states whose gradients go through.
#[test]
fn empty_batches_and_batches_of_padding() {
    let random = &mut Random::new(10);
    for (batch, time_steps) in [(0, 5), (3, 0), (3, 5)] {
        let layers = vec![recurrent(random.cell(3, 4), SEQUENCES), dense(random, 4, 2, "tanh")];
        let input = golden::Input::Values(random.array3((batch, time_steps, 3), 1.0));
        let mask = Array2::from_elem((batch, time_steps), false);
        let trial = Trial::new(layers, (input, Some(mask)), random);
        let gradients = trial.gradients();
        let kernel = &gradients.parameters[0].1;
        assert!(kernel.shape() == [3, 16] && kernel.iter().all(|number| *number == 0.0));
        assert_eq!(gradients.states[0].hidden(), trial.states[0].0.view());
    }
}

fn mutated() -> (Trial, Lists) {
    let random = &mut Random::new(11);
    let layers = vec![recurrent(random.cell(3, 4), SEQUENCES), dense(random, 4, 2, "tanh")];
    let batch = batch(Pattern::Holes, random);
    let trial = Trial::new(layers, batch, random);
    let right = lists(&trial.gradients());
    assert!(trial.wrong(&right).is_empty());
    (trial, right)
}

#[test]
fn the_judge_sees_a_bias_that_is_counted_twice() {
    let (trial, mut gradients) = mutated();
    let bias = gradients.iter_mut().find(|(path, _)| path == "lstm/bias").unwrap();
    bias.1.iter_mut().for_each(|gradient| *gradient *= 2.0);
    assert!(trial.wrong(&gradients).len() > 10);
}

#[test]
fn the_judge_sees_a_mask_that_is_ignored_backward() {
    let (trial, _) = mutated();
    let mut unmasked = trial.clone();
    unmasked.mask = None;
    assert!(trial.wrong(&lists(&unmasked.gradients())).len() > 10);
}

/// Each step by itself from the right state: what a step gives to those before is dropped.
#[test]
fn the_judge_sees_a_carry_that_is_dropped() {
    let (trial, _) = mutated();
    let golden::Input::Values(values) = trial.input.clone() else {
        panic!()
    };
    let mut sum: Option<Lists> = None;
    let mut state = trial.initial.clone();
    for step in 0..SIZE.1 {
        let mut one = trial.clone();
        one.input = golden::Input::Values(values.slice(s![.., step..=step, ..]).to_owned());
        one.mask = trial
            .mask
            .as_ref()
            .map(|mask| mask.slice(s![.., step..=step]).to_owned());
        one.initial = state;
        one.outputs[0] = trial.outputs[0].slice_axis(Axis(1), (step..=step).into()).to_owned();
        if step + 1 < SIZE.1 {
            one.states.iter_mut().for_each(|(hidden, cell)| {
                hidden.fill(0.0);
                cell.fill(0.0);
            });
        }
        let gradients = lists(&one.gradients());
        state = one.reference().2.iter().map(|state| state.narrow()).collect();
        match &mut sum {
            None => sum = Some(gradients),
            Some(sum) => {
                for ((_, sum), (_, further)) in sum.iter_mut().zip(&gradients) {
                    sum.iter_mut().zip(further).for_each(|(sum, further)| *sum += further);
                }
            }
        }
    }
    let mut all = lists(&trial.gradients());
    let kernel = sum.unwrap().swap_remove(0);
    assert_eq!(all[0].0, kernel.0);
    all[0] = kernel;
    assert!(trial.wrong(&all).len() > 10);
}
