//! Arrays with the time steps in front run as those with the sequences in front, bit by bit, on every device.

use cellstate::{Bidirectional, Dense, Embedding, Layer, Lstm, Model, Sequences};
use ndarray::{Array2, Array3};

use crate::devices::devices;

fn outputs(layers: Vec<Layer>, batches: [Sequences<'_>; 2]) {
    let builder = layers
        .into_iter()
        .fold(Model::builder(), |builder, layer| builder.add(layer));
    let model = builder.build().unwrap();
    for device in devices() {
        let runner = model.on(&device).unwrap();
        let [one, other] = batches
            .clone()
            .map(|batch| runner.run(&batch.with_lengths(&[6, 2, 4]).unwrap()).unwrap());
        assert_eq!(one.values(), other.values(), "{}", device.name());
    }
}

#[test]
fn the_same_sequences_give_the_same() {
    let values = Array3::from_shape_fn((6, 3, 2), |(step, row, feature)| {
        ((step * 7 + row * 5 + feature * 3) % 11) as f32 / 5.0 - 1.0
    });
    let turned = values.view().permuted_axes([1, 0, 2]).as_standard_layout().into_owned();
    let lstm = || Bidirectional::new(Lstm::new(2, 5).return_sequences(true)).into();
    let batches = [Sequences::time_major(&values), Sequences::from(&turned)];
    outputs(vec![lstm(), Dense::new(10, 3).into()], batches);
    let tokens = Array2::from_shape_fn((6, 3), |(step, row)| ((step * 5 + row * 2) % 9) as i32);
    let turned = tokens.t().as_standard_layout().into_owned();
    let batches = [Sequences::time_major_tokens(&tokens), Sequences::from(&turned)];
    outputs(vec![Embedding::new(9, 2).into(), lstm()], batches);
}
