//! Arrays into `Sequences`.

use cellstate::{Mask, Padding, Sequences, Windows};
use ndarray::{Array1, Array2, Array3, Array4, ArrayD, Axis, IxDyn, array};

use crate::{assert_rank, counting};

#[test]
fn sequences_can_be_sent_and_shared() {
    fn shared<T: Send + Sync + Clone + std::fmt::Debug>() {}
    shared::<Sequences<'static>>();
    shared::<Mask>();
    shared::<Padding>();
    shared::<Windows>();
}

#[test]
fn the_right_axes_are_taken_without_a_copy() {
    let values = Array3::<f32>::zeros((3, 4, 2));
    let at = values.as_ptr();
    assert_eq!(Sequences::from(&values).values().unwrap().as_ptr(), at);
    assert_eq!(Sequences::from(values.view()).values().unwrap().as_ptr(), at);
    let dynamic = values.view().into_dyn();
    assert_eq!(Sequences::try_from(dynamic).unwrap().values().unwrap().as_ptr(), at);
    assert_eq!(Sequences::from(values).into_owned().values().unwrap().as_ptr(), at);

    let tokens = array![[1, 2, 3]];
    let at = tokens.as_ptr();
    assert_eq!(Sequences::from(&tokens).tokens().unwrap().as_ptr(), at);
    assert_eq!(Sequences::from(tokens.view()).tokens().unwrap().as_ptr(), at);
    assert_eq!(
        Sequences::try_from(tokens.into_dyn())
            .unwrap()
            .tokens()
            .unwrap()
            .as_ptr(),
        at
    );
}

#[test]
fn any_layout_is_read_by_its_axes() {
    let time_major = Array3::from_shape_fn((4, 3, 2), |(step, row, feature)| {
        (100 * step + 10 * row + feature) as f32
    });
    let batch = Sequences::from(time_major.view().permuted_axes([1, 0, 2]));
    assert_eq!((batch.batch(), batch.time_steps(), batch.features()), (3, 4, Some(2)));
    assert_eq!(batch.values().unwrap()[[2, 3, 1]], 321.0);
    let batch = batch.with_mask_value(321.0).unwrap();
    assert_eq!(batch.lengths(), [4, 4, 4]);
}

#[test]
fn the_wrong_axes_are_named_and_repaired() {
    assert_rank(
        Sequences::try_from(Array1::<f32>::zeros(7)),
        &[7],
        &["insert_axis(Axis(0)).insert_axis(Axis(2))"],
    );
    let flat = Array2::<f32>::zeros((20, 2));
    let says = [
        "[20, 2]",
        "insert_axis(Axis(0)), giving [1, 20, 2]",
        "insert_axis(Axis(2)), giving [20, 2, 1]",
    ];
    assert_rank(Sequences::try_from(&flat), &[20, 2], &says);
    assert_rank(Sequences::try_from(flat.view()), &[20, 2], &says);
    assert_rank(Sequences::try_from(flat.clone().into_dyn()), &[20, 2], &says);
    assert_rank(Sequences::try_from(flat.view().into_dyn()), &[20, 2], &says);
    assert_rank(Sequences::try_from(&flat.clone().into_dyn()), &[20, 2], &says);
    assert_rank(Sequences::try_from(flat), &[20, 2], &says);

    let four = |shape| Sequences::try_from(Array4::<f32>::zeros(shape));
    assert_rank(
        four((3, 4, 1, 1)),
        &[3, 4, 1, 1],
        &["remove_axis(Axis(3)), giving [3, 4, 1]"],
    );
    assert_rank(
        four((3, 1, 4, 2)),
        &[3, 1, 4, 2],
        &["remove_axis(Axis(1)), giving [3, 4, 2]"],
    );
    assert_rank(
        four((1, 3, 4, 2)),
        &[1, 3, 4, 2],
        &["remove_axis(Axis(0)), giving [3, 4, 2]"],
    );
    assert_rank(
        four((2, 3, 4, 5)),
        &[2, 3, 4, 5],
        &["index_axis(Axis(3), index)", "to_shape((2, 3, 20))"],
    );
    // characters in words
    assert_rank(
        four((2, 7, 5, 3)),
        &[2, 7, 5, 3],
        &["TimeDistributed", "to_shape((14, 5, 3))"],
    );
    assert_rank(four((0, 3, 0, 5)), &[0, 3, 0, 5], &["to_shape((0, 3, 0))"]);
    let any = |shape: &[usize]| Sequences::try_from(ArrayD::<f32>::zeros(IxDyn(shape)));
    assert_rank(any(&[]), &[], &["0 axes"]);
    assert_rank(
        any(&[1, 1, 1, 1, 1]),
        &[1; 5],
        &["remove_axis(Axis(4)).remove_axis(Axis(3))"],
    );
    assert_rank(any(&[0, 1 << 31, 1 << 31, 0]), &[0, 1 << 31, 1 << 31, 0], &["to_shape"]);

    assert_rank(
        Sequences::try_from(array![1, 2, 3]),
        &[3],
        &["insert_axis(Axis(0))", "insert_axis(Axis(1))"],
    );
    assert_rank(
        Sequences::try_from(array![[[1], [2]]]),
        &[1, 2, 1],
        &["remove_axis(Axis(2)), giving [1, 2]", "f32"],
    );
    assert_rank(
        Sequences::try_from(Array3::<i32>::zeros((2, 3, 4))),
        &[2, 3, 4],
        &["index_axis(Axis(2), index)", "to_shape((6, 4))"],
    );
    assert_rank(Sequences::try_from(ArrayD::<i32>::zeros(IxDyn(&[]))), &[], &["0 axes"]);
}

/// What a message tells to do must compile and work.
#[test]
fn the_repairs_work() {
    let flat = counting(4, 2);
    assert_eq!(Sequences::from(flat.view().insert_axis(Axis(0))).features(), Some(2));
    assert_eq!(Sequences::from(flat.view().insert_axis(Axis(2))).batch(), 4);
    let single = Array4::<f32>::zeros((3, 4, 2, 1));
    assert_eq!(Sequences::from(single.view().remove_axis(Axis(3))).time_steps(), 4);
    let four = Array4::<f32>::zeros((2, 3, 4, 5));
    assert_eq!(Sequences::from(four.to_shape((2, 3, 20)).unwrap()).features(), Some(20));
    assert_eq!(Sequences::from(four.index_axis(Axis(3), 0)).features(), Some(4));
}

#[test]
fn empty_axes_are_allowed() {
    for (batch, time_steps, features) in [(0, 5, 2), (3, 0, 2), (3, 5, 0), (0, 0, 0)] {
        let make = || Sequences::from(Array3::<f32>::zeros((batch, time_steps, features)));
        assert_eq!(make().lengths(), vec![time_steps; batch]);
        assert_eq!(
            make().with_lengths(&vec![time_steps; batch]).unwrap().lengths(),
            vec![time_steps; batch]
        );
        assert_eq!(make().mask_missing().unwrap().lengths(), vec![time_steps; batch]);
        // Keras: a step counts if any feature differs, and there is none.
        let counted = if features == 0 { 0 } else { time_steps };
        assert_eq!(make().with_mask_value(1.0).unwrap().lengths(), vec![counted; batch]);
        let mask = Array2::from_elem((batch, time_steps), true);
        assert_eq!(
            make().with_mask(mask).unwrap().mask().unwrap().valid_steps(),
            batch * time_steps
        );
    }
}
