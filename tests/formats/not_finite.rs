//! NaN and infinity in weights: refused with the file's name, unless they are asked for.

use cellstate::{
    BatchNormalization, Bidirectional, Dense, Device, Embedding, Error, Gru, Layer, LayerNormalization, Lstm, Model,
    OpenOptions, Sequences, SimpleRnn,
};
use ndarray::Array3;

use super::files::golden;
use super::keras::folder;
use super::pytorch::model;

fn allowed() -> OpenOptions {
    OpenOptions::new().allow_not_finite(true)
}

fn chain() -> Vec<Layer> {
    let recurrent = |layer: Lstm| layer.return_sequences(true);
    vec![
        Bidirectional::new(recurrent(Lstm::new(3, 4))).into(),
        Gru::new(8, 5).return_sequences(true).into(),
        SimpleRnn::new(5, 6).return_sequences(true).into(),
        LayerNormalization::new(6).into(),
        BatchNormalization::new(6).into(),
        Dense::new(6, 2).into(),
    ]
}

/// The chain with the second value of each weight NaN and its third one infinite, by way of a file of ours.
fn diverged(layers: &[Layer]) -> Model {
    let model = model(layers);
    let mut bytes = model.to_bytes("model.safetensors").unwrap();
    let places: Vec<(usize, usize)> = {
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let begin = bytes.as_ptr() as usize;
        let place = |data: &[u8]| (data.as_ptr() as usize - begin, data.len());
        tensors.iter().map(|(_, tensor)| place(tensor.data())).collect()
    };
    for (place, length) in places {
        bytes[place + 4..place + 8].copy_from_slice(&f32::NAN.to_le_bytes());
        if length > 8 {
            bytes[place + 8..place + 12].copy_from_slice(&f32::INFINITY.to_le_bytes());
        }
    }
    let refused = Model::from_bytes(&bytes, "model.safetensors").unwrap_err();
    assert!(matches!(refused, Error::NotFinite { .. }), "{refused:?}");
    allowed().from_bytes(&bytes, "model.safetensors").unwrap()
}

fn bits(model: &Model) -> Vec<(String, Vec<u32>)> {
    let parameters = model.parameters().iter();
    let bits = parameters.map(|parameter| {
        let values = parameter.values();
        (
            parameter.path().to_owned(),
            values.iter().map(|value| value.to_bits()).collect(),
        )
    });
    bits.collect()
}

#[test]
fn every_format_refuses_them_and_reads_them_where_they_are_asked_for() {
    let model = diverged(&chain());
    let count = model.parameters().len();
    for (path, bits) in bits(&model) {
        assert!(f32::from_bits(bits[1]).is_nan(), "{path}");
        assert!(
            bits.get(2).is_none_or(|third| f32::from_bits(*third).is_infinite()),
            "{path}"
        );
    }
    for name in ["model.safetensors", "model.keras", "model.onnx"] {
        let bytes = model.to_bytes(name).unwrap();
        let error = Model::from_bytes(&bytes, name).unwrap_err();
        let message = error.to_string();
        assert!(matches!(error, Error::NotFinite { .. }), "{name}: {error:?}");
        assert!(
            message.contains(name) && message.contains("allow_not_finite(true)"),
            "{message}"
        );
        let read = allowed().from_bytes(&bytes, name).unwrap();
        assert_eq!(bits(&read), bits(&model), "{name}");
        let note = read
            .notes()
            .iter()
            .find(|note| note.contains("NaN or infinite"))
            .unwrap();
        let told = note.matches(" of ").count();
        assert_eq!(told, count, "{note}");
    }
}

#[test]
fn weights_alone_are_loaded_where_they_are_asked_for() {
    let layers = chain();
    let diverged = diverged(&layers);
    for name in ["model.weights.h5", "model.safetensors", "model.onnx"] {
        let bytes = diverged.to_bytes(name).unwrap();
        let mut loaded = model(&layers);
        let error = loaded.load_weights_from_bytes(&bytes, name).unwrap_err();
        assert!(matches!(error, Error::NotFinite { .. }), "{name}: {error:?}");
        assert_eq!(bits(&loaded), bits(&model(&layers)), "{name}: as the model was");
        allowed().load_weights_from_bytes(&mut loaded, &bytes, name).unwrap();
        assert_eq!(bits(&loaded), bits(&diverged), "{name}");
        // what the notes say goes with the weights of which they say it
        let told = |model: &Model| {
            model
                .notes()
                .iter()
                .filter(|note| note.contains("NaN or infinite"))
                .count()
        };
        assert_eq!(told(&loaded), 1, "{name}: {:?}", loaded.notes());
        allowed().load_weights_from_bytes(&mut loaded, &bytes, name).unwrap();
        assert_eq!(told(&loaded), 1, "{name}: {:?}", loaded.notes());
        let finite = model(&layers).to_bytes(name).unwrap();
        loaded.load_weights_from_bytes(&finite, name).unwrap();
        assert_eq!(told(&loaded), 0, "{name}: {:?}", loaded.notes());
    }
    let mut table = model(&[Embedding::new(3, 2).into()]);
    let bytes = diverged_table();
    assert!(table.load_weights_from_bytes(&bytes, "table.weights.h5").is_err());
    allowed()
        .load_weights_from_bytes(&mut table, &bytes, "table.weights.h5")
        .unwrap();
    assert!(table.parameters().get("embedding/embeddings").unwrap().values()[[0, 1]].is_nan());
}

fn diverged_table() -> Vec<u8> {
    let table = diverged(&[Embedding::new(3, 2).into()]);
    table.to_bytes("table.weights.h5").unwrap()
}

#[test]
fn files_of_others_are_read_where_they_are_asked_for() {
    let mut lstm = model(&[Lstm::new(3, 4).into()]);
    allowed()
        .load_weights(&mut lstm, golden("bad/nan_weight.safetensors"))
        .unwrap();
    // row 1 of weight_hh is the second unit's input gate
    let kernel = lstm
        .parameters()
        .get("lstm/recurrent_kernel")
        .unwrap()
        .values()
        .to_owned();
    let lost: Vec<_> = kernel.indexed_iter().filter(|(_, value)| !value.is_finite()).collect();
    assert_eq!(lost.len(), 1);
    assert_eq!(ndarray::Dimension::slice(&lost[0].0), [2, 1]);

    let path = folder("bad").join("keras_nan.h5");
    assert!(matches!(Model::open(&path), Err(Error::NotFinite { .. })));
    let read = allowed().open(&path).unwrap();
    assert!(
        read.notes()
            .iter()
            .any(|note| note.starts_with("Weights are NaN or infinite: ")),
        "{:?}",
        read.notes()
    );
}

/// NaN goes where its unit goes, and nowhere else; to run such a model is no error.
#[test]
fn a_model_with_nan_runs() {
    let dense = diverged(&[Dense::new(3, 4).into()]);
    let input = Array3::from_shape_fn((3, 5, 3), |(row, step, feature)| (row + step + feature) as f32);
    let output = dense.on(&Device::cpu()).unwrap().run(&Sequences::from(input)).unwrap();
    for row in output.sequences().unwrap().rows() {
        let finite: Vec<bool> = row.iter().map(|value| value.is_finite()).collect();
        assert_eq!(finite, [true, false, false, true]);
    }
}
