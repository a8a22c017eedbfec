//! The layers that are no recurrence.

use super::*;
use crate::activation::Activation;
use crate::layer::batch_normalization::BatchNormalization;
use crate::layer::bidirectional::{Bidirectional, MergeMode};
use crate::layer::dense::Dense;
use crate::layer::embedding::Embedding;
use crate::layer::flatten::Flatten;
use crate::layer::layer_normalization::LayerNormalization;
use crate::layer::lstm::Lstm;
use crate::layer::repeat_vector::RepeatVector;
use crate::layer::reshape::Reshape;

#[test]
fn both_directions_merge_in_every_way() {
    let merges = [
        MergeMode::Concat,
        MergeMode::Sum,
        MergeMode::Multiply,
        MergeMode::Average,
        MergeMode::Separate,
    ];
    for merge in merges {
        for sequences in [false, true] {
            let lstm = Lstm::new(3, 4).return_sequences(sequences);
            let layer = Bidirectional::new(lstm).merge_mode(merge);
            check(Model::builder().add(layer).build().unwrap(), MASKED);
        }
    }
}

const WITH_PARAMETERS: [Activation; 6] = [
    Activation::Affine { alpha: 0.7, beta: 0.2 },
    Activation::ScaledTanh { alpha: 1.3, beta: 0.6 },
    Activation::HardSigmoidWith { alpha: 0.4, beta: 0.3 },
    Activation::LeakyReluWith { alpha: 0.3 },
    Activation::EluWith { alpha: 0.6 },
    Activation::ThresholdedRelu { alpha: 0.4 },
];

#[test]
fn every_activation_has_its_slope() {
    for &activation in Activation::ALL.iter().chain(&WITH_PARAMETERS) {
        let builder = Model::builder().add(activation).add(Dense::new(3, 2));
        check(builder.build().unwrap(), PLAIN);
    }
}

/// A Dense layer has its activation within, and its sums are computed again.
#[test]
fn a_dense_layer_with_an_activation() {
    for activation in [Activation::Gelu, Activation::Softmax, Activation::LogSoftmax] {
        let builder = Model::builder()
            .add(Dense::new(3, 5).activation(activation))
            .add(Dense::new(5, 2).use_bias(false));
        check(builder.build().unwrap(), PLAIN);
    }
}

#[test]
fn a_layer_normalization() {
    for activation in [Activation::Linear, Activation::Silu, Activation::Softmax] {
        let builder = Model::builder()
            .add(LayerNormalization::new(3))
            .add(activation)
            .add(Lstm::new(3, 4));
        check(builder.build().unwrap(), MASKED);
    }
}

/// In inference the moments are those that training moves, and the way back is a product.
#[test]
fn a_batch_normalization_in_inference() {
    for activation in [Activation::Linear, Activation::Silu, Activation::Softmax] {
        let builder = Model::builder()
            .add(BatchNormalization::new(3))
            .add(activation)
            .add(Lstm::new(3, 4));
        check(builder.build().unwrap(), MASKED);
    }
}

#[test]
fn an_embedding() {
    let case = Case {
        words: Some(6),
        ..MASKED
    };
    for mask_zero in [false, true] {
        let builder = Model::builder()
            .add(Embedding::new(6, 3).mask_zero(mask_zero))
            .add(Lstm::new(3, 4));
        check(builder.build().unwrap(), case);
    }
}

#[test]
fn rows_of_other_shapes() {
    let builder = Model::builder()
        .add(Dense::new(3, 2))
        .add(Flatten::new(4, 2))
        .add(Dense::new(8, 3))
        .add(RepeatVector::new(4))
        .add(Reshape::new([4, 3], [6, 2]))
        .add(Lstm::new(2, 4).return_sequences(true));
    check(builder.build().unwrap(), PLAIN);
}

/// Where each formula has its limits and its tails: as on the CPU, which other tests compare with Keras and with differences.
#[test]
fn every_activation_has_its_slope_over_the_whole_range() {
    let mut x: Vec<f32> = (-400..=400).map(|tenths| tenths as f32 / 10.0).collect();
    let limits = [-3.0, -2.5, -1.0, -0.5, 0.0, 0.5, 1.0, 2.5, 3.0, 6.0];
    x.extend(limits.iter().flat_map(|limit| [limit - 1e-3, limit + 1e-3]));
    x.extend([-1e4, -100.0, -88.0, -1e-5, 1e-5, 80.0, 100.0, 1e4]);
    let pointwise = Activation::ALL.iter().chain(&WITH_PARAMETERS);
    for &activation in pointwise.filter(|activation| !activation.is_rowwise()) {
        let kernel = Array2::from_shape_fn((1, x.len()), |(_, column)| x[column]);
        let dense = Dense::new(1, x.len()).with_weights(kernel, Some(vec![0.0; x.len()].into()));
        let model = Model::builder().add(dense.unwrap()).add(activation).build().unwrap();
        let plan = model.plan();
        let one = ndarray::Array3::<f32>::ones((1, 1, 1));
        let input = Input::Values(one.view());
        let flow = Arc::new(Flow::in_training(plan, input, None).unwrap());
        let ones = |placed: &crate::flow::Placed| ArrayD::ones(placed.shape.clone());
        let upstream = Upstream {
            outputs: flow.outputs.iter().map(ones).collect(),
            states: None,
        };
        let settings = Settings::new();
        for gpu in gpus() {
            let made = GpuTraining::new(gpu, Arc::clone(plan), &settings, Arc::from("GPU"));
            let mut training = pollster::block_on(made).unwrap();
            pollster::block_on(training.forward(&flow, input, None, None, &mut Output::default())).unwrap();
            let gradients = pollster::block_on(training.backward(&flow, input, &upstream, Wants::ALL)).unwrap();
            // the slope goes on to the bias as it is
            let (_, slopes) = (gradients.parameters.iter())
                .find(|(path, _)| path.ends_with("bias"))
                .unwrap();
            for (got, &x) in slopes.iter().zip(&x) {
                let want = activation.derivative(x);
                let is_close = (got - want).abs() <= 2e-5 * want.abs().max(1.0);
                assert!(
                    *got == want || is_close,
                    "{activation:?} at {x}: {got}, expected {want}"
                );
            }
        }
    }
}
