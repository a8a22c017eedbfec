//! Regularisers against Keras.

use ndarray::{ArcArray, ArrayD, IxDyn};

use super::{Regularizer, Regularizers};
use crate::golden::{Golden, assert_near};
use crate::parameters::{Parameters, Role};

type Arrays = Vec<(String, ArrayD<f32>)>;

fn parameters(arrays: &Arrays) -> Parameters {
    let mut parameters = Parameters::default();
    for ((path, array), role) in arrays.iter().zip([Role::Kernel, Role::Bias]) {
        parameters.push(path.clone(), role, ArcArray::from(array.clone()));
    }
    parameters
}

fn arrays(golden: &Golden) -> Arrays {
    vec![
        ("lstm/kernel".to_owned(), golden.single("regularizer_kernel")),
        ("lstm/bias".to_owned(), golden.single("bias")),
    ]
}

#[test]
fn losses_and_gradients_are_those_of_keras() {
    let golden = Golden::read();
    let about = golden.about();
    let weights = arrays(&golden);
    let cases = about["regularizers"].as_object().unwrap();
    assert_eq!(cases.len(), 3);
    for (name, options) in cases {
        let factor = |name: &str| options[name].as_f64().unwrap_or_default();
        let regularizer = Regularizer::l1_l2(factor("l1"), factor("l2")).on(Role::Kernel);
        let paths = weights.iter().map(|(path, _)| path.as_str());
        let regularizers = Regularizers::new(&[regularizer], &parameters(&weights), paths).unwrap();
        let loss = ArrayD::from_elem(IxDyn(&[1]), regularizers.loss(&parameters(&weights)).unwrap());
        assert_near(name, &loss, &golden.array(&format!("regularizer.{name}.loss")), 1e-7);
        let mut gradients: Arrays = weights
            .iter()
            .map(|(path, array)| (path.clone(), array * 0.0 + 2.0))
            .collect();
        regularizers
            .add_gradients(&parameters(&weights), &mut gradients)
            .unwrap();
        let added = gradients[0].1.mapv(|value| f64::from(value) - 2.0);
        assert_near(
            name,
            &added,
            &golden.array(&format!("regularizer.{name}.gradient")),
            3e-7,
        );
        assert!(gradients[1].1.iter().all(|&value| value == 2.0));
    }
}

#[test]
fn several_on_one_parameter_add_up_and_frozen_ones_do_not_count() {
    let golden = Golden::read();
    let weights = arrays(&golden);
    let parameters = parameters(&weights);
    let paths = ["lstm/kernel", "lstm/bias"];
    let loss = |regularizers: &[Regularizer], paths: &[&str]| {
        let regularizers = Regularizers::new(regularizers, &parameters, paths.iter().copied()).unwrap();
        regularizers.loss(&parameters).unwrap()
    };
    let [l1, l2] = [
        Regularizer::l1(0.1).on("lstm"),
        Regularizer::l2(0.2).on(Role::Bias).on("lstm/bias"),
    ];
    let [one, two] = [&l1, &l2].map(|regularizer| loss(std::slice::from_ref(regularizer), &paths));
    assert!(one > 0.0 && two > 0.0);
    assert!((loss(&[l1.clone(), l2.clone()], &paths) - (one + two)).abs() < 1e-12);
    assert_eq!(loss(std::slice::from_ref(&l2), &paths[..1]), 0.0);
    assert!(loss(&[l1], &paths[..1]) < one);
}

#[test]
fn regularizers_that_make_no_sense_are_refused() {
    let golden = Golden::read();
    let weights = arrays(&golden);
    for (bad, expected) in [
        (Regularizer::l1(-0.1).on(Role::Kernel), "l1"),
        (Regularizer::l2(f64::NAN).on(Role::Kernel), "l2"),
        (Regularizer::l2(0.1), ".on(Role::Kernel)"),
        (Regularizer::l2(0.1).on("gru"), "lstm/kernel"),
    ] {
        let error = Regularizers::new(&[bad], &parameters(&weights), std::iter::empty()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}
