//! The embeddings on the GPU, row by row.

use std::ops::Range;

use ndarray::{ArcArray2, Axis, s};

use crate::error::Result;
use crate::gpu::device::Gpu;
use crate::gpu::rows::Rows;
use crate::memory::WEIGHTS;

/// Writes all rows of a table.
pub(crate) fn write(gpu: &Gpu, to: &Rows, table: &ArcArray2<f32>) -> Result<()> {
    for (buffer, held) in to.buffers.iter().zip(to.size.held(table.nrows())) {
        write_rows(gpu, (buffer, to.size.stride), (table, held.clone()), held.start)?;
    }
    Ok(())
}

/// Writes the rows that differ from those that are there.
pub(crate) fn write_changed(gpu: &Gpu, to: &Rows, there: &ArcArray2<f32>, table: &ArcArray2<f32>) -> Result<()> {
    if there.as_ptr() == table.as_ptr() {
        return Ok(());
    }
    for (buffer, held) in to.buffers.iter().zip(to.size.held(table.nrows())) {
        let first = held.start;
        for rows in changed(there, table, held) {
            write_rows(gpu, (buffer, to.size.stride), (table, rows), first)?;
        }
    }
    Ok(())
}

/// Which of some rows differ, and with them those between two that stand close to each other.
fn changed(there: &ArcArray2<f32>, table: &ArcArray2<f32>, rows: Range<usize>) -> Vec<Range<usize>> {
    /// A write of its own costs as much as so many rows.
    const CLOSE: usize = 16;
    let [there, table] = [there, table].map(|table| table.slice(s![rows.clone(), ..]));
    let pairs = there.axis_iter(Axis(0)).zip(table.axis_iter(Axis(0)));
    let differ = pairs.map(|(one, other)| {
        one.iter()
            .zip(other)
            .any(|(one, other)| one.to_bits() != other.to_bits())
    });
    let mut found: Vec<Range<usize>> = Vec::new();
    for (row, _) in rows.zip(differ).filter(|(_, differs)| *differs) {
        match found.last_mut().filter(|last| row <= last.end + CLOSE) {
            Some(last) => last.end = row + 1,
            None => found.push(row..row + 1),
        }
    }
    found
}

/// Writes rows to a buffer that begins with row `first`.
fn write_rows(
    gpu: &Gpu,
    (buffer, stride): (&wgpu::Buffer, usize),
    (table, rows): (&ArcArray2<f32>, Range<usize>),
    first: usize,
) -> Result<()> {
    let mut packed = WEIGHTS.zeros::<f32>(rows.len() * stride)?;
    let begin = (rows.start - first) * stride;
    let rows = table.axis_iter(Axis(0)).skip(rows.start);
    for (packed, row) in packed.chunks_exact_mut(stride.max(1)).zip(rows) {
        packed.iter_mut().zip(row).for_each(|(packed, &value)| *packed = value);
    }
    let bytes = bytemuck::cast_slice(&packed);
    gpu.queue().write_buffer(buffer, 4 * begin as u64, bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    #[test]
    fn rows_that_differ_are_found() {
        let there = Array2::<f32>::zeros((100, 3)).into_shared();
        let mut table = there.to_owned();
        for row in [0, 16, 40, 57, 99] {
            table[[row, 1]] = 1.0;
        }
        table[[80, 2]] = -0.0;
        let table = table.into_shared();
        assert_eq!(changed(&there, &table, 0..100), [0..17, 40..58, 80..81, 99..100]);
        assert_eq!(changed(&there, &table, 41..58), vec![57..58]);
        assert!(changed(&there, &there, 0..100).is_empty());
    }
}
