//! Losses and metrics against Keras 3.15: golden/losses.json, which golden/losses.py makes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::collections::BTreeMap;
use std::path::Path;

use cellstate::{
    BinaryCrossentropy, CategoricalCrossentropy, Huber, Loss, LossValue, Metric, SparseCategoricalCrossentropy, Targets,
};
use ndarray::{Array, Array2, ArrayD, Axis, Ix2, Slice};
use serde_json::Value;

/// Of a result in f64.
const EXACT: f64 = 1e-9;
/// Of a gradient in f32.
const ROUNDED: f64 = 3e-7;
/// Where Keras itself ran in float32.
const FLOAT32: f64 = 2e-6;

struct Page(Value);

/// The arrays of a case.
struct Given {
    outputs: ArrayD<f32>,
    targets: Targets<'static>,
    mask: Option<Array2<bool>>,
    weights: Option<ArrayD<f32>>,
}

impl Page {
    fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/losses.json");
        Self(serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
    }

    fn cases(&self, kind: &str) -> &[Value] {
        let cases = self.0[kind].as_array().unwrap();
        assert!(!cases.is_empty(), "{kind}");
        cases
    }

    fn array(&self, name: &Value) -> ArrayD<f32> {
        let array = &self.0["arrays"][name.as_str().unwrap()];
        let shape: Vec<usize> = numbers(&array["shape"]).iter().map(|&size| size as usize).collect();
        let values = numbers(&array["values"]).iter().map(|&value| value as f32).collect();
        Array::from_shape_vec(shape, values).unwrap()
    }

    fn given(&self, case: &Value) -> Given {
        let targets = self.array(&case["targets"]);
        let is_float = self.0["arrays"][case["targets"].as_str().unwrap()]["is_float"] == true;
        let optional = |key: &str| case.get(key).map(|name| self.array(name));
        Given {
            outputs: self.array(&case["outputs"]),
            targets: match is_float {
                true => targets.into(),
                false => targets.mapv(|value| value as i32).into(),
            },
            mask: optional("mask").map(|mask| mask.mapv(|valid| valid != 0.0).into_dimensionality::<Ix2>().unwrap()),
            weights: optional("weights"),
        }
    }
}

impl Given {
    fn compute(&self, loss: Loss, gradient: Option<&mut ArrayD<f32>>) -> LossValue {
        let (mask, weights) = (
            self.mask.as_ref().map(|mask| mask.view()),
            self.weights.as_ref().map(|weights| weights.view()),
        );
        loss.compute(self.outputs.view(), &self.targets, mask, weights, gradient)
            .unwrap()
    }

    fn update(&self, metric: &mut Metric, is_weighted: bool) {
        let mask = self.mask.as_ref().map(|mask| mask.view());
        let weights = self
            .weights
            .as_ref()
            .filter(|_| is_weighted)
            .map(|weights| weights.view());
        metric
            .update(self.outputs.view(), &self.targets, mask, weights)
            .unwrap();
    }

    /// Sequences `first` to `last`, and the first time steps of them, unless it is 0.
    fn part(&self, first: usize, last: usize, time_steps: usize) -> Self {
        Self {
            outputs: part(&self.outputs, first, last, time_steps),
            targets: match &self.targets {
                Targets::Numbers(array) => part(&array.to_owned(), first, last, time_steps).into(),
                Targets::Classes(array) => part(&array.to_owned(), first, last, time_steps).into(),
            },
            mask: self
                .mask
                .as_ref()
                .map(|mask| part(&mask.clone().into_dyn(), first, last, time_steps))
                .map(|mask| mask.into_dimensionality().unwrap()),
            weights: self.weights.as_ref().map(|weights| {
                let is_of_steps = weights.ndim() == 2 && weights.shape()[1] > 1;
                part(weights, first, last, if is_of_steps { time_steps } else { 0 })
            }),
        }
    }

    /// The same with garbage wherever a step has no influence; without a mask, a target says whether its class is ignored.
    fn with_garbage(&self, ignores_class: bool) -> Self {
        let steps = self.outputs.shape()[1];
        let is_ignored = |sequence: usize, step: usize| {
            let weight = |weights: &ArrayD<f32>| match weights.shape() {
                [_, 1] => weights[[sequence, 0]],
                [_, _] => weights[[sequence, step]],
                _ => weights[[sequence]],
            };
            self.mask.as_ref().is_some_and(|mask| !mask[[sequence, step]])
                || self.weights.as_ref().is_some_and(|weights| weight(weights) == 0.0)
        };
        let mut outputs = self.outputs.clone();
        let mut targets = self.targets.clone();
        let mut weights = self.weights.clone();
        for (sequence, mut rows) in outputs.outer_iter_mut().enumerate() {
            for step in (0..steps).filter(|&step| is_ignored(sequence, step)) {
                rows.index_axis_mut(Axis(0), step).fill(f32::NAN);
                let is_masked = self.mask.as_ref().is_some_and(|mask| !mask[[sequence, step]]);
                match &mut targets {
                    _ if ignores_class && !is_masked => {}
                    Targets::Numbers(array) => fill(array, sequence, step, f32::INFINITY),
                    Targets::Classes(array) => fill(array, sequence, step, i32::MIN),
                }
                if let Some(weights) = weights.as_mut().filter(|weights| is_masked && weights.shape()[1] > 1) {
                    weights[[sequence, step]] = -f32::NAN;
                }
            }
        }
        let mask = self.mask.clone();
        Self {
            outputs,
            targets,
            mask,
            weights,
        }
    }
}

fn fill<A: Clone>(array: &mut ndarray::CowArray<'_, A, ndarray::IxDyn>, sequence: usize, step: usize, garbage: A) {
    let mut steps = array.index_axis_mut(Axis(0), sequence);
    steps.index_axis_mut(Axis(0), step).fill(garbage);
}

fn part<A: Clone>(array: &ArrayD<A>, first: usize, last: usize, time_steps: usize) -> ArrayD<A> {
    let chosen = array.slice_axis(Axis(0), Slice::from(first..last));
    match time_steps {
        0 => chosen.to_owned(),
        steps => chosen.slice_axis(Axis(1), Slice::from(..steps)).to_owned(),
    }
}

fn numbers(values: &Value) -> Vec<f64> {
    values
        .as_array()
        .unwrap()
        .iter()
        .map(|value| value.as_f64().unwrap())
        .collect()
}

/// How far they are apart for each 1; infinite where one is no number.
fn distance(got: f64, want: f64) -> f64 {
    match (got - want).abs() / want.abs().max(1.0) {
        distance if distance.is_nan() => f64::INFINITY,
        distance => distance,
    }
}

fn loss(case: &Value) -> Loss {
    let options = case["options"].as_object().unwrap();
    let share = |key: &str| options.get(key).map(|value| value.as_f64().unwrap() as f32);
    let from_logits = options.get("from_logits").is_some_and(|value| value == true);
    let smoothing = share("label_smoothing").unwrap_or(0.0);
    match case["loss"].as_str().unwrap() {
        "MeanSquaredError" => Loss::MeanSquaredError,
        "MeanAbsoluteError" => Loss::MeanAbsoluteError,
        "Huber" => share("delta")
            .map_or(Huber::new(), |delta| Huber::new().delta(delta))
            .into(),
        "BinaryCrossentropy" => BinaryCrossentropy::new()
            .from_logits(from_logits)
            .label_smoothing(smoothing)
            .into(),
        "CategoricalCrossentropy" => CategoricalCrossentropy::new()
            .from_logits(from_logits)
            .label_smoothing(smoothing)
            .into(),
        "SparseCategoricalCrossentropy" => {
            let loss = SparseCategoricalCrossentropy::new().from_logits(from_logits);
            match options.get("ignore_class") {
                Some(class) => loss.ignore_class(class.as_i64().unwrap() as i32).into(),
                None => loss.into(),
            }
        }
        other => panic!("{other}"),
    }
}

fn metric(case: &Value) -> Metric {
    match case["metric"].as_str().unwrap() {
        "accuracy" => Metric::accuracy(),
        "BinaryAccuracy" => Metric::binary_accuracy(case["options"]["threshold"].as_f64().unwrap_or(0.5) as f32),
        "CategoricalAccuracy" => Metric::categorical_accuracy(),
        "SparseCategoricalAccuracy" => Metric::sparse_categorical_accuracy(),
        "MeanAbsoluteError" => Metric::mean_absolute_error(),
        "MeanSquaredError" => Metric::mean_squared_error(),
        "RootMeanSquaredError" => Metric::root_mean_squared_error(),
        other => panic!("{other}"),
    }
}

/// What case a message is about, without its long list.
fn label(case: &Value) -> String {
    let mut case = case.clone();
    case.as_object_mut().unwrap().remove("gradient");
    case.to_string()
}

#[test]
fn distances_are_none_only_between_equal_numbers() {
    assert!(
        distance(1.0, 1.0) == 0.0 && distance(1.0 + 2e-9, 1.0) > EXACT && distance(1e6, 1e6 + 1.0) < ROUNDED * 10.0
    );
    for (got, want) in [
        (f64::NAN, 1.0),
        (1.0, f64::NAN),
        (f64::INFINITY, 1.0),
        (f64::NAN, f64::NAN),
    ] {
        assert_eq!(distance(got, want), f64::INFINITY);
    }
}

#[test]
fn losses_and_their_gradients_are_those_of_keras() {
    let page = Page::read();
    for case in page.cases("losses") {
        let (loss, given) = (loss(case), page.given(case));
        let mut gradient = ArrayD::from_elem(given.outputs.shape(), f32::NAN);
        let value = given.compute(loss, Some(&mut gradient));
        let is_exact = case.get("float32").is_none();
        let apart = distance(value.value(), case["value"].as_f64().unwrap());
        assert!(
            apart <= if is_exact { EXACT } else { FLOAT32 },
            "{}: {} apart, got {value:?}",
            label(case),
            apart
        );
        let want = numbers(&case["gradient"]);
        assert_eq!(gradient.len(), want.len(), "{}", label(case));
        for (&got, want) in gradient.iter().zip(want) {
            let apart = distance(got.into(), want);
            assert!(
                apart <= if is_exact { ROUNDED } else { FLOAT32 },
                "{}: {got}, not {want}",
                label(case)
            );
        }
        assert_eq!(given.compute(loss, None), value, "{}", label(case));
    }
}

#[test]
fn what_does_not_count_can_hold_anything() {
    let page = Page::read();
    let mut tried = 0;
    for case in page
        .cases("losses")
        .iter()
        .filter(|case| case.get("mask").or(case.get("weights")).is_some())
    {
        let (loss, given) = (loss(case), page.given(case));
        if given.outputs.ndim() < 3 {
            continue;
        }
        let garbage = given.with_garbage(case["options"].get("ignore_class").is_some());
        let (mut clean, mut other) = (ArrayD::default(vec![0]), ArrayD::default(vec![0]));
        let value = given.compute(loss, Some(&mut clean));
        assert_eq!(garbage.compute(loss, Some(&mut other)), value, "{}", label(case));
        assert_eq!(clean, other, "{}", label(case));
        let steps = garbage.outputs.rows().into_iter().zip(other.rows());
        for (_, slopes) in steps.filter(|(output, _)| output[0].is_nan()) {
            assert!(
                slopes.iter().all(|slope| slope.to_bits() == 0),
                "{}: {slopes}",
                label(case)
            );
            tried += 1;
        }
    }
    assert!(tried > 200, "{tried}");
}

#[test]
fn metrics_are_those_of_keras() {
    let page = Page::read();
    for case in page.cases("metrics") {
        let (mut of_parts, mut of_garbage) = (metric(case), metric(case));
        let given = page.given(case);
        for part in case["batches"].as_array().unwrap() {
            let [first, last, time_steps] = numbers(part)[..] else {
                panic!("{part}")
            };
            let part = given.part(first as usize, last as usize, time_steps as usize);
            part.update(&mut of_parts, true);
            let garbage = if part.outputs.ndim() == 3 {
                part.with_garbage(false)
            } else {
                part
            };
            garbage.update(&mut of_garbage, true);
        }
        let apart = distance(of_parts.result(), case["result"].as_f64().unwrap());
        assert!(apart <= EXACT, "{}: {}", label(case), of_parts.result());
        assert_eq!(of_garbage, of_parts, "{}", label(case));
        of_parts.reset();
        assert_eq!(of_parts, metric(case));
    }
}

#[test]
fn epochs_are_those_of_keras() {
    let page = Page::read();
    for case in page.cases("epochs") {
        let given = page.given(case);
        let batch = given.outputs.shape()[0];
        let size = case["batch_size"].as_u64().unwrap() as usize;
        let metrics = case["metrics"].as_object().unwrap();
        let by_name = |name: &str| match name {
            "accuracy" => Metric::accuracy(),
            "mean_absolute_error" => Metric::mean_absolute_error(),
            "mean_squared_error" => Metric::mean_squared_error(),
            other => panic!("{other}"),
        };
        let made = metrics.keys().map(|name| (by_name(name), by_name(name)));
        let mut made: Vec<(Metric, Metric)> = made.collect();
        let (mut sum, mut sequences) = (0.0, 0);
        for first in (0..batch).step_by(size) {
            let part = given.part(first, batch.min(first + size), 0);
            let value = part.compute(loss(case), None);
            sum += value.value() * value.batch() as f64;
            sequences += value.batch();
            for (plain, weighted) in &mut made {
                part.update(plain, false);
                part.update(weighted, true);
            }
        }
        let apart = distance(sum / sequences as f64, case["value"].as_f64().unwrap());
        assert!(apart <= EXACT, "{}: {sum} over {sequences}", label(case));
        for (plain, weighted) in made {
            let want = numbers(&metrics[plain.name()]);
            let apart = distance(plain.result(), want[0]).max(distance(weighted.result(), want[1]));
            assert!(apart <= EXACT, "{}: {plain:?} {weighted:?}", label(case));
        }
    }
}

#[test]
fn class_weights_are_those_of_keras() {
    let page = Page::read();
    for case in page.cases("class_weights") {
        let mut given = page.given(case);
        let entries = case["class_weight"].as_array().unwrap().iter().map(numbers);
        let weights: BTreeMap<i32, f32> = entries.map(|entry| (entry[0] as i32, entry[1] as f32)).collect();
        given.weights = Some(given.targets.class_weights(given.outputs.shape(), &weights).unwrap());
        let value = given.compute(SparseCategoricalCrossentropy::new().into(), None).value();
        assert!(
            distance(value, case["value"].as_f64().unwrap()) <= EXACT,
            "{}: {value}",
            label(case)
        );
    }
}

#[test]
fn the_perplexity_of_a_corpus_is_that_of_its_tokens() {
    let page = Page::read();
    let case = serde_json::json!({"outputs": "logits", "targets": "wanted_some", "mask": "mask"});
    let given = page.given(&case);
    let loss = SparseCategoricalCrossentropy::new().from_logits(true).ignore_class(-1);
    let mut perplexity = Metric::perplexity(loss);
    given.update(&mut perplexity, false);
    assert!(distance(perplexity.result(), given.compute(loss.into(), None).value().exp()) <= EXACT);
    let mut elsewhere = Metric::perplexity(SparseCategoricalCrossentropy::new().from_logits(true)).ignore_class(-1);
    given.update(&mut elsewhere, false);
    assert_eq!(elsewhere.result(), perplexity.result());
}
