//! The judge is judged: the comparison, the f64 reference against the golden values, and whether mistakes are caught.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod gradients;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;

use ndarray::{Array2, ArrayD, IxDyn, array};
use support::{
    golden::{self, Call, Case, Input},
    judge::{assert_close, compare},
    layers::{self, CellSpec, Chain, LayerSpec, RecurrentOptions, StatePair},
    play::{Reference, Subject, play},
    random::Random,
    reference::Mutant,
    reference_activation::activate,
};

// The comparison ------------------------------------------------------------------------------------------------------

#[test]
fn equal_arrays_are_close() {
    let values = array![[1.0f32, -2.0], [0.0, 3.0e30]].into_dyn();
    let closeness = compare(values.view(), values.view(), 0.0, 0.0).unwrap();
    assert_eq!((closeness.share, closeness.error), (0.0, 0.0));
}

#[test]
fn the_bound_is_atol_plus_rtol_of_the_expected_value() {
    let close = |got: f32, want: f32| compare(array![got].into_dyn().view(), array![want].into_dyn().view(), 0.5, 0.25);
    assert_eq!(close(9.5, 8.0).unwrap().share, 0.6);
    assert_eq!(close(10.5, 8.0).unwrap().share, 1.0);
    assert!(close(10.5001, 8.0).is_err());
    // The operands are not the same: the bound comes from the expected value.
    assert!(close(8.0, 10.9).is_ok());
    assert!(close(10.9, 8.0).is_err());
    // Nothing is relative to 0.
    assert!(close(0.51, 0.0).is_err());
    assert!(close(-0.0, 0.0).is_ok());
}

#[test]
fn nan_is_close_to_nothing() {
    for (got, want) in [(f32::NAN, 1.0), (1.0, f32::NAN), (f32::NAN, f32::NAN)] {
        let (got, want) = (array![0.0, got].into_dyn(), array![0.0, want].into_dyn());
        let message = compare(got.view(), want.view(), 1e9, 1e9).unwrap_err();
        assert!(message.contains("[1]") && message.contains("NaN"), "{message}");
    }
    let one = array![1.0f32].into_dyn();
    let two = array![2.0f32].into_dyn();
    assert!(compare(one.view(), two.view(), f64::NAN, 0.0).is_err());
    assert!(compare(one.view(), two.view(), 0.0, f64::NAN).is_err());
}

#[test]
fn an_infinity_is_close_to_itself_alone() {
    const PLUS: f32 = f32::INFINITY;
    const MINUS: f32 = f32::NEG_INFINITY;
    let close = |got: f32, want: f32| compare(array![got].into_dyn().view(), array![want].into_dyn().view(), 1.0, 1.0);
    assert_eq!(close(PLUS, PLUS).unwrap().share, 0.0);
    assert!(close(MINUS, MINUS).is_ok());
    for (got, want) in [
        (PLUS, MINUS),
        (MINUS, PLUS),
        (PLUS, 1.0),
        (f32::MAX, PLUS),
        (f32::NAN, PLUS),
    ] {
        assert!(close(got, want).is_err(), "{got} {want}");
    }
}

#[test]
fn one_wrong_element_is_named() {
    let want = ArrayD::<f32>::zeros(IxDyn(&[3, 4, 5]));
    let mut got = want.clone();
    got[[2, 0, 3]] = 0.25;
    got[[1, 1, 1]] = 1e-3;
    let message = compare(got.view(), want.view(), 1e-4, 0.0).unwrap_err();
    assert!(message.contains("2 of 60"), "{message}");
    assert!(message.contains("[2, 0, 3]: expected 0.0, got 0.25"), "{message}");
    // A NaN is worse than any number.
    got[[0, 0, 1]] = f32::NAN;
    let message = compare(got.view(), want.view(), 1e-4, 0.0).unwrap_err();
    assert!(message.contains("[0, 0, 1]: expected 0.0, got NaN"), "{message}");
}

#[test]
fn another_shape_is_wrong_even_with_the_same_elements() {
    let values = ArrayD::<f32>::zeros(IxDyn(&[2, 3]));
    for shape in [&[3, 2][..], &[6], &[2, 3, 1], &[2, 4], &[1, 3]] {
        let other = ArrayD::<f32>::zeros(IxDyn(shape));
        let message = compare(other.view(), values.view(), 1.0, 1.0).unwrap_err();
        assert!(message.contains("[2, 3]"), "{message}");
    }
    let none = ArrayD::<f32>::zeros(IxDyn(&[0, 3]));
    assert!(compare(none.view(), values.view(), 1.0, 1.0).is_err());
}

#[test]
fn empty_arrays_are_close_if_their_shapes_are_equal() {
    let none = ArrayD::<f32>::zeros(IxDyn(&[0, 3]));
    assert!(compare(none.view(), none.view(), 0.0, 0.0).is_ok());
    let other = ArrayD::<f32>::zeros(IxDyn(&[3, 0]));
    assert!(compare(none.view(), other.view(), 0.0, 0.0).is_err());
}

#[test]
#[should_panic(expected = "hidden: 1 of 2 elements are wrong; the worst is [1]")]
fn assert_close_panics_with_the_name() {
    let (got, want) = (array![1.0f32, 2.0].into_dyn(), array![1.0f32, 2.5].into_dyn());
    assert_close("hidden", got.view(), want.view(), 1e-5, 1e-5);
}

// The reference -------------------------------------------------------------------------------------------------------

/// The cases with outputs to compare, of all frameworks.
fn playable() -> Vec<(Case, Chain)> {
    let mut playable = Vec::new();
    for case in golden::cases() {
        if !["forward", "stateful", "gradient"].contains(&case.kind.as_str()) {
            continue;
        }
        match layers::playable(&case) {
            Ok(case) => playable.push(case),
            Err(refusal) => panic!("{}: {refusal:?}", case.name),
        }
    }
    assert!(!playable.is_empty(), "there is no case to play");
    playable
}

#[test]
fn the_reference_reproduces_every_case() {
    let mut wrong = Vec::new();
    let mut counts = BTreeMap::new();
    for (case, chain) in playable() {
        let initial = chain.initial_states(&case).unwrap();
        let mut reference = Reference::new(&chain, initial, Mutant::None);
        match play(&case, &chain, &mut reference) {
            Ok(closeness) => {
                println!("{:<42} {closeness}", case.name);
                *counts.entry(format!("{} {}", case.framework, case.kind)).or_insert(0) += 1;
            }
            Err(message) => wrong.push(format!("{}: {message}", case.name)),
        }
    }
    println!("{counts:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_reference_reproduces_every_activation() {
    let mut count = 0;
    for case in golden::cases().iter().filter(|case| case.kind == "activations") {
        for name in case.header["names"].as_array().unwrap() {
            let name = name.as_str().unwrap();
            let mut values = case.f32_2("x").unwrap().mapv(f64::from);
            for mut row in values.rows_mut() {
                activate(name, row.as_slice_mut().unwrap());
            }
            let tensor = format!("y.{name}");
            let (want, tolerance) = (case.f32(&tensor).unwrap(), case.tolerance[&tensor]);
            let got = values.mapv(|value| value as f32).into_dyn();
            let close = assert_close(name, got.view(), want.view(), tolerance.atol, tolerance.rtol);
            println!("{name:<20} {close}");
            count += 1;
        }
    }
    assert!(count > 0, "there is no case of activations");
}

#[test]
fn the_initial_weights_of_keras_meet_their_own_rules() {
    for case in golden::cases().iter().filter(|case| case.kind == "init") {
        let weight = |name: &str| case.f32_2(name).unwrap();
        let bias = case.f32_1("bias").unwrap();
        let (kernel, recurrent_kernel) = (weight("kernel"), weight("recurrent_kernel"));
        support::initial_weights::check(case, &kernel, &recurrent_kernel, &bias).unwrap();
        // And the rules are rules: each mistake breaks one.
        let check = |kernel: &Array2<f32>, recurrent_kernel: &Array2<f32>, bias| {
            support::initial_weights::check(case, kernel, recurrent_kernel, bias)
        };
        let transposed = recurrent_kernel.t().to_owned();
        assert!(check(&(&kernel * 1.5), &recurrent_kernel, &bias).is_err());
        assert!(check(&(&kernel * 0.5), &recurrent_kernel, &bias).is_err());
        assert!(check(&kernel.mapv(f32::abs), &recurrent_kernel, &bias).is_err());
        assert!(check(&kernel, &(&recurrent_kernel * 1.01), &bias).is_err());
        assert!(check(&kernel, &transposed, &bias).is_err());
        assert!(check(&kernel, &recurrent_kernel, &(&bias + 1.0)).is_err());
    }
}

// The mutants ---------------------------------------------------------------------------------------------------------

#[test]
fn every_mutant_is_caught_by_a_golden_case() {
    let cases = playable();
    let mut missed = Vec::new();
    for mutant in Mutant::OF_LSTM
        .into_iter()
        .chain(Mutant::OF_OTHERS)
        .chain(Mutant::OF_LAYERS)
    {
        let mut caught = Vec::new();
        for (case, chain) in &cases {
            let initial = chain.initial_states(case).unwrap();
            let mut reference = Reference::new(chain, initial, mutant);
            if play(case, chain, &mut reference).is_err() {
                caught.push(case.name.as_str());
            }
        }
        let named = caught.iter().take(4).copied().collect::<Vec<_>>().join(", ");
        println!(
            "{mutant:?}: caught by {} of {} cases: {named}",
            caught.len(),
            cases.len()
        );
        if caught.is_empty() {
            missed.push(mutant);
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

/// A case with all a case must have: batch >= 3, time_steps >= 5, features and units different and no multiple of anything,
/// weights of their own for every gate, a state to begin from, and one sequence padded on each side.
fn random_case(seed: u64, cell: fn(&mut Random) -> CellSpec) -> (Chain, Vec<StatePair>, Call) {
    let (batch, time_steps) = (3, 5);
    let mut random = Random::new(seed);
    let cell = cell(&mut random);
    let (features, initial) = (cell.features(), random.state_of(batch, &cell));
    let chain = Chain {
        layers: vec![LayerSpec::Recurrent {
            cell,
            options: RecurrentOptions {
                return_sequences: true,
                return_state: true,
                ..Default::default()
            },
        }],
        prefixes: vec![String::new()],
    };
    let mask = Array2::from_shape_fn((batch, time_steps), |(row, step)| match row {
        0 => true,
        1 => step < 3,
        _ => step >= 2,
    });
    let call = Call {
        input: Input::Values(random.array3((batch, time_steps, features), 1.0)),
        mask: Some(mask),
        expect: Default::default(),
    };
    (chain, vec![initial], call)
}

#[test]
fn every_mutant_is_caught_by_a_random_case() {
    caught(&Mutant::OF_LSTM, |random| random.cell(4, 7));
    let of_gru = [
        Mutant::SwapGatesInputForget,
        Mutant::SwapGatesForgetCandidate,
        Mutant::DropBias,
        Mutant::TransposeRecurrentKernel,
        Mutant::NeighbourState,
        Mutant::InitialStateIgnored,
        Mutant::ResetAfterSwapped,
        Mutant::UpdateGateInverted,
    ];
    caught(&of_gru, |random| random.gru(4, 7, false));
    caught(&of_gru, |random| random.gru(4, 7, true));
    caught(&[Mutant::RecurrentBiasBesideKernel], |random| random.gru(4, 7, true));
    caught(&[Mutant::DropBias, Mutant::TransposeRecurrentKernel], |random| {
        random.simple_rnn(4, 7)
    });
    let of_options = [
        Mutant::PeepholesInOnnxOrder,
        Mutant::OutputPeepholeOfOldCell,
        Mutant::InputForgetIgnored,
        Mutant::OutputActivationIgnored,
        Mutant::ClipIgnored,
        Mutant::ClipOfCellState,
    ];
    caught(&of_options, |random| random.with_options(4, 7, 3));
}

/// All of these mistakes change the outputs of this cell, whatever its weights.
fn caught(mutants: &[Mutant], cell: fn(&mut Random) -> CellSpec) {
    for seed in 0..20 {
        let (chain, initial, call) = random_case(seed, cell);
        let run = |mutant| {
            let mut reference = Reference::new(&chain, initial.clone(), mutant);
            pollster::block_on(reference.call(&call)).unwrap()
        };
        let right = run(Mutant::None);
        for &mutant in mutants {
            let wrong = run(mutant);
            let verdict = compare(wrong.values.view(), right.values.view(), 1e-5, 1e-5);
            assert!(verdict.is_err(), "seed {seed}: {mutant:?} is not caught");
        }
        let again = run(Mutant::None);
        assert_close("again", again.values.view(), right.values.view(), 0.0, 0.0);
    }
}
