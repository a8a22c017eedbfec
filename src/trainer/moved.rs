//! Sections that compute nothing: they set steps to zero or repeat them.

use ndarray::{Array3, ArrayD, IxDyn, s};

use crate::error::{Error, Result};
use crate::flow::{Flow, Input, NONE};
use crate::gradients::Upstream;
use crate::memory::{OUTPUT, RUN};

/// What a section gives that computes nothing: rows of its input, or zeros.
pub(super) fn moved(flow: &Flow, input: Input<'_>) -> Result<ArrayD<f32>> {
    let (Input::Values(values), Some(placed)) = (input, flow.outputs.first()) else {
        return Err(Error::defect("a section that computes nothing"));
    };
    let width = values.dim().2;
    // such a flow does not know how wide its rows are
    let mut shape = placed.shape.clone();
    if let Some(last) = shape.last_mut() {
        *last = width;
    }
    let mut moved: ArrayD<f32> = OUTPUT.array(IxDyn(&shape))?;
    for (mut to, step) in moved.rows_mut().into_iter().zip(steps_read(flow, values.dim().1)) {
        if let Some([sequence, time_step]) = step {
            to.assign(&values.slice(s![sequence, time_step, ..]));
        }
    }
    Ok(moved)
}

/// The gradient of its input: that of each row is the sum over the steps that are this row, in their order.
pub(super) fn moved_back(flow: &Flow, input: Input<'_>, upstream: &Upstream) -> Result<Array3<f32>> {
    let (Input::Values(values), Some(upstream)) = (input, upstream.outputs.first()) else {
        return Err(Error::defect("a section that computes nothing"));
    };
    let mut gradient: Array3<f32> = RUN.array(values.raw_dim())?;
    for (from, step) in upstream.rows().into_iter().zip(steps_read(flow, values.dim().1)) {
        if let Some([sequence, time_step]) = step {
            let mut to = gradient.slice_mut(s![sequence, time_step, ..]);
            to += &from;
        }
    }
    Ok(gradient)
}

/// For each row of the output of a flow without stages the step of the input that it is; `None` for zeros.
fn steps_read(flow: &Flow, time_steps: usize) -> impl Iterator<Item = Option<[usize; 2]>> + '_ {
    let index = flow.outputs.iter().take(1).flat_map(|placed| &placed.gather.index);
    let time_steps = time_steps.max(1);
    index.map(move |&row| {
        let step = flow.input_steps.get(row as usize).filter(|_| row != NONE)?;
        Some([*step as usize / time_steps, *step as usize % time_steps])
    })
}
