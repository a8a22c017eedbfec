//! Schedules and plateaus against Keras.

use ndarray::{ArrayD, IxDyn};
use serde_json::Value;

use super::{
    CosineDecay, ExponentialDecay, LearningRate, PiecewiseConstantDecay, Plateau, PolynomialDecay, ReduceOnPlateau,
};
use crate::golden::{Golden, assert_near};

fn schedule(case: &Value) -> LearningRate {
    let options = &case["options"];
    let number = |name: &str| options[name].as_f64();
    let initial = number("initial_learning_rate").unwrap_or_default();
    let steps = options["decay_steps"].as_u64().unwrap_or_default();
    match case["class"].as_str().unwrap() {
        "ExponentialDecay" => ExponentialDecay::new(initial, steps, number("decay_rate").unwrap())
            .staircase(options["staircase"] == true)
            .into(),
        "CosineDecay" => {
            let cosine = CosineDecay::new(initial, steps).alpha(number("alpha").unwrap_or_default());
            match number("warmup_target") {
                Some(target) => cosine.warmup(target, options["warmup_steps"].as_u64().unwrap()).into(),
                None => cosine.into(),
            }
        }
        "PiecewiseConstantDecay" => {
            let list = |name: &str| options[name].as_array().unwrap().iter();
            let boundaries: Vec<u64> = list("boundaries").map(|value| value.as_u64().unwrap()).collect();
            let values: Vec<f64> = list("values").map(|value| value.as_f64().unwrap()).collect();
            PiecewiseConstantDecay::new(&boundaries, &values).into()
        }
        "PolynomialDecay" => PolynomialDecay::new(initial, steps)
            .end_learning_rate(number("end_learning_rate").unwrap())
            .power(number("power").unwrap())
            .cycle(options["cycle"] == true)
            .into(),
        other => panic!("schedule {other}"),
    }
}

/// Keras keeps the numbers of a schedule as f32, in float64 too.
#[test]
fn schedules_are_those_of_keras() {
    let golden = Golden::read();
    let about = golden.about();
    let steps = golden.array("schedule_steps");
    let schedules = about["schedules"].as_object().unwrap();
    assert_eq!(schedules.len(), 9);
    for (name, case) in schedules {
        let rate = schedule(case);
        rate.check().unwrap();
        let got = steps.mapv(|step| rate.at(step as u64));
        assert_near(name, &got, &golden.array(&format!("schedule.{name}")), 5e-8);
    }
}

#[test]
fn schedules_have_a_value_at_every_step() {
    let golden = Golden::read();
    for case in golden.about()["schedules"].as_object().unwrap().values() {
        let rate = schedule(case);
        for step in [0, 1 << 40, u64::MAX] {
            assert!(rate.at(step) >= 0.0, "{rate:?} at {step}");
        }
    }
}

#[test]
fn plateaus_are_those_of_keras() {
    let golden = Golden::read();
    let about = golden.about();
    let values = golden.array("plateau_values");
    for (name, options) in about["plateaus"].as_object().unwrap() {
        let number = |name: &str, default: f64| options[name].as_f64().unwrap_or(default);
        let reduce = ReduceOnPlateau::new()
            .factor(number("factor", 0.1))
            .patience(number("patience", 10.0) as u64)
            .min_delta(number("min_delta", 1e-4))
            .cooldown(number("cooldown", 0.0) as u64)
            .min_learning_rate(number("min_lr", 0.0))
            .maximize(options["mode"] == "max");
        reduce.check().unwrap();
        let mut plateau = Plateau::default();
        let mut rate = 0.1;
        let rates: Vec<f64> = values
            .iter()
            .map(|&value| {
                rate = reduce.observe(&mut plateau, value, rate).unwrap_or(rate);
                rate
            })
            .collect();
        let got = ArrayD::from_shape_vec(IxDyn(&[values.len()]), rates).unwrap();
        assert!(got[values.len() - 1] < 0.1);
        assert_near(name, &got, &golden.array(&format!("plateau.{name}")), 1e-8);
    }
}

#[test]
fn a_first_value_that_is_nan_is_not_the_best() {
    let mut plateau = Plateau::default();
    let reduce = ReduceOnPlateau::new().patience(2);
    assert_eq!(reduce.observe(&mut plateau, f64::NAN, 0.1), None);
    assert_eq!(reduce.observe(&mut plateau, 1.0, 0.1), None);
    assert_eq!(plateau.best, Some(1.0));
}
