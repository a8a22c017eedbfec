//! `solo` made for size classes: what workgroups keep where, what the numbers say of it, and that it gives what the steps give, on a
//! software adapter that reckons with the numbers of a GPU.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use ndarray::{Array2, Array3};

use super::*;
use crate::drawn::is_drawn;
use crate::flow::{Flow, Input, Ran};
use crate::gpu::GpuModel;
use crate::gpu::device::adapter::Adapter;
use crate::gpu::recording::{Batch, Initial};
use crate::gpu::stage::interface::HostReads;
use crate::gpu::strategy::numbers::H200;
use crate::gpu::weights::{Form, class_of, prepared};
use crate::layer::bidirectional::Bidirectional;
use crate::layer::gru::Gru;
use crate::layer::lstm::Lstm;
use crate::layer::simple_rnn::SimpleRnn;
use crate::model::Model;
use crate::output::Output;
use crate::settings::{Precision, Settings, Strategy};

/// Those of an H200, and of every device.
const LIMITS: Limits = Limits {
    invocations: 1024,
    size: [1024, 1024],
    bytes: 48 << 10,
};
const FLOOR: Limits = Limits {
    invocations: 256,
    size: [256, 256],
    bytes: 16 << 10,
};

const fn load(workgroups: usize) -> Load {
    Load { workgroups, share: 1.0 }
}

fn full(width: usize, rows: usize, limits: Limits) -> Option<Shape> {
    Shape::of((width, 4, Form::Full), rows, limits)
}

/// Where the weights are: in registers, in workgroup memory, in the cache.
fn places(shape: Shape) -> [usize; 4] {
    [shape.parts, shape.registers, shape.shared, shape.cached]
}

#[test]
fn the_sketches_that_were_measured() {
    assert_eq!(full(128, 1, LIMITS).map(places), Some([4, 24, 5, 3]));
    assert_eq!(full(64, 4, LIMITS).map(places), Some([4, 16, 0, 0]));
}

/// Size classes of units.
const CLASSES: [usize; 15] = [4, 8, 12, 16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256];

#[test]
fn weights_have_a_place() {
    for limits in [LIMITS, FLOOR] {
        for width in CLASSES {
            for (lanes, form) in [(4, Form::Full), (4, Form::Half), (1, Form::Full)] {
                for rows in HEIGHTS {
                    let Some(shape) = Shape::of((width, lanes, form), rows, limits) else {
                        let most = if (lanes, form) == (4, Form::Full) { 128 } else { 160 };
                        assert!(rows > 1 || width > most, "{width} units: {limits:?}");
                        continue;
                    };
                    let [parts, registers, shared, cached] = places(shape);
                    assert_eq!(parts * (registers + shared + cached), width, "{shape:?}");
                    assert!(
                        shape.invocations() <= limits.invocations && shape.bytes() <= limits.bytes,
                        "{shape:?}"
                    );
                    assert!(registers > 0 || shared + cached == 0, "{shape:?}");
                    assert_eq!(shape.outs() * rows.min(parts), rows, "{shape:?}");
                }
            }
        }
        assert_eq!(full(0, 1, limits), None);
        assert_eq!(full(50, 1, limits), None);
        assert_eq!(full(160, 1, limits), None);
    }
    for width in [160, 192] {
        let shape = Shape::of((width, 4, Form::Half), 1, LIMITS).unwrap();
        assert!(shape.packed, "{shape:?}");
    }
    assert_eq!(full(128, 8, LIMITS), None);
    assert_eq!(Shape::of((256, 4, Form::Half), 1, LIMITS), None);
}

/// Microseconds of a recurrence, of a sketch on an H200 (`docs/design.md`).
#[test]
fn the_numbers_say_what_was_measured() {
    for (units, positions, steps, rows, measured) in [(128, 1, 1000, 1, 800.0), (64, 512, 64, 4, 53.0)] {
        let seconds = |rows: usize| {
            let shape = full(units, rows, LIMITS)?;
            let load = load(usize::div_ceil(positions, rows));
            Some(steps as f64 * shape.step_seconds(&H200, load) + shape.launch_seconds(&H200, load))
        };
        let said = seconds(rows).unwrap() * 1e6;
        assert!(
            (said / measured - 1.0_f64).abs() < 0.3,
            "{units} units: {said} µs, not {measured}"
        );
        let taken = |rows: &usize| seconds(*rows).unwrap_or(f64::INFINITY);
        let best = HEIGHTS
            .into_iter()
            .min_by(|one, other| taken(one).total_cmp(&taken(other)));
        assert_eq!(best, Some(rows), "{units} units");
    }
}

/// Workgroups that find no compute unit wait for others to end.
#[test]
fn workgroups_run_in_rounds() {
    let shape = full(128, 1, LIMITS).unwrap();
    let step = |workgroups| shape.step_seconds(&H200, load(workgroups));
    assert_eq!(step(1), step(132));
    assert!((step(133) / step(132) - 2.0).abs() < 1e-9);
    assert!((step(132 * 10) / step(132) - 10.0).abs() < 1e-9);
    // half of the rows take half of the rounds; but one round takes as long as its longest sequence
    let half = |workgroups| shape.step_seconds(&H200, Load { workgroups, share: 0.5 });
    assert!((half(132 * 10) / step(132) - 5.0).abs() < 1e-9);
    assert_eq!(half(132), step(132));
    // small workgroups share a compute unit
    let small = full(16, 1, LIMITS).unwrap();
    let step = |workgroups| small.step_seconds(&H200, load(workgroups));
    assert!(step(264) < 1.3 * step(132) && step(132 * 64) > 6.0 * step(132));
}

fn gpus() -> Vec<Gpu> {
    let open = |adapter: &Adapter| pollster::block_on(adapter.open()).unwrap();
    pollster::block_on(Adapter::all()).iter().map(open).collect()
}

/// Each kind of cell, in both directions.
fn model(kind: &str, units: usize) -> Model {
    let model = Model::builder();
    let model = match kind {
        "lstm" => model.add(Bidirectional::new(Lstm::new(3, units).return_sequences(true).seed(5))),
        "peepholes" => {
            let lstm = Lstm::new(3, units).peepholes(true).clip(0.3);
            model.add(Bidirectional::new(lstm.return_sequences(true).seed(5)))
        }
        "gru" => model.add(Bidirectional::new(Gru::new(3, units).return_sequences(true).seed(5))),
        _ => model.add(Bidirectional::new(
            SimpleRnn::new(3, units).return_sequences(true).seed(5),
        )),
    };
    model.build().unwrap()
}

fn on(gpu: &Gpu, model: &Model, precision: Precision, strategy: Strategy) -> GpuModel {
    let settings = Settings::new().strategy(strategy).precision(precision);
    pollster::block_on(GpuModel::new(gpu.clone(), model.plan().clone(), &settings)).unwrap()
}

/// By the form for a GPU with these numbers, with the limits of the adapter; `most_passes` cuts the launches.
fn made(gpu: &Gpu, model: &Model, precision: Precision, (numbers, most_passes): (Numbers, usize)) -> Option<GpuModel> {
    let mut on = on(gpu, model, precision, Strategy::Step);
    let planned: Vec<_> = model.plan().cells.iter().collect();
    let cells = Cells {
        cell: &planned[0].cell,
        directions: 2,
        form: prepared(gpu, &planned, precision).1,
        first_k: 0,
        kernel_width: class_of(&planned[0].cell),
        numbers: Some(numbers),
    };
    let solo = SoloMade {
        most_passes,
        ..SoloMade::make(gpu, &cells, numbers).ok()?
    };
    let recurrence = Arc::get_mut(&mut on.weights.recurrences[0]).unwrap();
    recurrence.replace(Strategy::Step, Box::new(solo));
    Some(on)
}

/// A batch with holes and, where there are several sequences, one without a step.
fn run(gpu: &GpuModel, batch: usize, time_steps: usize) -> Ran {
    let values = Array3::from_shape_fn((batch, time_steps, 3), |(a, b, c)| {
        ((a * 7 + b * 3 + c) % 11) as f32 / 11.0 - 0.5
    });
    let mask = Array2::from_shape_fn((batch, time_steps), |(row, step)| {
        (row + 1 < batch || batch == 1) && step * (row % 3 + 1) < 2 * time_steps && (row + step) % 4 != 3
    });
    let input = Input::Values(values.view());
    let flow = Arc::new(Flow::new(&gpu.plan, input, Some(mask.view())).unwrap());
    let batch = Batch {
        flow: &flow,
        input,
        initial: Initial::Zeros,
        reads: HostReads::outputs_and(true),
    };
    pollster::block_on(gpu.run(batch, &mut Output::default())).unwrap()
}

/// Outputs and final states.
fn values(ran: &Ran) -> Vec<f32> {
    let outputs = ran.outputs.iter().flat_map(|output| output.iter().copied());
    let states = ran.states.iter().flat_map(|state| state.arrays());
    outputs.chain(states.flat_map(|array| array.iter().copied())).collect()
}

fn compare(kind: &str, units: usize, precision: Precision, sizes: &[(usize, usize)]) {
    // with a single compute unit few positions take tall workgroups, and with so few passes of loops launches have few steps
    let one_unit = Numbers { workgroups: 1, ..H200 };
    for gpu in gpus() {
        let model = model(kind, units);
        let step = on(&gpu, &model, precision, Strategy::Step);
        for (numbers, most_passes) in [(H200, usize::MAX), (one_unit, 40)] {
            let Some(solo) = made(&gpu, &model, precision, (numbers, most_passes)) else {
                println!("skipped: {units} units of {kind} find no room on {}", gpu.name());
                continue;
            };
            for &(batch, time_steps) in sizes {
                let name =
                    format!("{kind}, {units} units, {batch} x {time_steps}, {precision:?}, {most_passes} passes");
                let (got, want) = (
                    values(&run(&solo, batch, time_steps)),
                    values(&run(&step, batch, time_steps)),
                );
                assert_eq!(got.len(), want.len(), "{name}");
                let far = got.iter().zip(&want).map(|(got, want)| (got - want).abs());
                let close = far.clone().all(|far| far < 2e-6);
                assert!(close, "{name}: {:?}", far.fold(0.0, f32::max));
                assert!(
                    values(&run(&solo, batch, time_steps)) == got,
                    "{name}: another run has other bits"
                );
            }
        }
    }
}

#[test]
fn every_class_of_units() {
    let units = [1, 3, 4, 15, 16, 17, 33, 64, 65, 100, 128].into_iter().enumerate();
    for (_, units) in units.filter(|(number, _)| is_drawn(*number, 2)) {
        compare("lstm", units, Precision::Full, &[(1, 9), (3, 5)]);
    }
}

#[test]
fn every_cell() {
    for kind in ["gru", "simple_rnn", "peepholes"] {
        for units in [3, 33] {
            compare(kind, units, Precision::Full, &[(2, 3), (9, 5)]);
        }
    }
}

#[test]
fn every_precision() {
    let units = [5, 128, 129, 192].into_iter().enumerate();
    for (_, units) in units.filter(|(number, _)| is_drawn(*number, 2)) {
        compare("lstm", units, Precision::Relaxed, &[(5, 4)]);
    }
    compare("gru", 160, Precision::Relaxed, &[(1, 4)]);
}
