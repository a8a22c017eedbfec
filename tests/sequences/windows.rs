//! A series cut into windows and targets.

use cellstate::{Error, Windows, windows};
use ndarray::{Array2, Axis, Slice};
use proptest::prelude::*;

use crate::{HUGE, assert_size, counting};

#[test]
fn windows_are_counted_from_the_front() {
    let series = counting(10, 2);
    let Windows { inputs, targets } = windows(series.view(), 4, 3, 2).unwrap();
    assert_eq!(
        (inputs.batch(), inputs.time_steps(), inputs.features()),
        (2, 4, Some(2))
    );
    assert_eq!(targets.dim(), (2, 2, 2));
    assert_eq!(inputs.values().unwrap()[[1, 0, 0]], series[[3, 0]]);
    assert_eq!(targets[[1, 1, 1]], series[[8, 1]]);
    assert!(inputs.mask().is_none());
    // Exactly one window fits; nothing to predict is allowed.
    assert_eq!(windows(series.view(), 9, 1, 1).unwrap().inputs.batch(), 1);
    let whole = windows(series.view(), 10, usize::MAX, 0).unwrap();
    assert_eq!((whole.inputs.batch(), whole.targets.dim()), (1, (1, 0, 2)));
    // Columns of a larger table, NaN included.
    let mut table = counting(6, 3).reversed_axes();
    table[[0, 1]] = f32::NAN;
    let gaps = windows(table.t(), 2, 2, 1).unwrap();
    assert_eq!(gaps.inputs.mask_missing().unwrap().lengths(), [1, 2]);
    // No features: nothing to copy.
    assert_eq!(
        windows(Array2::zeros((5, 0)).view(), 2, 1, 1).unwrap().inputs.batch(),
        3
    );
}

#[test]
fn windows_that_cannot_be_are_explained() {
    let series = counting(10, 2);
    for (length, stride, argument) in [(0, 1, "length"), (1, 0, "stride"), (0, 0, "length")] {
        let error = windows(series.view(), length, stride, 1).unwrap_err();
        assert!(
            matches!(&error, Error::Value { argument: found, .. } if found == argument),
            "{error:?}"
        );
    }
    let short = |length, horizon| windows(series.view(), length, 1, horizon);
    assert_size(
        short(8, 3),
        &[
            "at least 11 time steps (length 8 + horizon 3)",
            "got 10",
            "[10, 2]",
            "shorter",
        ],
    );
    assert_size(
        windows(series.t(), 4, 1, 1),
        &["at least 5", "got 2", "reversed_axes()"],
    );
    assert_size(windows(Array2::zeros((0, 1)).view(), 3, 1, 1), &["at least 4", "got 0"]);
    for huge in HUGE {
        assert_size(short(huge, 1), &["series"]);
        assert_size(short(1, huge), &["series"]);
        assert_size(short(huge, huge), &["series"]);
        assert_eq!(windows(series.view(), 4, huge, 1).unwrap().inputs.batch(), 1);
    }
    // A view that claims more steps than any memory holds.
    let one = counting(1, 1);
    let claimed = one.broadcast((1 << 61, 1)).unwrap();
    let error = windows(claimed, 1 << 20, 1, 1).unwrap_err();
    assert!(
        matches!(error, Error::Memory { .. }) && error.to_string().contains("larger stride"),
        "{error}"
    );
}

proptest! {
    #[test]
    fn targets_follow_their_inputs(
        time_steps in 0_usize..40,
        features in 0_usize..3,
        length in 1_usize..12,
        stride in 1_usize..9,
        horizon in 0_usize..6,
    ) {
        let series = counting(time_steps, features);
        let starts: Vec<usize> =
            (0..time_steps).step_by(stride).filter(|start| start + length + horizon <= time_steps).collect();
        match windows(series.view(), length, stride, horizon) {
            Err(error) => {
                prop_assert!(starts.is_empty());
                let short = matches!(error, Error::Size { .. });
                prop_assert!(short);
            }
            Ok(Windows { inputs, targets }) => {
                prop_assert_eq!(inputs.batch(), starts.len());
                prop_assert_eq!(targets.dim(), (starts.len(), horizon, features));
                for (window, start) in starts.into_iter().enumerate() {
                    let middle = start + length;
                    let (input, target) = (inputs.values().unwrap(), targets.index_axis(Axis(0), window));
                    prop_assert_eq!(
                        input.index_axis(Axis(0), window),
                        series.slice_axis(Axis(0), Slice::from(start..middle))
                    );
                    prop_assert_eq!(target, series.slice_axis(Axis(0), Slice::from(middle..middle + horizon)));
                }
            }
        }
    }
}
