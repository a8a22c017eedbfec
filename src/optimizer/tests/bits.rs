//! The same bits: for every number of threads, whatever the order of the lists, and after a checkpoint.

use ndarray::{ArrayD, Axis};
use rayon::ThreadPoolBuilder;

use super::{Arrays, made, make_step, parameters, state};
use crate::optimizer::{Adagrad, Adam, Lion, Nadam, Optimizer, OptimizerState, RmsProp, Sgd};
use crate::parameters::{Parameters, Role};
use crate::selection::ParameterSelection;
use crate::sums::{CHUNK, PARALLEL};

/// One of each, with all of its slots.
fn all() -> Vec<Optimizer> {
    vec![
        Sgd::new(0.1).into(),
        Sgd::pytorch(0.1).momentum(0.9).nesterov(true).weight_decay(0.1).into(),
        RmsProp::new(0.01).centered(true).momentum(0.5).clipvalue(0.5).into(),
        Adam::new(0.01).amsgrad(true).global_clipnorm(1.0).into(),
        Adagrad::new(0.1).clipnorm(0.5).into(),
        Nadam::new(0.01).weight_decay(0.1).into(),
        Lion::new(0.01).clip_grad_norm(1.0).into(),
    ]
}

/// Some steps, as bits.
fn run(state: &mut OptimizerState, weights: &mut Arrays, lengths: [usize; 3], steps: std::ops::Range<usize>) {
    for step in steps {
        make_step(state, &mut made(lengths, step + 1), weights).unwrap();
    }
}

fn bits(arrays: &Arrays) -> Vec<u32> {
    arrays
        .iter()
        .flat_map(|(_, array)| array.iter().map(|value| value.to_bits()))
        .collect()
}

#[test]
fn every_number_of_threads_gives_the_same_bits() {
    let lengths = [PARALLEL + 17, CHUNK, 3];
    for optimizer in all() {
        let by = |threads: usize| {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut weights = made(lengths, 0);
                let mut state = state(optimizer.clone(), &weights);
                run(&mut state, &mut weights, lengths, 0..2);
                bits(&weights)
            })
        };
        let one = by(1);
        assert_ne!(one, bits(&made(lengths, 0)), "{optimizer:?}");
        assert_eq!(one, by(3), "{optimizer:?}");
    }
}

#[test]
fn a_part_of_a_parameter_is_updated_as_the_whole() {
    let lengths = [2 * CHUNK + 5, 7, 3];
    for optimizer in [Optimizer::from(Adam::new(0.01)), Sgd::new(0.1).momentum(0.9).into()] {
        let mut whole = made(lengths, 0);
        run(&mut state(optimizer.clone(), &whole), &mut whole, lengths, 0..3);
        let part = CHUNK + 3..CHUNK + 10;
        let mut weights = made(lengths, 0);
        let cut = |arrays: &mut Arrays| {
            for (_, array) in arrays.iter_mut().take(1) {
                *array = array.slice(ndarray::s![part.clone()]).to_owned().into_dyn();
            }
        };
        cut(&mut weights);
        let mut state = state(optimizer.clone(), &weights);
        for step in 0..3 {
            let mut gradients = made(lengths, step + 1);
            cut(&mut gradients);
            make_step(&mut state, &mut gradients, &mut weights).unwrap();
        }
        let mut expected = whole;
        cut(&mut expected);
        assert_eq!(bits(&weights), bits(&expected), "{optimizer:?}");
    }
}

#[test]
fn a_restored_state_goes_on_with_the_same_bits() {
    let lengths = [40, 16, 8];
    for optimizer in all() {
        let mut weights = made(lengths, 0);
        let mut first = state(optimizer.clone(), &weights);
        run(&mut first, &mut weights, lengths, 0..3);
        let tensors = first.tensors().unwrap().into_iter();
        let tensors: Arrays = tensors.rev().map(|(name, view)| (name, view.to_owned())).collect();
        let mut second = state(optimizer.clone(), &weights);
        second.restore(first.progress().clone(), tensors).unwrap();
        let mut resumed = weights.clone();
        run(&mut second, &mut resumed, lengths, 3..6);
        run(&mut first, &mut weights, lengths, 3..6);
        assert_eq!(bits(&weights), bits(&resumed), "{optimizer:?}");
        assert_eq!(first.progress(), second.progress());
        assert_eq!(first.progress().iterations, 6);
    }
}

#[test]
fn a_learning_rate_that_was_set_is_restored() {
    let mut weights = made([4, 4, 4], 0);
    let mut first = state(Sgd::new(0.1), &weights);
    first.set_learning_rate(0.025).unwrap();
    let mut second = state(Sgd::new(0.1), &weights);
    second.restore(first.progress().clone(), Vec::new()).unwrap();
    assert_eq!(second.learning_rate(), 0.025);
    let before = weights[0].1[[0]];
    let mut gradients = made([4, 4, 4], 1);
    let gradient = gradients[0].1[[0]];
    make_step(&mut second, &mut gradients, &mut weights).unwrap();
    assert_eq!(weights[0].1[[0]], before - 0.025 * gradient);
}

#[test]
fn slots_are_named_after_their_parameters() {
    let weights = made([4, 4, 4], 0);
    let state = state(Adam::new(0.1).amsgrad(true), &weights);
    let names: Vec<String> = state.tensors().unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names[..4],
        [
            "lstm/kernel/momentum",
            "lstm/kernel/velocity",
            "lstm/kernel/velocity_hat",
            "lstm/recurrent_kernel/momentum"
        ]
    );
    assert_eq!(names.len(), 9);
}

#[test]
fn the_order_of_the_lists_and_of_the_memory_changes_nothing() {
    let shaped = |seed: usize| -> Arrays {
        let arrays = made([24, 16, 8], seed).into_iter();
        let shaped = arrays.map(|(path, array)| {
            let columns = array.len() / 8;
            (
                path,
                array.into_shape_with_order(ndarray::IxDyn(&[8, columns])).unwrap(),
            )
        });
        shaped.collect()
    };
    let mut weights = shaped(0);
    let mut first = state(Adam::new(0.1).clipnorm(0.5), &weights);
    make_step(&mut first, &mut shaped(1), &mut weights).unwrap();
    // the same numbers column by column in memory, and the lists backwards
    let turned = |arrays: Arrays| -> Arrays {
        let arrays = arrays.into_iter().rev();
        let turned = arrays.map(|(path, array)| {
            let columns = array.t().as_standard_layout().into_owned();
            (path, columns.reversed_axes())
        });
        turned.collect()
    };
    let mut other = turned(shaped(0));
    let mut second = state(Adam::new(0.1).clipnorm(0.5), &shaped(0));
    make_step(&mut second, &mut turned(shaped(1)), &mut other).unwrap();
    other.reverse();
    for ((path, one), (_, two)) in weights.iter().zip(&other) {
        for (one, two) in one.iter().zip(two) {
            assert!((one - two).abs() <= 1e-6, "{path}: {one} {two}");
        }
    }
}

#[test]
fn frozen_and_followed_parameters_stay_and_count_in_no_norm() {
    let mut weights = made([24, 16, 8], 0);
    let mean = (
        "batch_normalization/moving_mean".to_owned(),
        ArrayD::zeros(ndarray::IxDyn(&[8])),
    );
    weights.push(mean.clone());
    let frozen = [ParameterSelection::from("lstm/kernel")];
    let optimizer = Optimizer::from(Sgd::new(0.1).global_clipnorm(0.5));
    let mut state = OptimizerState::new(optimizer, &parameters(&weights), &frozen).unwrap();
    assert_eq!(
        state.trained().collect::<Vec<_>>(),
        ["lstm/recurrent_kernel", "lstm/bias"]
    );
    let before = weights.clone();
    let mut gradients = made([24, 16, 8], 1);
    gradients[0].1.fill(f32::NAN); // that of a frozen parameter is not looked at
    let given = gradients.clone();
    make_step(&mut state, &mut gradients, &mut weights).unwrap();
    assert_eq!((&weights[0], &weights[3]), (&before[0], &mean));
    let squares = given[1..]
        .iter()
        .flat_map(|(_, array)| array.iter().map(|value| f64::from(*value).powi(2)));
    let norm = squares.sum::<f64>().sqrt();
    for index in [1, 2] {
        for ((new, old), gradient) in weights[index].1.iter().zip(&before[index].1).zip(&given[index].1) {
            let expected = f64::from(*old) - 0.1 * f64::from(*gradient) * 0.5 / norm;
            assert!((f64::from(*new) - expected).abs() < 1e-6);
        }
    }
}

#[test]
fn weight_decay_leaves_excluded_parameters_alone() {
    let mut weights = made([24, 16, 8], 0);
    let optimizer = Sgd::new(0.1).weight_decay(0.5);
    let optimizer = optimizer
        .exclude_from_weight_decay(Role::Bias)
        .exclude_from_weight_decay("lstm/recurrent_kernel");
    let mut state = state(optimizer, &weights);
    let before = weights.clone();
    let mut zeros: Arrays = weights
        .iter()
        .map(|(path, array)| (path.clone(), array * 0.0))
        .collect();
    make_step(&mut state, &mut zeros, &mut weights).unwrap();
    assert_eq!(weights[1..], before[1..]);
    let decayed = before[0].1.mapv(|weight| weight - weight * 0.5 * 0.1);
    assert_eq!(weights[0].1.index_axis(Axis(0), 3), decayed.index_axis(Axis(0), 3));
}

/// A step writes where the weights before the last one were, unless somebody has them still.
#[test]
fn memory_is_taken_again_where_nobody_has_it() {
    let mut state = state(Adam::new(0.1), &made([24, 16, 8], 0));
    let mut now = parameters(&made([24, 16, 8], 0));
    let mut make = |now: &mut Parameters, seed: usize| {
        for (path, values) in state.step(&mut made([24, 16, 8], seed), now).unwrap() {
            now.replace(&path, values).unwrap();
        }
    };
    let address = |parameters: &Parameters| parameters.get("lstm/kernel").unwrap().values().as_ptr();
    make(&mut now, 1);
    let first = address(&now);
    make(&mut now, 2);
    make(&mut now, 3);
    assert_eq!(address(&now), first);
    let kept = now.clone();
    let values = kept.get("lstm/kernel").unwrap().values().to_owned();
    make(&mut now, 4);
    make(&mut now, 5);
    assert_ne!(address(&now), first);
    assert_eq!(kept.get("lstm/kernel").unwrap().values(), values);
}
