//! Sequences of different lengths made into one batch.

use cellstate::{Error, Padding, Sequences, Side};
use ndarray::{Array2, ArrayView2, Axis, Slice, array};
use proptest::prelude::*;

use crate::{HUGE, assert_size, counting};

/// The values that `keras.utils.pad_sequences` gives for the same lists.
#[test]
fn padding_is_that_of_keras() {
    let lists: [&[i32]; 4] = [&[1, 2, 3, 4], &[5], &[], &[6, 7]];
    let pad = |padding: Padding| Sequences::pad_tokens(lists, &padding).unwrap();
    let keras = pad(Padding::keras());
    assert_eq!(
        keras.tokens().unwrap(),
        array![[1, 2, 3, 4], [0, 0, 0, 5], [0, 0, 0, 0], [0, 0, 6, 7]]
    );
    assert_eq!(keras.lengths(), [4, 1, 0, 2]);
    assert_eq!(keras.mask().unwrap().view().row(3).to_vec(), [false, false, true, true]);
    let cut = pad(Padding::keras().max_length(3).value(-1.0));
    assert_eq!(
        cut.tokens().unwrap(),
        array![[2, 3, 4], [-1, -1, 5], [-1, -1, -1], [-1, 6, 7]]
    );
    let both = pad(Padding::default().max_length(3));
    assert_eq!(
        both.tokens().unwrap(),
        array![[1, 2, 3], [5, 0, 0], [0, 0, 0], [6, 7, 0]]
    );
    assert_eq!(both.lengths(), [3, 1, 0, 2]);
    let mixed = pad(Padding::default().side(Side::Before).max_length(2));
    assert_eq!(mixed.tokens().unwrap(), array![[1, 2], [0, 5], [0, 0], [6, 7]]);
    let wide = pad(Padding::default().truncate(Side::Before).max_length(5));
    assert_eq!(wide.time_steps(), 5);
    assert_eq!(pad(Padding::default().max_length(0)).lengths(), [0; 4]);
}

#[test]
fn the_mask_comes_from_the_lengths_not_from_the_values() {
    let (zeros, ones) = (Array2::<f32>::zeros((3, 1)), Array2::<f32>::ones((2, 1)));
    let batch = Sequences::pad([&zeros, &ones]).unwrap();
    assert_eq!(batch.lengths(), [3, 2]);
    let batch = Sequences::pad_with([zeros.view(), ones.view()], &Padding::default().value(f32::NAN)).unwrap();
    assert!(batch.values().unwrap()[[1, 2, 0]].is_nan());
    assert_eq!(batch.lengths(), [3, 2]);
    assert_eq!(
        Sequences::pad_tokens([&[0, 0][..], &[0]], &Padding::default())
            .unwrap()
            .lengths(),
        [2, 1]
    );
}

#[test]
fn sequences_that_do_not_fit_together_are_named() {
    let (a, b, c) = (counting(5, 2), counting(3, 2), counting(2, 7));
    assert_size(
        Sequences::pad([&a, &b, &c]),
        &["sequences[2]", "2 features", "7", "[2, 7]", "reversed_axes()"],
    );
    assert_size(
        Sequences::pad([&a, &counting(4, 3)]),
        &["sequences[1]", "2 features", "[4, 3]", "same features"],
    );
    assert_size(
        Sequences::pad([&a, &Array2::zeros((0, 0))]),
        &["sequences[1]", "[0, 0]"],
    );
    let nothing: [ArrayView2<'_, f32>; 0] = [];
    assert_size(
        Sequences::pad(nothing),
        &["at least one", "empty", "Array3::zeros((0, time_steps, features))"],
    );
    // An empty sequence of the right features is a sequence.
    let batch = Sequences::pad([&Array2::zeros((0, 2)), &a]).unwrap();
    assert_eq!(batch.lengths(), [0, 5]);
    let batch = Sequences::pad([Array2::zeros((0, 2)).view()]).unwrap();
    assert_eq!((batch.batch(), batch.time_steps(), batch.features()), (1, 0, Some(2)));
    let batch = Sequences::pad([Array2::zeros((4, 0)).view()]).unwrap();
    assert_eq!((batch.lengths(), batch.features()), (vec![4], Some(0)));

    let none: [&[i32]; 0] = [];
    let batch = Sequences::pad_tokens(none, &Padding::default()).unwrap();
    assert_eq!((batch.batch(), batch.time_steps()), (0, 0));
    assert_eq!(
        Sequences::pad_tokens(none, &Padding::default().max_length(9))
            .unwrap()
            .time_steps(),
        9
    );
}

#[test]
fn tokens_are_padded_with_whole_numbers() {
    let pad = |value| Sequences::pad_tokens([&[1, 2][..], &[3]], &Padding::default().value(value));
    assert_eq!(pad(-2_147_483_648.0).unwrap().tokens().unwrap()[[1, 1]], i32::MIN);
    assert_eq!(pad(-0.0).unwrap().tokens().unwrap()[[1, 1]], 0);
    for value in [
        0.5,
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        2_147_483_648.0,
        -3e9,
        f32::MIN_POSITIVE,
    ] {
        assert!(matches!(pad(value), Err(Error::Value { .. })), "{value}");
    }
}

#[test]
fn padding_asked_for_in_full_size_must_fit() {
    let one = counting(2, 3);
    for time_steps in HUGE {
        for padding in [Padding::default(), Padding::keras().value(1.0)] {
            let padding = padding.max_length(time_steps);
            let error = Sequences::pad_with([&one, &one], &padding).unwrap_err();
            assert!(matches!(error, Error::Memory { .. }), "{error:?}");
            assert!(error.to_string().contains("max_length"), "{error}");
            assert!(Sequences::pad_tokens([&[1][..], &[2], &[3]], &padding).is_err());
            assert!(Sequences::pad_with([&Array2::zeros((2, 0)); 4], &padding).is_err());
            let none: [&[i32]; 0] = [];
            drop(Sequences::pad_tokens(none, &padding));
        }
    }
}

fn ragged() -> impl Strategy<Value = (usize, Vec<Array2<f32>>)> {
    (0_usize..4).prop_flat_map(|features| {
        let one = (0_usize..7).prop_flat_map(move |steps| {
            prop::collection::vec(-2_i8..3, steps * features)
                .prop_map(move |v| Array2::from_shape_fn((steps, features), |(s, f)| f32::from(v[s * features + f])))
        });
        (Just(features), prop::collection::vec(one, 1..6))
    })
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Before), Just(Side::After)]
}

proptest! {
    #[test]
    fn the_mask_of_a_padded_batch_gives_the_sequences_back(
        (features, sequences) in ragged(),
        side in side(),
        truncate in side(),
        max_length in prop::option::of(0_usize..9),
        value in prop_oneof![Just(0.0), Just(1.0), Just(f32::NAN)],
    ) {
        let mut padding = Padding::default().side(side).truncate(truncate).value(value);
        padding.max_length = max_length;
        let batch = Sequences::pad_with(&sequences, &padding).unwrap();
        let longest = sequences.iter().map(Array2::nrows).max().unwrap();
        prop_assert_eq!(batch.time_steps(), max_length.unwrap_or(longest));
        prop_assert_eq!(batch.features(), Some(features));
        let (values, mask) = (batch.values().unwrap(), batch.mask().unwrap().view());
        for (row, sequence) in sequences.iter().enumerate() {
            let kept = sequence.nrows().min(batch.time_steps());
            prop_assert_eq!(batch.lengths()[row], kept);
            let from = if truncate == Side::Before { sequence.nrows() - kept } else { 0 };
            let wanted = sequence.slice_axis(Axis(0), Slice::from(from..from + kept));
            let real: Vec<usize> = (0..batch.time_steps()).filter(|&step| mask[[row, step]]).collect();
            let found = values.index_axis(Axis(0), row).select(Axis(0), &real);
            prop_assert_eq!(found, wanted);
            if kept > 0 {
                let at_the_end = side == Side::Before;
                prop_assert_eq!(real[0], if at_the_end { batch.time_steps() - kept } else { 0 });
            }
            for step in (0..batch.time_steps()).filter(|step| !real.contains(step)) {
                for &padded in values.index_axis(Axis(0), row).row(step) {
                    prop_assert!(padded == value || padded.is_nan() && value.is_nan());
                }
            }
        }
    }
}
