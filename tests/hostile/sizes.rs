//! Sizes that are claimed and cannot be: no memory is taken for them, and nothing overflows.

use cellstate::{
    Bidirectional, Dense, Device, Embedding, Error, Gru, Layer, Lstm, LstmWeights, Model, Sequences, StackedRnnCells,
};
use ndarray::{Array1, Array2, Array3};

use super::refused;

/// The largest sizes that a layer may have; together no memory holds them.
#[test]
fn layers_too_large_for_memory() {
    const LARGEST: usize = 1 << 23;
    let cpu = Device::cpu();
    let repair = "correct the features and units of the layer";
    refused!(Lstm::new(LARGEST, LARGEST).on(&cpu), Error::Size { .. }, repair);
    refused!(Lstm::new(LARGEST, LARGEST).weights(), Error::Size { .. }, repair);
    refused!(Dense::new(LARGEST, LARGEST).on(&cpu), Error::Size { .. }, repair);
    refused!(Embedding::new(LARGEST, LARGEST).on(&cpu), Error::Size { .. }, repair);
    refused!(
        Bidirectional::new(Lstm::new(LARGEST, LARGEST)).on(&cpu),
        Error::Size { .. },
        repair
    );
    let stack = StackedRnnCells::new([Lstm::new(2, 3), Lstm::new(3, LARGEST)]);
    let model = Model::builder()
        .add(Lstm::new(2, 3).return_sequences(true))
        .add(Lstm::new(LARGEST, 4));
    refused!(
        model.build(),
        Error::Features { expected: LARGEST, .. },
        "make it take 3 features"
    );
    assert!(stack.cells().len() == 2);
    let given = Lstm::new(LARGEST, LARGEST).with_weights(Array2::zeros((1, 4)), Array2::zeros((1, 4)), None);
    refused!(given, Error::Size { .. }, "get_weights()");
}

#[test]
fn parameters_saturate() {
    for wrong in [usize::MAX, usize::MAX / 2, 1 << 40] {
        let lstm = Lstm::new(wrong, wrong);
        assert_eq!(lstm.parameter_count(), usize::MAX);
        let layers: [Layer; 5] = [
            lstm.clone().into(),
            Bidirectional::new(lstm.clone()).into(),
            StackedRnnCells::new([lstm.clone(), lstm.clone(), lstm]).into(),
            Dense::new(wrong, wrong).into(),
            Embedding::new(wrong, wrong).into(),
        ];
        for layer in layers {
            assert_eq!(layer.parameter_count(), usize::MAX, "{}", layer.class());
        }
    }
    assert_eq!(Layer::from(StackedRnnCells::new::<Lstm>([])).parameter_count(), 0);
    let projected = Lstm::new(2, 3).peepholes(true).projection(usize::MAX);
    assert_eq!(projected.parameter_count(), usize::MAX);
}

/// The sizes are looked at before the weights, whose shapes are made of them.
#[test]
fn weights_for_layers_too_large() {
    let weights = || LstmWeights::new(Array2::zeros((1, 4)), Array2::zeros((1, 4)), Some(Array1::zeros(4)));
    for units in [usize::MAX, usize::MAX / 4, usize::MAX / 8 + 1] {
        refused!(
            Lstm::new(1, units).with(weights()),
            Error::Value { .. },
            "units of the LSTM",
            "real size"
        );
    }
    let (kernel, recurrent_kernel) = (Array2::zeros((2, 9)), Array2::zeros((3, 9)));
    for (reset_after, expected) in [(true, "(2, 3·units)"), (false, "(1, 3·units)")] {
        let bias = Some(Array2::zeros((3, 9)));
        let given = Gru::new(2, 3).reset_after(reset_after);
        let given = given.with_weights(kernel.clone(), recurrent_kernel.clone(), bias);
        refused!(given, Error::Size { .. }, "bias of the GRU", expected);
    }
}

/// Arrays without a single value may have very long axes.
#[test]
fn batches_that_hold_nothing_and_claim_everything() {
    let runner = Lstm::new(2, 3).return_sequences(true).on(&Device::cpu()).unwrap();
    let embedding = Embedding::new(2, 3).on(&Device::cpu()).unwrap();
    for (batch, time_steps) in [(1 << 40, 0), (0, 1 << 40)] {
        let none = Array3::<f32>::zeros((batch, time_steps, 2));
        refused!(
            runner.run(&Sequences::from(&none)),
            Error::TooLarge { .. },
            "run_from",
            "time steps"
        );
        let mut states = runner.zero_state(1);
        let before = states.clone();
        assert!(runner.run_from(&Sequences::from(&none), &mut states).is_err());
        assert_eq!(states, before);
        let none = Array2::<i32>::zeros((batch, time_steps));
        refused!(
            embedding.run(&Sequences::from(&none)),
            Error::TooLarge { .. },
            "run_from"
        );
    }
    // every sequence is the same memory, and their number is made up
    let one = Array3::<f32>::zeros((1, 1, 2));
    let claimed = one.broadcast((1 << 33, 1, 2)).unwrap();
    refused!(
        runner.run(&Sequences::from(claimed)),
        Error::TooLarge { .. },
        "run fewer sequences at once"
    );
}

#[test]
fn states_of_any_size() {
    let runner = Lstm::new(2, 1000).on(&Device::cpu()).unwrap();
    for batch in [usize::MAX, usize::MAX / 4000, (1 << 31) + 1] {
        refused!(runner.try_zero_state(batch), Error::TooLarge { .. }, "run_from");
    }
    assert_eq!(runner.try_zero_state(3).unwrap(), runner.zero_state(3));
}
