//! Models, Bidirectional, StackedRnnCells, Masking.

use cellstate::{
    Bidirectional, Dense, Device, Embedding, Error, Layer, Lstm, Masking, MergeMode, Model, StackedRnnCells,
};
use ndarray::Array2;

use super::refused;

fn build(layers: impl IntoIterator<Item = Layer>) -> cellstate::Result<Model> {
    layers
        .into_iter()
        .fold(Model::builder(), |builder, layer| builder.add(layer))
        .build()
}

fn lstm(features: usize, units: usize) -> Lstm {
    Lstm::new(features, units).return_sequences(true)
}

#[test]
fn models_of_nothing() {
    refused!(
        build([]),
        Error::Value { .. },
        "at least one layer",
        "Model::builder().add(Lstm::new("
    );
}

#[test]
fn layers_in_the_wrong_place() {
    let masking = || Masking::new(0.0).into();
    for first in [lstm(2, 3).into(), masking(), Embedding::new(5, 2).into()] {
        let chain = build([first, Embedding::new(5, 2).into()]);
        refused!(
            chain,
            Error::Chain { position: 1, .. },
            "put the Embedding first",
            "mask_zero(true)"
        );
    }
    let last = || -> [Layer; 3] {
        [
            Lstm::new(2, 3).into(),
            Bidirectional::new(Lstm::new(2, 3)).merge_mode(MergeMode::Sum).into(),
            StackedRnnCells::new([Lstm::new(2, 3)]).into(),
        ]
    };
    for layer in last() {
        for next in [
            lstm(3, 4).into(),
            Bidirectional::new(lstm(3, 4)).into(),
            StackedRnnCells::new([Lstm::new(3, 4)]).into(),
        ] {
            let chain = build([layer.clone(), next]);
            refused!(
                chain,
                Error::Chain { position: 1, .. },
                "return_sequences(true)",
                "before it"
            );
        }
        // what takes single values may follow
        assert!(build([layer.clone(), Dense::new(3, 4).into(), Dense::new(4, 1).into()]).is_ok());
        let chain = build([layer, Dense::new(3, 4).into(), lstm(4, 1).into()]);
        refused!(chain, Error::Chain { position: 2, .. }, "return_sequences(true)");
    }
    refused!(
        Model::builder().add(Masking::new(f32::NAN)).build(),
        Error::Value { .. },
        "NaN",
        "Sequences::mask_missing"
    );
}

#[test]
fn neighbours_that_do_not_fit() {
    for next in [
        lstm(4, 5).into(),
        Dense::new(4, 5).into(),
        Bidirectional::new(lstm(4, 5)).into(),
        StackedRnnCells::new([Lstm::new(4, 5)]).into(),
    ] {
        let next: Layer = next;
        let chain = build([lstm(2, 3).into(), next.clone()]);
        refused!(
            chain,
            Error::Features {
                expected: 4,
                found: 3,
                ..
            },
            "layer 1",
            "make it take 3 features",
            "4 units"
        );
        let chain = build([Embedding::new(9, 3).into(), next.clone()]);
        refused!(
            chain,
            Error::Features {
                expected: 4,
                found: 3,
                ..
            },
            "make it take 3 features"
        );
        let chain = build([Bidirectional::new(lstm(2, 3)).into(), next]);
        refused!(
            chain,
            Error::Features {
                expected: 4,
                found: 6,
                ..
            },
            "make it take 6 features"
        );
    }
    let two = Bidirectional::new(lstm(2, 3)).merge_mode(MergeMode::Separate);
    for next in [lstm(3, 4).into(), Dense::new(3, 4).into(), Dense::new(6, 4).into()] {
        let chain = build([two.clone().into(), next]);
        refused!(
            chain,
            Error::Chain { position: 1, .. },
            "MergeMode::Concat",
            "the last layer"
        );
    }
    let keeps: [Layer; 3] = [
        lstm(2, 3).return_state(true).into(),
        Bidirectional::new(lstm(2, 3).return_state(true))
            .merge_mode(MergeMode::Sum)
            .into(),
        StackedRnnCells::new([Lstm::new(2, 3)])
            .return_sequences(true)
            .return_state(true)
            .into(),
    ];
    for layer in keeps {
        let chain = build([layer.clone(), lstm(3, 4).into()]);
        refused!(
            chain,
            Error::Unsupported { .. },
            "layer 0",
            "return_state(true)",
            "run_from"
        );
        assert!(build([layer]).is_ok());
    }
}

/// Wrong inside of a model is wrong all the same.
#[test]
fn wrong_layers_are_found_wherever_they_stand() {
    for wrong in [0, usize::MAX] {
        let layers: [Layer; 5] = [
            lstm(3, wrong).into(),
            Dense::new(3, wrong).into(),
            Bidirectional::new(lstm(3, wrong)).into(),
            Bidirectional::new(lstm(3, 4)).backward_layer(lstm(3, wrong)).into(),
            StackedRnnCells::new([Lstm::new(3, 4), Lstm::new(4, wrong)]).into(),
        ];
        for layer in layers {
            refused!(
                build([lstm(2, 3).into(), layer.clone()]),
                Error::Value { .. },
                "units of the",
                "real size"
            );
            assert!(!format!("{layer:?}").is_empty());
        }
    }
}

#[test]
fn bidirectional_layers_that_disagree() {
    let cpu = Device::cpu();
    for layer in [
        Bidirectional::new(lstm(2, 3).go_backwards(true)),
        Bidirectional::new(lstm(2, 3)).backward_layer(lstm(2, 3).go_backwards(true)),
    ] {
        refused!(
            layer.on(&cpu),
            Error::Unsupported { .. },
            "go_backwards(true)",
            "leave it out"
        );
    }
    let trained = lstm(2, 3)
        .with_weights(Array2::zeros((2, 12)), Array2::zeros((3, 12)), None)
        .unwrap();
    let layer = Bidirectional::new(trained.clone());
    refused!(
        layer.on(&cpu),
        Error::Unsupported { .. },
        "trained weights",
        "`backward_layer`"
    );
    assert!(layer.backward_layer(trained).on(&cpu).is_ok());
    for merge in [MergeMode::Sum, MergeMode::Multiply, MergeMode::Average] {
        let layer = Bidirectional::new(lstm(2, 3))
            .backward_layer(lstm(2, 4))
            .merge_mode(merge);
        refused!(
            layer.on(&cpu),
            Error::Value { .. },
            "units of the backward layer",
            "make both layers alike"
        );
    }
    for merge in [MergeMode::Concat, MergeMode::Separate] {
        let layer = Bidirectional::new(lstm(2, 3))
            .backward_layer(lstm(2, 4))
            .merge_mode(merge);
        assert!(layer.on(&cpu).is_ok());
    }
    let unlike = [
        ("features", lstm(3, 3)),
        ("return_sequences", Lstm::new(2, 3)),
        ("return_state", lstm(2, 3).return_state(true)),
    ];
    for (option, backward) in unlike {
        let layer = Bidirectional::new(lstm(2, 3)).backward_layer(backward);
        refused!(
            layer.on(&cpu),
            Error::Value { .. },
            format!("{option} of the backward layer"),
            "make both layers alike"
        );
    }
}

#[test]
fn stacked_cells_that_do_not_stack() {
    let cpu = Device::cpu();
    refused!(
        StackedRnnCells::new::<Lstm>([]).on(&cpu),
        Error::Value { .. },
        "at least one cell",
        "StackedRnnCells::new(["
    );
    let stack = StackedRnnCells::new([Lstm::new(2, 3), Lstm::new(4, 5)]);
    refused!(
        stack.on(&cpu),
        Error::Features {
            expected: 4,
            found: 3,
            ..
        },
        "cell 1",
        "`Lstm::new(3, 5)`"
    );
    let options: [(&str, Lstm); 4] = [
        ("return_sequences", Lstm::new(2, 3).return_sequences(true)),
        ("return_state", Lstm::new(2, 3).return_state(true)),
        ("go_backwards", Lstm::new(2, 3).go_backwards(true)),
        ("zero_output_for_mask", Lstm::new(2, 3).zero_output_for_mask(true)),
    ];
    for (option, cell) in options {
        let repair = format!("call `{option}(true)` on the StackedRnnCells");
        refused!(
            StackedRnnCells::new([cell.clone()]).on(&cpu),
            Error::Unsupported { .. },
            "cell 0",
            &repair
        );
        let second = StackedRnnCells::new([Lstm::new(1, 2), cell]);
        refused!(second.on(&cpu), Error::Unsupported { .. }, "cell 1", &repair);
    }
}
