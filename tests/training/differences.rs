//! Gradients of the caller's losses against differences of the model's outputs: of weights, inputs and states, through sections too.

use cellstate::{
    Bidirectional, Dense, Device, Embedding, Error, Gru, Layer, Loss, Lstm, Masking, MergeMode, Model, Output,
    RepeatVector, Runner, Sequences, Sgd, State, States, Trainer, Upstream,
};
use ndarray::{Array2, Array3, ArrayD, array};

use crate::data::noise;

/// How much each number of an output counts in the loss.
fn factors(shape: &[usize], number: usize) -> ArrayD<f32> {
    let mut place = 0;
    ArrayD::from_shape_fn(shape, |_| {
        place += 1;
        noise(number, place, 77)
    })
}

/// The loss: a sum over all outputs and final states, each with its factor.
fn loss(output: &Output, states: &States) -> f64 {
    let arrays = std::iter::once(output.values().to_owned()).chain(output.backward().map(|values| values.to_owned()));
    let of_states = states.iter().flat_map(|state| {
        let cell = state.cell().map(|cell| cell.to_owned());
        std::iter::once(state.hidden().to_owned())
            .chain(cell)
            .map(|array| array.into_dyn())
            .collect::<Vec<_>>()
    });
    let arrays: Vec<ArrayD<f32>> = arrays.chain(of_states).collect();
    let terms = arrays.iter().enumerate().flat_map(|(number, array)| {
        let factors = factors(array.shape(), number);
        array
            .iter()
            .zip(factors)
            .map(|(value, factor)| f64::from(*value) * f64::from(factor))
            .collect::<Vec<_>>()
    });
    terms.sum()
}

fn upstream(output: &Output, states: &States) -> Upstream {
    let mut upstream = Upstream::new(factors(output.values().shape(), 0));
    let mut number = 1;
    if let Some(backward) = output.backward() {
        upstream = upstream.backward(factors(backward.shape(), 1));
        number = 2;
    }
    let mut next = |array: ndarray::ArrayView2<'_, f32>| {
        number += 1;
        factors(array.shape(), number - 1).into_dimensionality().unwrap()
    };
    let of_states = states.iter().map(|state| {
        let hidden = next(state.hidden());
        match state.cell() {
            Some(cell) => State::with_cell(hidden, next(cell)).unwrap(),
            None => State::new(hidden),
        }
    });
    upstream.states(of_states.collect())
}

fn run(runner: &Runner, sequences: &Sequences<'_>, states: &States) -> f64 {
    let mut states = states.clone();
    let output = runner.run_from(sequences, &mut states).unwrap();
    loss(&output, &states)
}

const STEP: f32 = 1e-2;

fn check(what: &str, found: f32, [above, below]: [f64; 2]) {
    let expected = (above - below) / (2.0 * f64::from(STEP));
    let error = (f64::from(found) - expected).abs();
    assert!(
        error < 2e-3 + 1e-2 * expected.abs(),
        "{what}: {found}, by difference {expected}"
    );
}

fn with(model: &Model, path: &str, index: usize, change: f32) -> Model {
    let mut values = model.parameters().get(path).unwrap().values().to_owned();
    *values.iter_mut().nth(index).unwrap() += change;
    let mut model = model.clone();
    model.replace_parameter(path, values).unwrap();
    model
}

/// Compares all gradients of a model with differences.
fn compare(name: &str, layers: Vec<Layer>, sequences: &Sequences<'static>) {
    let model = layers
        .into_iter()
        .fold(Model::builder(), |builder, layer| builder.add(layer))
        .build()
        .unwrap();
    let device = Device::cpu();
    let runner = model.on(&device).unwrap();
    let mut states = runner.zero_state(sequences.batch());
    for (number, state) in states.iter_mut().enumerate() {
        state
            .hidden_mut()
            .indexed_iter_mut()
            .for_each(|((row, unit), value)| *value = 0.5 * noise(number, row, unit));
    }
    let mut trainer = Trainer::new(model.clone(), &device, Loss::MeanSquaredError, Sgd::new(0.1)).unwrap();
    let gradients = trainer.gradients(sequences, Some(&states), upstream).unwrap();
    let paths: Vec<&str> = gradients.parameters().map(|(path, _)| path).collect();
    let expected: Vec<&str> = model.parameters().iter().map(|one| one.path()).collect();
    assert_eq!(paths, expected, "{name}");
    for (path, gradient) in gradients.parameters() {
        for (index, found) in gradient.iter().enumerate().step_by(3) {
            let losses = [STEP, -STEP].map(|change| {
                let changed = with(&model, path, index, change).on(&device).unwrap();
                run(&changed, sequences, &states)
            });
            check(&format!("{name}: {path} {index}"), *found, losses);
        }
    }
    for (number, gradient) in gradients.states().iter().enumerate() {
        for ((row, unit), found) in gradient.hidden().indexed_iter() {
            let losses = [STEP, -STEP].map(|change| {
                let mut states = states.clone();
                states[number].hidden_mut()[[row, unit]] += change;
                run(&runner, sequences, &states)
            });
            check(&format!("{name}: state {number}, {row} {unit}"), *found, losses);
        }
    }
    let Some(values) = sequences.values() else {
        assert!(gradients.input().is_none());
        return;
    };
    for ((row, step, feature), found) in gradients.input().unwrap().indexed_iter() {
        let counts = sequences.mask().is_none_or(|mask| mask.view()[[row, step]]);
        if !counts {
            assert_eq!(*found, 0.0, "{name}: padding");
            continue;
        }
        let losses = [STEP, -STEP].map(|change| {
            let mut values = values.to_owned();
            values[[row, step, feature]] += change;
            let mut changed = Sequences::from(values);
            if let Some(mask) = sequences.mask() {
                changed = changed.with_mask(mask.clone()).unwrap();
            }
            run(&runner, &changed, &states)
        });
        check(&format!("{name}: input {row} {step} {feature}"), *found, losses);
    }
}

fn batch() -> Sequences<'static> {
    let values = Array3::from_shape_fn((3, 5, 2), |(row, step, feature)| noise(row, step, feature));
    let mask = array![
        [true; 5],
        [true, true, false, false, false],
        [false, true, false, true, true]
    ];
    Sequences::from(values).with_mask(mask).unwrap()
}

#[test]
fn one_section() {
    let every = |features, units| Lstm::new(features, units).return_sequences(true);
    compare(
        "a stack",
        vec![every(2, 3).into(), Gru::new(3, 4).into(), Dense::new(4, 2).into()],
        &batch(),
    );
    let both = Bidirectional::new(every(2, 3)).merge_mode(MergeMode::Separate);
    compare("two outputs", vec![both.into()], &batch());
    let tokens = Sequences::from(array![[1, 2, 0, 3], [3, 0, 0, 0], [2, 2, 2, 2]]);
    compare(
        "tokens",
        vec![Embedding::new(4, 2).mask_zero(true).into(), every(2, 3).into()],
        &tokens,
    );
}

#[test]
fn several_sections() {
    let every = |features, units| Lstm::new(features, units).return_sequences(true);
    let second = || Layer::from(Masking::new(9.0));
    compare(
        "two",
        vec![
            every(2, 3).into(),
            second(),
            every(3, 2).into(),
            Dense::new(2, 1).into(),
        ],
        &batch(),
    );
    compare(
        "behind a last output",
        vec![Lstm::new(2, 3).into(), second(), Dense::new(3, 2).into()],
        &batch(),
    );
    compare(
        "repeated",
        vec![
            Lstm::new(2, 3).into(),
            second(),
            RepeatVector::new(2).into(),
            every(3, 2).into(),
        ],
        &batch(),
    );
    compare("nothing to compute", vec![every(2, 3).into(), second()], &batch());
    compare(
        "repeated and no more",
        vec![Lstm::new(2, 3).into(), second(), RepeatVector::new(3).into()],
        &batch(),
    );
}

#[test]
fn what_a_masking_layer_leaves_out_has_no_gradient() {
    // relu leaves whole steps at 0, which the second section masks
    let dense = Dense::new(2, 1).activation(cellstate::Activation::Relu);
    let model = Model::builder()
        .add(dense)
        .add(Masking::new(0.0))
        .add(Lstm::new(1, 2))
        .build()
        .unwrap();
    let mut trainer = Trainer::new(model, &Device::cpu(), Loss::MeanSquaredError, Sgd::new(0.1)).unwrap();
    let values = Array3::from_shape_fn((3, 5, 2), |(row, step, feature)| noise(row, step, feature));
    let gradients = trainer.gradients(&Sequences::from(values), None, upstream).unwrap();
    let input = gradients.input().unwrap();
    let zeros = input.iter().filter(|value| **value == 0.0).count();
    assert!(zeros > 0 && zeros < input.len(), "{input}");
}

/// Ones of a shape.
type Ones<'a> = &'a dyn Fn(&[usize]) -> ArrayD<f32>;

#[test]
fn gradients_of_another_shape_are_refused() {
    let model = || Model::builder().add(Lstm::new(2, 3)).build().unwrap();
    let mut trainer = Trainer::new(model(), &Device::cpu(), Loss::MeanSquaredError, Sgd::new(0.1)).unwrap();
    let ones = |shape: &[usize]| ArrayD::<f32>::ones(shape);
    let wrong: [fn(Ones<'_>) -> Upstream; 4] = [
        |ones| Upstream::new(ones(&[3, 2])),
        |ones| Upstream::new(ones(&[3, 3])).backward(ones(&[3, 3])),
        |ones| Upstream::new(ones(&[3, 3])).states(Vec::new()),
        |ones| Upstream::new(ones(&[3, 3])).states(vec![State::new(Array2::ones((3, 3)))]),
    ];
    for wrong in wrong {
        let result = trainer.gradients(&batch(), None, |_, _| wrong(&ones));
        assert!(matches!(result, Err(Error::Size { .. })), "{result:?}");
    }
    let states = model().on(&Device::cpu()).unwrap().zero_state(2);
    assert!(matches!(
        trainer.gradients(&batch(), Some(&states), upstream),
        Err(Error::Size { .. })
    ));
}
