//! What recurrent layers of Keras's files leave out in training.

use cellstate::Layer;

use crate::keras_edited::{open, options, with_config};

#[test]
fn rates_of_recurrent_layers_are_taken_over() {
    for (option, wanted) in [("dropout", [0.25, 0.0]), ("recurrent_dropout", [0.0, 0.25])] {
        let file = with_config("keras_more_gru.keras", |config| {
            options(config, "GRU")[option] = 0.25.into()
        });
        let model = open(&file).unwrap();
        let rates = model.layers().iter().find_map(|layer| match layer {
            Layer::Recurrent(layer) => Some([layer.dropout_rate(), layer.recurrent_dropout_rate()]),
            _ => None,
        });
        assert_eq!(rates, Some(wanted), "{option}");
        assert!(model.notes().is_empty(), "{:?}", model.notes());
        assert!(model.to_string().contains(&format!("{option}=0.25")), "{model}");
        let again = open(&model.to_bytes("again.keras").unwrap()).unwrap();
        assert!(again.to_string().contains(&format!("{option}=0.25")), "{again}");
    }
}
