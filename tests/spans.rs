//! What an application hears that listens by `tracing`: what takes time, with its sizes.
#![cfg(feature = "tracing")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use cellstate::{Device, Lstm, Model, Sequences, Settings, Strategy};
use ndarray::Array3;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// A span: its name, its fields, and how often it was entered and left.
#[derive(Clone, Debug, Default)]
struct Heard {
    name: &'static str,
    fields: BTreeMap<&'static str, String>,
    entered: usize,
    left: usize,
}

impl Visit for Heard {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }
}

#[derive(Clone, Default)]
struct Listener {
    spans: Arc<Mutex<BTreeMap<u64, Heard>>>,
    events: Arc<Mutex<Vec<Heard>>>,
    /// The spans that this thread is in.
    present: Arc<Mutex<Vec<u64>>>,
    next: Arc<AtomicU64>,
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "cellstate"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let mut heard = Heard {
            name: span.metadata().name(),
            ..Heard::default()
        };
        span.record(&mut heard);
        self.spans.lock().unwrap().insert(id, heard);
        Id::from_u64(id)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        if let Some(heard) = self.spans.lock().unwrap().get_mut(&span.into_u64()) {
            values.record(heard);
        }
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut heard = Heard::default();
        event.record(&mut heard);
        self.events.lock().unwrap().push(heard);
    }

    fn enter(&self, span: &Id) {
        self.present.lock().unwrap().push(span.into_u64());
        self.spans.lock().unwrap().get_mut(&span.into_u64()).unwrap().entered += 1;
    }

    fn exit(&self, span: &Id) {
        assert_eq!(self.present.lock().unwrap().pop(), Some(span.into_u64()));
        self.spans.lock().unwrap().get_mut(&span.into_u64()).unwrap().left += 1;
    }
}

impl Listener {
    /// The spans of this name, each entered and left alike.
    fn named(&self, name: &str) -> Vec<Heard> {
        let spans = self.spans.lock().unwrap();
        let named: Vec<Heard> = spans.values().filter(|heard| heard.name == name).cloned().collect();
        for heard in &named {
            assert!(heard.entered > 0 && heard.entered == heard.left, "{heard:?}");
        }
        named
    }
}

#[track_caller]
fn assert_fields(heard: &Heard, fields: &[(&'static str, &str)]) {
    for (name, value) in fields {
        assert_eq!(heard.fields.get(name).map(String::as_str), Some(*value), "{heard:?}");
    }
}

#[test]
fn what_takes_time_is_a_span_with_its_sizes() {
    let devices = Device::adapters().into_iter().map(|name| Device::named(&name).unwrap());
    for device in devices.chain([Device::cpu()]) {
        let listener = Listener::default();
        tracing::subscriber::with_default(listener.clone(), || {
            let settings = match device.gpu() {
                Some(_) => Settings::new().strategy(Strategy::Solo),
                None => Settings::new(),
            };
            let model = Model::builder()
                .add(Lstm::new(3, 6).return_sequences(true))
                .build()
                .unwrap();
            let runner = model.on_with(&device, &settings).unwrap();
            let batch = Sequences::from(Array3::zeros((3, 7, 3)))
                .with_lengths(&[7, 2, 0])
                .unwrap();
            runner.run(&batch).unwrap();
            if let Some(gpu) = device.gpu() {
                let mut states = runner.zero_gpu_states(3).unwrap();
                runner.run_from_gpu(&batch, &mut states).unwrap();
                let workspace = runner.workspace(2, 5).unwrap();
                let mut encoder = gpu
                    .device()
                    .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
                workspace.encode(&mut encoder).unwrap();
            }
        });
        assert!(listener.present.lock().unwrap().is_empty());
        let name = format!("{:?}", device.name());
        let one = |span: &str| {
            let found = listener.named(span);
            assert_eq!(found.len(), 1, "{span}: {found:?}");
            found[0].clone()
        };
        assert_fields(&one("prepare"), &[("device", &name)]);
        let runs = listener.named("run");
        assert_eq!(runs.len(), 1 + usize::from(device.gpu().is_some()), "{runs:?}");
        for run in &runs {
            assert_fields(run, &[("batch", "3"), ("time_steps", "7"), ("device", &name)]);
        }
        let events = listener.events.lock().unwrap().clone();
        let said = |what: &str| events.iter().find(|heard| heard.fields["message"] == what).cloned();
        assert_fields(&said("ran").unwrap(), &[("rows", "9")]);
        if device.gpu().is_none() {
            continue;
        }
        assert_fields(
            &said("recurrence").unwrap(),
            &[("layer", "\"layer 0 (LSTM)\""), ("strategy", "\"solo\"")],
        );
        assert!(!listener.named("pipeline").is_empty());
        assert!(
            listener
                .named("pipeline")
                .iter()
                .any(|heard| heard.fields["shader"] == "\"recurrent_solo\"")
        );
        assert!(!listener.named("wait").is_empty());
        assert_fields(&one("workspace"), &[("batch", "2"), ("time_steps", "5")]);
        assert_fields(&one("encode"), &[("rows", "10")]);
    }
}

/// Nobody who does not listen is disturbed.
#[test]
fn without_a_listener_nothing_changes() {
    let batch = Sequences::from(Array3::ones((2, 5, 3)));
    let runner = Lstm::new(3, 4).on(&Device::cpu()).unwrap();
    let want = runner.run(&batch).unwrap();
    let listener = Listener::default();
    let got = tracing::subscriber::with_default(listener, || runner.run(&batch).unwrap());
    assert_eq!(got.values(), want.values());
}
