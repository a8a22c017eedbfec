//! State dicts of PyTorch, in both containers, against what PyTorch gives.

use cellstate::{
    Activation, Bidirectional, Dense, Device, Embedding, Gru, Layer, Lstm, Model, Modules, SimpleRnn, StackedRnnCells,
};
use ndarray::ArrayD;

use super::files::{bytes, expected, golden};
use super::support::judge::{assert_close, compare};

/// As near as float32 comes to float64 over a few steps.
const CLOSE: f64 = 2e-6;

pub(crate) fn model(layers: &[Layer]) -> Model {
    let builder = layers
        .iter()
        .fold(Model::builder(), |builder, layer| builder.add(layer.clone()));
    builder.build().unwrap()
}

fn run(model: &Model, case: &str) -> (ArrayD<f32>, ArrayD<f32>) {
    let expected = expected(&format!("pytorch/{case}.expected.safetensors"));
    let output = model.on(&Device::cpu()).unwrap().run(&expected.x).unwrap();
    (output.values().to_owned().into_dyn(), expected.y)
}

/// The file of a case in each container, into these layers.
fn check(case: &str, layers: &[Layer]) {
    for ending in ["pt", "safetensors"] {
        check_file(&format!("{case}.{ending}"), case, layers);
    }
}

fn check_file(file: &str, case: &str, layers: &[Layer]) -> Model {
    let mut model = model(layers);
    model
        .load_weights(golden(&format!("pytorch/{file}")))
        .unwrap_or_else(|error| panic!("{file}: {error}"));
    let (got, want) = run(&model, case);
    assert_close(file, got.view(), want.view(), CLOSE, CLOSE);
    model
}

fn lstm(features: usize, units: usize) -> Lstm {
    Lstm::new(features, units).return_sequences(true)
}

fn gru(features: usize, units: usize) -> Gru {
    Gru::new(features, units).return_sequences(true)
}

fn simple_rnn(features: usize, units: usize) -> SimpleRnn {
    SimpleRnn::new(features, units).return_sequences(true)
}

#[test]
fn recurrent_modules() {
    let both = |features| Layer::from(Bidirectional::new(lstm(features, 5)));
    check("gru", &[gru(4, 6).into(), gru(6, 6).into()]);
    check("rnn_relu", &[simple_rnn(4, 6).activation(Activation::Relu).into()]);
    check("rnn_tanh", &[Bidirectional::new(simple_rnn(4, 6)).into()]);
    check(
        "lstm_projection",
        &[lstm(4, 6).projection(3).into(), lstm(3, 6).projection(3).into()],
    );
    check("lstm_3_bidirectional", &[both(3), both(10), both(10)]);
    check("lstm_no_bias", &[lstm(4, 6).use_bias(false).into()]);
    // a stack of cells is as good as layers
    let cells = StackedRnnCells::new([Gru::new(4, 6), Gru::new(6, 6)]).return_sequences(true);
    check("gru", &[cells.into()]);
}

#[test]
fn cells() {
    check("lstm_cell", &[lstm(4, 6).into()]);
    check("gru_cell", &[gru(4, 6).into()]);
    check("rnn_cell", &[simple_rnn(4, 6).into()]);
}

#[test]
fn packed_sequences() {
    let layer = |features| Layer::from(lstm(features, 6).zero_output_for_mask(true));
    check("packed", &[layer(4), layer(6)]);
    let layer = |features| Layer::from(Bidirectional::new(lstm(features, 6)));
    check("packed_bidirectional", &[layer(4), layer(12)]);
}

#[test]
fn normalisations() {
    let norm = cellstate::LayerNormalization::new(6).epsilon(1e-3);
    check("layer_norm", &[lstm(4, 6).into(), norm.into(), Dense::new(6, 2).into()]);
    let norm = cellstate::BatchNormalization::new(6).epsilon(1e-5);
    check("batch_norm", &[lstm(4, 6).into(), norm.into(), Dense::new(6, 2).into()]);
}

#[test]
fn other_numbers_are_converted_and_said() {
    for (number, how) in [
        ("float16", "changes no value"),
        ("bfloat16", "changes no value"),
        ("float64", "rounded"),
    ] {
        for ending in ["pt", "safetensors"] {
            let case = format!("gru_{number}");
            let layers = [gru(4, 6).into(), Dense::new(6, 2).into()];
            let model = check_file(&format!("{case}.{ending}"), &case, &layers);
            let notes = model.notes().join("\n");
            assert!(notes.contains(number) && notes.contains(how), "{notes}");
        }
    }
}

#[test]
fn a_checkpoint_has_a_state_dict_within() {
    let layers: [Layer; 3] = [Embedding::new(11, 4).into(), lstm(4, 6).into(), Dense::new(6, 3).into()];
    check("tagger", &layers);
    let model = check_file("tagger.pt", "tagger", &layers);
    assert!(
        model.notes().iter().any(|note| note.contains("\"model\"")),
        "{:?}",
        model.notes()
    );
}

#[test]
fn unusual_archives_are_the_same() {
    let layers: [Layer; 2] = [gru(4, 6).into(), gru(6, 6).into()];
    let usual = check_file("gru.pt", "gru", &layers);
    for file in [
        "gru_protocol_5.pt",
        "gru_views.pt",
        "gru_deflated.pt",
        "gru_big_endian.pt",
    ] {
        let model = check_file(file, "gru", &layers);
        assert_eq!(model.parameters(), usual.parameters(), "{file}");
    }
}

#[test]
fn numbers_in_names_are_an_order() {
    let layers: Vec<Layer> = (0..12).map(|_| Dense::new(4, 4).use_bias(false).into()).collect();
    check("sequential", &layers);
    let model = check_file("sequential.safetensors", "sequential", &layers);
    assert!(
        model.notes().iter().any(|note| note.contains("net.2, net.3")),
        "{:?}",
        model.notes()
    );
}

#[test]
fn an_order_that_nothing_says_must_be_said() {
    let layers: [Layer; 2] = [gru(4, 4).into(), gru(4, 4).into()];
    check_file("two_alike.pt", "two_alike", &layers);
    let path = golden("pytorch/two_alike.safetensors");
    let message = model(&layers).load_weights(&path).unwrap_err().to_string();
    assert!(
        message.contains("load_modules(path, &[\"first\", \"second\"])"),
        "{message}"
    );

    let mut named = model(&layers);
    named.load_modules(&path, &["second", "first"]).unwrap();
    let (got, want) = run(&named, "two_alike");
    assert_close("second, first", got.view(), want.view(), CLOSE, CLOSE);
    // the judge sees the other order
    named.load_modules(&path, &["first", "second"]).unwrap();
    let (got, want) = run(&named, "two_alike");
    assert!(compare(got.view(), want.view(), CLOSE, CLOSE).is_err());
}

#[test]
fn modules_by_name_leave_the_others_out() {
    let mut part = model(&[lstm(4, 6).into()]);
    for ending in ["pt", "safetensors"] {
        let path = golden(&format!("pytorch/tagger.{ending}"));
        part.load_modules(&path, &["model.encoder.lstm"]).unwrap();
        assert!(
            part.notes().iter().any(|note| note.contains("model.encoder.zero")),
            "{:?}",
            part.notes()
        );
        let message = part.load_modules(&path, &["lstm"]).unwrap_err().to_string();
        assert!(
            message.contains("model.encoder.lstm: LSTM, 4 features, 6 units"),
            "{message}"
        );
    }
}

#[test]
fn the_modules_of_a_file_are_listed() {
    let of = |file: &str| Modules::open(golden(file)).unwrap();
    let listed = "linear: Linear, 32 features, 3 units\nlstm: LSTM, 5 features, 16 units, 2 layers, bidirectional";
    let modules = of("models/torch_bilstm.safetensors");
    assert_eq!(modules.to_string(), listed);
    let suggestion = modules.suggestion();
    for text in [
        "Bidirectional::new(Lstm::new(5, 16).return_sequences(true))",
        "Bidirectional::new(Lstm::new(32, 16).return_sequences(true))",
        "Dense::new(32, 3)",
        "model.load_modules(path, &[\"lstm\", \"linear\"])",
        "batch_first",
        "zero_output_for_mask",
    ] {
        assert!(suggestion.contains(text), "{text:?} is not in {suggestion}");
    }
    let order: Vec<String> = of("pytorch/tagger.pt")
        .iter()
        .map(|module| module.name().to_owned())
        .collect();
    assert_eq!(
        order,
        ["model.encoder.zero", "model.encoder.lstm", "model.encoder.a_head"]
    );
    assert_eq!(
        of("pytorch/lstm_projection.pt").to_string(),
        "lstm: LSTM, 4 features, 6 units, projected to 3, 2 layers"
    );
    assert_eq!(
        of("pytorch/rnn_cell.pt").to_string(),
        "cell: RNNCell, 4 features, 6 units"
    );
    assert_eq!(
        of("pytorch/gru.pt")
            .iter()
            .map(|module| module.parameter_count())
            .sum::<usize>(),
        468
    );
}

#[test]
fn weights_without_a_chain_say_which() {
    for file in ["models/torch_bilstm.safetensors", "pytorch/tagger.pt"] {
        let message = Model::open(golden(file)).unwrap_err().to_string();
        for text in ["Model::builder()", "Lstm::new(", "load_modules"] {
            assert!(message.contains(text), "{message}");
        }
    }
}

#[test]
fn the_golden_model_gives_what_pytorch_gives() {
    let both = |features| Layer::from(Bidirectional::new(lstm(features, 16)));
    let mut model = model(&[both(5), both(32), Dense::new(32, 3).into()]);
    model
        .load_weights_from_bytes(&bytes("models/torch_bilstm.safetensors"), "torch_bilstm.safetensors")
        .unwrap();
    let case = expected("models/torch_bilstm.case.safetensors");
    let output = model.on(&Device::cpu()).unwrap().run(&case.x).unwrap();
    assert_close("torch_bilstm", output.values(), case.y.view(), 1e-5, 1e-5);
}

#[test]
fn a_chain_beside_the_weights_opens_them() {
    let folder = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("chain_beside");
    std::fs::create_dir_all(&folder).unwrap();
    let chain = r#"{"cellstate": 1, "layers": [
        {"class": "Embedding", "input_dim": 11, "output_dim": 4},
        {"class": "LSTM", "features": 4, "units": 6, "return_sequences": true},
        {"class": "Dense", "features": 6, "units": 3}
    ]}"#;
    std::fs::write(folder.join("tagger.json"), chain).unwrap();
    for ending in ["pt", "safetensors"] {
        let path = folder.join(format!("tagger.{ending}"));
        std::fs::write(&path, bytes(&format!("pytorch/tagger.{ending}"))).unwrap();
        let model = Model::open(&path).unwrap();
        let (got, want) = run(&model, "tagger");
        assert_close(ending, got.view(), want.view(), CLOSE, CLOSE);
        assert!(
            model.notes().iter().any(|note| note.contains("tagger.json")),
            "{:?}",
            model.notes()
        );
    }
    std::fs::write(
        folder.join("tagger.json"),
        chain.replace("units\": 3", "units\": 3, \"units_\": 3"),
    )
    .unwrap();
    let message = Model::open(folder.join("tagger.pt")).unwrap_err().to_string();
    assert!(
        message.contains("layer 2 (Dense)") && message.contains("units_"),
        "{message}"
    );
}
