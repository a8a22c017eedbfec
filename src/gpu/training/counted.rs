//! The rows of a list that count: those whose results something depends on.

use crate::error::Result;
use crate::gpu::shader::{Shader, reads, writes};
use crate::gpu::training::recorder::{Matrix, Recorder, for_values};
use crate::gpu::training::row_gradients::{Params, Size, params};
use crate::gpu::training::texts::TYPES;

pub(crate) const SHADER: Shader = Shader {
    name: "counted_rows",
    source: include_str!("../../../shaders/backward/counted_rows.wgsl"),
    shared: &[TYPES],
    runs_cell: false,
    params: ("RowsBack", size_of::<Params>()),
    bindings: &[reads("index"), reads("upstream"), writes("counted")],
    constants: &[],
};

/// A list without the rows whose upstream gradients are all 0. What these hold, NaN too, is read by nobody: they may be padding.
pub(super) fn counted_rows(
    recorder: &mut Recorder<'_>,
    size: Size,
    index: &wgpu::Buffer,
    upstream: Matrix<'_>,
) -> Result<wgpu::Buffer> {
    let counted = recorder.buffer(("rows that count", 0), size[0])?;
    let params = params(size, upstream, upstream);
    recorder.dispatch(
        (&SHADER, &[]),
        &[index, upstream.buffer, &counted],
        params,
        for_values(size[0]),
    );
    Ok(counted)
}
