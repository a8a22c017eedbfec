//! Cutting one long series into windows to learn a forecast from.

use ndarray::{Array3, ArrayView2, Axis, Dim, Slice};

use super::Sequences;
use crate::memory;
use crate::{Error, Result};

/// The windows of a series, and what came after each: what [`windows()`] gives.
///
/// ```
/// # use cellstate::{Windows, windows};
/// # use ndarray::Array2;
/// let Windows { inputs, targets } = windows(Array2::zeros((100, 2)).view(), 20, 10, 5)?;
/// assert_eq!((inputs.batch(), inputs.time_steps(), inputs.features()), (8, 20, Some(2)));
/// assert_eq!(targets.dim(), (8, 5, 2));
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Windows {
    /// The windows, (batch, length, features), without a mask.
    pub inputs: Sequences<'static>,
    /// The steps right after each window, (batch, horizon, features).
    pub targets: Array3<f32>,
}

/// Cuts `series` (time_steps, features) into windows of `length` steps, each with the `horizon` steps that follow it.
///
/// Input `i` is `series[i * stride .. i * stride + length]`, target `i` the `horizon` steps right after it, all features
/// of them. There are as many windows as have their whole target inside the series:
/// `(time_steps - length - horizon) / stride + 1`, rounded down. All numbers are time steps. With `horizon` 0 the targets
/// are (batch, 0, features).
///
/// NaN is copied like any other value: for a series with gaps call [`Sequences::mask_missing`] on the inputs.
///
/// # Not quite Keras
///
/// `keras.utils.timeseries_dataset_from_array` leaves the targets to the caller, and its `targets[i]` belongs to the
/// window that *starts* at `i`: passing the series itself as targets trains a network to repeat the first step of its
/// window. What this function gives for `horizon` 1 is, in Keras 3.15, `timeseries_dataset_from_array(series,
/// series[length:], length, sequence_stride=stride)`. There is no `sampling_rate`: take every n-th step of the series
/// first, with `series.slice(s![..;n, ..])`. Batches and shuffling belong to training, not to the windows.
///
/// # Errors
///
/// [`Error::Value`] if `length` or `stride` is 0; [`Error::Size`] if the series is too short for one window and its
/// target; [`Error::Memory`] if the windows do not fit into memory (they are copies, so they take about
/// `length / stride` times the memory of the series).
///
/// ```
/// use cellstate::windows;
/// use ndarray::{Array2, array};
///
/// let series = Array2::from_shape_fn((6, 1), |(step, _)| step as f32);   // 0 1 2 3 4 5
/// let windows = windows(series.view(), 3, 2, 1)?;
/// assert_eq!(windows.inputs.values(), Some(array![[[0.0], [1.0], [2.0]], [[2.0], [3.0], [4.0]]].view()));
/// assert_eq!(windows.targets, array![[[3.0]], [[5.0]]]);
/// # Ok::<(), cellstate::Error>(())
/// ```
pub fn windows(series: ArrayView2<'_, f32>, length: usize, stride: usize, horizon: usize) -> Result<Windows> {
    at_least_one("length", length)?;
    at_least_one("stride", stride)?;
    let (time_steps, features) = series.dim();
    // Wider than usize, so that the message can name the number of steps whatever was asked for.
    let needed = length as u128 + horizon as u128;
    let Some(spare) = usize::try_from(needed)
        .ok()
        .and_then(|needed| time_steps.checked_sub(needed))
    else {
        return Err(Error::Size {
            argument: "series".to_owned(),
            expected: format!("at least {needed} time steps (length {length} + horizon {horizon})"),
            found: format!("{time_steps} (shape {:?}, axes (time_steps, features))", series.shape()),
            repair: if features as u128 >= needed {
                "the axes look swapped: call reversed_axes()".to_owned()
            } else {
                "take shorter windows, a shorter horizon, or a longer series".to_owned()
            },
        });
    };
    // At most time_steps windows, so this cannot overflow: length is at least 1.
    let batch = spare / stride + 1;

    let repair = "take a larger stride, or cut the series into parts";
    let mut inputs = memory::zeros("the windows", Dim([batch, length, features]), repair)?;
    let mut targets = memory::zeros("the targets", Dim([batch, horizon, features]), repair)?;
    copy_windows(series, 0, stride, &mut inputs);
    copy_windows(series, length, stride, &mut targets);
    Ok(Windows {
        inputs: inputs.into(),
        targets,
    })
}

/// Copies `series[start + i * stride ..]` into window `i`, as many steps as a window has.
fn copy_windows(series: ArrayView2<'_, f32>, start: usize, stride: usize, windows: &mut Array3<f32>) {
    // Without elements there is nothing to copy, however many windows there are.
    if windows.is_empty() {
        return;
    }
    let length = windows.len_of(Axis(1));
    // The caller has counted the windows: the last one ends inside the series.
    for (index, mut window) in windows.outer_iter_mut().enumerate() {
        let from = start + index * stride;
        window.assign(&series.slice_axis(Axis(0), Slice::from(from..from + length)));
    }
}

fn at_least_one(argument: &str, value: usize) -> Result<()> {
    if value > 0 {
        return Ok(());
    }
    Err(Error::Value {
        argument: argument.to_owned(),
        expected: "at least 1 time step".to_owned(),
        found: "0".to_owned(),
        repair: match argument {
            "length" => "give the number of steps that the network is to see",
            _ => "give 1 for a window at every step, or the length for windows that do not overlap",
        }
        .to_owned(),
    })
}
