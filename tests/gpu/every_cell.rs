//! A cell of each kind and option.

use super::support::{
    cells::{CellSpec, LstmOptions, Rule},
    random::Random,
};

/// What stands in the way of every strategy but `step`.
const ALL_UNITS: Option<&str> = Some("all units at once");
const RESET: Option<&str> = Some("reset_after(false)");
const PROJECTION: Option<&str> = Some("a projection of all units");

pub(crate) type Named = (&'static str, CellSpec, Option<&'static str>);

/// A cell of each kind and option, and why `step` alone can run it.
pub(crate) fn cells(random: &mut Random, features: usize, units: usize) -> Vec<Named> {
    let with = |mut cell: CellSpec, change: &dyn Fn(&mut CellSpec)| {
        change(&mut cell);
        cell
    };
    let peepholes = random.array2((3, units), 0.9);
    let own = |options: LstmOptions| move |cell: &mut CellSpec| cell.rule = Rule::Lstm(options.clone());
    let with_peepholes = LstmOptions {
        peepholes: Some(peepholes),
        ..Default::default()
    };
    let coupled = LstmOptions {
        input_forget: true,
        output_activation: Some("softsign".to_owned()),
        ..Default::default()
    };
    let narrow = units.div_ceil(2);
    // so that no error grows from step to step
    let limit = |fan_in: usize| (1.0 / fan_in as f32).sqrt();
    let projected = LstmOptions {
        projection: Some(random.array2((units, narrow), limit(units))),
        ..Default::default()
    };
    let recurrent = random.array2((narrow, 4 * units), limit(narrow));
    let softmax = |cell: &mut CellSpec| cell.activation = "softmax".to_owned();
    let soft_gates = |cell: &mut CellSpec| cell.recurrent_activation = "softmax".to_owned();
    let clip = |cell: &mut CellSpec| cell.clip = Some(0.4);
    vec![
        ("LSTM", random.cell(features, units), None),
        (
            "LSTM with peepholes",
            with(random.cell(features, units), &own(with_peepholes.clone())),
            None,
        ),
        ("LSTM coupled", with(random.cell(features, units), &own(coupled)), None),
        ("LSTM clipped", with(random.cell(features, units), &clip), None),
        (
            "LSTM with softmax and peepholes",
            with(random.cell(features, units), &|cell| {
                own(with_peepholes.clone())(cell);
                soft_gates(cell);
            }),
            ALL_UNITS,
        ),
        (
            "LSTM with a projection",
            with(random.cell(features, units), &|cell| {
                own(projected.clone())(cell);
                cell.recurrent_kernel = recurrent.clone();
            }),
            PROJECTION,
        ),
        (
            "LSTM with everything",
            with(random.with_options(features, units, narrow), &|cell| {
                cell.recurrent_kernel *= limit(narrow);
                let options = cell.lstm_options().unwrap();
                options.projection = options.projection.take().map(|weights| weights * limit(units));
            }),
            PROJECTION,
        ),
        ("GRU", random.gru(features, units, true), None),
        ("GRU clipped", with(random.gru(features, units, true), &clip), None),
        (
            "GRU without bias",
            with(random.gru(features, units, true), &|cell| cell.bias = None),
            None,
        ),
        ("GRU, reset before", random.gru(features, units, false), RESET),
        (
            "GRU, reset before, clipped",
            with(random.gru(features, units, false), &clip),
            RESET,
        ),
        (
            "GRU with softmax",
            with(random.gru(features, units, true), &softmax),
            ALL_UNITS,
        ),
        (
            "GRU, reset before, with softmax",
            with(random.gru(features, units, false), &softmax),
            ALL_UNITS,
        ),
        ("SimpleRNN", random.simple_rnn(features, units), None),
        (
            "SimpleRNN clipped",
            with(random.simple_rnn(features, units), &clip),
            None,
        ),
        (
            "SimpleRNN with softmax",
            with(random.simple_rnn(features, units), &softmax),
            ALL_UNITS,
        ),
    ]
}
