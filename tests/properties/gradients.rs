//! What holds for the gradients of every model and every batch.

use cellstate::{Device, Loss, Output, Sgd, State, States, Trainer, Upstream};
use ndarray::{ArrayD, Axis, IxDyn};

use super::made::{Cells, Layers, Made, select_states};
use super::models::{self, OnDevice, pair, sequences};
use super::support::layers::StatePair;

/// As those of a run, but for the GPUs: a way back has more shaders to compile.
const CASES: [(Cells, u32, u64); 2] = [(Cells::Lstm, 12, 6), (Cells::Every, 48, 24)];

/// All gradients of a case.
struct Given {
    parameters: Vec<(String, ArrayD<f32>)>,
    input: ArrayD<f32>,
    states: Vec<StatePair>,
}

/// A number that goes with a row of the whole batch and a place in it, so that a row alone is given what it is given among others.
fn number(row: usize, place: usize) -> f32 {
    ((row * 31 + place * 17) % 23) as f32 / 23.0 - 0.4
}

/// What the outputs and final states of these rows of the whole batch are given.
fn upstream(rows: &[usize], output: &Output, states: &States) -> Upstream {
    let filled = |shape: &[usize], first: usize| {
        let width: usize = shape.iter().skip(1).product();
        let numbers = rows
            .iter()
            .flat_map(|&row| (0..width).map(move |place| number(row, first + place)));
        ArrayD::from_shape_vec(IxDyn(shape), numbers.collect()).unwrap()
    };
    let state = |(place, state): (usize, &State)| {
        let mut given = state.clone();
        let (hidden, cell) = pair(state);
        let of = |part: &ndarray::Array2<f32>, first| filled(part.shape(), first).into_dimensionality().unwrap();
        models::set(&mut given, &of(&hidden, 5 * place + 1), &of(&cell, 5 * place + 3));
        given
    };
    let given = Upstream::new(filled(output.values().shape(), 0));
    let given = match output.backward() {
        Some(backward) => given.backward(filled(backward.shape(), 7)),
        None => given,
    };
    given.states(states.iter().enumerate().map(state).collect())
}

/// The gradients of a case, whose rows have these numbers in the whole batch.
fn gradients(made: &Made, rows: &[usize], device: &Device) -> Given {
    let model = models::model(&made.layers).unwrap();
    let mut trainer = Trainer::new(model, device, Loss::MeanSquaredError, Sgd::new(0.0)).unwrap();
    let input = made.input();
    let batch = sequences(&input, made.mask.as_ref()).unwrap();
    let on_cpu = OnDevice::new(&made.layers, &Device::cpu()).unwrap();
    let states = on_cpu.states(rows.len(), &made.initial);
    let given = trainer.gradients(&batch, Some(&states), |output, states| upstream(rows, output, states));
    let given = given.unwrap();
    let parameters = given.parameters();
    Given {
        parameters: parameters
            .map(|(path, values)| (path.to_owned(), values.to_owned()))
            .collect(),
        input: given.input().unwrap().to_owned().into_dyn(),
        states: given.states().iter().map(pair).collect(),
    }
}

impl Given {
    /// Everything with its name.
    fn all(&self) -> Vec<(String, ArrayD<f32>)> {
        let mut all = self.parameters.clone();
        all.push(("input".to_owned(), self.input.clone()));
        for (place, (hidden, cell)) in self.states.iter().enumerate() {
            all.push((format!("hidden state {place}"), hidden.clone().into_dyn()));
            all.push((format!("cell state {place}"), cell.clone().into_dyn()));
        }
        all
    }

    fn assert_close(&self, what: &str, want: &Self) {
        for ((name, got), (_, want)) in self.all().iter().zip(want.all()) {
            assert_eq!(got.shape(), want.shape(), "{what}: {name}");
            let largest = want.iter().fold(1e-2_f32, |most, value| most.max(value.abs()));
            for (got, want) in got.iter().zip(&want) {
                // no number is close to what is none
                let is_close = (got - want).abs() <= 1e-4 * largest;
                assert!(is_close, "{what}: {name}: {got}, expected {want}, of {largest}");
            }
        }
    }

    fn assert_same_bits(&self, what: &str, want: &Self) {
        for ((name, got), (_, want)) in self.all().iter().zip(want.all()) {
            let same = got.iter().zip(&want).all(|(got, want)| got.to_bits() == want.to_bits());
            assert!(same && got.len() == want.len(), "{what}: {name}");
        }
    }
}

fn every_case(property: impl Fn(&Made, &Device)) {
    super::every_case_of(&CASES, Layers::Any, property);
}

fn all_rows(made: &Made) -> Vec<usize> {
    (0..made.input.len_of(Axis(0))).collect()
}

#[test]
fn those_of_a_batch_are_the_sums_over_its_sequences() {
    every_case(|made, device| {
        let rows = all_rows(made);
        let whole = gradients(made, &rows, device);
        let mut sums: Option<Given> = None;
        for &row in &rows {
            let alone = gradients(&made.rows(&[row]), &[row], device);
            let of_whole = Given {
                parameters: alone.parameters.clone(),
                input: whole.input.select(Axis(0), &[row]),
                states: select_states(&whole.states, &[row]),
            };
            alone.assert_close(&format!("{}, row {row}", device.name()), &of_whole);
            match &mut sums {
                None => sums = Some(alone),
                Some(sums) => {
                    for ((_, sum), (_, more)) in sums.parameters.iter_mut().zip(&alone.parameters) {
                        *sum += more;
                    }
                }
            }
        }
        let sums = Given {
            input: whole.input.clone(),
            states: whole.states.clone(),
            ..sums.unwrap()
        };
        whole.assert_close(&device.name(), &sums);
    });
}

#[test]
fn padding_reaches_none_of_them() {
    every_case(|made, device| {
        let (rows, mask) = (all_rows(made), made.full_mask());
        let clean = gradients(made, &rows, device);
        for content in [f32::NAN, f32::INFINITY, f32::MAX] {
            let mut dirty = made.clone();
            for ((row, step, _), value) in dirty.input.indexed_iter_mut() {
                if !mask[[row, step]] {
                    *value = content;
                }
            }
            let what = format!("{}, {content}", device.name());
            gradients(&dirty, &rows, device).assert_same_bits(&what, &clean);
        }
        for ((row, step), is_valid) in mask.indexed_iter() {
            let of_step = clean.input.index_axis(Axis(0), row);
            let zero = of_step.index_axis(Axis(0), step).iter().all(|value| *value == 0.0);
            assert!(zero || *is_valid, "{}: padding has a gradient", device.name());
        }
    });
}
