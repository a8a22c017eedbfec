//! A device with exactly what the formula says runs the model, and encodes it; one with less says which limit it is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use ndarray::{Array2, Array3};

use super::needed;
use crate::error::Error;
use crate::flow::{Flow, Input};
use crate::gpu::GpuModel;
use crate::gpu::GpuWorkspace;
use crate::gpu::device::adapter::Adapter;
use crate::gpu::recording::{Batch, Initial};
use crate::gpu::stage::interface::HostReads;
use crate::layer::bidirectional::Bidirectional;
use crate::layer::dense::Dense;
use crate::layer::embedding::Embedding;
use crate::layer::flatten::Flatten;
use crate::layer::gru::Gru;
use crate::layer::layer_normalization::LayerNormalization;
use crate::layer::lstm::Lstm;
use crate::layer::reshape::Reshape;
use crate::model::Model;
use crate::output::Output;
use crate::settings::Settings;

/// A model, its size, and whether its input is tokens.
type Case = (&'static str, Model, (usize, usize));

fn cases() -> Vec<Case> {
    let lstm = |features, units| Lstm::new(features, units).return_sequences(true);
    let model = |layers: Vec<crate::Layer>| {
        let add = layers
            .into_iter()
            .fold(Model::builder(), |builder, layer| builder.add(layer));
        add.build().unwrap()
    };
    vec![
        ("the recurrent kernel", model(vec![lstm(3, 40).into()]), (3, 5)),
        ("one time step", model(vec![lstm(3, 5).into()]), (300, 6)),
        ("the list of the steps", model(vec![lstm(3, 4).into()]), (5, 900)),
        (
            "two directions",
            model(vec![Bidirectional::new(lstm(3, 20)).into()]),
            (40, 7),
        ),
        (
            "the kernel of a Dense layer",
            model(vec![lstm(3, 4).into(), Dense::new(4, 700).into()]),
            (3, 5),
        ),
        (
            "a table",
            model(vec![Embedding::new(6, 800).into(), Gru::new(800, 4).into()]),
            (3, 5),
        ),
        ("a tensor", model(vec![Dense::new(301, 3).into()]), (40, 9)),
        (
            "a normalisation",
            model(vec![LayerNormalization::new(900).into()]),
            (3, 5),
        ),
        (
            "a flattened row",
            model(vec![Flatten::new(90, 10).into(), Dense::new(900, 3).into()]),
            (3, 90),
        ),
        (
            "another shape",
            model(vec![Reshape::new([90, 10], [10, 90]).into(), lstm(90, 4).into()]),
            (3, 90),
        ),
    ]
}

/// Runs a model on a device with such limits: by the host, and within an application's commands.
fn run(adapter: &Adapter, model: &Model, size: (usize, usize), limits: wgpu::Limits) -> crate::Result<()> {
    let gpu = pollster::block_on(adapter.open_with(limits, wgpu::Features::empty())).unwrap();
    let made = pollster::block_on(GpuModel::new(gpu.clone(), model.plan().clone(), &Settings::new()));
    let made = std::sync::Arc::new(made?);
    let features = model.plan().features.unwrap_or(0);
    let (values, tokens) = (Array3::ones((size.0, size.1, features)), Array2::ones(size));
    let input = match model.plan().takes_tokens {
        true => Input::Tokens(tokens.view()),
        false => Input::Values(values.view()),
    };
    made.check_size(size)?;
    let flow = Flow::new(model.plan(), input, None)?.into();
    let batch = Batch {
        flow: &flow,
        input,
        initial: Initial::Zeros,
        reads: HostReads::outputs_and(true),
    };
    pollster::block_on(made.run(batch, &mut Output::default()))?;
    let workspace = pollster::block_on(GpuWorkspace::make(&made, size))?;
    let mut encoder = gpu.encoder("test");
    workspace.encode(&mut encoder)?;
    gpu.queue().submit([encoder.finish()]);
    Ok(())
}

#[test]
fn exactly_what_is_needed_is_enough_and_less_names_the_limit() {
    for adapter in pollster::block_on(Adapter::all()) {
        for (name, model, size) in cases() {
            let needed = needed(model.plan(), size.0, size.1).unwrap();
            assert!(needed.binding <= needed.buffer, "{name}");
            let limits = wgpu::Limits {
                max_storage_buffer_binding_size: needed.binding,
                max_buffer_size: needed.buffer,
                ..wgpu::Limits::default()
            };
            run(&adapter, &model, size, limits.clone()).unwrap_or_else(|error| panic!("{name}: {needed:?}: {error}"));
            let less = wgpu::Limits {
                max_storage_buffer_binding_size: needed.binding / 2,
                ..limits
            };
            match run(&adapter, &model, size, less) {
                Ok(()) => assert_eq!(name, "the recurrent kernel", "which alone may be cut further"),
                Err(Error::TooLarge { limit_name, .. }) => {
                    assert!(limit_name.contains("max_storage_buffer_binding_size"), "{limit_name}");
                }
                Err(error) => panic!("{name}: {error}"),
            }
        }
    }
}

#[test]
fn what_no_device_has_is_an_error() {
    let model = Model::builder().add(Lstm::new(2, 1024)).build().unwrap();
    let error = needed(model.plan(), 1 << 20, 5).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    assert!(error.to_string().contains("131072 sequences"), "{error}");
    assert!(needed(model.plan(), usize::MAX, 5).is_err());
    assert!(needed(model.plan(), 1 << 16, 1 << 16).is_err());
}
