//! Masks from lengths, booleans and values.

use cellstate::{Error, Mask, Sequences};
use ndarray::{Array2, Array3, array};
use proptest::prelude::*;

use crate::{HUGE, assert_size};

#[test]
fn lengths_are_checked() {
    let batch = Sequences::from(Array3::<f32>::zeros((3, 15, 1)));
    assert_eq!(batch.clone().with_lengths(&[15, 0, 12]).unwrap().lengths(), [15, 0, 12]);
    assert_size(
        batch.clone().with_lengths(&[15, 10]),
        &["3 lengths", "got 2", "0 for one without any"],
    );
    assert_size(batch.clone().with_lengths(&[]), &["3 lengths", "got 0"]);
    assert_size(
        batch.clone().with_lengths(&[3; 15]),
        &["3 lengths", "got 15", "swap_axes(0, 1)"],
    );
    for length in [16, usize::MAX] {
        let error = batch.clone().with_lengths(&[15, length, 99]).unwrap_err();
        assert!(matches!(error, Error::Length { sequence: 1, time_steps: 15, length: found, .. } if found == length));
        assert!(
            error.to_string().starts_with("lengths[1]: expected at most 15"),
            "{error}"
        );
    }
}

#[test]
fn masks_are_checked() {
    let batch = Sequences::from(Array3::<f32>::zeros((2, 3, 5)));
    let mask = array![[true, false, true], [false, false, false]];
    let masked = batch.clone().with_mask(mask.clone()).unwrap();
    assert_eq!(masked.mask().unwrap().view(), mask);
    assert_eq!(masked.lengths(), [2, 0]);
    assert_size(
        batch.clone().with_mask(mask.clone().reversed_axes()),
        &["[2, 3]", "[3, 2]", "reversed_axes()"],
    );
    assert_size(
        batch.clone().with_mask(Array2::default((2, 4))),
        &["[2, 3]", "[2, 4]", "true where it counts"],
    );
    assert_size(batch.clone().with_mask(Array2::default((0, 0))), &["[2, 3]", "[0, 0]"]);
    // A later mask takes the place of an earlier one.
    assert_eq!(masked.with_lengths(&[1, 2]).unwrap().lengths(), [1, 2]);
    let tokens = Sequences::from(array![[1, 0], [0, 0]])
        .with_mask(array![[true, false], [false, true]])
        .unwrap();
    assert_eq!(tokens.lengths(), [1, 1]);
}

#[test]
fn a_mask_asked_for_in_full_size_must_fit() {
    for time_steps in HUGE {
        let error = Mask::from_lengths(&[1, 2, 3, 4], time_steps).unwrap_err();
        assert!(matches!(error, Error::Memory { .. }), "{error:?}");
        assert_eq!(Mask::from_lengths(&[], 0).unwrap().valid_steps(), 0);
        // Without a sequence nothing is asked for, unless the array itself cannot be described.
        if let Ok(mask) = Mask::from_lengths(&[], time_steps) {
            assert_eq!((mask.batch(), mask.time_steps()), (0, time_steps));
        }
    }
    // A view can claim any size over one element.
    let claimed = Array3::<f32>::zeros((1, 1, 1));
    let claimed = claimed.broadcast((1, 1 << 61, 1)).unwrap();
    let batch = Sequences::from(claimed);
    assert!(matches!(batch.clone().with_lengths(&[1]), Err(Error::Memory { .. })));
    assert!(matches!(batch.clone().with_mask_value(0.0), Err(Error::Memory { .. })));
    assert!(matches!(batch.mask_missing(), Err(Error::Memory { .. })));
}

#[test]
fn a_step_counts_if_any_feature_differs() {
    let values = array![
        [[0.0, -0.0], [0.0, 1.0], [f32::NAN, 0.0]],
        [[f32::NAN, f32::NAN], [-0.0, -0.0], [2.0, 0.0]]
    ];
    for zero in [0.0, -0.0] {
        let batch = Sequences::from(&values).with_mask_value(zero).unwrap();
        assert_eq!(
            batch.mask().unwrap().view(),
            array![[false, true, true], [true, false, true]]
        );
        assert_eq!(batch.values().unwrap().as_ptr(), values.as_ptr());
    }
    let infinite = Sequences::from(array![[[f32::INFINITY], [f32::NEG_INFINITY]]]);
    assert_eq!(infinite.clone().with_mask_value(f32::INFINITY).unwrap().lengths(), [1]);
    assert_eq!(infinite.mask_missing().unwrap().lengths(), [2]);

    let error = Sequences::from(&values).with_mask_value(f32::NAN).unwrap_err();
    assert!(
        matches!(error, Error::Value { .. }) && error.to_string().contains("mask_missing()"),
        "{error}"
    );
    let batch = Sequences::from(&values).mask_missing().unwrap();
    assert_eq!(
        batch.mask().unwrap().view(),
        array![[true, true, false], [false, true, true]]
    );
}

#[test]
fn tokens_are_masked_by_the_embedding() {
    for result in [
        Sequences::from(array![[1, 0]]).with_mask_value(0.0),
        Sequences::from(array![[1, 0]]).mask_missing(),
    ] {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::InputKind { .. }), "{error:?}");
        assert!(error.to_string().contains("mask_zero(true)"), "{error}");
    }
}

proptest! {
    #[test]
    fn lengths_come_back_from_their_mask(lengths in prop::collection::vec(0_usize..9, 0..7)) {
        let mask = Mask::from_lengths(&lengths, 8).unwrap();
        prop_assert_eq!(mask.valid_steps(), lengths.iter().sum::<usize>());
        prop_assert_eq!(mask.lengths(), lengths);
    }
}

/// Padding stays padding when readings are missing besides.
#[test]
fn masks_by_content_narrow_the_mask_that_is_there() {
    let (long, short) = (array![[1.0], [f32::NAN], [3.0]], array![[4.0]]);
    let padded = || Sequences::pad([long.view(), short.view()]).unwrap();
    assert_eq!(padded().mask_missing().unwrap().lengths(), [2, 1]);
    assert_eq!(padded().with_mask_value(9.0).unwrap().lengths(), [3, 1]);
    assert_eq!(
        padded().with_mask_value(3.0).unwrap().mask_missing().unwrap().lengths(),
        [1, 1]
    );
    assert_eq!(
        padded()
            .mask_missing()
            .unwrap()
            .with_lengths(&[3, 3])
            .unwrap()
            .lengths(),
        [3, 3]
    );
}
