//! The sequences of a batch, each with its labels and its weight.

use ndarray::{ArrayD, ArrayView2, ArrayView3, ArrayViewD, ArrayViewMut2, Axis, Ix2, Ix3, IxDyn};

use super::Ctc;
use super::alignments::Alignments;
use super::labels::Labels;
use crate::error::{Error, Result};
use crate::loss::steps::{Job, LOSS, Totals, add_up, checked_weight, mask_fits, of_shape, size, spread};
use crate::loss::targets::Targets;

/// The sequences of a batch.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    outputs: ArrayView3<'a, f32>,
    targets: Rows<'a>,
    mask: Option<ArrayView2<'a, bool>>,
    /// (batch, 1)
    weights: Option<ArrayView2<'a, f32>>,
    loss: Ctc,
}

/// (batch, labels)
#[derive(Debug)]
enum Rows<'a> {
    Numbers(ArrayView2<'a, f32>),
    Classes(ArrayView2<'a, i32>),
}

impl<'a> Batch<'a> {
    pub(crate) fn new(
        loss: Ctc,
        outputs: ArrayViewD<'a, f32>,
        targets: &'a Targets<'_>,
        mask: Option<ArrayView2<'a, bool>>,
        weights: Option<ArrayViewD<'a, f32>>,
    ) -> Result<Self> {
        let shape = outputs.shape().to_vec();
        let outputs = outputs.into_dimensionality::<Ix3>().map_err(|_| rank(&shape))?;
        let (batch, time_steps, classes) = outputs.dim();
        if loss.blank as usize >= classes {
            return Err(no_blank(loss.blank, classes));
        }
        let rows = match targets {
            Targets::Numbers(array) => array.view().into_dimensionality::<Ix2>().map(Rows::Numbers),
            Targets::Classes(array) => array.view().into_dimensionality::<Ix2>().map(Rows::Classes),
        };
        let rows = rows.ok().filter(|_| targets.batch() == batch);
        let targets = rows.ok_or_else(|| {
            let repair = "give a row of labels for each sequence, padded with the blank at its end";
            size("targets", &format!("[{batch}, labels]"), targets.shape(), repair)
        })?;
        mask_fits(mask, (batch, time_steps))?;
        let weights = weights.map(|weights| spread(weights, batch, 1)).transpose()?;
        Ok(Self {
            outputs,
            targets,
            mask,
            weights,
            loss,
        })
    }

    /// Whether targets and weights fit outputs of this shape, whatever these are.
    pub(crate) fn check_shapes(
        loss: Ctc,
        outputs: &[usize],
        targets: &Targets<'_>,
        weights: Option<ArrayViewD<'_, f32>>,
    ) -> Result<()> {
        let one = ArrayD::<f32>::zeros(IxDyn(&[]));
        let outputs = of_shape(&one, outputs)?;
        Batch::new(loss, outputs, targets, None, weights).map(|_| ())
    }

    /// The bytes that a sequence computes in at most, which has no more labels than time steps.
    pub(crate) fn bytes_of_sequence((time_steps, classes): (usize, usize)) -> u64 {
        let (time_steps, classes) = (time_steps as u64, classes as u64);
        let places = time_steps.saturating_mul(2).saturating_add(1);
        // which time steps count, and their norms; where labels stand, and on the way back two rows of places; two rows of classes
        let rows = (time_steps.saturating_mul(2))
            .saturating_add(places.saturating_mul(3))
            .saturating_add(classes.saturating_mul(2));
        let numbers = time_steps.saturating_mul(places).saturating_add(rows);
        numbers.saturating_mul(size_of::<f64>() as u64)
    }

    /// The sums over the sequences; the gradient of their mean becomes `gradient`.
    pub(crate) fn sum(&self, gradient: Option<&mut ArrayD<f32>>) -> Result<Totals> {
        let batch = self.outputs.len_of(Axis(0));
        let count = (0..batch)
            .filter(|&sequence| self.steps_of(sequence).next().is_some())
            .count();
        let share = 1.0 / count.max(1) as f64;
        let run = |(): &mut (), (sequence, gradient): Job<'_>| self.sequence(sequence, share, gradient);
        add_up((self.outputs.shape(), count), gradient, || (), run)
    }

    /// The time steps of a sequence that count.
    fn steps_of(&self, sequence: usize) -> impl Iterator<Item = usize> {
        let counts = move |step: &usize| {
            let mask = self.mask.as_ref();
            mask.is_none_or(|mask| mask.get((sequence, *step)) == Some(&true))
        };
        (0..self.outputs.len_of(Axis(1))).filter(counts)
    }

    /// The loss of a sequence, multiplied by its weight, and this.
    fn sequence(
        &self,
        sequence: usize,
        share: f64,
        mut gradient: Option<ArrayViewMut2<'_, f32>>,
    ) -> Result<(f64, f64)> {
        if let Some(gradient) = &mut gradient {
            gradient.fill(0.0);
        }
        let mut steps = LOSS.list(self.outputs.len_of(Axis(1)))?;
        steps.extend(self.steps_of(sequence));
        if steps.is_empty() {
            return Ok((0.0, 0.0));
        }
        let given = self.weights.as_ref().and_then(|weights| weights.get((sequence, 0)));
        let weight = checked_weight(given.copied(), || format!("sequence {sequence}"))?;
        if weight == 0.0 {
            return Ok((0.0, 0.0));
        }
        let labels = self.labels_of(sequence)?;
        let (needed, there) = (labels.needed(), steps.len());
        if needed > there {
            return match self.loss.zero_infinity {
                true => Ok((0.0, weight)),
                false => Err(too_short(sequence, needed, there)),
            };
        }
        let factor = match self.loss.divides_by_labels {
            true => weight / labels.count().max(1) as f64,
            false => weight,
        };
        let ways = Alignments::new(self.outputs.index_axis(Axis(0), sequence), &steps, &labels)?;
        if ways.loss() == f64::INFINITY && self.loss.zero_infinity {
            return Ok((0.0, weight));
        }
        if let Some(gradient) = gradient {
            ways.gradient(factor * share, gradient)?;
        }
        Ok((factor * ways.loss(), weight))
    }

    fn labels_of(&self, sequence: usize) -> Result<Labels> {
        let classes = (self.outputs.len_of(Axis(2)), self.loss.blank as usize);
        match &self.targets {
            Rows::Numbers(rows) => Labels::of(rows.row(sequence).iter().map(|&label| label.into()), classes, sequence),
            Rows::Classes(rows) => Labels::of(rows.row(sequence).iter().map(|&label| label.into()), classes, sequence),
        }
    }
}

fn rank(shape: &[usize]) -> Error {
    Error::Rank {
        argument: "outputs".to_owned(),
        axes: "(batch, time_steps, classes)",
        shape: shape.to_vec(),
        repair: "let the last recurrent layer give every time step (return_sequences(true))".to_owned(),
    }
}

fn no_blank(blank: u32, classes: usize) -> Error {
    Error::Value {
        argument: "blank of Ctc".to_owned(),
        expected: format!("a class of the outputs, which have {classes}"),
        found: blank.to_string(),
        repair: "give the last layer a unit for the blank besides those of the labels, or call `blank` with its number"
            .to_owned(),
    }
}

fn too_short(sequence: usize, needed: usize, there: usize) -> Error {
    Error::Value {
        argument: "targets".to_owned(),
        expected: "labels that fit into the time steps that count, with a blank between equal neighbours".to_owned(),
        found: format!("labels that need {needed} time steps, and {there} of sequence {sequence}"),
        repair: "let the model give more time steps, leave such sequences out, or call `zero_infinity(true)`: their loss is then 0"
            .to_owned(),
    }
}
