//! What recurrent layers leave out in training. A sequence keeps its factors at every step, so that it runs as without them with weights
//! times these factors: so the f64 reference and its differences judge it, sequence by sequence.

use ndarray::{Array2, Axis, Slice, s};
use rayon::ThreadPoolBuilder;

use super::support::cell_kinds::CellKind;
use super::support::cells::CellSpec;
use super::support::golden;
use super::support::layers::{LayerSpec, Merge, RecurrentOptions};
use super::support::masks::Pattern;
use super::support::random::Random;
use super::*;
use crate::layer::recurrent::DropoutRates;
use crate::random::{MOST_LAYERS, row_of_gate};

const NOISE: Noise = Noise { seed: 9, batch: 4 };

/// With these nothing is rounded: what stays is doubled.
const BOTH: DropoutRates = DropoutRates {
    input: 0.5,
    recurrent: 0.5,
};

const INPUT: DropoutRates = DropoutRates { recurrent: 0.0, ..BOTH };

const HIDDEN: DropoutRates = DropoutRates { input: 0.0, ..BOTH };

const SEQUENCES: RecurrentOptions = RecurrentOptions {
    return_sequences: true,
    return_state: false,
    go_backwards: false,
    zero_output_for_mask: false,
};

fn cells(layer: &mut LayerSpec) -> Vec<&mut CellSpec> {
    match layer {
        LayerSpec::Recurrent { cell, .. } => vec![cell],
        LayerSpec::StackedCells { cells, .. } => cells.iter_mut().collect(),
        LayerSpec::Bidirectional { forward, backward, .. } => vec![forward, backward],
        _ => Vec::new(),
    }
}

/// `weights` with each row times the factor of that row and of the gate of its column.
fn scaled(weights: &mut Array2<f32>, units: usize, mut factors: impl FnMut(usize, &mut [f32])) {
    let rows = weights.nrows();
    for gate in 0..weights.ncols() / units {
        let mut of_gate = vec![f32::NAN; rows];
        factors(gate, &mut of_gate);
        for (mut row, factor) in weights.outer_iter_mut().zip(of_gate) {
            row.slice_mut(s![gate * units..(gate + 1) * units])
                .mapv_inplace(|weight| weight * factor);
        }
    }
}

impl Trial {
    /// One of its sequences alone, whose weights have been multiplied by what it leaves out.
    fn single(&self, sequence: usize, rates: DropoutRates) -> Self {
        let mut single = self.clone();
        single.left_out = None;
        let rows = sequence..sequence + 1;
        if let golden::Input::Values(values) = &self.input {
            single.input = golden::Input::Values(values.slice(s![rows.clone(), .., ..]).to_owned());
        }
        single.mask = (self.mask.as_ref()).map(|mask| mask.slice(s![rows.clone(), ..]).to_owned());
        for (hidden, cell) in single.initial.iter_mut().chain(&mut single.states) {
            *hidden = hidden.slice(s![rows.clone(), ..]).to_owned();
            *cell = cell.slice(s![rows.clone(), ..]).to_owned();
        }
        for output in &mut single.outputs {
            *output = output.slice_axis(Axis(0), Slice::from(rows.clone())).to_owned();
        }
        let all = single.layers.iter_mut().flat_map(cells);
        for (number, cell) in all.enumerate() {
            let (layer, sequence, units) = (MOST_LAYERS - number as u32, sequence as u32, cell.units());
            let by_gate = rates.recurrent > 0.0;
            scaled(&mut cell.kernel, units, |gate, factors| {
                let row = row_of_gate(sequence, if by_gate { gate } else { 0 }, false);
                NOISE.dropout((layer, row), rates.input, 0, factors);
            });
            scaled(&mut cell.recurrent_kernel, units, |gate, factors| {
                NOISE.dropout((layer, row_of_gate(sequence, gate, true)), rates.recurrent, 0, factors);
            });
        }
        single
    }

    /// The sum over its sequences, each with the weights that are left to it.
    pub(super) fn loss_of_sequences(&self, rates: DropoutRates) -> f64 {
        let batch = self.input.batch();
        (0..batch).map(|sequence| self.single(sequence, rates).loss()).sum()
    }
}

fn trial(layers: Vec<LayerSpec>, pattern: Pattern, rates: DropoutRates, random: &mut Random) -> Trial {
    let mask = pattern.mask(3, 5, random);
    let input = golden::Input::Values(random.array3((3, 5, 3), 1.0));
    let mut trial = Trial::new(layers, (input, mask), random);
    trial.left_out = Some(rates);
    trial
}

#[track_caller]
fn check(name: &str, trial: &Trial) {
    let wrong = trial.wrong(&lists(&trial.gradients_with(Some(NOISE))));
    let shown = &wrong[..wrong.len().min(12)];
    assert!(wrong.is_empty(), "{name}: {} wrong\n{}", wrong.len(), shown.join("\n"));
}

#[test]
fn every_cell_goes_back_through_what_it_leaves_out() {
    let random = &mut Random::new(30);
    for kind in CellKind::ALL {
        for (rates, pattern) in [(BOTH, Pattern::Holes), (HIDDEN, Pattern::None), (INPUT, Pattern::Mixed)] {
            let options = RecurrentOptions {
                go_backwards: rates == HIDDEN,
                ..SEQUENCES
            };
            let cell = kind.cell(random, 3, 4);
            let layers = vec![LayerSpec::Recurrent { cell, options }];
            let trial = trial(layers, pattern, rates, random);
            check(&format!("{kind:?}, {rates:?}"), &trial);
            // and the loss is not that of a model that leaves out nothing
            let mut whole = trial.clone();
            whole.left_out = None;
            assert!((whole.loss() - trial.loss()).abs() > 1e-3, "{kind:?}");
        }
    }
}

#[test]
fn directions_and_cells_of_a_stack_leave_out_their_own() {
    let random = &mut Random::new(31);
    for kind in [CellKind::Lstm, CellKind::Gru, CellKind::SimpleRnn] {
        for rates in [BOTH, INPUT] {
            let cell = kind.cell(random, 3, 2);
            let layers = vec![
                LayerSpec::Bidirectional {
                    forward: cell.clone(),
                    backward: cell,
                    options: SEQUENCES,
                    merge: Merge::Concat,
                },
                LayerSpec::StackedCells {
                    cells: vec![kind.cell(random, 4, 3), kind.cell(random, 3, 2)],
                    options: SEQUENCES,
                },
            ];
            let trial = trial(layers, Pattern::Holes, rates, random);
            check(&format!("{kind:?}, {rates:?}"), &trial);
        }
    }
}

/// A forward pass and its outputs.
fn output(trial: &Trial, noise: Option<Noise>) -> (ArrayD<f32>, Vec<State>) {
    let model = trial.model();
    let mut training = CpuTraining::new(Arc::clone(model.plan()), &Settings::new(), "CPU".into()).unwrap();
    let (mut output, mut states) = (Output::default(), states(&trial.initial));
    let flow = trial.flow(&model);
    training
        .forward(&flow, trial.input(), Some(&mut states), noise, &mut output)
        .unwrap();
    (output.values, states)
}

/// Rates of 0 and passes as in inference are those of layers without any; where next to nothing is left out, the products of gates by themselves
/// give what those of all gates do.
#[test]
fn without_a_rate_nothing_changes() {
    let random = &mut Random::new(32);
    for kind in CellKind::ALL {
        let cell = kind.cell(random, 3, 4);
        let layers = vec![LayerSpec::Recurrent {
            cell,
            options: SEQUENCES,
        }];
        let mut trial = trial(layers, Pattern::Holes, BOTH, random);
        let with = output(&trial, Some(NOISE));
        assert_eq!(with, output(&trial, Some(NOISE)));
        let inference = (output(&trial, None), lists(&trial.gradients()));
        trial.left_out = Some(DropoutRates::default());
        let none = (output(&trial, Some(NOISE)), lists(&trial.gradients_with(Some(NOISE))));
        assert_eq!(none, inference, "{kind:?}");
        trial.left_out = None;
        assert_eq!(
            (output(&trial, Some(NOISE)), lists(&trial.gradients())),
            none,
            "{kind:?}"
        );
        assert_ne!(with.0, none.0.0);
        trial.left_out = Some(DropoutRates {
            input: 0.0,
            recurrent: f32::MIN_POSITIVE,
        });
        let by_gate = (output(&trial, Some(NOISE)), lists(&trial.gradients_with(Some(NOISE))));
        let numbers = |of: &((ArrayD<f32>, Vec<State>), Lists)| -> Vec<f32> {
            let states = of.0.1.iter().flat_map(State::arrays).flatten();
            let gradients = of.1.iter().flat_map(|(_, list)| list);
            (of.0.0.iter().chain(states).chain(gradients)).copied().collect()
        };
        let (one, other) = (numbers(&by_gate), numbers(&none));
        assert_eq!(one.len(), other.len());
        for (one, other) in one.iter().zip(&other) {
            assert!(
                (one - other).abs() <= 1e-5 * other.abs().max(1.0),
                "{kind:?}: {one}, {other}"
            );
        }
    }
}

/// For any number of threads, and other ones for another seed and another batch; of more sequences than one task takes.
#[test]
fn the_same_bits_for_every_number_of_threads() {
    let random = &mut Random::new(33);
    for kind in [
        CellKind::Lstm,
        CellKind::AllOptions,
        CellKind::Gru,
        CellKind::GruResetBefore,
        CellKind::SimpleRnn,
    ] {
        let mask = Pattern::Mixed.mask(61, 7, random);
        let input = golden::Input::Values(random.array3((61, 7, 5), 1.0));
        let layers = vec![LayerSpec::Bidirectional {
            forward: kind.cell(random, 5, 33),
            backward: kind.cell(random, 5, 9),
            options: SEQUENCES,
            merge: Merge::Concat,
        }];
        let mut trial = Trial::new(layers, (input, mask), random);
        trial.left_out = Some(DropoutRates {
            input: 0.2,
            recurrent: 0.3,
        });
        let bits = |threads: usize, noise: Noise| -> Vec<Vec<u32>> {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let lists = pool.install(|| lists(&trial.gradients_with(Some(noise))));
            let bits = |(_, list): (String, Vec<f32>)| list.into_iter().map(f32::to_bits).collect();
            lists.into_iter().map(bits).collect()
        };
        let one = bits(1, NOISE);
        for threads in [2, 3, 5] {
            assert_eq!(one, bits(threads, NOISE), "{kind:?}, {threads} threads");
        }
        for other in [Noise { seed: 8, ..NOISE }, Noise { batch: 5, ..NOISE }] {
            assert_ne!(one, bits(2, other), "{kind:?}");
        }
    }
}

/// Nothing to run is no error here either.
#[test]
fn empty_batches_and_batches_of_padding() {
    let random = &mut Random::new(34);
    for (batch, time_steps) in [(0, 5), (3, 0), (3, 5)] {
        let cell = random.cell(3, 4);
        let layers = vec![LayerSpec::Recurrent {
            cell,
            options: SEQUENCES,
        }];
        let input = golden::Input::Values(random.array3((batch, time_steps, 3), 1.0));
        let mask = Array2::from_elem((batch, time_steps), false);
        let mut trial = Trial::new(layers, (input, Some(mask)), random);
        trial.left_out = Some(BOTH);
        let gradients = trial.gradients_with(Some(NOISE));
        let kernel = &gradients.parameters[0].1;
        assert!(kernel.shape() == [3, 16] && kernel.iter().all(|number| *number == 0.0));
        assert_eq!(gradients.states[0].hidden(), trial.states[0].0.view());
    }
}
