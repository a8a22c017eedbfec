//! Targets, masks and weights that nobody should give to a loss or a metric.

use std::collections::BTreeMap;

use cellstate::{
    BinaryCrossentropy, CategoricalCrossentropy, Ctc, Error, Huber, Loss, Metric, Result,
    SparseCategoricalCrossentropy, Targets,
};
use ndarray::{Array2, ArrayD, array};

use crate::refused;

fn outputs(shape: &[usize]) -> ArrayD<f32> {
    ArrayD::from_elem(shape, 0.25)
}

fn zeros<T: Clone + Default>(shape: &[usize]) -> ArrayD<T> {
    ArrayD::from_elem(shape, T::default())
}

fn of(loss: impl Into<Loss>, shape: &[usize], targets: &Targets<'_>) -> Result<f64> {
    let value = loss.into().compute(outputs(shape).view(), targets, None, None, None)?;
    Ok(value.value())
}

fn sparse() -> SparseCategoricalCrossentropy {
    SparseCategoricalCrossentropy::new()
}

#[test]
fn shapes_that_do_not_fit() {
    let mse = Loss::MeanSquaredError;
    refused!(
        of(mse, &[3], &zeros::<f32>(&[3]).into()),
        Error::Rank { .. },
        "(batch, features)",
        "[3]"
    );
    refused!(
        of(mse, &[2, 3, 4, 5], &zeros::<f32>(&[2]).into()),
        Error::Rank { .. },
        "time_steps"
    );
    refused!(
        of(mse, &[3, 0], &zeros::<f32>(&[3, 0]).into()),
        Error::Size { .. },
        "one feature",
        "units"
    );
    for wrong in [&[][..], &[4], &[2, 4], &[3, 1], &[3, 4, 2], &[3, 4, 1, 1], &[1, 4]] {
        refused!(
            of(mse, &[3, 4], &zeros::<f32>(wrong).into()),
            Error::Size { .. },
            "[3, 4]",
            format!("{wrong:?}")
        );
    }
    // class numbers where rows are wanted, and the reverse
    let categorical = CategoricalCrossentropy::new();
    refused!(
        of(categorical, &[3, 4], &zeros::<i32>(&[3]).into()),
        Error::Size { .. },
        "SparseCategoricalCrossentropy"
    );
    refused!(
        of(sparse(), &[3, 4], &zeros::<f32>(&[3, 4]).into()),
        Error::Size { .. },
        "CategoricalCrossentropy",
        "[3]"
    );
    // one target a sequence, and outputs at every step
    refused!(
        of(sparse(), &[3, 5, 4], &zeros::<i32>(&[3]).into()),
        Error::Size { .. },
        "return_sequences(false)"
    );
    refused!(
        of(mse, &[3, 5, 4], &zeros::<f32>(&[3, 4]).into()),
        Error::Size { .. },
        "return_sequences(false)"
    );
    let mut accuracy = Metric::categorical_accuracy();
    let classes = Targets::from(zeros::<i32>(&[3]));
    refused!(
        accuracy.update(outputs(&[3, 4]).view(), &classes, None, None),
        Error::Size { .. },
        "sparse_categorical_accuracy"
    );
    assert_eq!(accuracy, Metric::categorical_accuracy());
}

#[test]
fn masks_and_weights_that_do_not_fit() {
    let (outputs, targets) = (outputs(&[3, 5, 4]), Targets::from(zeros::<f32>(&[3, 5, 4])));
    let masked =
        |mask: Array2<bool>| Loss::MeanSquaredError.compute(outputs.view(), &targets, Some(mask.view()), None, None);
    for (batch, time_steps) in [(3, 4), (2, 5), (5, 3), (3, 1)] {
        refused!(
            masked(Array2::from_elem((batch, time_steps), true)),
            Error::Size { .. },
            "mask",
            "[3, 5]"
        );
    }
    let weighted = |weights: ArrayD<f32>| {
        Loss::MeanSquaredError.compute(outputs.view(), &targets, None, Some(weights.view()), None)
    };
    for wrong in [&[][..], &[5], &[3, 4], &[1, 5], &[3, 5, 1], &[0]] {
        refused!(
            weighted(zeros(wrong)),
            Error::Size { .. },
            "[3] or [3, 5]",
            format!("{wrong:?}")
        );
    }
    for wrong in [-1.0, f32::NAN, f32::INFINITY, -0.5e-40] {
        refused!(
            weighted(array![1.0, wrong, 0.0].into_dyn()),
            Error::Value { .. },
            "sequence 1 at time step 0",
            "weight of 0"
        );
        let weights = BTreeMap::from([(0, 1.0), (3, wrong)]);
        refused!(
            targets.class_weights(&[3, 5, 4], &weights),
            Error::Value { .. },
            "class 3"
        );
    }
    refused!(
        targets.class_weights(&[3, 5], &BTreeMap::new()),
        Error::Size { .. },
        "[3, 5]"
    );
    refused!(targets.class_weights(&[], &BTreeMap::new()), Error::Size { .. }, "[]");
}

#[test]
fn targets_that_are_none() {
    for wrong in [-1, 4, i32::MIN, i32::MAX] {
        let targets = Targets::from(array![0, 3, wrong]);
        refused!(
            of(sparse(), &[3, 4], &targets),
            Error::Value { .. },
            "from 0 to 3",
            wrong.to_string(),
            "sequence 2",
            "ignore_class"
        );
        let mut accuracy = Metric::accuracy();
        refused!(
            accuracy.update(outputs(&[3, 4]).view(), &targets, None, None),
            Error::Value { .. },
            "ignore_class"
        );
        assert!(of(sparse().ignore_class(wrong), &[3, 4], &targets).is_ok());
        assert!(
            accuracy
                .ignore_class(wrong)
                .update(outputs(&[3, 4]).view(), &targets, None, None)
                .is_ok()
        );
    }
    refused!(
        of(sparse(), &[2, 4], &array![0.5_f32, 1.0].into()),
        Error::Value { .. },
        "0.5",
        "sequence 0"
    );
    assert_eq!(
        of(sparse(), &[2, 4], &array![3.0_f32, 1.0].into()),
        of(sparse(), &[2, 4], &array![3, 1].into())
    );
    for wrong in [f32::NAN, f32::INFINITY] {
        refused!(
            of(Loss::MeanSquaredError, &[2, 1], &array![0.0, wrong].into()),
            Error::NotFinite { .. },
            "[1, 0]",
            "mask"
        );
        refused!(
            of(sparse(), &[2, 4], &array![wrong, 0.0].into()),
            Error::NotFinite { .. },
            "[0, 0]"
        );
        let targets = Targets::from(array![[[0.0], [wrong]]]);
        refused!(
            of(Loss::MeanSquaredError, &[1, 2, 1], &targets),
            Error::NotFinite { .. },
            "[0, 1, 0]"
        );
    }
    refused!(
        Targets::from(array![1, 2]).select(&[0, 2]),
        Error::Value { .. },
        "below 2",
        "from 0"
    );
    assert_eq!(
        Targets::from(ndarray::arr0(1)).select(&[]),
        Ok(Targets::from(ndarray::arr0(1)))
    );
}

#[test]
fn options_without_sense() {
    let (shape, targets) = ([2, 1], Targets::from(array![0.0_f32, 1.0]));
    for wrong in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        refused!(
            of(Huber::new().delta(wrong), &shape, &targets),
            Error::Value { .. },
            "delta",
            "above 0"
        );
    }
    for wrong in [-0.1, 1.5, f32::NAN] {
        let (binary, categorical) = (BinaryCrossentropy::new(), CategoricalCrossentropy::new());
        refused!(
            of(binary.label_smoothing(wrong), &shape, &targets),
            Error::Value { .. },
            "label_smoothing"
        );
        refused!(
            of(categorical.label_smoothing(wrong), &shape, &targets),
            Error::Value { .. },
            "label_smoothing"
        );
    }
    let mut accuracy = Metric::binary_accuracy(f32::NAN);
    refused!(
        accuracy.update(outputs(&shape).view(), &targets, None, None),
        Error::Value { .. },
        "threshold"
    );
    let mut error = Metric::mean_squared_error().ignore_class(1);
    let rows = Targets::from(zeros::<f32>(&[2, 3]));
    refused!(
        error.update(outputs(&[2, 3]).view(), &rows, None, None),
        Error::Value { .. },
        "ignore_class",
        "mask"
    );
    let mut huber = Metric::of(Huber::new().delta(-1.0));
    refused!(
        huber.update(outputs(&shape).view(), &targets, None, None),
        Error::Value { .. },
        "delta"
    );
}

#[test]
fn nothing_counts() -> Result<()> {
    for shape in [&[0, 4][..], &[0, 5, 4], &[3, 0, 4]] {
        let outputs = outputs(shape);
        let mut gradient = ArrayD::from_elem(vec![2], f32::NAN);
        let targets = Targets::from(zeros::<i32>(&shape[..shape.len() - 1]));
        let value = Loss::from(sparse()).compute(outputs.view(), &targets, None, None, Some(&mut gradient))?;
        assert_eq!(
            (value.value(), value.sum(), value.steps(), value.batch()),
            (0.0, 0.0, 0, shape[0])
        );
        assert_eq!(gradient.shape(), shape);
        let mut accuracy = Metric::accuracy();
        accuracy.update(outputs.view(), &targets, None, None)?;
        assert_eq!(accuracy.result(), 0.0);
        assert!(targets.class_weights(shape, &BTreeMap::new())?.is_empty());
    }
    // outputs that count and are no numbers make a loss that is none
    let value = Loss::MeanSquaredError.compute(
        array![[f32::NAN]].view().into_dyn(),
        &array![0.0_f32].into(),
        None,
        None,
        None,
    )?;
    assert!(value.value().is_nan());
    Ok(())
}

#[test]
fn labels_that_no_model_can_say() {
    let of = |loss: Ctc, shape: &[usize], targets: Targets<'_>| of(loss, shape, &targets);
    refused!(
        of(Ctc::new(), &[3, 4], array![[1]].into()),
        Error::Rank { .. },
        "return_sequences(true)"
    );
    for wrong in [
        array![1, 2, 3].into_dyn(),
        array![[1], [2]].into_dyn(),
        array![[[1]], [[1]], [[1]]].into_dyn(),
    ] {
        refused!(
            of(Ctc::new(), &[3, 4, 5], wrong.into()),
            Error::Size { .. },
            "[3, labels]"
        );
    }
    for blank in [5, u32::MAX] {
        let labels = array![[1], [2], [3]].into();
        refused!(
            of(Ctc::new().blank(blank), &[3, 4, 5], labels),
            Error::Value { .. },
            "unit for the blank"
        );
    }
    refused!(
        of(Ctc::new(), &[3, 4, 0], array![[1], [2], [3]].into()),
        Error::Value { .. },
        "which have 0"
    );
    refused!(
        of(Ctc::new(), &[1, 4, 5], array![[5]].into()),
        Error::Value { .. },
        "5 at place 0 of sequence 0"
    );
    refused!(
        of(Ctc::new(), &[1, 4, 5], array![[i32::MAX]].into()),
        Error::Value { .. },
        "below 5"
    );
    for number in [1.5, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.5] {
        refused!(
            of(Ctc::new(), &[1, 4, 5], array![[1.0, number]].into()),
            Error::Value { .. },
            "place 1"
        );
    }
    refused!(
        of(Ctc::new(), &[1, 4, 5], array![[1, 0, 2]].into()),
        Error::Value { .. },
        "pad rows at their ends"
    );
    // 1, blank, 1, blank, 1
    refused!(
        of(Ctc::new(), &[1, 4, 5], array![[1, 1, 1]].into()),
        Error::Value { .. },
        "5 time steps, and 4"
    );
    assert_eq!(
        of(Ctc::new().zero_infinity(true), &[1, 4, 5], array![[1, 1, 1]].into()).unwrap(),
        0.0
    );
    // nothing to do
    assert_eq!(of(Ctc::new(), &[0, 4, 5], zeros::<i32>(&[0, 3]).into()).unwrap(), 0.0);
    assert_eq!(of(Ctc::new(), &[2, 0, 5], zeros::<i32>(&[2, 0]).into()).unwrap(), 0.0);
    assert!(of(Ctc::new(), &[2, 3, 5], zeros::<i32>(&[2, 0]).into()).unwrap() > 0.0);
    let (outputs, labels) = (outputs(&[2, 3, 5]), Targets::from(array![[1], [2]]));
    let loss = Loss::from(Ctc::new());
    let none = Array2::from_elem((2, 3), false);
    let value = loss
        .compute(outputs.view(), &labels, Some(none.view()), None, None)
        .unwrap();
    assert_eq!((value.value(), value.steps()), (0.0, 0));
    for weights in [array![1.0, -1.0], array![1.0, f32::NAN]] {
        let weights = weights.into_dyn();
        let value = loss.compute(outputs.view(), &labels, None, Some(weights.view()), None);
        refused!(value.map(|value| value.value()), Error::Value { .. }, "sequence 1");
    }
}
