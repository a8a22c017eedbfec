//! The recurrent layers.

use super::*;
use crate::activation::Activation;
use crate::drawn::is_drawn;
use crate::layer::dense::Dense;
use crate::layer::gru::Gru;
use crate::layer::lstm::Lstm;
use crate::layer::simple_rnn::SimpleRnn;

fn both(model: impl Fn() -> Model) {
    check(model(), PLAIN);
    check(model(), MASKED);
}

#[test]
fn an_lstm_with_its_last_output() {
    both(|| {
        let builder = Model::builder().add(Lstm::new(3, 5)).add(Dense::new(5, 2));
        builder.build().unwrap()
    });
}

#[test]
fn a_stack_of_lstms_with_sequences() {
    both(|| {
        let builder = Model::builder()
            .add(Lstm::new(3, 6).return_sequences(true))
            .add(Lstm::new(6, 4).return_sequences(true).go_backwards(true))
            .add(Dense::new(4, 2).activation(Activation::Tanh));
        builder.build().unwrap()
    });
}

#[test]
fn an_lstm_with_its_options() {
    both(|| {
        let lstm = Lstm::new(3, 5)
            .peepholes(true)
            .input_forget(true)
            .activation(Activation::EluWith { alpha: 0.75 })
            .output_activation(Activation::Softsign)
            .return_sequences(true)
            .zero_output_for_mask(true);
        Model::builder().add(lstm).build().unwrap()
    });
    both(|| {
        let lstm = Lstm::new(3, 5).peepholes(true).clip(0.9).use_bias(false);
        Model::builder().add(lstm).build().unwrap()
    });
}

#[test]
fn a_gru() {
    both(|| {
        let gru = Gru::new(3, 5).return_sequences(true);
        Model::builder().add(gru).add(Gru::new(5, 4).clip(0.8)).build().unwrap()
    });
}

#[test]
fn a_simple_rnn() {
    both(|| {
        let first = SimpleRnn::new(3, 5).return_sequences(true).activation(Activation::Gelu);
        Model::builder().add(first).add(SimpleRnn::new(5, 4)).build().unwrap()
    });
}

/// More units than a tile has, more columns than a tile of the product, and no multiple of either.
#[test]
fn tiles_have_edges() {
    both(|| Model::builder().add(Lstm::new(2, 19)).build().unwrap());
    both(|| Model::builder().add(Gru::new(17, 3)).build().unwrap());
}

#[test]
fn a_gru_that_resets_before_the_product() {
    both(|| {
        let gru = Gru::new(3, 5).reset_after(false).return_sequences(true);
        let second = Gru::new(5, 4).reset_after(false).clip(0.8).use_bias(false);
        Model::builder().add(gru).add(second).build().unwrap()
    });
}

#[test]
fn an_lstm_with_a_projection() {
    both(|| {
        let first = Lstm::new(3, 6).projection(2).peepholes(true).return_sequences(true);
        let second = Lstm::new(2, 4).projection(4).clip(0.9).input_forget(true);
        Model::builder().add(first).add(second).build().unwrap()
    });
}

/// Softmax and log_softmax are over all units.
#[test]
fn cells_with_activations_over_all_units() {
    let (softmax, log_softmax) = (Activation::Softmax, Activation::LogSoftmax);
    let mut builders = Vec::new();
    for activation in [softmax, log_softmax] {
        let rnn = SimpleRnn::new(3, 5).activation(activation).return_sequences(true);
        builders.push(Model::builder().add(rnn).add(SimpleRnn::new(5, 4).clip(0.7)));
    }
    for reset_after in [true, false] {
        let gru = |features, units| Gru::new(features, units).reset_after(reset_after);
        let first = gru(3, 5).recurrent_activation(softmax).return_sequences(true);
        let second = gru(5, 4).activation(log_softmax).clip(0.9);
        builders.push(Model::builder().add(first).add(second));
    }
    let first = Lstm::new(3, 5).recurrent_activation(softmax).peepholes(true).clip(0.9);
    let second = Lstm::new(5, 4).activation(softmax).output_activation(log_softmax);
    let builder = Model::builder().add(first.return_sequences(true));
    builders.push(builder.add(second.input_forget(true).projection(3)));
    for (number, builder) in builders.into_iter().enumerate() {
        if is_drawn(number, 2) {
            check(builder.build().unwrap(), MASKED);
        }
    }
}

/// The way back reads what any strategy leaves.
#[test]
fn every_strategy_serves_training() {
    for &strategy in crate::settings::Strategy::ALL {
        if strategy == crate::settings::Strategy::Team {
            continue; // a software adapter need not run workgroups at the same time
        }
        let settings = Settings::new().strategy(strategy);
        let lstm = Lstm::new(3, 5).return_sequences(true);
        let layer = crate::layer::bidirectional::Bidirectional::new(lstm);
        check_by(&settings, Model::builder().add(layer).build().unwrap(), MASKED);
    }
}

/// One training with batches of other sizes, masks and weights, one after the other.
#[test]
fn a_training_goes_on() {
    goes_on(|| {
        let builder = Model::builder().add(Lstm::new(3, 5)).add(Dense::new(5, 2));
        builder.build().unwrap()
    });
}

/// Other weights are put into the forms of the forward pass by the GPU: as the host does it, to the bit.
#[test]
fn other_weights_reach_every_form() {
    use crate::layer::batch_normalization::BatchNormalization;
    use crate::layer::bidirectional::Bidirectional;
    use crate::layer::embedding::Embedding;
    use crate::layer::layer_normalization::LayerNormalization;

    goes_on(|| {
        let both = Bidirectional::new(Lstm::new(3, 5).peepholes(true).return_sequences(true));
        let builder = Model::builder()
            .add(Embedding::new(9, 3))
            .add(both)
            .add(LayerNormalization::new(10))
            .add(Gru::new(10, 7).return_sequences(true))
            .add(BatchNormalization::new(7).scale(false))
            .add(Dense::new(7, 2));
        builder.build().unwrap()
    });
    // gamma is constant, and stands in one four with beta
    for units in [2, 6] {
        goes_on(|| {
            let builder = Model::builder().add(Gru::new(3, units).return_sequences(true));
            let builder = builder.add(BatchNormalization::new(units).scale(false));
            builder.add(Dense::new(units, 2)).build().unwrap()
        });
    }
    goes_on(|| {
        let builder = Model::builder()
            .add(Lstm::new(3, 6).projection(2).return_sequences(true))
            .add(Gru::new(2, 5).reset_after(false).return_sequences(true))
            .add(SimpleRnn::new(5, 66).activation(Activation::Softmax));
        builder.add(Dense::new(66, 2)).build().unwrap()
    });
}

fn goes_on(model: impl Fn() -> Model) {
    let model = |seed| {
        let mut random = Random(seed);
        let mut model = model();
        with_own_weights(&mut model, &mut random);
        model
    };
    let (one, other) = (model(1), model(2));
    for gpu in gpus() {
        let settings = Settings::new().strategy(Strategy::Step);
        let make = |model: &Model| {
            let made = GpuTraining::new(gpu, model.plan().clone(), &settings, "GPU".into());
            pollster::block_on(made).unwrap()
        };
        let mut training = make(&one);
        let sizes = [(3, 5), (2, 9), (4, 2), (3, 5)];
        for (round, (batch, steps)) in sizes.into_iter().enumerate() {
            let model = if round % 2 == 0 { &one } else { &other };
            if round > 0 {
                pollster::block_on(training.set_plan(model.plan().clone())).unwrap();
            }
            let mut random = Random(round as u64);
            let values = ndarray::Array3::from_shape_simple_fn((batch, steps, 3), || random.within(1.0));
            let tokens = Array2::from_shape_fn((batch, steps), |(sequence, step)| (sequence + 3 * step) as i32 % 9);
            let input = match model.plan().takes_tokens {
                true => Input::Tokens(tokens.view()),
                false => Input::Values(values.view()),
            };
            let flow = Arc::new(Flow::in_training(model.plan(), input, None).unwrap());
            let upstream = Upstream {
                outputs: vec![random.array(&flow.outputs[0].shape, 1.0)],
                states: None,
            };
            let run = |training: &mut GpuTraining| {
                let mut output = Output::default();
                let noise = (round > 1).then_some(Noise { seed: 1, batch: 2 });
                pollster::block_on(training.forward(&flow, input, None, noise, &mut output)).unwrap();
                let gradients = training.backward(&flow, input, &upstream, Wants::ALL);
                (output.values, pollster::block_on(gradients).unwrap())
            };
            let ((output, kept), (wanted, fresh)) = (run(&mut training), run(&mut make(model)));
            assert_eq!(output, wanted, "round {round}");
            assert_eq!(kept.parameters, fresh.parameters, "round {round}");
            assert_eq!(kept.input, fresh.input, "round {round}");
        }
    }
}

/// The buffers of what gates leave out are counted with those of a workspace.
#[test]
fn what_gates_leave_out_is_counted() {
    use crate::layer::bidirectional::Bidirectional;

    let sides = Bidirectional::new(
        Gru::new(3, 5)
            .dropout(0.2)
            .recurrent_dropout(0.2)
            .return_sequences(true),
    );
    let builder = Model::builder().add(sides).add(Lstm::new(10, 4).recurrent_dropout(0.2));
    let model = builder.build().unwrap();
    for adapter in pollster::block_on(Adapter::all()) {
        // other tests do not make buffers on a device of its own
        let gpu = pollster::block_on(adapter.open_another()).unwrap();
        let settings = Settings::new().strategy(Strategy::Step);
        let made = GpuTraining::new(&gpu, model.plan().clone(), &settings, "GPU".into());
        let training = pollster::block_on(made).unwrap();
        let before = gpu.counters().bytes();
        let workspace = pollster::block_on(training.model.workspace((3, 5))).unwrap();
        let told = training.model.memory(3, 5).unwrap();
        assert_eq!(told, gpu.counters().bytes() - before);
        drop(workspace);
    }
}
