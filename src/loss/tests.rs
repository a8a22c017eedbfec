//! Gradients against differences, in f64; sums whatever the threads.

use ndarray::{Array, ArrayD, ArrayView2, IxDyn, ShapeBuilder};

use super::probability::{LEAST, MOST};
use super::*;
use crate::activation::Activation;
use crate::error::Result;

/// Numbers between -1 and 1 that look like chance.
fn noise(seed: usize) -> f64 {
    let mixed = (seed as f64 * 12.9898 + 4.1).sin() * 43758.5453;
    2.0 * (mixed - mixed.floor()) - 1.0
}

/// How far a gradient is from the central differences of the loss, for each 1.
fn off(loss: Loss, output: &[f64], target: &[f64]) -> f64 {
    let mut gradient = vec![f64::NAN; output.len()];
    loss.row(output, target, &mut gradient);
    let mut scratch = vec![0.0; output.len()];
    let mut worst = 0.0_f64;
    for (place, slope) in gradient.iter().enumerate() {
        let mut at = |change: f64| {
            let mut moved = output.to_vec();
            moved.iter_mut().skip(place).take(1).for_each(|value| *value += change);
            loss.row(&moved, target, &mut scratch)
        };
        let width = 1e-6;
        let difference = (at(width) - at(-width)) / (2.0 * width);
        let apart = (slope - difference).abs() / difference.abs().max(1.0);
        worst = if apart.is_nan() {
            f64::INFINITY
        } else {
            worst.max(apart)
        };
    }
    worst
}

#[test]
fn gradients_are_what_differences_say() {
    for round in 0..50 {
        let seeds = |offset: usize| (0..5).map(move |place| noise(round * 100 + offset + place));
        let (numbers, wanted): (Vec<f64>, Vec<f64>) = (
            seeds(0).map(|x| 4.0 * x).collect(),
            seeds(10).map(|x| 4.0 * x).collect(),
        );
        let shares: Vec<f64> = seeds(20).map(|x| 0.5 + 0.45 * x).collect();
        let bits: Vec<f64> = seeds(30).map(|x| f64::from(u8::from(x > 0.0))).collect();
        let class = [(round % 5) as f64];
        // of numbers: apart by more than the width of a difference, for |x| has no slope at 0
        for loss in [
            Loss::MeanSquaredError,
            Loss::MeanAbsoluteError,
            Huber::new().delta(0.5).into(),
        ] {
            assert!(off(loss, &numbers, &wanted) < 1e-7, "{loss:?} {numbers:?} {wanted:?}");
        }
        let binary = BinaryCrossentropy::new().label_smoothing(0.1);
        let categorical = CategoricalCrossentropy::new().label_smoothing(0.1);
        let sparse = SparseCategoricalCrossentropy::new();
        for targets in [&shares, &bits] {
            assert!(off(binary.into(), &shares, targets) < 1e-7);
            assert!(off(binary.from_logits(true).into(), &numbers, targets) < 1e-7);
            assert!(off(categorical.into(), &shares, targets) < 1e-7);
            assert!(off(categorical.from_logits(true).into(), &numbers, targets) < 1e-7);
        }
        assert!(off(sparse.into(), &shares, &class) < 1e-7);
        assert!(off(sparse.from_logits(true).into(), &numbers, &class) < 1e-7);
        let wrong = off(Loss::MeanSquaredError, &[f64::NAN], &[0.0]);
        assert_eq!(wrong, f64::INFINITY, "no comparison lets NaN through");
    }
}

#[test]
fn beyond_the_bounds_there_is_no_gradient() {
    let mut gradient = [f64::NAN; 2];
    let loss = Loss::from(BinaryCrossentropy::new());
    let value = loss.row(&[0.0, 1.0], &[1.0, 0.0], &mut gradient);
    assert_eq!(gradient, [0.0, 0.0]);
    assert!((value + 0.5 * (LEAST.ln() + (1.0 - MOST).ln())).abs() < 1e-12);
    let mut gradient = [f64::NAN; 3];
    Loss::from(SparseCategoricalCrossentropy::new()).row(&[0.0, 0.5, 0.5], &[0.0], &mut gradient);
    assert_eq!(gradient[0], 0.0);
    assert!(gradient[1] > 0.9 && gradient[2] > 0.9, "{gradient:?}");
}

/// A batch large enough for several threads.
fn large() -> (ArrayD<f32>, ArrayD<i32>) {
    let outputs = Array::from_shape_fn(IxDyn(&[37, 11, 60]), |index| {
        noise(index[0] * 660 + index[1] * 60 + index[2]) as f32
    });
    (
        outputs,
        Array::from_shape_fn(IxDyn(&[37, 11]), |index| ((index[0] * 7 + index[1]) % 60) as i32),
    )
}

#[test]
fn threads_change_no_bit() -> Result<()> {
    let (outputs, targets) = large();
    let (targets, loss) = (
        Targets::from(targets),
        Loss::from(SparseCategoricalCrossentropy::new().from_logits(true)),
    );
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let mut gradient = ArrayD::default(IxDyn(&[0]));
        let compute = || loss.compute(outputs.view(), &targets, None, None, Some(&mut gradient));
        let value = pool.map(|pool| pool.install(compute));
        (value, gradient)
    };
    let (Ok(alone), gradient) = run(1) else {
        return Err(crate::Error::defect("no threads"));
    };
    let alone = alone?;
    assert!((alone.value() - 60.0_f64.ln()).abs() < 0.5, "{alone:?}");
    for threads in [2, 5] {
        let (value, other) = run(threads);
        assert_eq!(value.ok(), Some(Ok(alone)));
        assert_eq!(other, gradient);
    }
    // one batch is its sequences, one by one
    let mut sum = 0.0;
    for sequence in 0..37 {
        let one = outputs
            .view()
            .slice_axis_move(ndarray::Axis(0), ndarray::Slice::from(sequence..sequence + 1));
        sum += loss
            .compute(one, &targets.select(&[sequence])?, None, None, None)?
            .sum();
    }
    assert_eq!(sum, alone.sum());
    Ok(())
}

#[test]
fn layouts_change_no_bit() -> Result<()> {
    let (outputs, targets) = large();
    let mut turned = Array::zeros(IxDyn(&[37, 11, 60]).f());
    turned.assign(&outputs);
    let (targets, loss) = (
        Targets::from(targets),
        Loss::from(SparseCategoricalCrossentropy::new().from_logits(true)),
    );
    let (mut plain, mut other) = (
        ArrayD::default(IxDyn(&[0])),
        Array::from_elem(IxDyn(&[37, 11, 60]).f(), f32::NAN),
    );
    let mask = Array::from_shape_fn((37, 11), |(sequence, step)| (sequence + step) % 3 > 0);
    let mask = || -> Option<ArrayView2<'_, bool>> { Some(mask.view()) };
    let value = loss.compute(outputs.view(), &targets, mask(), None, Some(&mut plain))?;
    assert_eq!(
        loss.compute(turned.view(), &targets, mask(), None, Some(&mut other))?,
        value
    );
    assert_eq!(plain, other);
    Ok(())
}

#[test]
fn the_largest_is_that_of_argmax() {
    let nan = f64::NAN;
    for (numbers, place) in [
        (vec![1.0, 3.0, 3.0], Some(1)),
        (vec![nan, 1.0, 2.0], Some(2)),
        (vec![1.0, nan, 0.5], Some(0)),
        (vec![nan, nan], Some(0)),
        (vec![0.0, -0.0], Some(0)),
        (vec![-0.0, 0.0, 0.0], Some(1)),
        (vec![f64::NEG_INFINITY, -1.0], Some(1)),
        (vec![], None),
    ] {
        assert_eq!(largest(&numbers), place, "{numbers:?}");
    }
}

#[test]
fn behind_softmax_and_sigmoid_keras_takes_logits() {
    let smooth = BinaryCrossentropy::new().label_smoothing(0.1);
    assert_eq!(
        Loss::from(smooth).before(Activation::Sigmoid),
        Some(smooth.from_logits(true).into())
    );
    let sparse = SparseCategoricalCrossentropy::new();
    assert_eq!(
        Loss::from(sparse).before(Activation::Softmax),
        Some(sparse.from_logits(true).into())
    );
    // Keras multiplies the probabilities by a mask then, and the logits are lost
    assert_eq!(Loss::from(sparse.ignore_class(2)).before(Activation::Softmax), None);
    assert_eq!(Loss::from(sparse).before(Activation::LogSoftmax), None);
    assert_eq!(Loss::MeanSquaredError.before(Activation::Softmax), None);
}
