//! The loss against the sum over all ways, and its gradient against differences, in f64.

use ndarray::{Array2, Array3, ArrayD, ArrayView2, array};
use serde_json::Value;

use super::super::{Loss, Targets};
use super::Ctc;

const CLASSES: usize = 4;
const TIME_STEPS: usize = 5;

fn logits(seed: usize) -> Array3<f32> {
    Array3::from_shape_fn((3, TIME_STEPS, CLASSES), |(sequence, step, class)| {
        let place = seed * 1000 + sequence * 100 + step * 10 + class;
        let mixed = (place as f64 * 12.9898 + 4.1).sin() * 43758.5453;
        (4.0 * (mixed - mixed.floor()) - 2.0) as f32
    })
}

/// -ln of the sum of the probabilities of all words over the time steps that say the labels.
fn by_all_words(logits: ArrayView2<'_, f32>, steps: &[usize], labels: &[usize], blank: usize) -> f64 {
    let mut whole = 0.0;
    for word in 0..CLASSES.pow(steps.len() as u32) {
        let classes: Vec<usize> = (0..steps.len())
            .map(|place| word / CLASSES.pow(place as u32) % CLASSES)
            .collect();
        let mut said = classes.clone();
        said.dedup();
        said.retain(|&class| class != blank);
        if said == labels {
            let of_step = |(&step, &class): (&usize, &usize)| {
                let row: Vec<f64> = logits.row(step).iter().map(|&logit| f64::from(logit).exp()).collect();
                row[class] / row.iter().sum::<f64>()
            };
            whole += steps.iter().zip(&classes).map(of_step).product::<f64>();
        }
    }
    -whole.ln()
}

#[test]
fn the_loss_is_that_of_all_words() {
    let mask = array![
        [true, true, true, true, true],
        [true, false, true, true, true],
        [false, true, true, false, true]
    ];
    let targets = Targets::from(array![[3, 1, 3], [1, 1, -1], [2, 0, -1]]);
    let wanted: [(&[usize], &[usize]); 3] = [
        (&[0, 1, 2, 3, 4], &[3, 1, 3]),
        (&[0, 2, 3, 4], &[1, 1]),
        (&[1, 2, 4], &[2]),
    ];
    for seed in 0..5 {
        let outputs = logits(seed);
        let losses: Vec<f64> = wanted
            .iter()
            .zip(outputs.outer_iter())
            .map(|((steps, labels), logits)| by_all_words(logits, steps, labels, 0))
            .collect();
        let value = |loss: Ctc| {
            Loss::from(loss)
                .compute(outputs.view().into_dyn(), &targets, Some(mask.view()), None, None)
                .unwrap()
                .value()
        };
        let by_sequence = losses.iter().sum::<f64>() / 3.0;
        assert!((value(Ctc::new()) - by_sequence).abs() < 1e-9, "{seed}");
        let by_label = (losses[0] / 3.0 + losses[1] / 2.0 + losses[2]) / 3.0;
        assert!(
            (value(Ctc::new().divide_by_labels(true)) - by_label).abs() < 1e-9,
            "{seed}"
        );
    }
}

#[test]
fn the_gradient_is_what_differences_say() {
    let mask = array![
        [true, true, true, true, true],
        [true, true, true, true, false],
        [true, false, true, true, false]
    ];
    // the blank is the last class; the second sequence says nothing
    let targets = Targets::from(array![[0, 0, 1], [-1, -1, -1], [2, 3, 3]]);
    let weights = array![1.0_f32, 0.5, 2.0].into_dyn();
    for loss in [Ctc::new().blank(3), Ctc::new().blank(3).divide_by_labels(true)] {
        let loss = Loss::from(loss);
        let outputs = logits(7).into_dyn();
        let compute = |outputs: &ArrayD<f32>, gradient: Option<&mut ArrayD<f32>>| {
            let value = loss.compute(
                outputs.view(),
                &targets,
                Some(mask.view()),
                Some(weights.view()),
                gradient,
            );
            value.unwrap().value()
        };
        let mut gradient = ArrayD::from_elem([0].as_slice(), f32::NAN);
        compute(&outputs, Some(&mut gradient));
        for (place, &slope) in gradient.indexed_iter() {
            let at = |change: f32| {
                let mut moved = outputs.clone();
                moved[&place] += change;
                (compute(&moved, None), f64::from(moved[&place]))
            };
            let ((above, upper), (below, lower)) = (at(1e-2), at(-1e-2));
            let difference = (above - below) / (upper - lower);
            assert!(
                (f64::from(slope) - difference).abs() < 2e-5,
                "{place:?}: {slope} and {difference}"
            );
            let counts = mask[[place[0], place[1]]];
            assert!(counts || slope == 0.0, "{place:?}");
        }
    }
}

#[test]
fn many_steps_and_sure_outputs_stay_finite() {
    let outputs = Array3::from_shape_fn(
        (1, 2000, 30),
        |(_, step, class)| if class == step % 30 { 80.0 } else { 0.0_f32 },
    );
    let labels = Array2::from_shape_fn((1, 400), |(_, label)| 1 + label as i32 % 29);
    let mut gradient = ArrayD::default([0].as_slice());
    let loss = Loss::from(Ctc::new());
    let value = loss
        .compute(
            outputs.view().into_dyn(),
            &labels.into(),
            None,
            None,
            Some(&mut gradient),
        )
        .unwrap();
    assert!(value.value().is_finite());
    assert!(gradient.iter().all(|slope| slope.is_finite()));
    assert!(gradient.iter().any(|&slope| slope != 0.0));
}

#[test]
fn nan_is_a_loss_of_nan_and_only_where_a_step_counts() {
    let mut outputs = logits(1);
    outputs[[0, 4, 2]] = f32::NAN;
    let targets = Targets::from(array![[3, 1], [1, -1], [2, 0]]);
    let mut mask = Array2::from_elem((3, TIME_STEPS), true);
    let value = |mask: &Array2<bool>| {
        let loss = Loss::from(Ctc::new());
        loss.compute(outputs.view().into_dyn(), &targets, Some(mask.view()), None, None)
            .unwrap()
            .value()
    };
    assert!(value(&mask).is_nan());
    mask[[0, 4]] = false;
    assert!(value(&mask).is_finite());
}

#[test]
fn a_label_that_is_impossible_is_infinite_or_nothing() {
    let mut outputs = logits(3);
    outputs.slice_mut(ndarray::s![1, .., 2]).fill(f32::NEG_INFINITY);
    let targets = Targets::from(array![[3, 1], [2, -1], [1, 3]]);
    let compute = |loss: Ctc| {
        let mut gradient = ArrayD::default([0].as_slice());
        let value = Loss::from(loss).compute(outputs.view().into_dyn(), &targets, None, None, Some(&mut gradient));
        (value.unwrap().value(), gradient)
    };
    assert_eq!(compute(Ctc::new()).0, f64::INFINITY);
    let (value, gradient) = compute(Ctc::new().zero_infinity(true));
    assert!(value.is_finite() && value > 0.0, "{value}");
    let is_zero = |sequence| {
        gradient
            .index_axis(ndarray::Axis(0), sequence)
            .iter()
            .all(|&slope| slope == 0.0)
    };
    assert_eq!([is_zero(0), is_zero(1), is_zero(2)], [false, true, false]);
}

#[test]
fn what_no_label_needs_may_be_impossible() {
    let mut outputs = logits(4);
    outputs.slice_mut(ndarray::s![.., .., 3]).fill(f32::NEG_INFINITY);
    let targets = Targets::from(array![[1, 2], [2, -1], [1, 1]]);
    let mut gradient = ArrayD::default([0].as_slice());
    let value = Loss::from(Ctc::new()).compute(outputs.view().into_dyn(), &targets, None, None, Some(&mut gradient));
    assert!(value.unwrap().value().is_finite());
    for (place, &slope) in gradient.indexed_iter() {
        assert!(
            slope.is_finite() && (place[2] != 3 || slope == 0.0),
            "{place:?}: {slope}"
        );
    }
}

#[test]
fn threads_change_no_bit() {
    // enough outputs for several threads, with sequences of other lengths
    let outputs = Array3::from_shape_fn((40, 60, 9), |(sequence, step, class)| {
        ((sequence * 7 + step * 13 + class * 5) % 23) as f32 / 9.0
    });
    let labels = Array2::from_shape_fn((40, 12), |(sequence, place)| {
        if place < sequence % 12 {
            1 + ((sequence + place) % 8) as i32
        } else {
            0
        }
    });
    let mask = Array2::from_shape_fn((40, 60), |(sequence, step)| step < 24 + sequence % 36);
    let targets = Targets::from(labels);
    let runs = [1, 2, 3].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut gradient = ArrayD::default([0].as_slice());
            let loss = Loss::from(Ctc::new().divide_by_labels(true));
            let value = loss.compute(
                outputs.view().into_dyn(),
                &targets,
                Some(mask.view()),
                None,
                Some(&mut gradient),
            );
            let bits: Vec<u32> = gradient.iter().map(|slope| slope.to_bits()).collect();
            (value.unwrap().value().to_bits(), bits)
        })
    });
    assert!(runs[0] == runs[1] && runs[0] == runs[2]);
}

/// Between a number and what a framework computed in f64, and in f32.
const EXACT: f64 = 1e-8;
const FLOAT32: f64 = 2e-6;

/// The cases of golden/ctc.json, which golden/ctc.py makes.
#[test]
fn losses_and_gradients_are_those_of_keras_and_pytorch() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/ctc.json");
    let page: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let numbers = |list: &Value| -> Vec<f64> { list.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect() };
    let array = |name: &Value| {
        let array = &page["arrays"][name.as_str().unwrap()];
        let shape: Vec<usize> = numbers(&array["shape"]).iter().map(|&size| size as usize).collect();
        ArrayD::from_shape_vec(shape, numbers(&array["values"])).unwrap()
    };
    let cases = page["losses"].as_array().unwrap();
    assert_eq!(cases.len(), 9);
    for case in cases {
        let is = |option: &str| case["options"].get(option).is_some_and(|value| value == true);
        let blank = case["options"]
            .get("blank")
            .map_or(0, |blank| blank.as_u64().unwrap() as u32);
        let loss = Ctc::new()
            .blank(blank)
            .divide_by_labels(is("divide_by_labels"))
            .zero_infinity(is("zero_infinity"));
        let outputs = array(&case["outputs"]).mapv(|value| value as f32);
        let labels = array(&case["targets"]);
        let mask = case.get("mask").map(|name| array(name).mapv(|counts| counts != 0.0));
        let mask = mask.map(|mask| mask.into_dimensionality().unwrap());
        let weights = case.get("weights").map(|name| array(name).mapv(|value| value as f32));
        let limit = if case.get("float32").is_some() { FLOAT32 } else { EXACT };
        // labels as integers and as floats
        for targets in [
            labels.mapv(|label| label as i32).into(),
            Targets::from(labels.mapv(|label| label as f32)),
        ] {
            let mut gradient = ArrayD::default([0].as_slice());
            let (mask, weights) = (mask.as_ref().map(|mask: &Array2<bool>| mask.view()), weights.as_ref());
            let weights = weights.map(|weights| weights.view());
            let value = Loss::from(loss).compute(outputs.view(), &targets, mask, weights, Some(&mut gradient));
            let (value, wanted) = (value.unwrap().value(), case["value"].as_f64().unwrap());
            assert!(
                (value - wanted).abs() <= limit * wanted.abs().max(1.0),
                "{value} and {wanted}: {}",
                case["options"]
            );
            let wanted = numbers(&case["gradient"]);
            assert_eq!(gradient.len(), wanted.len());
            for (place, (&slope, wanted)) in gradient.iter().zip(&wanted).enumerate() {
                let apart = (f64::from(slope) - wanted).abs();
                assert!(
                    apart <= limit.max(3e-8),
                    "{place}: {slope} and {wanted}: {}",
                    case["options"]
                );
            }
        }
    }
}
