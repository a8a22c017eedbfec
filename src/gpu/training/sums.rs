//! Sums over rows, in parts of fixed sizes that are added up in their order.

use bytemuck::{Pod, Zeroable};

use crate::error::Result;
use crate::gpu::shader::{Shader, reads, writes};
use crate::gpu::training::recorder::{Matrix, Recorder, for_values};
use crate::gpu::training::texts::TYPES;

pub(crate) const PARTS: Shader = Shader {
    name: "add_parts",
    source: include_str!("../../../shaders/backward/add_parts.wgsl"),
    shared: &[TYPES],
    runs_cell: false,
    params: ("Parts", size_of::<PartsParams>()),
    bindings: &[reads("parts"), writes("sums")],
    constants: &[],
};

pub(crate) const COLUMNS: Shader = Shader {
    name: "column_sums",
    source: include_str!("../../../shaders/backward/column_sums.wgsl"),
    shared: &[TYPES],
    runs_cell: false,
    params: ("ColumnSums", size_of::<ColumnParams>()),
    bindings: &[reads("index"), reads("rows"), reads("other"), writes("sums")],
    constants: &["HAS_OTHER", "HAS_INDEX"],
};

/// Rows are cut into parts until there are so many sums,
const SUMS: usize = 16_384;

/// but into none of fewer rows.
const SMALLEST_PART: usize = 64;

/// The struct `Parts` of types.wgsl.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct PartsParams {
    count: u32,
    parts: u32,
    part_stride: u32,
    target_first: u32,
    adds: u32,
}

/// The struct `ColumnSums` of types.wgsl.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct ColumnParams {
    rows: u32,
    columns: u32,
    part: u32,
    first: u32,
    stride: u32,
    other_first: u32,
    other_stride: u32,
    index_first: u32,
}

/// Adds up so many parts of so many values each, in their order.
pub(super) fn add_parts(
    recorder: &mut Recorder<'_>,
    (sums, parts, count): (&wgpu::Buffer, usize, usize),
    (target, first): (&wgpu::Buffer, usize),
    adds: bool,
) {
    let params = PartsParams {
        count: count as u32,
        parts: parts as u32,
        part_stride: count as u32,
        target_first: first as u32,
        adds: adds.into(),
    };
    recorder.dispatch((&PARTS, &[]), &[sums, target], params, for_values(count));
}

/// The sums of the columns of some rows, (rows, columns), to a buffer from a value on; of their products with other rows, which a list may
/// name, where there are such.
pub(super) fn column_sums(
    recorder: &mut Recorder<'_>,
    (rows, [count, columns]): (Matrix<'_>, [usize; 2]),
    other: Option<(Matrix<'_>, Option<&wgpu::Buffer>)>,
    target: (&wgpu::Buffer, usize),
) -> Result<()> {
    let wanted = SUMS / columns.max(1);
    let parts = wanted.min(count / SMALLEST_PART).max(1);
    let part = count.div_ceil(parts).max(1);
    let parts = count.div_ceil(part).max(1);
    let sums = recorder.buffer(("parts", 0), parts * columns)?;
    let nothing = recorder.nothing();
    let index = other.and_then(|(_, index)| index);
    let other = other.map(|(matrix, _)| matrix);
    let params = ColumnParams {
        rows: count as u32,
        columns: columns as u32,
        part: part as u32,
        first: rows.first as u32,
        stride: rows.stride as u32,
        other_first: other.map_or(0, |other| other.first as u32),
        other_stride: other.map_or(0, |other| other.stride as u32),
        index_first: 0,
    };
    let constants = [other.is_some(), index.is_some()].map(u32::from);
    let other = other.map_or(&nothing, |other| other.buffer);
    let storage = [index.unwrap_or(&nothing), rows.buffer, other, &sums];
    recorder.dispatch((&COLUMNS, &constants), &storage, params, for_values(parts * columns));
    add_parts(recorder, (&sums, parts, columns), target, false);
    Ok(())
}
