//! Numbers, gradients and checkpoints that make no sense: an error that names what is wrong, and nothing has changed.

use ndarray::{ArrayD, IxDyn};

use super::{Arrays, made, make_step, parameters, state};
use crate::error::Error;
use crate::learning_rate::{CosineDecay, ExponentialDecay, LearningRate, PiecewiseConstantDecay, PolynomialDecay};
use crate::optimizer::{Adagrad, Adam, AdamW, Lion, Nadam, Optimizer, OptimizerState, Progress, RmsProp, Sgd};

#[test]
fn options_that_make_no_sense_are_named() {
    let bad: Vec<(Optimizer, &str)> = vec![
        (Sgd::new(-0.1).into(), "learning_rate"),
        (Sgd::new(f64::NAN).into(), "learning_rate"),
        (Adam::new(f64::INFINITY).into(), "learning_rate"),
        (Adam::new(f32::NAN).into(), "learning_rate"),
        (Sgd::new(0.1).momentum(1.5).into(), "momentum"),
        (Sgd::new(0.1).nesterov(true).into(), "nesterov"),
        (RmsProp::new(0.1).rho(1.0).into(), "rho"),
        (RmsProp::new(0.1).momentum(-0.1).into(), "momentum"),
        (RmsProp::new(0.1).epsilon(0.0).into(), "epsilon"),
        (Adam::new(0.1).beta_1(1.0).into(), "beta_1"),
        (Adam::new(0.1).beta_2(-0.1).into(), "beta_2"),
        (Adam::new(0.1).epsilon(f64::INFINITY).into(), "epsilon"),
        (
            Adagrad::new(0.1).initial_accumulator_value(-1.0).into(),
            "initial_accumulator_value",
        ),
        (Nadam::new(0.1).beta_2(f64::NAN).into(), "beta_2"),
        (Nadam::new(0.1).momentum_decay(-1.0).into(), "momentum_decay"),
        (Lion::new(0.1).beta_1(0.0).into(), "beta_1"),
        (AdamW::new(0.1).weight_decay(f64::NAN).into(), "weight_decay"),
        (Adam::new(0.1).clipnorm(0.0).into(), "clipnorm"),
        (Adam::new(0.1).clipvalue(f64::NAN).into(), "clipvalue"),
        (Adam::new(0.1).global_clipnorm(-1.0).into(), "global_clipnorm"),
        (
            Adam::new(0.1).clipnorm(1.0).clip_grad_norm(1.0).into(),
            "clipnorm and clip_grad_norm",
        ),
    ];
    let rates: Vec<(LearningRate, &str)> = vec![
        (ExponentialDecay::new(f64::NAN, 10, 0.9).into(), "initial_learning_rate"),
        (ExponentialDecay::new(0.1, 0, 0.9).into(), "decay_steps"),
        (ExponentialDecay::new(0.1, 10, -0.9).into(), "decay_rate"),
        (CosineDecay::new(0.1, 0).into(), "decay_steps"),
        (CosineDecay::new(0.1, 10).alpha(1.5).into(), "alpha"),
        (CosineDecay::new(0.1, 10).warmup(-1.0, 5).into(), "warmup_target"),
        (PiecewiseConstantDecay::new(&[], &[]).into(), "1 values"),
        (PiecewiseConstantDecay::new(&[5], &[0.1]).into(), "2 values"),
        (
            PiecewiseConstantDecay::new(&[5, 5], &[0.1, 0.1, 0.1]).into(),
            "boundaries",
        ),
        (PiecewiseConstantDecay::new(&[5], &[0.1, f64::NAN]).into(), "values"),
        (PolynomialDecay::new(0.1, 0).into(), "decay_steps"),
        (PolynomialDecay::new(0.1, 10).power(-1.0).into(), "power"),
        (
            PolynomialDecay::new(0.1, 10).end_learning_rate(f64::INFINITY).into(),
            "end_learning_rate",
        ),
    ];
    let rates = rates.into_iter().map(|(rate, name)| (Sgd::new(rate).into(), name));
    let weights = made([4, 4, 4], 0);
    for (optimizer, name) in bad.into_iter().chain(rates) {
        let error = OptimizerState::new(optimizer, &parameters(&weights), &[]).unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains(name) && message.contains("expected"),
            "{name}: {message}"
        );
    }
}

#[test]
fn paths_of_no_parameter_are_refused() {
    let weights = made([4, 4, 4], 0);
    let parameters = parameters(&weights);
    let unknown = Adam::new(0.1).exclude_from_weight_decay("gru");
    let error = OptimizerState::new(unknown.into(), &parameters, &[]).unwrap_err();
    assert!(error.to_string().contains("lstm/kernel"), "{error}");
    let error = OptimizerState::new(Adam::new(0.1).into(), &parameters, &["dense".into()]).unwrap_err();
    assert!(error.to_string().contains("dense"), "{error}");
}

#[test]
fn a_learning_rate_that_a_schedule_makes_infinite_stops_the_step() {
    let mut weights = made([4, 4, 4], 0);
    let mut state = state(Sgd::new(ExponentialDecay::new(1e30, 1, 1e10)), &weights);
    make_step(&mut state, &mut made([4, 4, 4], 1), &mut weights).unwrap();
    let before = weights.clone();
    let error = make_step(&mut state, &mut made([4, 4, 4], 2), &mut weights).unwrap_err();
    assert!(error.to_string().contains("learning_rate of this step"), "{error}");
    assert_eq!((weights, state.progress().iterations), (before, 1));
}

#[test]
fn a_learning_rate_is_set_only_where_no_schedule_makes_it() {
    let weights = made([4, 4, 4], 0);
    let mut constant = state(Sgd::new(0.1), &weights);
    for bad in [f64::NAN, -1.0, f64::INFINITY] {
        assert!(constant.set_learning_rate(bad).is_err());
    }
    assert_eq!(constant.learning_rate(), 0.1);
    let mut scheduled = state(Sgd::new(CosineDecay::new(0.1, 10)), &weights);
    let error = scheduled.set_learning_rate(0.05).unwrap_err();
    assert!(error.to_string().contains("schedule"), "{error}");
}

#[test]
fn gradients_that_are_not_finite_are_named_and_nothing_changes() {
    let lengths = [24, 16, 8];
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut weights = made(lengths, 0);
        let mut state = state(Adam::new(0.1).clipnorm(1.0), &weights);
        make_step(&mut state, &mut made(lengths, 1), &mut weights).unwrap();
        let before = (weights.clone(), slots(&state), state.progress().clone());
        let mut gradients = made(lengths, 2);
        gradients[1].1 = gradients[1].1.clone().into_shape_with_order(IxDyn(&[16])).unwrap();
        gradients[1].1[[13]] = bad;
        gradients[1].1[[15]] = f32::NAN;
        let given = gradients.clone();
        let error = make_step(&mut state, &mut gradients, &mut weights).unwrap_err();
        let Error::NotFinite {
            tensor, index, value, ..
        } = &error
        else {
            panic!("{error}");
        };
        assert_eq!(
            (tensor.as_str(), &index[..], value),
            ("gradient of lstm/recurrent_kernel", &[13][..], &bad.to_string())
        );
        assert!(error.to_string().contains("clipnorm"), "{error}");
        assert_eq!((weights, slots(&state), state.progress().clone()), before);
        assert_eq!(gradients[0], given[0]);
    }
}

#[test]
fn the_largest_finite_gradients_have_a_norm() {
    let mut weights = made([4, 4, 4], 0);
    let mut state = state(Sgd::new(1.0).global_clipnorm(1.0), &weights);
    let mut gradients: Arrays = weights
        .iter()
        .map(|(path, array)| (path.clone(), array * 0.0 + f32::MAX))
        .collect();
    let before = weights.clone();
    make_step(&mut state, &mut gradients, &mut weights).unwrap();
    let step = 1.0 / 12.0_f32.sqrt();
    for ((_, new), (_, old)) in weights.iter().zip(&before) {
        assert!(new.iter().zip(old).all(|(new, old)| (old - new - step).abs() < 1e-6));
    }
}

#[test]
fn gradients_that_do_not_fit_are_named_and_nothing_changes() {
    let lengths = [24, 16, 8];
    let another_shape = |mut gradients: Arrays| {
        gradients[2].1 = ArrayD::zeros(IxDyn(&[2, 4]));
        gradients
    };
    let missing = |mut gradients: Arrays| {
        gradients.remove(1);
        gradients
    };
    let unknown = |mut gradients: Arrays| {
        gradients.push(("dense/kernel".to_owned(), ArrayD::zeros(IxDyn(&[1]))));
        gradients
    };
    let twice = |mut gradients: Arrays| {
        gradients.push(gradients[0].clone());
        gradients
    };
    let cases: [(&dyn Fn(Arrays) -> Arrays, &str); 4] = [
        (
            &another_shape,
            "gradients: lstm/bias: expected shape [8], got shape [2, 4]",
        ),
        (
            &missing,
            "gradients: lstm/recurrent_kernel: expected an array, got none",
        ),
        (&unknown, "gradients: dense/kernel"),
        (&twice, "gradients: lstm/kernel: expected one array"),
    ];
    for (change, expected) in cases {
        let mut weights = made(lengths, 0);
        let mut state = state(Adam::new(0.1), &weights);
        let before = (weights.clone(), slots(&state));
        let error = make_step(&mut state, &mut change(made(lengths, 1)), &mut weights).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
        assert_eq!((weights.clone(), slots(&state)), before);
    }
}

#[test]
fn checkpoints_of_something_else_are_refused_and_nothing_changes() {
    let lengths = [24, 16, 8];
    let weights = made(lengths, 0);
    let mut state = state(Adam::new(0.1), &weights);
    let good = (state.progress().clone(), slots(&state));
    let with = |change: &dyn Fn(&mut (Progress, Arrays))| {
        let mut changed = good.clone();
        changed.0.iterations = 7;
        change(&mut changed);
        changed
    };
    let cases = [
        (
            with(&|(progress, _)| progress.optimizer = "Nadam".to_owned()),
            "expected Adam, got Nadam",
        ),
        (
            with(&|(progress, _)| progress.momentum_product = f64::NAN),
            "momentum_product",
        ),
        (
            with(&|(progress, _)| progress.learning_rate = Some(-1.0)),
            "learning_rate",
        ),
        (with(&|(_, tensors)| drop(tensors.pop())), "lstm/bias/velocity"),
        (
            with(&|(_, tensors)| tensors[1].1 = ArrayD::zeros(IxDyn(&[4]))),
            "lstm/kernel/velocity: expected shape [24]",
        ),
        (
            with(&|(_, tensors)| tensors[3].1.fill(f32::NAN)),
            "lstm/recurrent_kernel/velocity at [0]",
        ),
        (
            with(&|(_, tensors)| tensors.push(("x".to_owned(), ArrayD::zeros(IxDyn(&[1]))))),
            "got x",
        ),
    ];
    for ((progress, tensors), expected) in cases {
        let error = state.restore(progress, tensors).unwrap_err();
        assert!(error.to_string().contains(expected), "{expected}: {error}");
        assert_eq!((state.progress().clone(), slots(&state)), good);
    }
    let (progress, tensors) = with(&|_| ());
    state.restore(progress, tensors).unwrap();
    assert_eq!(state.progress().iterations, 7);
}

fn slots(state: &OptimizerState) -> Arrays {
    let tensors = state.tensors().unwrap().into_iter();
    tensors.map(|(name, view)| (name, view.to_owned())).collect()
}

/// What a step leaves in slots and progress goes with it; the one before stays.
#[test]
fn a_step_that_is_undone_leaves_nothing_behind() {
    let mut weights = made([4, 4, 4], 0);
    let mut state = state(Adam::new(0.1).amsgrad(true), &weights);
    make_step(&mut state, &mut made([4, 4, 4], 1), &mut weights).unwrap();
    let before = (slots(&state), state.progress().clone());
    let mut moved = weights.clone();
    make_step(&mut state, &mut made([4, 4, 4], 2), &mut moved).unwrap();
    assert_ne!((slots(&state), state.progress().clone()), before);
    state.undo();
    assert_eq!((slots(&state), state.progress().clone()), before);
    state.undo(); // there is nothing more to undo
    assert_eq!((slots(&state), state.progress().clone()), before);
    // and the same step is the same again
    make_step(&mut state, &mut made([4, 4, 4], 2), &mut weights).unwrap();
    assert_eq!(weights, moved);
}

/// What counts is how large a gradient is once it is clipped; without clipping one whose square is infinite is named, and nothing changes.
#[test]
fn gradients_have_to_be_small_behind_the_clipping() {
    let large = || {
        let mut gradients = made([4, 4, 4], 1);
        gradients[1].1.fill(2e18);
        gradients
    };
    let mut weights = made([4, 4, 4], 0);
    let before = weights.clone();
    let mut unclipped = state(Adam::new(0.1), &weights);
    let error = make_step(&mut unclipped, &mut large(), &mut weights).unwrap_err();
    assert!(error.to_string().contains("lstm/recurrent_kernel"), "{error}");
    assert_eq!(weights, before);
    let clipped = [
        Adam::new(0.1).clipnorm(1.0),
        Adam::new(0.1).global_clipnorm(1.0),
        Adam::new(0.1).clipvalue(1.0),
        Adam::new(0.1).clip_grad_norm(1.0),
    ];
    for optimizer in clipped {
        let mut state = state(optimizer, &weights);
        make_step(&mut state, &mut large(), &mut weights).unwrap();
    }
}
