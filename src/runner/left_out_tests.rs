//! What the gates of recurrent layers leave out by themselves: on a GPU as on the CPU, and as in Keras.

use super::*;
use crate::cpu::training::tests::keras_dropout;
use crate::error::Error;
use crate::gradients::Wants;
use crate::layer::recurrent::{DropoutRates, Recurrent};

const NOISE: Noise = Noise {
    seed: 3 | 5 << 40,
    batch: 2 | 1 << 33,
};

const SIZE: (usize, usize) = (6, 8);

fn compare(model: Model) {
    let noise = Some(NOISE);
    compare_with_cpu(
        model,
        Case {
            noise,
            ..Case::of(SIZE)
        },
    );
}

/// With what gates leave out, and without, as in inference.
fn both(model: Model) {
    compare_with_cpu(model.clone(), Case::of(SIZE));
    compare(model);
}

fn one(layer: impl Into<Layer>) -> Model {
    Model::builder().add(layer).build().unwrap()
}

#[test]
fn every_cell_leaves_out_what_it_does_on_the_cpu() {
    let softmax = Activation::Softmax;
    let cells: [Recurrent; 10] = [
        Lstm::new(3, 5).into(),
        Lstm::new(3, 5).peepholes(true).clip(0.9).input_forget(true).into(),
        Lstm::new(3, 6).projection(2).peepholes(true).into(),
        Lstm::new(3, 5).recurrent_activation(softmax).into(),
        Gru::new(3, 5).into(),
        Gru::new(3, 5).reset_after(false).into(),
        Gru::new(3, 5).reset_after(false).recurrent_activation(softmax).into(),
        SimpleRnn::new(3, 5).into(),
        SimpleRnn::new(3, 7).activation(softmax).into(),
        Lstm::new(5, 66).use_bias(false).into(),
    ];
    for cell in cells {
        for (input, recurrent) in [(0.5, 0.5), (0.0, 0.3)] {
            let mut cell = cell.clone();
            cell.options.return_sequences = input > 0.0;
            cell.dropout = DropoutRates { input, recurrent };
            compare(one(cell));
        }
    }
}

/// Directions that run together, of which one or both leave something out, and such that do not; each by rates of its own.
#[test]
fn directions_leave_out_their_own() {
    let lstm = |input, recurrent| Lstm::new(3, 4).dropout(input).recurrent_dropout(recurrent);
    let sides = [
        (lstm(0.5, 0.5), lstm(0.5, 0.5)),
        (lstm(0.0, 0.4), lstm(0.3, 0.0)),
        (lstm(0.0, 0.0), lstm(0.2, 0.6)),
    ];
    for (forward, backward) in sides {
        let layer = Bidirectional::new(forward.return_sequences(true)).backward_layer(backward.return_sequences(true));
        both(one(layer));
    }
    let gru = |reset_after| {
        Gru::new(3, 5)
            .reset_after(reset_after)
            .dropout(0.3)
            .recurrent_dropout(0.4)
    };
    compare(one(Bidirectional::new(gru(true))));
    compare(one(Bidirectional::new(gru(false))));
    let rnn = SimpleRnn::new(3, 19).recurrent_dropout(0.4).dropout(0.2);
    compare(one(Bidirectional::new(rnn.return_sequences(true))));
    compare(one(Lstm::new(3, 18).recurrent_dropout(0.4).go_backwards(true)));
}

#[test]
fn cells_of_a_stack_and_layers_behind_each_other_leave_out_their_own() {
    let cells = [
        Lstm::new(3, 5).dropout(0.3).recurrent_dropout(0.3),
        Lstm::new(5, 7).recurrent_dropout(0.5),
    ];
    let first = StackedRnnCells::new(cells).return_sequences(true);
    let second = Gru::new(7, 4)
        .recurrent_dropout(0.2)
        .dropout(0.2)
        .return_sequences(true);
    let builder = Model::builder().add(first).add(Dropout::new(0.2)).add(second);
    compare(builder.add(Dense::new(4, 2)).build().unwrap());
    let words = Model::builder()
        .add(Embedding::new(9, 6).mask_zero(true))
        .add(
            Gru::new(6, 5)
                .dropout(0.4)
                .recurrent_dropout(0.4)
                .return_sequences(true),
        )
        .add(SimpleRnn::new(5, 3).recurrent_dropout(0.3));
    compare_with_noise_and_without(words.build().unwrap());
}

/// Sums over the rows of a batch are cut into parts, and the steps of a batch have more positions than a tile.
#[test]
fn many_rows_of_what_is_left() {
    let sides = Bidirectional::new(
        Lstm::new(5, 17)
            .dropout(0.2)
            .recurrent_dropout(0.3)
            .return_sequences(true),
    );
    let case = Case {
        noise: Some(NOISE),
        largest: 0.4,
        ..Case::of((70, 12))
    };
    compare_with_cpu(one(sides), case);
    let gru = Gru::new(5, 33).reset_after(false).recurrent_dropout(0.3);
    compare_with_cpu(one(gru), case);
}

/// The same bits for the same noise, whatever ran before: a larger batch, one without noise, other weights.
#[test]
fn a_training_leaves_out_the_same_whatever_ran_before() {
    let sides = Bidirectional::new(
        Gru::new(3, 5)
            .dropout(0.3)
            .recurrent_dropout(0.4)
            .return_sequences(true),
    );
    let builder = Model::builder().add(sides);
    let model = |seed| {
        let mut model = builder
            .clone()
            .add(Lstm::new(10, 4).recurrent_dropout(0.5))
            .build()
            .unwrap();
        with_weights_within(&mut model, &mut Random(seed), 0.8);
        model
    };
    let (one, other) = (model(1), model(2));
    for gpu in gpus() {
        let make = |model: &Model| {
            let settings = Settings::new().strategy(Strategy::Step);
            let made = GpuTraining::new(gpu, Arc::clone(model.plan()), &settings, "GPU".into());
            pollster::block_on(made).unwrap()
        };
        let run = |training: &mut GpuTraining, (batch, steps): (usize, usize), noise| {
            let mut random = Random(5);
            let values = ndarray::Array3::from_shape_simple_fn((batch, steps, 3), || random.within(1.0));
            let input = Input::Values(values.view());
            let flow = Arc::new(Flow::in_training(one.plan(), input, None).unwrap());
            let upstream = Upstream {
                outputs: vec![random.array(&flow.outputs[0].shape, 1.0)],
                states: None,
            };
            let mut output = Output::default();
            pollster::block_on(training.forward(&flow, input, None, noise, &mut output)).unwrap();
            let gradients = pollster::block_on(training.backward(&flow, input, &upstream, Wants::ALL)).unwrap();
            (output.values, gradients.parameters, gradients.input)
        };
        let wanted = run(&mut make(&one), (3, 5), Some(NOISE));
        let mut training = make(&other);
        let larger = run(&mut training, (7, 6), Some(NOISE));
        let without = run(&mut training, (3, 5), None);
        pollster::block_on(training.set_plan(Arc::clone(one.plan()))).unwrap();
        assert_eq!(run(&mut training, (3, 5), Some(NOISE)), wanted);
        assert_eq!(run(&mut training, (3, 5), Some(NOISE)), wanted, "twice");
        let next = Noise { batch: 1, ..NOISE };
        assert_ne!(run(&mut training, (3, 5), Some(next)), wanted, "another batch");
        assert_ne!(run(&mut training, (3, 5), None), wanted, "without noise");
        assert_eq!(run(&mut make(&other), (7, 6), Some(NOISE)), larger);
        assert_eq!(run(&mut make(&other), (3, 5), None), without);
    }
}

/// Nothing to run is no error here either.
#[test]
fn empty_batches_and_batches_of_padding_leave_out_nothing() {
    let model = one(Lstm::new(3, 4).dropout(0.5).recurrent_dropout(0.5));
    for gpu in gpus() {
        let settings = Settings::new();
        let made = GpuTraining::new(gpu, Arc::clone(model.plan()), &settings, "GPU".into());
        let mut training = pollster::block_on(made).unwrap();
        for (batch, steps) in [(0, 5), (3, 0), (3, 5)] {
            let mut random = Random(6);
            let values = ndarray::Array3::from_shape_simple_fn((batch, steps, 3), || random.within(1.0));
            let (input, mask) = (Input::Values(values.view()), Array2::from_elem((batch, steps), false));
            let flow = Arc::new(Flow::in_training(model.plan(), input, Some(mask.view())).unwrap());
            let upstream = Upstream {
                outputs: vec![random.array(&[batch, 4], 1.0)],
                states: Some(random.states(model.plan(), batch, 1.0)),
            };
            let mut output = Output::default();
            pollster::block_on(training.forward(&flow, input, None, Some(NOISE), &mut output)).unwrap();
            let gradients = pollster::block_on(training.backward(&flow, input, &upstream, Wants::ALL)).unwrap();
            for (path, gradient) in &gradients.parameters {
                assert!(gradient.iter().all(|number| *number == 0.0), "{path}");
            }
            let wanted = upstream.states.unwrap();
            let states = gradients.states.iter().zip(&wanted);
            for (given, wanted) in states {
                assert!(given.arrays().eq(wanted.arrays()), "{batch}, {steps}");
            }
        }
    }
}

/// Where the hidden state loses nothing the strategies run as ever.
#[test]
fn recurrent_layers_train_as_in_keras_on_a_gpu() {
    for case in keras_dropout::cases() {
        for &strategy in Strategy::ALL {
            if strategy == Strategy::Team {
                continue; // a software adapter need not run workgroups at the same time
            }
            let settings = Settings::new().strategy(strategy);
            for gpu in gpus() {
                let plan = Arc::clone(case.model.plan());
                let made = pollster::block_on(GpuTraining::new(gpu, plan, &settings, "GPU".into()));
                // a strategy says which cells it cannot run
                let mut training = match made {
                    Err(Error::Unsupported { .. }) if strategy != Strategy::Step => continue,
                    made => made.unwrap(),
                };
                let (flow, upstream, mut output) = (case.flow(), case.upstream(), Output::default());
                let ran = training.forward(&flow, case.input(), None, keras_dropout::NOISE, &mut output);
                pollster::block_on(ran).unwrap();
                let gradients = training.backward(&flow, case.input(), &upstream, Wants::ALL);
                case.judge(&output, pollster::block_on(gradients).unwrap());
            }
        }
    }
}
