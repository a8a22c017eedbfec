//! Sums over rows, in parts of fixed sizes that are added up in their order.

use bytemuck::{Pod, Zeroable};

use crate::error::Result;
use crate::gpu::rows::{most_parts, parts};
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

/// The struct `Parts` of types.wgsl.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct PartsParams {
    count: u32,
    parts: u32,
    part_stride: u32,
    target_first: u32,
    width: u32,
    target_stride: u32,
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

/// The most values of all parts of the sums of so many rows or fewer.
pub(super) fn most_sums([rows, columns]: [usize; 2]) -> u64 {
    (most_parts(rows, columns) as u64).saturating_mul(columns as u64)
}

/// Adds up so many parts of (rows, width) each, in their order.
pub(super) fn add_parts(
    recorder: &mut Recorder<'_>,
    (sums, parts, [rows, width]): (&wgpu::Buffer, usize, [usize; 2]),
    target: Matrix<'_>,
    adds: bool,
) {
    let count = rows * width;
    let params = PartsParams {
        count: count as u32,
        parts: parts as u32,
        part_stride: count as u32,
        target_first: target.first as u32,
        width: width as u32,
        target_stride: target.stride as u32,
        adds: adds.into(),
    };
    recorder.dispatch((&PARTS, &[]), &[sums, target.buffer], params, for_values(count));
}

/// The sums of the columns of some rows, (rows, columns), to a buffer from a value on; of their products with other rows, which a list may
/// name, where there are such.
pub(super) fn column_sums(
    recorder: &mut Recorder<'_>,
    (rows, [count, columns]): (Matrix<'_>, [usize; 2]),
    other: Option<(Matrix<'_>, Option<&wgpu::Buffer>)>,
    target: (&wgpu::Buffer, usize),
) -> Result<()> {
    let (parts, part) = parts(count, columns);
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
    let (target, first) = target;
    let target = Matrix::tight(target, columns).from(first);
    add_parts(recorder, (&sums, parts, [1, columns]), target, false);
    Ok(())
}
