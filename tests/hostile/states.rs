//! States of streams that leave, come and change places.

use cellstate::{
    Bidirectional, Dense, Device, Error, Gru, Lstm, Model, Sequences, SimpleRnn, StackedRnnCells, State, States,
};
use ndarray::{Array2, Axis, concatenate};

use super::devices::devices;
use super::models::{OnDevice, Ran, assert_ran_close, pair};
use super::refused;
use super::support::{
    cell_kinds::CellKind,
    golden::Input,
    layers::{LayerSpec, RecurrentOptions},
    random::Random,
};

/// Models with states of several widths, with and without cell states.
fn chains() -> Vec<Vec<LayerSpec>> {
    let random = &mut Random::new(5);
    let sequences = RecurrentOptions {
        return_sequences: true,
        ..Default::default()
    };
    let mut cell = |kind: CellKind, features, units| kind.cell(random, features, units);
    let alone = |cell| LayerSpec::Recurrent {
        cell,
        options: sequences,
    };
    vec![
        vec![alone(cell(CellKind::Lstm, 3, 4)), alone(cell(CellKind::Lstm, 4, 2))],
        vec![
            alone(cell(CellKind::Gru, 3, 4)),
            alone(cell(CellKind::Projection, 4, 2)),
        ],
        vec![LayerSpec::StackedCells {
            cells: vec![cell(CellKind::SimpleRnn, 3, 4), cell(CellKind::Lstm, 4, 2)],
            options: sequences,
        }],
    ]
}

fn ran(runner: &OnDevice, input: &Input, states: &mut States) -> Ran {
    let output = runner.run_from(input, None, states).unwrap();
    Ran {
        values: output.values().to_owned(),
        backward: None,
        states: states.iter().map(pair).collect(),
        rows_run: 0,
    }
}

/// Two streams of four go on in another order, and the others join a third batch: each goes on as if it had been alone.
#[test]
fn streams_leave_and_join() {
    for layers in chains() {
        for device in devices() {
            let runner = OnDevice::new(&layers, &device).unwrap();
            let random = &mut Random::new(6);
            let chunk = |random: &mut Random, batch| random.array3((batch, 3, 3), 1.0);
            let (first, second) = (chunk(random, 4), chunk(random, 4));
            let mut states = runner.runner().zero_state(4);
            ran(&runner, &Input::Values(first.clone()), &mut states);
            let after_first = states.clone();
            let whole = ran(&runner, &Input::Values(second.clone()), &mut states);
            let of_rows = |rows: &[usize]| Ran {
                values: whole.values.select(Axis(0), rows),
                backward: None,
                states: states.select(rows).unwrap().iter().map(pair).collect(),
                rows_run: 0,
            };
            // row 2 twice: a stream can go on in two ways
            for rows in [&[2, 0][..], &[3], &[1, 2, 2, 3, 0], &[]] {
                let mut selected = after_first.select(rows).unwrap();
                let input = Input::Values(second.select(Axis(0), rows));
                assert_ran_close(&device.name(), &ran(&runner, &input, &mut selected), &of_rows(rows));
            }
            let parts = [vec![1], vec![3, 2], vec![]].map(|rows: Vec<usize>| after_first.select(&rows).unwrap());
            let mut joined = States::concat(&[&parts[0], &parts[2], &parts[1]]).unwrap();
            let input = Input::Values(second.select(Axis(0), &[1, 3, 2]));
            assert_ran_close(&device.name(), &ran(&runner, &input, &mut joined), &of_rows(&[1, 3, 2]));
            // what was selected from is as it was
            assert_eq!(after_first.select(&[0, 1, 2, 3]).unwrap(), after_first);
        }
    }
}

/// All rows selected one by one and joined again are the same states.
#[test]
fn select_and_concat_undo_each_other() {
    let mut state = State::with_cell(Random::new(1).array2((5, 3), 1.0), Random::new(2).array2((5, 4), 1.0)).unwrap();
    state.hidden_mut()[[1, 1]] = f32::NAN; // carried like any other number
    let rows: Vec<State> = (0..5).map(|row| state.select(&[row]).unwrap()).collect();
    let joined = State::concat(&rows.iter().collect::<Vec<_>>()).unwrap();
    let bits = |array: ndarray::ArrayView2<'_, f32>| array.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(joined.hidden()), bits(state.hidden()));
    assert_eq!(joined.cell(), state.cell());
    let halves = [state.select(&[4, 0]).unwrap(), state.select(&[]).unwrap()];
    assert_eq!((halves[0].batch(), halves[1].batch()), (2, 0));
    assert_eq!(halves[1].hidden().dim(), (0, 3));
    let both = State::concat(&[&halves[1], &halves[0]]).unwrap();
    assert_eq!(
        both.cell().unwrap(),
        concatenate![Axis(0), state.cell().unwrap().select(Axis(0), &[4, 0])]
    );
}

/// More than any machine has addresses for, asked for by lists that are small.
#[test]
fn what_does_not_fit_into_memory_is_refused() {
    const ROWS: usize = 1 << 22;
    let wide = State::new(Array2::zeros((1, 1 << 24)));
    let text = "run fewer sequences";
    refused!(wide.select(&vec![0; ROWS]), Error::Memory { .. }, "the states", text);
    refused!(
        State::concat(&vec![&wide; ROWS]),
        Error::Memory { .. },
        "the states",
        text
    );
}

#[test]
fn rows_that_are_not_there() {
    let model = Model::builder()
        .add(Lstm::new(3, 4).return_sequences(true))
        .add(Gru::new(4, 2))
        .build()
        .unwrap();
    let runner = model.on(&Device::cpu()).unwrap();
    let states = runner.zero_state(3);
    for rows in [&[3][..], &[0, 1, 3], &[usize::MAX], &[0, usize::MAX, 1], &[3; 1000]] {
        let wrong = rows.iter().find(|&&row| row >= 3).unwrap().to_string();
        refused!(
            states.select(rows),
            Error::Value { .. },
            "select",
            "batch of 3",
            wrong,
            "from 0"
        );
        refused!(
            states[1].select(rows),
            Error::Value { .. },
            "select",
            "batch of 3",
            wrong
        );
    }
    refused!(runner.zero_state(0).select(&[0]), Error::Value { .. }, "batch of 0");
    assert_eq!(states.select(&[]).unwrap(), runner.zero_state(0));
    assert_eq!(states.select(&[1; 1000]).unwrap(), runner.zero_state(1000));
    // without a recurrent layer there is no row and no state to miss
    let dense = Dense::new(3, 2).on(&Device::cpu()).unwrap();
    assert!(dense.zero_state(3).select(&[0]).unwrap().is_empty());
}

#[test]
fn states_that_do_not_belong_together() {
    let cpu = Device::cpu();
    let zero = |model: Model| model.on(&cpu).unwrap().zero_state(2);
    let build = |layers: Vec<cellstate::Layer>| {
        let builder = layers
            .into_iter()
            .fold(Model::builder(), |builder, layer| builder.add(layer));
        zero(builder.build().unwrap())
    };
    let lstm = build(vec![Lstm::new(3, 4).into()]);
    let different = [
        build(vec![Lstm::new(3, 5).into()]),
        build(vec![Gru::new(3, 4).into()]),
        build(vec![SimpleRnn::new(3, 4).into()]),
        build(vec![Lstm::new(3, 5).projection(4).into()]),
        build(vec![Bidirectional::new(Lstm::new(3, 4)).into()]),
        build(vec![StackedRnnCells::new([Lstm::new(3, 4), Lstm::new(4, 4)]).into()]),
        build(vec![Dense::new(3, 4).into()]),
    ];
    refused!(States::concat(&[]), Error::Size { .. }, "at least one");
    refused!(State::concat(&[]), Error::Size { .. }, "at least one");
    for other in &different {
        refused!(States::concat(&[&lstm, other]), Error::Size { .. }, "of one runner");
        refused!(States::concat(&[other, &lstm]), Error::Size { .. }, "of one runner");
        refused!(
            States::concat(&[&lstm, &lstm, other]),
            Error::Size { .. },
            "of one runner"
        );
        if let Some(other) = other.first()
            && other != &lstm[0]
        {
            refused!(State::concat(&[&lstm[0], other]), Error::Size { .. }, "same layer");
        }
    }
    assert!(States::concat(&[&different[6], &different[6]]).unwrap().is_empty());
    // a GRU has the hidden state of an LSTM, but not its cell state: neither runs from the other's
    let x = Sequences::from(Random::new(1).array3((2, 4, 3), 1.0));
    let runner = Lstm::new(3, 4).on(&cpu).unwrap();
    for other in &different {
        let mut states = other.clone();
        refused!(runner.run_from(&x, &mut states), Error::Size { .. }, "zero_state(2)");
        assert_eq!(&states, other);
    }
    let mut states = lstm.clone();
    states[0] = State::new(Array2::zeros((2, 4)));
    refused!(
        runner.run_from(&x, &mut states),
        Error::Size { .. },
        "states[0]",
        "LSTM",
        "[2, 4]"
    );
    let gru = Gru::new(3, 4).on(&cpu).unwrap();
    let mut states = gru.zero_state(2);
    states[0] = lstm[0].clone();
    refused!(gru.run_from(&x, &mut states), Error::Size { .. }, "states[0]", "GRU");
}
