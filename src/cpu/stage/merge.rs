//! `merge`: the outputs of two directions become one.

use super::gather::Gathered;
use crate::layer::bidirectional::MergeMode;

/// Merges rows of the forward and the backward layer into rows of `width`.
pub(crate) fn merge(mode: MergeMode, forward: Gathered<'_>, backward: Gathered<'_>, width: usize, rows: &mut [f32]) {
    let pairs = forward.index.iter().zip(backward.index);
    for (row, (&forward_row, &backward_row)) in rows.chunks_exact_mut(width.max(1)).zip(pairs) {
        let (forward, backward) = (forward.source.row(forward_row), backward.source.row(backward_row));
        let numbers = forward.iter().zip(backward);
        match mode {
            MergeMode::Concat => {
                let (first, second) = row.split_at_mut(forward.len().min(row.len()));
                first.copy_from_slice(forward);
                second.copy_from_slice(backward);
            }
            MergeMode::Sum => row.iter_mut().zip(numbers).for_each(|(to, (a, b))| *to = a + b),
            MergeMode::Multiply => row.iter_mut().zip(numbers).for_each(|(to, (a, b))| *to = a * b),
            MergeMode::Average => row.iter_mut().zip(numbers).for_each(|(to, (a, b))| *to = (a + b) * 0.5),
            MergeMode::Separate => row.copy_from_slice(forward),
        }
    }
}
