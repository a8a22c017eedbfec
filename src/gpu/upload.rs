//! The input on its way to the GPU.

use ndarray::{ArrayView3, Axis};

use crate::error::Result;
use crate::flow::Flow;
use crate::gpu::device::Gpu;
use crate::gpu::rows::Rows;
use crate::gpu::stage::interface::defect;
use crate::memory::RUN;

/// Uploads the rows of the input that are read. Padding is not among them.
pub(crate) fn upload_input(gpu: &Gpu, rows: &Rows, flow: &Flow, values: ArrayView3<'_, f32>) -> Result<()> {
    let (_, time_steps, _) = values.dim();
    let size = &rows.size;
    for (buffer, held) in rows.buffers.iter().zip(size.held(flow.input_steps.len())) {
        let steps = flow.input_steps.get(held).ok_or_else(defect)?;
        let mut packed = RUN.zeros::<f32>(steps.len() * size.stride)?;
        for (packed, &step) in packed.chunks_exact_mut(size.stride.max(1)).zip(steps) {
            let (sequence, time_step) = (step as usize / time_steps, step as usize % time_steps);
            let row = values.index_axis(Axis(0), sequence);
            let row = row.index_axis(Axis(0), time_step);
            packed.iter_mut().zip(row).for_each(|(packed, &value)| *packed = value);
        }
        gpu.queue().write_buffer(buffer, 0, bytemuck::cast_slice(&packed));
    }
    Ok(())
}
