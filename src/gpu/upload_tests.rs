//! What can be rounded to half precision: where anything cannot, no matrix unit is given it.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use ndarray::{Array2, Array3, ShapeBuilder};

use super::*;
use crate::activation::Activation;
use crate::flow::{Input, Source};
use crate::gpu::stage::interface::Fitting;
use crate::gpu::stage::prepared::Fits;
use crate::half_precision::fits_half;
use crate::layer::bidirectional::Bidirectional;
use crate::layer::dense::Dense;
use crate::layer::gru::Gru;
use crate::layer::lstm::Lstm;
use crate::model::Model;

const SIZE: (usize, usize, usize) = (3, 5, 2);

fn flow_of(model: &Model, values: &Array3<f32>, mask: Option<&Array2<bool>>) -> Flow {
    let input = Input::Values(values.view());
    Flow::new(model.plan(), input, mask.map(|mask| mask.view())).unwrap()
}

/// One value that half precision cannot hold, wherever it stands; padding does not count.
#[test]
fn a_value_beyond_half_precision_is_found() {
    let model = Model::builder().add(Lstm::new(SIZE.2, 4)).build().unwrap();
    let mask = Array2::from_shape_fn((SIZE.0, SIZE.1), |(row, step)| step <= 2 * row);
    for layout in [Array3::from_elem(SIZE, 65_504.0), Array3::from_elem(SIZE.f(), 65_504.0)] {
        assert!(input_fits(&flow_of(&model, &layout, Some(&mask)), layout.view()));
        for (at, valid) in mask.indexed_iter() {
            for value in [1e6, f32::NEG_INFINITY, f32::NAN] {
                let mut values = layout.clone();
                values[(at.0, at.1, 1)] = value;
                let fits = input_fits(&flow_of(&model, &values, Some(&mask)), values.view());
                assert_eq!(fits, value != 1e6 || !valid, "{value} at {at:?}");
            }
        }
    }
}

/// What is seen of values is what is said of each, at every length of a vector's rest.
#[test]
fn values_are_seen_as_they_are() {
    let values = [
        0.0,
        -65_519.9,
        65_520.0,
        f32::MAX,
        -f32::INFINITY,
        f32::NAN,
        1e-40,
        -3.0,
    ];
    for length in 0..40 {
        for at in 0..length {
            for value in values {
                let mut row = vec![0.25_f32; length];
                row[at] = value;
                let seen = Seen::of(row.iter());
                assert_eq!(seen.is_beyond, row.iter().any(|&value| !fits_half(value)), "{row:?}");
                let largest = row.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
                assert_eq!(f32::from_bits(seen.largest), largest, "{row:?}");
            }
        }
    }
}

/// Numbers of which halves would keep a few bits or none, wherever all are as small; zeros, and a small one beside others, are none.
#[test]
fn small_numbers_are_found() {
    let model = Model::builder().add(Lstm::new(SIZE.2, 4)).build().unwrap();
    let fits = |values: &Array3<f32>| input_fits(&flow_of(&model, values, None), values.view());
    let mut values = Array3::zeros(SIZE);
    assert!(fits(&values));
    values.fill(1e-5);
    assert!(!fits(&values));
    values[(2, 4, 1)] = -1.0;
    assert!(fits(&values));
}

/// The stages in whose rows a large value may stand.
#[test]
fn what_has_no_bound_is_known() {
    let lstm = |activation| {
        Lstm::new(SIZE.2, 4)
            .output_activation(activation)
            .return_sequences(true)
    };
    let linear = Dense::new(4, 4);
    let tanh = Dense::new(4, 4).activation(Activation::Tanh);
    for (builder, stages) in [
        (Model::builder().add(lstm(Activation::Tanh)), vec![true]),
        (Model::builder().add(lstm(Activation::Relu)), vec![false]),
        (
            Model::builder().add(lstm(Activation::Tanh)).add(linear),
            vec![true, false],
        ),
        (
            Model::builder().add(lstm(Activation::Relu)).add(tanh),
            vec![false, true],
        ),
        (
            Model::builder().add(Gru::new(SIZE.2, 4).return_sequences(true)),
            vec![true],
        ),
        (
            Model::builder().add(Bidirectional::new(lstm(Activation::Tanh))),
            vec![true; 3],
        ),
        (
            Model::builder().add(Bidirectional::new(lstm(Activation::Relu))),
            vec![false; 3],
        ),
    ] {
        let model = builder.build().unwrap();
        let flow = flow_of(&model, &Array3::zeros(SIZE), None);
        let fitting = Fitting::of(&flow, &Fits::of(model.plan(), true), false, true);
        let found: Vec<bool> = (0..flow.stages.len())
            .map(|stage| fitting.of_source(Source::Stage(stage)))
            .collect();
        assert_eq!(found, stages, "{model}");
        assert!(
            fitting.of_source(Source::Input)
                && !Fitting::of(&flow, &Fits::of(model.plan(), true), false, false).of_source(Source::Input)
        );
    }
}
