//! What padding holds reaches no gradient, of models without a recurrent layer either, which run it as they run everything.

use cellstate::{
    Activation, BatchNormalization, Dense, Examples, Layer, LayerNormalization, Loss, Model, Sequences, Sgd, Trainer,
};
use ndarray::{Array2, Array3, Axis};

use crate::bits;
use crate::data::values;
use crate::devices::devices;

fn models() -> Vec<Vec<Layer>> {
    let dense = |features, units, activation| Dense::new(features, units).activation(activation).into();
    vec![
        vec![dense(3, 4, Activation::Tanh), dense(4, 1, Activation::Linear)],
        vec![
            dense(3, 4, Activation::Gelu),
            dense(4, 2, Activation::Softmax),
            dense(2, 1, Activation::Relu),
        ],
        vec![
            Activation::Silu.into(),
            LayerNormalization::new(3).into(),
            dense(3, 1, Activation::Sigmoid),
        ],
        vec![
            LayerNormalization::new(3).into(),
            Activation::LogSoftmax.into(),
            dense(3, 1, Activation::Linear),
        ],
        vec![
            BatchNormalization::new(3).into(),
            Activation::Tanh.into(),
            dense(3, 1, Activation::Linear),
        ],
        vec![
            dense(3, 4, Activation::Linear),
            BatchNormalization::new(4).into(),
            dense(4, 1, Activation::Linear),
        ],
    ]
}

/// The same sequences with this in the place of padding, in their targets too.
fn padded(by: f32) -> (Array3<f32>, Vec<usize>, Array3<f32>) {
    let (x, lengths) = values(5);
    let x = x.mapv(|value| if value.is_nan() { by } else { value });
    let targets = x.map_axis(Axis(2), |step| step.sum()).insert_axis(Axis(2));
    (x, lengths, targets)
}

fn masked(by: f32) -> Examples<'static, 'static> {
    let (x, lengths, targets) = padded(by);
    Examples::new(Sequences::from(x).with_lengths(&lengths).unwrap(), targets).unwrap()
}

/// No mask, but a weight of 0 where there is padding.
fn weightless(by: f32) -> Examples<'static, 'static> {
    let (x, lengths, targets) = padded(by);
    let weights = Array2::from_shape_fn((5, 7), |(row, step)| f32::from(u8::from(step < lengths[row])));
    let data = Examples::new(Sequences::from(x), targets).unwrap();
    data.with_step_weights(weights).unwrap()
}

#[test]
fn nan_in_padding_reaches_no_gradient() {
    for device in devices() {
        for layers in models() {
            let normalizes = layers.iter().any(|layer| matches!(layer, Layer::BatchNormalization(_)));
            let learned = |data: &Examples<'_, '_>| {
                let builder = layers
                    .iter()
                    .cloned()
                    .fold(Model::builder(), cellstate::ModelBuilder::add);
                let model = builder.build().unwrap();
                let mut trainer = Trainer::new(model, &device, Loss::MeanSquaredError, Sgd::new(0.1)).unwrap();
                let before = bits(&trainer);
                let loss = trainer.train_on_batch(data).unwrap();
                assert_ne!(bits(&trainer), before, "nothing was learned");
                (loss, bits(&trainer))
            };
            let what = format!("{}: {layers:?}", device.name());
            let all = [masked as fn(f32) -> _, weightless];
            // without a mask the statistics of a batch are those of all steps
            for data in all.into_iter().take(if normalizes { 1 } else { 2 }) {
                let [found, expected] = [f32::NAN, 0.0].map(|padding| learned(&data(padding)));
                assert_eq!(found, expected, "{what}");
            }
        }
    }
}
