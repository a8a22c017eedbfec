//! The sequences of a batch, each with its labels and its weight.

use ndarray::{ArrayD, ArrayView2, ArrayView3, ArrayViewD, ArrayViewMut2, ArrayViewMut3, Axis, Ix2, Ix3, IxDyn};
use rayon::prelude::*;

use super::Ctc;
use super::alignments::Alignments;
use super::labels::Labels;
use crate::error::{Error, Result};
use crate::loss::steps::{LOSS, SHARE, Totals, checked_weight, size, spread};
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
        if let Some(mask) = mask.filter(|mask| mask.dim() != (batch, time_steps)) {
            let repair = "give the mask of the outputs";
            return Err(size("mask", &format!("[{batch}, {time_steps}]"), mask.shape(), repair));
        }
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
        let outputs = one.broadcast(IxDyn(outputs));
        let outputs = outputs.ok_or_else(|| Error::defect("the shape of an output"))?;
        Batch::new(loss, outputs, targets, None, weights).map(|_| ())
    }

    /// The sums over the sequences; the gradient of their mean becomes `gradient`. Each sequence is one thread's, and they are added up in their
    /// order: the threads change no bit.
    pub(crate) fn sum(&self, gradient: Option<&mut ArrayD<f32>>) -> Result<Totals> {
        let (batch, ..) = self.outputs.dim();
        let mut steps: Vec<Vec<usize>> = LOSS.list(batch)?;
        for sequence in 0..batch {
            steps.push(self.steps_of(sequence)?);
        }
        let count = steps.iter().filter(|steps| !steps.is_empty()).count();
        let share = 1.0 / count.max(1) as f64;
        let mut rows = gradient.map(|gradient| self.room_of(gradient)).transpose()?;
        let mut jobs = LOSS.list(batch)?;
        match &mut rows {
            Some(rows) => jobs.extend(rows.outer_iter_mut().map(Some)),
            None => jobs.resize_with(batch, || None),
        }
        let run = |(sequence, (gradient, steps)): (usize, (Option<ArrayViewMut2<'_, f32>>, &Vec<usize>))| {
            self.sequence(sequence, steps, share, gradient)
        };
        let mut sums: Vec<Result<[f64; 2]>> = LOSS.list(batch)?;
        if self.outputs.len() < SHARE {
            sums.extend(jobs.into_iter().zip(&steps).enumerate().map(run));
        } else {
            sums.par_extend(jobs.into_par_iter().zip(&steps).enumerate().map(run));
        }
        let mut totals = Totals {
            sum: 0.0,
            weight: 0.0,
            steps: count,
            batch,
        };
        for sums in sums {
            let [sum, weight] = sums?;
            totals.sum += sum;
            totals.weight += weight;
        }
        Ok(totals)
    }

    /// The gradient with the shape of the outputs.
    fn room_of<'g>(&self, gradient: &'g mut ArrayD<f32>) -> Result<ArrayViewMut3<'g, f32>> {
        if gradient.shape() != self.outputs.shape() {
            *gradient = LOSS.array(IxDyn(self.outputs.shape()))?;
        }
        let rows = gradient.view_mut().into_dimensionality::<Ix3>();
        rows.map_err(|_| Error::defect("the gradient of a loss"))
    }

    /// The time steps of a sequence that count.
    fn steps_of(&self, sequence: usize) -> Result<Vec<usize>> {
        let time_steps = self.outputs.len_of(Axis(1));
        let counts = |step: &usize| {
            self.mask
                .as_ref()
                .is_none_or(|mask| mask.get((sequence, *step)) == Some(&true))
        };
        LOSS.collected((0..time_steps).filter(counts))
    }

    /// The loss of a sequence, multiplied by its weight, and this.
    fn sequence(
        &self,
        sequence: usize,
        steps: &[usize],
        share: f64,
        mut gradient: Option<ArrayViewMut2<'_, f32>>,
    ) -> Result<[f64; 2]> {
        if let Some(gradient) = &mut gradient {
            gradient.fill(0.0);
        }
        if steps.is_empty() {
            return Ok([0.0; 2]);
        }
        let given = self.weights.as_ref().and_then(|weights| weights.get((sequence, 0)));
        let weight = checked_weight(given.copied(), || format!("sequence {sequence}"))?;
        if weight == 0.0 {
            return Ok([0.0; 2]);
        }
        let labels = self.labels_of(sequence)?;
        let (needed, there) = (labels.needed(), steps.len());
        if needed > there {
            return match self.loss.zero_infinity {
                true => Ok([0.0, weight]),
                false => Err(too_short(sequence, needed, there)),
            };
        }
        let factor = match self.loss.divides_by_labels {
            true => weight / labels.count().max(1) as f64,
            false => weight,
        };
        let ways = Alignments::new(self.outputs.index_axis(Axis(0), sequence), steps, &labels)?;
        if let Some(gradient) = gradient {
            ways.gradient(factor * share, gradient)?;
        }
        Ok([factor * ways.loss(), weight])
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
