//! The directions of a layer on the way back. Scan and steps of both are one dispatch each, as forward: `wgpu` drains the GPU between two dispatches.
//! The products over all rows fill a GPU by themselves.

use crate::error::Result;
use crate::gpu::stage::interface::at;
use crate::gpu::training::recorder::Recorder;
use crate::gpu::training::recurrence::{OfRows, RecurrenceBack, Shared};
use crate::gpu::training::weights::Tensor;

/// Records everything of the directions that go back together. The gradients of the rows that were read are left where `gathered` has them.
pub(super) fn record(recorder: &mut Recorder<'_>, together: &[RecurrenceBack<'_>]) -> Result<()> {
    let Some(first) = together.first().filter(|way| way.schedule.rows() > 0) else {
        return Ok(());
    };
    let of_rows = together.iter().map(|way| way.of_rows(recorder));
    let of_rows: Vec<OfRows> = of_rows.collect::<Result<_>>()?;
    for (way, of_rows) in together.iter().zip(&of_rows) {
        way.lanes_again(recorder, of_rows);
    }
    // what the first of them binds holds the others' too
    let of_first = at(&of_rows, 0)?;
    let shared = Shared::of(recorder, together)?;
    first.scan(recorder, (of_first, &shared));
    match first.cell.obstacle().is_none() && first.left_of_state.is_none() {
        true => first.steps(recorder, (of_first, &shared))?,
        false => first.steps_rowwise(recorder, of_first)?,
    }
    for (way, of_rows) in together.iter().zip(&of_rows) {
        way.sum_up(recorder, of_rows)?;
        way.gather_back(recorder, of_rows)?;
    }
    Ok(())
}

impl Shared {
    fn of(recorder: &mut Recorder<'_>, together: &[RecurrenceBack<'_>]) -> Result<Self> {
        let first = at(together, 0)?;
        let values = first.columns() * first.cell.units;
        let kernels = together.iter().map(|way| Some(way.tensors.recurrent_kernel));
        let peepholes = together.iter().map(|way| way.tensors.peepholes);
        let mut side_by_side = |name, tensors: Vec<Option<&Tensor>>, values| {
            let tensors: Vec<&wgpu::Buffer> = tensors.into_iter().flatten().map(|tensor| &tensor.values).collect();
            match tensors[..] {
                [] => Ok(recorder.nothing()),
                [one] => Ok(one.clone()),
                _ => recorder.side_by_side((name, first.place.first_cell), values, &tensors),
            }
        };
        Ok(Self {
            recurrent_kernel: side_by_side("recurrent kernels", kernels.collect(), values)?,
            unit_weights: side_by_side("peepholes", peepholes.collect(), 3 * first.cell.units)?,
        })
    }
}
