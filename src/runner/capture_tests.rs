//! What a capture of a frame shows: labels and groups in the words of this crate.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::collections::BTreeSet;

use ndarray::{Array2, Array3};

use super::Runner;
use super::section::Prepared;
use crate::flow::{Flow, Input};
use crate::gpu::device::Gpu;
use crate::gpu::device::adapter::Adapter;
use crate::gpu::device::label::Given;
use crate::gpu::groups::opened;
use crate::gpu::recording::{Batch, Initial};
use crate::gpu::stage::interface::HostReads;
use crate::layer::bidirectional::Bidirectional;
use crate::layer::dense::Dense;
use crate::layer::embedding::Embedding;
use crate::layer::lstm::Lstm;
use crate::layer::stacked::StackedRnnCells;
use crate::model::Model;
use crate::sequences::Sequences;
use crate::settings::{Settings, Strategy};

fn gpus() -> Vec<Gpu> {
    let adapters = pollster::block_on(Adapter::all()).into_iter();
    adapters
        .map(|adapter| pollster::block_on(adapter.open_another()).unwrap())
        .collect()
}

fn on(gpu: &Gpu, model: &Model) -> Runner {
    let settings = Settings::new().strategy(Strategy::Step).timed(true);
    model.on_with(&gpu.clone().into(), &settings).unwrap()
}

fn lstm(features: usize, units: usize) -> Lstm {
    Lstm::new(features, units).return_sequences(true)
}

/// Whether a label says what the object is: `cellstate`, the layer if it belongs to one, and words.
fn says_what(label: &str) -> bool {
    let is_word = |part: &str| {
        let has_letters = |part: &str| part.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        !part.is_empty() && has_letters(part)
    };
    let is_layer = |part: &str| {
        let number = part.strip_prefix("layer ").and_then(|rest| rest.split_once(" ("));
        number.is_some_and(|(number, class)| number.parse::<usize>().is_ok() && class.len() > 1 && class.ends_with(')'))
    };
    let mut parts = label.split('.');
    let begins = parts.next() == Some("cellstate");
    let parts: Vec<&str> = parts.collect();
    let (first, rest) = parts.split_first().unwrap_or((&"", &[]));
    let named = if is_layer(first) { rest } else { &parts[..] };
    begins && !named.is_empty() && named.iter().all(|part| is_word(part))
}

#[test]
fn every_label_says_what_the_object_is() {
    for label in [
        "",
        "cellstate",
        "cellstate.",
        "gather",
        "cellstate.layer 1.kernel",
        "cellstate.layer 1 (LSTM)",
        "cellstate.Row",
    ] {
        assert!(!says_what(label), "{label}");
    }
    for gpu in gpus() {
        let chain = Model::builder()
            .add(Dense::new(3, 4))
            .add(lstm(4, 5))
            .add(Bidirectional::new(lstm(5, 6)))
            .add(StackedRnnCells::new([Lstm::new(12, 5), Lstm::new(5, 4)]).return_sequences(true))
            .build()
            .unwrap();
        let runner = on(&gpu, &chain);
        let batch = Sequences::from(Array3::ones((3, 6, 3)))
            .with_lengths(&[6, 2, 0])
            .unwrap();
        (0..3).for_each(|_| drop(runner.run(&batch).unwrap()));
        runner.tune(2, 3).unwrap();
        let mut workspace = runner.workspace(2, 3).unwrap();
        workspace.set_lengths(&[2, 1]).unwrap();
        let lengths = gpu.make_buffer("test", 8, crate::gpu::device::buffer::Use::Storage);
        workspace.set_lengths_from(&lengths, 0).unwrap();
        let words = Model::builder()
            .add(Embedding::new(5, 3))
            .add(lstm(3, 4))
            .build()
            .unwrap();
        let tokens = on(&gpu, &words);
        tokens.run(&Sequences::from(Array2::ones((3, 6)))).unwrap();
        drop(tokens.workspace(2, 3).unwrap());

        let given: BTreeSet<String> = gpu.shared::<Given>().0.lock().unwrap().iter().cloned().collect();
        let wrong: Vec<&String> = given.iter().filter(|label| !says_what(label)).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
        for label in [
            "cellstate.input",
            "cellstate.params",
            "cellstate.pulse",
            "cellstate.run",
            "cellstate.rows",
            "cellstate.timer",
            "cellstate.parcel",
            "cellstate.recurrent_step",
            "cellstate.input_projection",
            "cellstate.layer 0 (Dense).kernel",
            "cellstate.layer 0 (Dense).dense",
            "cellstate.layer 1 (LSTM).kernel",
            "cellstate.layer 1 (LSTM).bias",
            "cellstate.layer 1 (LSTM).recurrent_kernel",
            "cellstate.layer 1 (LSTM).state",
            "cellstate.layer 1 (LSTM).cell_state",
            "cellstate.layer 1 (LSTM).gather.index",
            "cellstate.layer 1 (LSTM).input_projection",
            "cellstate.layer 1 (LSTM).recurrent_step",
            "cellstate.layer 2 (Bidirectional, forward).kernel",
            "cellstate.layer 2 (Bidirectional, backward).kernel",
            "cellstate.layer 2 (Bidirectional).recurrent_kernel",
            "cellstate.layer 3 (StackedRNNCells, cell 1).recurrent_kernel",
            "cellstate.layer 0 (Embedding).embeddings",
        ] {
            assert!(given.contains(label), "{label} is not among {given:#?}");
        }
    }
}

/// The groups of a run, a line each.
fn groups(runner: &Runner, model: &Model, (batch, time_steps): (usize, usize)) -> Vec<String> {
    let Prepared::Gpu(made) = &runner.sections[0].prepared else {
        panic!("not on a GPU");
    };
    let values = Array3::ones((batch, time_steps, 3));
    let input = Input::Values(values.view());
    let flow = Flow::new(model.plan(), input, None).unwrap().into();
    let play = Batch {
        flow: &flow,
        input,
        initial: Initial::Zeros,
        reads: HostReads::outputs_and(true),
    };
    let workspace = pollster::block_on(made.workspace((batch, time_steps))).unwrap();
    let recording = made.stage(workspace, play, made.asked).unwrap();
    // what is planned is what is opened: each stage once at least, in its order, and nothing that is neither layer nor stage
    let gpu = runner.gpu().unwrap();
    let mut encoder = gpu.encoder("run");
    opened::take();
    recording.encode(&mut encoder);
    let (mut layer, mut found) = (String::new(), Vec::new());
    for label in opened::take() {
        match recording.stages().any(|(name, _)| name == label) {
            true => layer = label,
            false => found.push((layer.clone(), label)),
        }
    }
    found.dedup(); // a group that goes on in the next pass is opened there again
    found.retain(|(_, stage)| stage != "begin" && stage != "end");
    let planned = recording
        .stages()
        .map(|(layer, stage)| (layer.to_owned(), stage.to_owned()));
    assert_eq!(found, planned.collect::<Vec<_>>());
    recording
        .stages()
        .map(|(layer, stage)| format!("{layer} > {stage}"))
        .collect()
}

#[test]
fn each_layer_has_a_group_for_each_of_its_stages_and_none_for_a_step() {
    for gpu in gpus() {
        let model = Model::builder()
            .add(lstm(3, 5))
            .add(Bidirectional::new(lstm(5, 6)))
            .add(Dense::new(12, 2))
            .build()
            .unwrap();
        let runner = on(&gpu, &model);
        let found = groups(&runner, &model, (2, 4));
        assert_eq!(
            found,
            [
                "layer 0 (LSTM) > input_projection",
                "layer 0 (LSTM) > step",
                "layer 0 (LSTM) > final_states",
                "layer 1 (Bidirectional) > input_projection",
                "layer 1 (Bidirectional) > gather",
                "layer 1 (Bidirectional) > input_projection",
                "layer 1 (Bidirectional) > step",
                "layer 1 (Bidirectional) > final_states",
                "layer 1 (Bidirectional) > merge",
                "layer 2 (Dense) > gather",
                "layer 2 (Dense) > dense",
                "output > place",
            ]
        );
        assert_eq!(groups(&runner, &model, (2, 60)), found, "one for each step");
    }
}
