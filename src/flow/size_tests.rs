//! The formula against the flows themselves, over random models, masks and tokens.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use ndarray::{Array2, Array3};

use super::*;
use crate::activation::Activation;
use crate::flow::{Flow, Input, Stage};
use crate::layer::batch_normalization::BatchNormalization;
use crate::layer::bidirectional::Bidirectional;
use crate::layer::dense::Dense;
use crate::layer::dropout::Dropout;
use crate::layer::embedding::Embedding;
use crate::layer::end_mask::EndMask;
use crate::layer::flatten::Flatten;
use crate::layer::last_step::LastStep;
use crate::layer::layer_normalization::LayerNormalization;
use crate::layer::lstm::Lstm;
use crate::layer::masking::Masking;
use crate::layer::repeat_vector::RepeatVector;
use crate::layer::reshape::Reshape;
use crate::layer::stacked::StackedRnnCells;
use crate::model::Model;

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 33) as usize % end
    }
}

const MERGES: [MergeMode; 5] = [
    MergeMode::Concat,
    MergeMode::Sum,
    MergeMode::Multiply,
    MergeMode::Average,
    MergeMode::Separate,
];

/// A chain of up to five layers. The words of the embedding, or 0 without one.
fn model(random: &mut Random) -> (Model, usize) {
    let mut builder = Model::builder();
    let mut width = 1 + random.below(5);
    let vocabulary = [0, 1, 3, 50][random.below(4)];
    if vocabulary > 0 {
        builder = builder.add(Embedding::new(vocabulary, width).mask_zero(random.below(2) == 0));
    } else if random.below(3) == 0 {
        builder = builder.add(Masking::new(0.0));
    }
    // whether there are time steps, and how many, if that is known
    let (mut sequences, mut known) = (true, None);
    for number in 0..1 + random.below(4) {
        let units = 1 + random.below(6);
        let shows_all = random.below(3) > 0;
        let lstm = |features: usize, units: usize| {
            Lstm::new(features, units)
                .return_sequences(shows_all)
                .zero_output_for_mask(number % 2 == 0)
                .dropout(if number % 2 == 0 { 0.25 } else { 0.0 })
        };
        // without steps there are only Dense layers, and such as make steps again
        let kind = if sequences {
            [0, 1, 2, 3, 4, 6, 7, 8, 9][random.below(if known.is_some() { 9 } else { 8 })]
        } else {
            [0, 5, 6, 7][random.below(4)]
        };
        width = match kind {
            5 => {
                let time_steps = 1 + random.below(4);
                builder = builder.add(RepeatVector::new(time_steps));
                (sequences, known) = (true, Some(time_steps));
                continue;
            }
            6 => {
                builder = builder.add(BatchNormalization::new(width)).add(Dropout::new(0.5));
                if random.below(2) == 0 {
                    builder = builder.add(EndMask::new());
                }
                continue;
            }
            7 => {
                builder = builder.add(LayerNormalization::new(width)).add(Activation::Relu);
                continue;
            }
            8 => {
                // the last step of the input itself is nobody's
                builder = builder.add(BatchNormalization::new(width)).add(LastStep::new());
                sequences = false;
                continue;
            }
            9 => {
                let time_steps = known.unwrap_or(1);
                let values = time_steps * width;
                (width, sequences, known) = match random.below(3) {
                    0 => {
                        builder = builder.add(Flatten::new(time_steps, width));
                        (values, false, None)
                    }
                    1 => {
                        builder = builder.add(Reshape::new([time_steps, width], [values, 1]));
                        (1, true, Some(values))
                    }
                    _ => {
                        builder = builder.add(Reshape::new([time_steps, width], [time_steps, width]));
                        (width, true, known)
                    }
                };
                continue;
            }
            0 => {
                builder = builder.add(Dense::new(width, units));
                units
            }
            1 => {
                builder = builder.add(lstm(width, units).go_backwards(number == 1));
                units
            }
            2 => {
                let cells = [Lstm::new(width, units + 1), Lstm::new(units + 1, units)];
                builder = builder.add(StackedRnnCells::new(cells).return_sequences(shows_all));
                units
            }
            _ => {
                let merge = MERGES[random.below(5)];
                builder = builder.add(Bidirectional::new(lstm(width, units)).merge_mode(merge));
                if merge == MergeMode::Separate {
                    break;
                }
                if merge == MergeMode::Concat { 2 * units } else { units }
            }
        };
        sequences &= shows_all || kind == 0;
    }
    (builder.build().unwrap(), vocabulary)
}

/// The flow of a batch; with all steps valid, values that no `Masking` takes for padding, and tokens that differ.
fn flow(
    random: &mut Random,
    model: &Model,
    vocabulary: usize,
    (batch, time_steps): (usize, usize),
    full: bool,
) -> Flow {
    let plan = model.plan();
    let mask = Array2::from_shape_simple_fn((batch, time_steps), || full || random.below(3) > 0);
    let mask = (!full || random.below(2) == 0).then_some(mask);
    let mask = mask.as_ref().map(|mask| mask.view());
    match plan.features {
        None => {
            let mut next = 0;
            // the word that the mask of zeros is not about comes first, and one that there is not stands in the padding alone
            let tokens = Array2::from_shape_simple_fn((batch, time_steps), || {
                next += 1;
                match full {
                    true => next % vocabulary as i32,
                    false => random.below(vocabulary) as i32,
                }
            });
            Flow::new(plan, Input::Tokens(tokens.view()), mask).unwrap()
        }
        Some(features) => {
            let value = || if full { 1.0 } else { random.below(3) as f32 };
            let values = Array3::from_shape_simple_fn((batch, time_steps, features), value);
            Flow::new(plan, Input::Values(values.view()), mask).unwrap()
        }
    }
}

/// What the two say of the same thing.
fn compare(size: &FlowSize, flow: &Flow, is_it: impl Fn(usize, usize) -> bool, name: &str) {
    assert_eq!(size.stages.len(), flow.stages.len(), "{name}");
    assert_eq!(size.schedules.len(), flow.schedules.len(), "{name}");
    assert!(is_it(size.input_rows, flow.input_steps.len()), "{name}: the input");
    for (number, (stage, real)) in size.stages.iter().zip(&flow.stages).enumerate() {
        assert!(
            is_it(stage.rows, real.rows()),
            "{name}, {number}: {stage:?}, {} rows",
            real.rows()
        );
        assert_eq!(stage.width, flow.widths[number], "{name}, {number}");
        match (stage.kind, real) {
            (
                StageKind::Recurrent { cell, input, schedule },
                Stage::Recurrent {
                    cell: of,
                    schedule: real,
                    input: list,
                },
            ) => {
                assert_eq!((cell, input), (*of, list.source), "{name}, {number}");
                let shared = &flow.schedules[schedule];
                assert_eq!(
                    (shared.offsets(), shared.order()),
                    (real.offsets(), real.order()),
                    "{name}"
                );
                assert!(is_it(size.schedules[schedule], real.steps()), "{name}, {number}: steps");
            }
            (StageKind::Dense { dense, input }, Stage::Dense { dense: of, input: list }) => {
                assert_eq!((dense, input), (*of, list.source), "{name}, {number}");
            }
            (
                StageKind::Merge { forward, backward, .. },
                Stage::Merge {
                    forward: one,
                    backward: other,
                    ..
                },
            ) => {
                assert_eq!((forward, backward), (one.source, other.source), "{name}, {number}");
                assert_eq!(one.index.len(), other.index.len(), "{name}, {number}");
            }
            (
                StageKind::Transform { transform, input },
                Stage::Transform {
                    transform: of,
                    input: list,
                },
            ) => {
                assert_eq!((transform, input), (*of, list.source), "{name}, {number}");
            }
            (
                StageKind::Dropout { dropout, input },
                Stage::Dropout {
                    dropout: of,
                    input: list,
                    ..
                },
            ) => {
                assert_eq!((dropout, input), (*of, list.source), "{name}, {number}");
            }
            (StageKind::Reshape { input, entries }, Stage::Reshape { input: list, .. }) => {
                assert_eq!(input, list.source, "{name}, {number}");
                assert!(is_it(entries, list.index.len()), "{name}, {number}: entries");
            }
            different => panic!("{name}, {number}: {different:?}"),
        }
    }
    for (output, real) in size.outputs.iter().zip(&flow.outputs) {
        assert_eq!(output.source, real.gather.source, "{name}");
        assert_eq!(Some(&output.width), real.shape.last(), "{name}");
        assert!(is_it(output.entries, real.gather.index.len()), "{name}: an output");
    }
}

#[test]
fn the_formula_is_what_full_batches_need_and_enough_for_all() {
    let random = &mut Random(1);
    for round in 0..300 {
        let (model, vocabulary) = model(random);
        let (batch, time_steps) = (random.below(5), random.below(6));
        let size = FlowSize::new(model.plan(), batch, time_steps);
        let name = format!("{round}: {model}, ({batch}, {time_steps})");
        let full = flow(random, &model, vocabulary, (batch, time_steps), true);
        let is_full = model.plan().features.is_some();
        // tokens are no batch with all rows of a table and the row that is none
        let equal = |most: usize, real: usize| if is_full { most == real } else { most >= real };
        compare(&size, &full, equal, &name);
        for _ in 0..4 {
            let smaller = (random.below(batch + 1), random.below(time_steps + 1));
            let real = flow(random, &model, vocabulary, smaller, false);
            compare(&size, &real, |most, real| most >= real, &format!("{name}, {smaller:?}"));
        }
    }
}

/// The numbers of a table's rows end before those of the steps.
#[test]
fn a_dense_layer_behind_an_embedding_runs_words_and_not_steps() {
    let model = Model::builder().add(Embedding::new(7, 2)).add(Dense::new(2, 3));
    let model = model.build().unwrap();
    let size = FlowSize::new(model.plan(), 1000, 30_000);
    assert_eq!((size.stages[0].rows, size.outputs[0].entries), (8, 30_000_000));
    assert_eq!((size.input_rows, size.schedules.len()), (0, 0));
}

#[test]
fn what_cells_leave_out_in_training_has_a_size() {
    let sides = Bidirectional::new(Lstm::new(3, 4).dropout(0.5).return_sequences(true));
    let cells = [Lstm::new(8, 2).dropout(0.5), Lstm::new(2, 3)];
    let builder = Model::builder().add(sides).add(StackedRnnCells::new(cells));
    let model = builder.build().unwrap();
    let values = Array3::from_elem((4, 5, 3), 1.0);
    let flow = Flow::in_training(model.plan(), Input::Values(values.view()), None).unwrap();
    assert_eq!(flow.stages.len(), 8);
    let size = FlowSize::in_training(model.plan(), 4, 5);
    compare(&size, &flow, |size, real| size == real, "dropout");
}
