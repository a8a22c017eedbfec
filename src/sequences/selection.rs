//! Some sequences of a batch as a batch of their own.

use ndarray::{Array, ArrayView, Axis, RemoveAxis};

use super::{Data, Mask, Sequences};
use crate::error::{Error, Result};
use crate::memory::Purpose;

pub(super) const BATCH: Purpose = Purpose {
    what: "a batch of examples",
    repair: "take fewer sequences in a batch",
};

impl Sequences<'_> {
    /// The same batch, borrowed; only a mask is copied.
    pub(crate) fn view(&self) -> Sequences<'_> {
        let data = match &self.data {
            Data::Values(values) => Data::Values(values.view().into()),
            Data::Tokens(tokens) => Data::Tokens(tokens.view().into()),
            Data::Nested(nest) => Data::Nested(nest.view()),
        };
        Sequences {
            data,
            mask: self.mask.clone(),
        }
    }

    /// The sequences of these numbers in this order, of each the first `time_steps`.
    pub(crate) fn select(&self, rows: &[usize], time_steps: usize) -> Result<Sequences<'static>> {
        let data = match &self.data {
            Data::Values(values) => Data::Values(selected(values.view(), rows, time_steps)?.into()),
            Data::Tokens(tokens) => Data::Tokens(selected(tokens.view(), rows, time_steps)?.into()),
            Data::Nested(nest) => Data::Nested(nest.select(rows, time_steps)?),
        };
        let mask = self.mask.as_ref().map(|mask| selected(mask.view(), rows, time_steps));
        Ok(Sequences {
            data,
            mask: mask.transpose()?.map(Mask::from),
        })
    }
}

fn selected<T: Clone + Default, D: RemoveAxis>(
    mut from: ArrayView<'_, T, D>,
    rows: &[usize],
    time_steps: usize,
) -> Result<Array<T, D>> {
    let time_steps = time_steps.min(from.len_of(Axis(1)));
    from.slice_axis_inplace(Axis(1), (..time_steps).into());
    let mut size = from.raw_dim();
    if let Some(first) = size.slice_mut().first_mut() {
        *first = rows.len();
    }
    let mut made = BATCH.array(size)?;
    for (mut to, &row) in made.outer_iter_mut().zip(rows) {
        if row >= from.len_of(Axis(0)) {
            return Err(Error::defect("the number of a sequence"));
        }
        to.assign(&from.index_axis(Axis(0), row));
    }
    Ok(made)
}
