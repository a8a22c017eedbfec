//! Files of PyTorch that are refused, and damaged ones: an error each, never a panic or a hang.

use cellstate::{Bidirectional, Dense, Error, Gru, Layer, Lstm, Model, Modules, SimpleRnn};

use super::files::{bytes, golden};
use super::pytorch::model;

fn message(file: &str, layers: &[Layer]) -> String {
    let mut model = model(layers);
    let before = model.parameters().clone();
    let error = model.load_weights(golden(file)).expect_err(file);
    assert_eq!(*model.parameters(), before, "{file}");
    error.to_string()
}

fn lstm() -> Layer {
    Lstm::new(4, 6).return_sequences(true).into()
}

#[test]
fn files_that_are_no_state_dicts_say_how_to_make_one() {
    for (file, texts) in [
        ("refused_module.pt", ["torch.nn.modules.rnn.LSTM", "model.state_dict()"]),
        ("refused_legacy.pt", ["before", "weights_only=True"]),
        (
            "refused_two.pt",
            ["\"model\", \"ema\"", "torch.save(model.state_dict(), path)"],
        ),
        (
            "refused_tensor.pt",
            ["a tensor", "torch.save(model.state_dict(), path)"],
        ),
        ("refused_numpy.pt", ["numpy", "torch.save(model.state_dict(), path)"]),
        ("refused_int8.pt", ["char", "model.float()"]),
        ("refused_int8.safetensors", ["I8", "model.float()"]),
        ("refused_float64.pt", ["1e39", "weight_hh_l0"]),
        ("refused_bomb.pt", ["10000000 bytes", "at most 1"]),
    ] {
        let message = message(&format!("pytorch/{file}"), &[lstm()]);
        for text in texts {
            assert!(message.contains(text), "{file}: {message}");
        }
    }
}

#[test]
fn layers_that_the_file_does_not_fit_are_named() {
    let dense = Layer::from(Dense::new(6, 3));
    let embedding = Layer::from(cellstate::Embedding::new(11, 4));
    let tagger = "pytorch/tagger.pt";
    for (layers, texts) in [
        (
            vec![embedding.clone(), lstm()],
            ["model.encoder.a_head: Linear", "load_modules"],
        ),
        (vec![lstm(), dense.clone()], ["layer 0 (LSTM)", "load_modules"]),
        (
            vec![embedding.clone(), Lstm::new(4, 7).into(), Dense::new(7, 3).into()],
            ["7 units", "6 units"],
        ),
        (
            vec![embedding.clone(), Gru::new(4, 6).into(), dense.clone()],
            ["layer 1 (GRU)", "LSTM"],
        ),
        (
            vec![embedding.clone(), Lstm::new(4, 6).use_bias(false).into(), dense.clone()],
            ["use_bias(true)", "model.encoder.lstm"],
        ),
        (
            vec![
                embedding.clone(),
                Bidirectional::new(Lstm::new(4, 6)).into(),
                Dense::new(12, 3).into(),
            ],
            ["bidirectional", "6 units"],
        ),
        (
            vec![embedding, Lstm::new(4, 6).peepholes(true).into(), dense],
            ["peepholes", "without"],
        ),
    ] {
        let message = message(tagger, &layers);
        for text in texts {
            assert!(message.contains(text), "{message}");
        }
    }
    let before = Gru::new(4, 6).return_sequences(true).reset_after(false).use_bias(true);
    let message = message("pytorch/gru_cell.pt", &[before.into()]);
    assert!(message.contains("reset_after(false)"), "{message}");
}

#[test]
fn golden_bad_files_get_what_they_should() {
    let expect: serde_json::Value = serde_json::from_slice(&bytes("bad/expect.json")).unwrap();
    let mut seen = 0;
    for entry in expect.as_array().unwrap() {
        let file = entry["file"].as_str().unwrap();
        if !file.ends_with(".safetensors") {
            continue;
        }
        seen += 1;
        let path = golden(&format!("bad/{file}"));
        // none has a chain
        let error = Model::open(&path).unwrap_err();
        assert!(matches!(error, Error::Content { .. }), "{file}: {error:?}");
        let listed = Modules::open(&path);
        assert_eq!(listed.is_err(), entry["expect"] == "error", "{file}: {listed:?}");
    }
    assert_eq!(seen, 9);
}

#[test]
fn weights_that_are_not_finite_are_refused_by_name() {
    let path = "bad/nan_weight.safetensors";
    let modules = Modules::open(golden(path)).unwrap();
    let listed = modules.to_string();
    assert!(listed.contains("LSTM, 3 features, 4 units"), "{listed}");
    let mut model = model(&[Lstm::new(3, 4).into()]);
    let error = model
        .load_modules(golden(path), &[modules.iter().next().unwrap().name()])
        .unwrap_err();
    assert!(
        matches!(&error, Error::NotFinite { tensor, index, .. } if tensor.contains("weight_hh_l0") && index == &[1, 2]),
        "{error:?}"
    );
}

/// Everything that reads a file, on bytes that may be anything.
pub(crate) fn read_all(bytes: &[u8], name: &str) {
    let layers: [Layer; 2] = [Gru::new(4, 6).return_sequences(true).into(), Gru::new(6, 6).into()];
    let _ = Model::from_bytes(bytes, name);
    let _ = Modules::from_bytes(bytes, name);
    let _ = model(&layers).load_weights_from_bytes(bytes, name);
    let _ = model(&[SimpleRnn::new(4, 6).into()]).load_modules_from_bytes(bytes, name, &["gru"]);
}

#[test]
fn files_cut_anywhere_are_refused() {
    for file in [
        "pytorch/gru.pt",
        "pytorch/tagger.pt",
        "pytorch/gru_deflated.pt",
        "pytorch/gru.safetensors",
    ] {
        let whole = bytes(file);
        for end in (0..whole.len()).step_by(97).chain(whole.len() - 8..whole.len()) {
            let cut = &whole[..end];
            read_all(cut, file);
            assert!(Modules::from_bytes(cut, file).is_err(), "{file} cut at {end}");
        }
    }
}

#[test]
fn files_with_other_bytes_do_no_harm() {
    let layers: [Layer; 2] = [Gru::new(4, 6).return_sequences(true).into(), Gru::new(6, 6).into()];
    let ours = model(&layers);
    let modules = ours.modules_to_bytes(&["gru", "gru"]).unwrap();
    for (file, whole) in [
        ("gru.pt", bytes("pytorch/gru.pt")),
        ("gru_deflated.pt", bytes("pytorch/gru_deflated.pt")),
        ("gru_protocol_5.pt", bytes("pytorch/gru_protocol_5.pt")),
        ("gru.safetensors", bytes("pytorch/gru.safetensors")),
        ("ours.safetensors", ours.to_bytes("ours.safetensors").unwrap()),
        ("modules.safetensors", modules),
    ] {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..1500 {
            let mut flipped = whole.clone();
            for _ in 0..3 {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                // more of them at the begin and at the end, where the sizes are
                let place = (state >> 33) as usize;
                let place = match state >> 62 {
                    0 => place % whole.len(),
                    1 => whole.len() - 1 - place % whole.len().min(1500),
                    _ => place % whole.len().min(1500),
                };
                flipped[place] = (state >> 20) as u8;
            }
            read_all(&flipped, file);
        }
    }
}
