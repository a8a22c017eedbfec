//! Runner, States and Output.

use cellstate::{Bidirectional, Device, Embedding, Error, Lstm, Masking, Model, Runner, Sequences, State, States};
use ndarray::{Array2, Array3};

use super::devices::devices;
use super::refused;
use super::support::random::Random;

fn numbers(batch: usize, time_steps: usize, features: usize) -> Sequences<'static> {
    Sequences::from(Random::new(1).array3((batch, time_steps, features), 1.0))
}

fn tokens(batch: usize, time_steps: usize) -> Sequences<'static> {
    Sequences::from(Array2::<i32>::ones((batch, time_steps)))
}

fn model() -> Model {
    let first = Lstm::new(3, 4).return_sequences(true);
    Model::builder().add(first).add(Lstm::new(4, 5)).build().unwrap()
}

#[test]
fn inputs_of_the_wrong_shape_or_kind() {
    for device in devices() {
        let runner = model().on(&device).unwrap();
        for features in [0, 1, 2, 4, 100] {
            let run = runner.run(&numbers(2, 7, features));
            refused!(
                run,
                Error::Features { expected: 3, .. },
                "expected 3 features",
                format!("got {features}"),
                "make the layer for"
            );
        }
        let swapped = runner.run(&numbers(2, 3, 7));
        refused!(
            swapped,
            Error::Features { found: 7, .. },
            "axes look swapped",
            ".permuted_axes([0, 2, 1])"
        );
        refused!(
            runner.run(&tokens(2, 3)),
            Error::InputKind { .. },
            "Embedding::new(vocabulary, 3)",
            "Array3<f32>"
        );
        let masked = Model::builder()
            .add(Masking::new(0.0))
            .add(Lstm::new(3, 4))
            .build()
            .unwrap()
            .on(&device)
            .unwrap();
        refused!(
            masked.run(&numbers(2, 7, 4)),
            Error::Features { expected: 3, .. },
            "got 4"
        );
        refused!(masked.run(&tokens(2, 7)), Error::InputKind { .. }, "Embedding::new(");
        let embedding = Embedding::new(9, 2).on(&device).unwrap();
        for features in [0, 1, 2, 9] {
            refused!(
                embedding.run(&numbers(2, 7, features)),
                Error::InputKind { .. },
                "tokens",
                "Array2<i32>"
            );
        }
        // and goes on
        assert!(runner.run(&numbers(2, 7, 3)).is_ok());
        assert!(embedding.run(&tokens(2, 7)).is_ok());
    }
}

fn with_cell(hidden: (usize, usize), cell: (usize, usize)) -> State {
    State::with_cell(Array2::zeros(hidden), Array2::zeros(cell)).unwrap()
}

/// States other than those of `runner` for a batch of 2, each with what is wrong with it.
fn wrong_states(runner: &Runner) -> Vec<(&'static str, States)> {
    let cpu = Device::cpu();
    let edited = |edit: &dyn Fn(&mut States)| {
        let mut states = runner.zero_state(2);
        edit(&mut states);
        states
    };
    vec![
        ("states[0]", runner.zero_state(0)),
        ("states[0]", runner.zero_state(1)),
        ("states[0]", runner.zero_state(3)),
        (
            "one state for each of the 2 recurrent layers",
            Lstm::new(3, 4).on(&cpu).unwrap().zero_state(2),
        ),
        (
            "one state for each of the 2 recurrent layers",
            Embedding::new(3, 4).on(&cpu).unwrap().zero_state(2),
        ),
        (
            "states[0]",
            Bidirectional::new(Lstm::new(3, 5)).on(&cpu).unwrap().zero_state(2),
        ),
        ("states[1]", edited(&|states| states[1] = with_cell((2, 5), (2, 4)))),
        ("states[1]", edited(&|states| states[1] = with_cell((5, 2), (5, 2)))),
        (
            "states[0]",
            edited(&|states| states[0] = State::new(states[0].hidden().to_owned())),
        ),
        ("states[0]", edited(&|states| states.swap(0, 1))),
    ]
}

#[test]
fn states_of_another_model_or_batch() {
    for device in devices() {
        let runner = model().on(&device).unwrap();
        for (what, mut states) in wrong_states(&runner) {
            let before = states.clone();
            let run = runner.run_from(&numbers(2, 7, 3), &mut states);
            refused!(run, Error::Size { .. }, what, "runner.zero_state(2)");
            assert_eq!(states, before, "{what}");
        }
    }
}

#[test]
fn after_an_error_the_states_are_as_they_were() {
    for device in devices() {
        let runner = model().on(&device).unwrap();
        let mut states = runner.zero_state(2);
        runner.run_from(&numbers(2, 7, 3), &mut states).unwrap();
        let before = states.clone();
        for wrong in [numbers(2, 7, 4), numbers(2, 3, 7), tokens(2, 7), numbers(3, 7, 3)] {
            assert!(runner.run_from(&wrong, &mut states).is_err());
            assert_eq!(states, before, "{}", device.name());
        }
        let embedded = Model::builder()
            .add(Embedding::new(4, 3))
            .add(Lstm::new(3, 4))
            .build()
            .unwrap();
        let embedded = embedded.on(&device).unwrap();
        let mut states = embedded.zero_state(1);
        let batch = Sequences::from(ndarray::array![[1, 2, 3]]);
        embedded.run_from(&batch, &mut states).unwrap();
        let before = states.clone();
        let wrong = Sequences::from(ndarray::array![[1, 2, 4]]);
        refused!(
            embedded.run_from(&wrong, &mut states),
            Error::Token {
                token: 4,
                time_step: 2,
                ..
            },
            "embedding larger"
        );
        assert_eq!(states, before, "{}", device.name());
    }
}

#[test]
fn rows_of_states_that_are_not_there() {
    let runner = model().on(&Device::cpu()).unwrap();
    let mut states = runner.zero_state(2);
    runner.run_from(&numbers(2, 7, 3), &mut states).unwrap();
    let before = states.clone();
    for row in [2, 3, usize::MAX] {
        refused!(
            states.reset_row(row),
            Error::Value { .. },
            "below the batch of 2",
            "numbered from 0"
        );
        refused!(states[0].reset_row(row), Error::Value { .. }, "below the batch of 2");
    }
    // halves that do not fit each other are no state
    let odd = State::with_cell(Array2::ones((3, 2)), Array2::ones((1, 2)));
    refused!(odd, Error::Size { .. }, "for the batch of 3", "the same sequences");
    // a state of a smaller batch than the others
    states[1] = with_cell((1, 2), (1, 2));
    let with_odd = states.clone();
    refused!(states.reset_row(1), Error::Value { .. }, "below the batch of 1");
    assert_eq!(states, with_odd, "one state was reset, another not");
    states[1] = before[1].clone();
    assert_eq!(states, before);
    states.reset_row(0).unwrap();
    assert!(
        states
            .iter()
            .all(|state| state.hidden().row(0).iter().all(|&value| value == 0.0))
    );
    assert_eq!(states[1].hidden().row(1), before[1].hidden().row(1));
    states.reset();
    assert_eq!(states, runner.zero_state(2));
    assert!(runner.zero_state(0).reset_row_is_refused());
}

trait Refuses {
    fn reset_row_is_refused(self) -> bool;
}

impl Refuses for States {
    fn reset_row_is_refused(mut self) -> bool {
        self.reset_row(0).is_err()
    }
}

#[test]
fn outputs_that_were_not_asked_for() {
    for device in devices() {
        let output = model().on(&device).unwrap().run(&numbers(2, 7, 3)).unwrap();
        refused!(
            output.sequences(),
            Error::Rank { .. },
            "return_sequences(true)",
            "last()"
        );
        assert!(output.states().is_empty() && output.backward().is_none());
        assert_eq!(output.last(), output.values().into_dimensionality().unwrap());
    }
}

/// NaN in a state reaches its own sequence alone.
#[test]
fn nan_in_a_state() {
    for device in devices() {
        let runner = model().on(&device).unwrap();
        let clean = runner.run(&numbers(3, 4, 3)).unwrap().last();
        for spoil in [
            |state: &mut State| state.hidden_mut()[[1, 0]] = f32::NAN,
            |state: &mut State| state.cell_mut().unwrap().row_mut(1).fill(f32::NAN),
        ] {
            let mut states = runner.zero_state(3);
            spoil(&mut states[0]);
            let got = runner.run_from(&numbers(3, 4, 3), &mut states).unwrap().last();
            assert!(
                got.row(1).iter().all(|value| value.is_nan()),
                "{}: {got}",
                device.name()
            );
            for row in [0, 2] {
                assert_eq!(got.row(row), clean.row(row), "{}", device.name());
                assert!(
                    states
                        .iter()
                        .all(|state| state.cell().unwrap().row(row).iter().all(|value| value.is_finite()))
                );
            }
        }
    }
}

/// A runner keeps nothing of the arrays that it was given.
#[test]
fn what_was_passed_may_change_afterwards() {
    let runner = model().on(&Device::cpu()).unwrap();
    let mut input: Array3<f32> = Random::new(1).array3((2, 7, 3), 1.0);
    let first = runner.run(&Sequences::from(&input)).unwrap();
    input.fill(f32::NAN);
    assert_eq!(runner.run(&numbers(2, 7, 3)).unwrap(), first);
}
