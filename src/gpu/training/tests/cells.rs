//! The recurrent layers.

use super::*;
use crate::activation::Activation;
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
fn what_is_not_done_here_says_so() {
    let refused = [
        (Lstm::new(3, 5).projection(2).into(), "projection"),
        (Gru::new(3, 5).reset_after(false).into(), "reset_after"),
        (
            crate::layer::Layer::from(SimpleRnn::new(3, 5).activation(Activation::Softmax)),
            "softmax",
        ),
        (
            crate::layer::batch_normalization::BatchNormalization::new(5).into(),
            "BatchNormalization",
        ),
    ];
    for (layer, option) in refused {
        let builder = Model::builder().add(Dense::new(3, 3)).add(layer);
        let Ok(model) = builder.build() else {
            continue; // the last two want another width, and are refused as plans of their own
        };
        let error = super::super::check(model.plan()).unwrap_err().to_string();
        assert!(error.contains(option) && error.contains("train on the CPU"), "{error}");
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
    let model = |seed| {
        let mut random = Random(seed);
        let builder = Model::builder().add(Lstm::new(3, 5)).add(Dense::new(5, 2));
        let mut model = builder.build().unwrap();
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
            let model = if round < 2 { &one } else { &other };
            if round == 2 {
                pollster::block_on(training.set_plan(other.plan().clone())).unwrap();
            }
            let mut random = Random(round as u64);
            let values = ndarray::Array3::from_shape_simple_fn((batch, steps, 3), || random.within(1.0));
            let input = Input::Values(values.view());
            let flow = Arc::new(Flow::in_training(model.plan(), input, None).unwrap());
            let upstream = Upstream {
                outputs: vec![random.array(&[batch, 2], 1.0)],
                states: None,
            };
            let run = |training: &mut GpuTraining| {
                let mut output = Output::default();
                pollster::block_on(training.forward(&flow, input, None, None, &mut output)).unwrap();
                let gradients = training.backward(&flow, input, &upstream, true);
                pollster::block_on(gradients).unwrap()
            };
            let (kept, fresh) = (run(&mut training), run(&mut make(model)));
            assert_eq!(kept.parameters, fresh.parameters, "round {round}");
            assert_eq!(kept.input, fresh.input, "round {round}");
        }
    }
}
