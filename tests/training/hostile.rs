//! What nobody should train with, and somebody will.

use cellstate::{
    Adam, Bidirectional, Dense, Device, Error, Examples, Fit, Loss, Lstm, MergeMode, Model, Precision, Sequences,
    Settings, Sgd, SparseCategoricalCrossentropy, Trainer,
};
use ndarray::{Array1, Array2, Array3, array};

use crate::data::{examples, noise};
use crate::{bits, model, trainer, trainer_of};

/// The result is an error of this kind, with these texts in its message.
macro_rules! refused {
    ($result:expr, $variant:pat, $($text:expr),+ $(,)?) => {{
        let error = $result.err().unwrap_or_else(|| panic!("accepted: {}", stringify!($result)));
        assert!(matches!(error, $variant), "{error:?}");
        let message = error.to_string();
        $(assert!(message.contains($text), "{:?} is not in {message}", $text);)+
    }};
}

#[test]
fn options_without_sense() {
    let data = examples(10);
    let try_fit = |fit: Fit<'_>| {
        let mut trainer = trainer();
        let before = bits(&trainer);
        let result = trainer.fit(&data, fit);
        assert!(result.is_ok() || bits(&trainer) == before);
        result
    };
    refused!(try_fit(Fit::epochs(0)), Error::Value { .. }, "epochs", "at least one");
    refused!(try_fit(Fit::epochs(1).batch_size(0)), Error::Value { .. }, "batch_size");
    for share in [1.0, 1.5, -0.1, f64::NAN, f64::INFINITY] {
        refused!(
            try_fit(Fit::epochs(1).validation_split(share)),
            Error::Value { .. },
            "validation_split",
            "share"
        );
    }
    refused!(
        try_fit(Fit::epochs(1).validation_split(0.99)),
        Error::Value { .. },
        "0.99 of 10 sequences"
    );
    assert!(
        try_fit(Fit::epochs(1).validation_split(0.0))
            .unwrap()
            .values("val_loss")
            .is_empty()
    );
    refused!(
        try_fit(Fit::epochs(1).stateful(true)),
        Error::Value { .. },
        "multiple of the batch size"
    );
    let both = Fit::epochs(1).batch_size(5).stateful(true);
    refused!(try_fit(both.shuffle(true)), Error::Value { .. }, "stateful");
    let both = Fit::epochs(1).batch_size(5).stateful(true);
    refused!(try_fit(both.bucketing(true)), Error::Value { .. }, "stateful");
    refused!(
        try_fit(Fit::epochs(1).class_weights([(0, -1.0)])),
        Error::Value { .. },
        "class 0",
        "-1"
    );
    refused!(
        try_fit(Fit::epochs(1).class_weights([(7, f32::NAN)])),
        Error::Value { .. },
        "class 7",
        "NaN"
    );
    refused!(try_fit(Fit::epochs(1).resume(true)), Error::Value { .. }, "checkpoint");
    let plateau = cellstate::ReduceOnPlateau::new().factor(2.0);
    refused!(
        try_fit(Fit::epochs(1).reduce_on_plateau(plateau)),
        Error::Value { .. },
        "factor"
    );
    assert!(try_fit(Fit::epochs(1).batch_size(usize::MAX)).is_ok());
    assert!(try_fit(Fit::epochs(1).batch_size(usize::MAX).bucketing(true)).is_ok());
}

#[test]
fn data_that_are_none() {
    let nothing = || Examples::new(Sequences::from(Array3::zeros((0, 7, 3))), Array2::<f32>::zeros((0, 1))).unwrap();
    refused!(
        trainer().fit(&nothing(), Fit::epochs(1)),
        Error::Value { .. },
        "no sequences"
    );
    refused!(
        trainer().evaluate(&nothing()),
        Error::Value { .. },
        "at least one sequence"
    );
    let fit = Fit::epochs(1);
    let data = examples(4);
    let none = nothing();
    refused!(
        trainer().fit(&data, fit.validation_data(&none)),
        Error::Value { .. },
        "at least one sequence"
    );
    // a batch of none teaches nothing
    assert_eq!(trainer().train_on_batch(&nothing()).unwrap(), 0.0);
    let without_steps = Examples::new(Sequences::from(Array3::zeros((2, 0, 3))), Array2::<f32>::zeros((2, 1))).unwrap();
    assert!(trainer().train_on_batch(&without_steps).unwrap().is_finite());
}

#[test]
fn targets_and_weights_that_do_not_fit() {
    let x = Array3::from_shape_fn((4, 5, 3), |(row, step, feature)| noise(row, step, feature));
    let sequences = || Sequences::from(&x);
    refused!(
        Examples::new(sequences(), Array2::<f32>::zeros((3, 1))),
        Error::Size { .. },
        "4 sequences"
    );
    let swapped = Examples::new(sequences(), Array2::<f32>::zeros((1, 4)));
    refused!(swapped, Error::Size { .. }, "swap_axes");
    let good = || Examples::new(sequences(), Array2::<f32>::zeros((4, 1))).unwrap();
    refused!(good().with_weights(&[1.0; 3]), Error::Size { .. }, "4 weights");
    refused!(
        good().with_weights(&[1.0, f32::NAN, 1.0, 1.0]),
        Error::Value { .. },
        "weight 1",
        "NaN"
    );
    refused!(
        good().with_weights(&[1.0, 1.0, -0.5, 1.0]),
        Error::Value { .. },
        "weight 2"
    );
    refused!(
        good().with_step_weights(Array2::ones((4, 3))),
        Error::Size { .. },
        "[4, 5]"
    );
    let wide = Examples::new(sequences(), Array2::<f32>::zeros((4, 2))).unwrap();
    refused!(trainer().fit(&wide, Fit::epochs(1)), Error::Size { .. }, "targets");
    // weights of steps, where there is one output for each sequence
    let steps = good().with_step_weights(Array2::ones((4, 5))).unwrap();
    refused!(trainer().fit(&steps, Fit::epochs(1)), Error::Size { .. }, "weights");
    let tokens = Examples::new(
        Sequences::from(Array2::<i32>::zeros((4, 5))),
        Array2::<f32>::zeros((4, 1)),
    )
    .unwrap();
    refused!(
        trainer().fit(&tokens, Fit::epochs(1)),
        Error::InputKind { .. },
        "numbers"
    );
    refused!(
        trainer().fit(&good(), Fit::epochs(1).validation_data(&tokens)),
        Error::InputKind { .. },
        "numbers"
    );
    refused!(
        trainer().predict(tokens.sequences()),
        Error::InputKind { .. },
        "numbers"
    );
}

#[test]
fn classes_out_of_range() {
    let classifier = || {
        let model = Model::builder()
            .add(Lstm::new(3, 4))
            .add(Dense::new(4, 3))
            .build()
            .unwrap();
        let loss = SparseCategoricalCrossentropy::new().from_logits(true);
        Trainer::new(model, &Device::cpu(), loss, Adam::new(1e-2)).unwrap()
    };
    let x = Array3::from_shape_fn((4, 5, 3), |(row, step, feature)| noise(row, step, feature));
    for wrong in [-1, 3, i32::MAX] {
        let classes = Array1::from(vec![0, 1, wrong, 2]);
        let data = Examples::new(Sequences::from(&x), &classes).unwrap();
        let mut trainer = classifier();
        let before = bits(&trainer);
        refused!(trainer.fit(&data, Fit::epochs(1)), Error::Value { .. }, "from 0 to 2");
        assert_eq!(bits(&trainer), before);
    }
}

#[test]
fn nan_stops_a_training_and_is_named() {
    let data = |bad: Option<usize>| {
        let mut x = Array3::from_shape_fn((12, 5, 3), |(row, step, feature)| noise(row, step, feature));
        if let Some(row) = bad {
            x[[row, 2, 1]] = f32::NAN;
        }
        Examples::new(Sequences::from(x), Array2::<f32>::zeros((12, 1))).unwrap()
    };
    let mut trainer = trainer();
    let fit = || Fit::epochs(2).batch_size(4).shuffle(false);
    refused!(
        trainer.fit(&data(Some(9)), fit()),
        Error::NotFinite { .. },
        "epoch 1, batch 3",
        "dense/",
        "loss is NaN",
        "as before this batch"
    );
    // the weights are those behind the second batch
    let mut expected = crate::trainer();
    let stop = |report: &cellstate::BatchReport| {
        if report.batch == 2 {
            cellstate::Next::Stop
        } else {
            cellstate::Next::GoOn
        }
    };
    expected.fit(&data(None), fit().on_batch(stop)).unwrap();
    assert_eq!(bits(&trainer), bits(&expected));
    // targets too
    let targets = array![[0.0], [f32::INFINITY], [0.0]];
    let x = Array3::<f32>::zeros((3, 5, 3));
    let wrong = Examples::new(Sequences::from(&x), &targets).unwrap();
    refused!(
        crate::trainer().train_on_batch(&wrong),
        Error::NotFinite { .. },
        "targets"
    );
    // steps that are too large
    let mut trainer = trainer_of(model(), Sgd::new(1e30));
    let large = Examples::new(Sequences::from(&x), array![[3e10_f32], [1e10], [2e10]]).unwrap();
    let before = bits(&trainer);
    refused!(
        trainer.train_on_batch(&large),
        Error::NotFinite { .. },
        "as before this batch"
    );
    assert_eq!(bits(&trainer), before);
}

#[test]
fn models_that_a_loss_does_not_fit() {
    let both = Bidirectional::new(Lstm::new(3, 4)).merge_mode(MergeMode::Separate);
    let mut trainer = trainer_of(Model::builder().add(both).build().unwrap(), Sgd::new(0.1));
    let data = Examples::new(Sequences::from(Array3::zeros((2, 5, 3))), Array2::<f32>::zeros((2, 4))).unwrap();
    refused!(
        trainer.fit(&data, Fit::epochs(1)),
        Error::Unsupported { .. },
        "MergeMode::Concat"
    );
    let relaxed = Settings::new().precision(Precision::Relaxed);
    let made = Trainer::with_settings(model(), &Device::cpu(), Loss::MeanSquaredError, Sgd::new(0.1), &relaxed);
    refused!(made, Error::Unsupported { .. }, "full precision");
    let made = Trainer::new(
        model(),
        &Device::cpu(),
        Loss::MeanSquaredError,
        Adam::new(f64::INFINITY),
    );
    refused!(made, Error::Value { .. }, "learning_rate");
}

/// A step that makes weights infinite leaves nothing behind, of the optimiser either.
#[test]
fn a_step_that_fails_leaves_the_optimiser_as_it_was() {
    let x = Array3::from_shape_fn((3, 5, 3), |(row, step, feature)| noise(row, step, feature));
    let good = Examples::new(Sequences::from(&x), array![[0.1_f32], [0.2], [0.3]]).unwrap();
    let large = Examples::new(Sequences::from(&x), array![[3e10_f32], [1e10], [2e10]]).unwrap();
    let mut trainer = trainer_of(model(), Sgd::new(1e30).momentum(0.9));
    let slots = |trainer: &Trainer| {
        let path = std::env::temp_dir().join(format!("cellstate-step-{}.safetensors", std::process::id()));
        trainer.save_checkpoint(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).ok();
        // the texts of a header have no order; tensors have
        let header = 8 + usize::from(bytes[0]) + 256 * usize::from(bytes[1]);
        let steps = String::from_utf8_lossy(&bytes[..header]).contains(r#"\"iterations\":0"#);
        (bytes[header..].to_vec(), steps)
    };
    let before = slots(&trainer);
    refused!(
        trainer.train_on_batch(&large),
        Error::NotFinite { .. },
        "behind the batch"
    );
    assert!(before.1 && slots(&trainer) == before);
    // and it goes on as if nothing had been
    let (mut trainer, mut expected) = (
        trainer_of(model(), Adam::new(1e-2)),
        trainer_of(model(), Adam::new(1e-2)),
    );
    let wrong = Examples::new(Sequences::from(&x), array![[3e20_f32], [1e20], [-2e20]]).unwrap();
    for step in 0..3 {
        if step == 1 {
            assert!(trainer.train_on_batch(&wrong).is_err());
        }
        let losses = [&mut trainer, &mut expected].map(|trainer| trainer.train_on_batch(&good).unwrap());
        assert_eq!(losses[0], losses[1]);
    }
    assert_eq!(bits(&trainer), bits(&expected));
}

/// What clipping makes of a gradient is what has to be small enough.
#[test]
fn a_huge_gradient_that_is_clipped_is_learned_from() {
    let x = Array3::from_shape_fn((3, 5, 3), |(row, step, feature)| noise(row, step, feature));
    let data = Examples::new(Sequences::from(&x), array![[3e20_f32], [1e20], [-2e20]]).unwrap();
    refused!(
        trainer_of(model(), Adam::new(1e-2)).train_on_batch(&data),
        Error::NotFinite { .. },
        "gradient of dense/bias in the batch, whose loss is",
        "global_clipnorm"
    );
    let clipped = [
        Adam::new(1e-2).clipnorm(1.0),
        Adam::new(1e-2).global_clipnorm(1.0),
        Adam::new(1e-2).clipvalue(0.5),
    ];
    for optimizer in clipped {
        let mut trainer = trainer_of(model(), optimizer);
        let before = bits(&trainer);
        assert!(trainer.train_on_batch(&data).unwrap().is_finite());
        assert_ne!(bits(&trainer), before);
    }
}
