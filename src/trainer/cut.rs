//! What may be cut off at the end of a batch without changing anything: time steps that count in none of its sequences.

use std::sync::Arc;

use ndarray::Axis;

use super::examples::Examples;
use crate::layer::shape::Shape;
use crate::model::Model;
use crate::model::plan::{Operation, Plan};

/// What says which time steps count, in a model that reads no others.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Masked {
    /// The mask of the sequences.
    ByCaller,
    /// Token 0.
    Zero,
    /// Steps whose values all equal this.
    Value(f32),
}

impl Masked {
    /// `None` for a model with layers that read padding, or that give what their mask says at other time steps.
    fn of(plans: &[Arc<Plan>]) -> Option<Self> {
        let [plan] = plans else { return None };
        let mut masked = Self::ByCaller;
        for (position, operation) in plan.operations.iter().enumerate() {
            match operation {
                Operation::Masking { mask_value } if position == 0 => masked = Self::Value(*mask_value),
                Operation::Embedding { mask_zero, .. } if *mask_zero => masked = Self::Zero,
                Operation::Recurrent { options, .. } if options.go_backwards && options.return_sequences => {
                    return None;
                }
                Operation::Masking { .. }
                | Operation::RepeatVector { .. }
                | Operation::Reshape { .. }
                | Operation::LastStep
                | Operation::EndMask => return None,
                _ => {}
            }
        }
        Some(masked)
    }
}

/// For each sequence how many of its first time steps have to stay: all of them up to the last that counts.
pub(super) fn spans(plans: &[Arc<Plan>], examples: &Examples<'_, '_>) -> Vec<usize> {
    let sequences = examples.sequences();
    let time_steps = sequences.time_steps();
    let counts = |row: usize, step: usize| match Masked::of(plans) {
        None => true,
        Some(Masked::ByCaller) => sequences
            .mask()
            .is_none_or(|mask| mask.view().get((row, step)) == Some(&true)),
        Some(Masked::Zero) => sequences
            .tokens()
            .is_none_or(|tokens| tokens.get((row, step)) != Some(&0)),
        Some(Masked::Value(value)) => sequences.values().is_none_or(|values| {
            let values = values.index_axis_move(Axis(0), row).index_axis_move(Axis(0), step);
            values.iter().any(|found| *found != value)
        }),
    };
    let span = |row| {
        (0..time_steps)
            .rev()
            .find(|&step| counts(row, step))
            .map_or(0, |step| step + 1)
    };
    (0..examples.len()).map(span).collect()
}

/// Whether the model gives an output at every time step of its input, so that targets have these steps too.
pub(super) fn gives_steps(model: &Model) -> bool {
    matches!(model.output_shape(), Some(Shape::Sequences { time_steps: None, .. }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use ndarray::{Array2, Array3, array};

    use super::*;
    use crate::layer::Layer;
    use crate::layer::embedding::Embedding;
    use crate::layer::last_step::LastStep;
    use crate::layer::lstm::Lstm;
    use crate::layer::masking::Masking;
    use crate::sequences::Sequences;

    fn spans_of(layers: Vec<Layer>, sequences: Sequences<'static>) -> Vec<usize> {
        let model = layers
            .into_iter()
            .fold(Model::builder(), |builder, layer| builder.add(layer));
        let batch = sequences.batch();
        let examples = Examples::new(sequences, Array2::<f32>::zeros((batch, 1))).unwrap();
        spans(model.build().unwrap().plans(), &examples)
    }

    #[test]
    fn what_counts_stays() {
        let lstm = || Lstm::new(1, 2);
        let padded = || Sequences::from(array![[[1.0], [0.0], [2.0], [0.0]], [[0.0], [3.0], [0.0], [0.0]]]);
        let short = || padded().with_lengths(&[4, 1]).unwrap();
        assert_eq!(spans_of(vec![lstm().into()], padded()), [4, 4]);
        assert_eq!(spans_of(vec![lstm().into()], short()), [4, 1]);
        // a Masking layer takes the place of the mask
        assert_eq!(spans_of(vec![Masking::new(0.0).into(), lstm().into()], short()), [3, 2]);
        let tokens = Sequences::from(array![[0, 1, 0], [2, 0, 0], [0, 0, 0]])
            .with_lengths(&[3, 3, 3])
            .unwrap();
        assert_eq!(
            spans_of(vec![Embedding::new(3, 1).into(), lstm().into()], tokens.clone()),
            [3, 3, 3]
        );
        let masks = Embedding::new(3, 1).mask_zero(true);
        assert_eq!(spans_of(vec![masks.into(), lstm().into()], tokens), [2, 1, 0]);
    }

    #[test]
    fn a_model_that_reads_padding_is_left_alone() {
        let every = || Lstm::new(1, 2).return_sequences(true);
        let short = || Sequences::from(Array3::ones((2, 4, 1))).with_lengths(&[1, 2]).unwrap();
        let models: [Vec<Layer>; 4] = [
            vec![every().into(), LastStep::new().into()],
            vec![every().go_backwards(true).into()],
            vec![every().into(), Masking::new(0.0).into(), Lstm::new(2, 2).into()],
            vec![Masking::new(1.0).into(), Masking::new(0.0).into(), every().into()],
        ];
        for model in models {
            assert_eq!(spans_of(model, short()), [4, 4]);
        }
        assert_eq!(
            spans_of(vec![Lstm::new(1, 2).go_backwards(true).into()], short()),
            [1, 2]
        );
    }
}
