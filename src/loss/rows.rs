//! Targets in the order of the outputs' steps.

use ndarray::{ArrayBase, ArrayView3, ArrayViewD, Axis, Ix3, IxDyn, RawData};

use super::targets::Targets;
use crate::error::{Error, Result};

/// What a loss or a metric wants for each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A number for each feature.
    Numbers,
    /// The number of a class.
    Class,
}

/// Targets as (batch, time_steps, numbers of a step), whatever their shape was.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rows<'a> {
    Numbers(ArrayView3<'a, f32>),
    Classes(ArrayView3<'a, i32>),
}

impl<'a> Rows<'a> {
    /// The targets of outputs of this shape, which has two or three axes.
    pub(crate) fn new(targets: &'a Targets<'_>, outputs: &[usize], wanted: Wanted) -> Result<Self> {
        let rows = match targets {
            Targets::Numbers(array) => arranged(array.view(), outputs, wanted).map(Self::Numbers),
            Targets::Classes(array) => arranged(array.view(), outputs, wanted).map(Self::Classes),
        };
        rows.ok_or_else(|| unfit(targets.shape(), outputs, wanted))
    }

    /// Copies the numbers of a step, which there is.
    pub(crate) fn copy(&self, sequence: usize, time_step: usize, to: &mut [f64]) {
        match self {
            Self::Numbers(rows) => copy(rows, sequence, time_step, to, f64::from),
            Self::Classes(rows) => copy(rows, sequence, time_step, to, f64::from),
        }
    }

    /// Copies the numbers of a step, which there is, as a device takes them.
    pub(crate) fn copy_single(&self, sequence: usize, time_step: usize, to: &mut [f32]) {
        match self {
            Self::Numbers(rows) => copy(rows, sequence, time_step, to, |number| number),
            Self::Classes(rows) => copy(rows, sequence, time_step, to, |class| class as f32),
        }
    }

    /// The first number of a step.
    pub(crate) fn first(&self, sequence: usize, time_step: usize) -> Option<f64> {
        let place = [sequence, time_step, 0];
        match self {
            Self::Numbers(rows) => rows.get(place).copied().map(f64::from),
            Self::Classes(rows) => rows.get(place).copied().map(f64::from),
        }
    }
}

/// Copies a row of an array, which there is.
pub(crate) fn copy<A: Copy, B>(
    rows: &ArrayView3<'_, A>,
    sequence: usize,
    time_step: usize,
    to: &mut [B],
    as_wanted: impl Fn(A) -> B,
) {
    let row = rows.index_axis(Axis(0), sequence);
    let row = row.index_axis(Axis(0), time_step);
    match row.as_slice() {
        Some(row) => to.iter_mut().zip(row).for_each(|(to, from)| *to = as_wanted(*from)),
        None => to.iter_mut().zip(row).for_each(|(to, from)| *to = as_wanted(*from)),
    }
}

/// (batch, features) as one time step, (batch, 1, features); (batch, time_steps, features) as it is.
pub(crate) fn with_time_steps<S: RawData>(array: ArrayBase<S, IxDyn>) -> Option<ArrayBase<S, Ix3>> {
    let array = if array.ndim() == 2 {
        array.insert_axis(Axis(1))
    } else {
        array
    };
    array.into_dimensionality::<Ix3>().ok()
}

/// Targets with the axes of the outputs, if they fit.
fn arranged<'a, A>(mut targets: ArrayViewD<'a, A>, outputs: &[usize], wanted: Wanted) -> Option<ArrayView3<'a, A>> {
    let (&features, steps) = outputs.split_last()?;
    let width = if wanted == Wanted::Class { 1 } else { features };
    let axes = outputs.len();
    if width == 1 && targets.shape() == steps {
        targets = targets.insert_axis(Axis(steps.len()));
    } else if wanted == Wanted::Numbers && targets.ndim() == axes + 1 && targets.shape().last() == Some(&1) {
        targets = targets.index_axis_move(Axis(axes), 0);
    }
    let (&last, before) = targets.shape().split_last()?;
    match before == steps && last == width {
        true => with_time_steps(targets),
        false => None,
    }
}

fn unfit(targets: &[usize], outputs: &[usize], wanted: Wanted) -> Error {
    let (&features, steps) = outputs.split_last().unwrap_or((&0, &[]));
    let (expected, repair) = match wanted {
        Wanted::Class if targets == outputs => (
            format!("the number of a class for each of the outputs' steps, {steps:?}"),
            "for targets that are probabilities or one-hot take CategoricalCrossentropy, or Metric::categorical_accuracy",
        ),
        Wanted::Class => (
            format!("the number of a class for each of the outputs' steps, {steps:?}"),
            "give as many targets as the model gives outputs; for one target a sequence, let the last recurrent layer give \
             its last output alone (return_sequences(false))",
        ),
        Wanted::Numbers if targets == steps && features > 1 => (
            format!("the shape of the outputs, {outputs:?}"),
            "for targets that are class numbers take SparseCategoricalCrossentropy, or Metric::sparse_categorical_accuracy; else \
             let the last layer give one feature",
        ),
        Wanted::Numbers => (
            format!("the shape of the outputs, {outputs:?}"),
            "give a target for each output; for one target a sequence, let the last recurrent layer give its last output \
             alone (return_sequences(false))",
        ),
    };
    Error::Size {
        argument: "targets".to_owned(),
        expected,
        found: format!("{targets:?}"),
        repair: repair.to_owned(),
    }
}
