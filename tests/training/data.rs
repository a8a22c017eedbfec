//! Sequences whose sums are to be learned.

use cellstate::{Examples, Sequences};
use ndarray::{Array2, Array3, Axis};

/// A number between -1 and 1 that looks random, of three others.
pub(crate) fn noise(a: usize, b: usize, c: usize) -> f32 {
    let mixed = (a * 7919 + b * 104_729 + c * 1_299_709 + 12_345) as u64;
    let mixed = mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    mixed as f32 / (1 << 23) as f32 - 1.0
}

/// (batch, 7, 3), of lengths 1 to 7; padding holds NaN.
pub(crate) fn values(batch: usize) -> (Array3<f32>, Vec<usize>) {
    let lengths: Vec<usize> = (0..batch).map(|row| 1 + (row * 5 + 3) % 7).collect();
    let values = Array3::from_shape_fn((batch, 7, 3), |(row, step, feature)| match step < lengths[row] {
        true => noise(row, step, feature),
        false => f32::NAN,
    });
    (values, lengths)
}

/// Sequences of different lengths, and for each the mean of what counts.
pub(crate) fn examples(batch: usize) -> Examples<'static, 'static> {
    let (values, lengths) = values(batch);
    let means = values.map_axis(Axis(2), |step| step.sum());
    let targets = Array2::from_shape_fn((batch, 1), |(row, _)| {
        means.row(row).iter().take(lengths[row]).sum::<f32>() / lengths[row] as f32
    });
    Examples::new(Sequences::from(values).with_lengths(&lengths).unwrap(), targets).unwrap()
}

/// The same sequences, with a target at every time step; NaN where none counts.
pub(crate) fn every_step(batch: usize) -> Examples<'static, 'static> {
    let (values, lengths) = values(batch);
    let targets = values.map_axis(Axis(2), |step| step.sum()).insert_axis(Axis(2));
    Examples::new(Sequences::from(values).with_lengths(&lengths).unwrap(), targets).unwrap()
}
