//! What of Keras's rules a caller may choose, and operations of Keras 2.

use std::fs;

use cellstate::{Device, Error, Layer, Model, OpenOptions};

use crate::keras::{case, model_file, sequences};
use crate::keras_edited::{members, packed};
use zip::CompressionMethod;

fn end_masks(model: &Model) -> usize {
    let layers = model.layers().iter();
    layers.filter(|layer| matches!(layer, Layer::EndMask(_))).count()
}

#[test]
fn masks_between_recurrent_layers_are_handed_on_as_asked_for() {
    let open = |name: &str, hands_on: bool| {
        OpenOptions::new()
            .hands_masks_on(hands_on)
            .open(model_file(name))
            .unwrap()
    };
    for (name, by_version) in [("keras_more_3_16", false), ("keras_masking_stack", true)] {
        let file = format!("{name}.keras");
        let (on, off) = (open(&file, true), open(&file, false));
        assert_eq!(end_masks(&on), 0, "{name}");
        assert!(end_masks(&off) > 0, "{name}");
        assert!(
            off.notes().iter().any(|note| note.contains("EndMask stands behind it")),
            "{:?}",
            off.notes()
        );
        let batch = sequences(&case(name));
        let run = |model: &Model| model.on(&Device::cpu()).unwrap().run(&batch).unwrap();
        let (on, off) = (run(&on), run(&off));
        assert!(on.rows_run() < off.rows_run() && on.values() != off.values(), "{name}");
        let as_written = run(&Model::open(model_file(&file)).unwrap());
        let same = if by_version { &on } else { &off };
        assert_eq!(as_written.values(), same.values(), "{name}");
    }
}

#[test]
fn other_parts_of_a_tensor_of_keras_2_are_refused_by_name() {
    let mut members = members(&fs::read(model_file("keras_2_last_step.keras")).unwrap());
    let (_, config) = members.iter_mut().find(|(name, _)| name == "config.json").unwrap();
    let text = String::from_utf8(config.clone()).unwrap();
    assert_eq!(text.matches("}, -1, {").count(), 1, "{text}");
    for other in [
        "}, 0, {",
        "}, -2, {",
        "}, {\"start\": 1, \"stop\": null, \"step\": null}, {",
    ] {
        let (_, config) = members.iter_mut().find(|(name, _)| name == "config.json").unwrap();
        *config = text.replace("}, -1, {", other).into_bytes();
        let file = packed(&members, CompressionMethod::Stored);
        let refused = Model::from_bytes(&file, "other.keras").unwrap_err();
        assert!(
            matches!(&refused, Error::Unsupported { option, .. } if option.contains("other than x[:, -1]")),
            "{refused}"
        );
    }
}
