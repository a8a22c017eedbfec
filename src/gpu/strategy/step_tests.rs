//! The forms of a step on a GPU, here by software adapters with the numbers of one: each of them gives what the texts give that run
//! everywhere, which other tests compare with the CPU path.
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
use crate::gpu::recording::Batch;
use crate::gpu::stage::interface::HostReads;
use crate::gpu::strategy::numbers::H200;
use crate::gpu::strategy::step_wide::Wide;
use crate::gpu::weights::Form;
use crate::layer::bidirectional::Bidirectional;
use crate::layer::gru::Gru;
use crate::layer::lstm::Lstm;
use crate::layer::simple_rnn::SimpleRnn;
use crate::model::Model;
use crate::output::Output;
use crate::settings::{Precision, Settings};
use crate::state::State;

/// The positions that run a step, one after the other: around the edges of all forms.
const ACTIVE: [usize; 10] = [70, 65, 64, 33, 31, 9, 8, 7, 2, 1];

fn adapters() -> Vec<Gpu> {
    let open = |adapter: &Adapter| pollster::block_on(adapter.open_another()).unwrap();
    pollster::block_on(Adapter::all()).iter().map(open).collect()
}

fn lstm(units: usize) -> Model {
    let lstm = Lstm::new(3, units).return_sequences(true).seed(5);
    Model::builder().add(Bidirectional::new(lstm)).build().unwrap()
}

fn peepholes(units: usize) -> Model {
    let lstm = Lstm::new(3, units)
        .return_sequences(true)
        .peepholes(true)
        .recurrent_activation(crate::activation::Activation::HardSigmoid)
        .seed(6);
    Model::builder().add(lstm).build().unwrap()
}

fn gru(units: usize) -> Model {
    let gru = Gru::new(3, units).return_sequences(true).seed(7);
    Model::builder().add(gru).build().unwrap()
}

fn simple_rnn(units: usize) -> Model {
    // what is past the units would not be zero by this activation
    let rnn = SimpleRnn::new(3, units)
        .return_sequences(true)
        .activation(crate::activation::Activation::Sigmoid)
        .seed(8);
    Model::builder().add(Bidirectional::new(rnn)).build().unwrap()
}

fn cells<'a>(gpu: &Gpu, model: &'a Model, precision: Precision) -> Cells<'a> {
    let plan = model.plan();
    let cell = &plan.cells[0].cell;
    let halves = precision == Precision::Relaxed && gpu.has_halves() && cell.lanes().len() == 4;
    Cells {
        cell,
        directions: plan.cells.len(),
        form: if halves { Form::Half } else { Form::Full },
        first_k: 0,
        kernel_width: class_of(cell),
        numbers: Some(H200),
    }
}

/// All forms that the device allows, for a model.
fn forms(gpu: &Gpu, cells: &Cells<'_>) -> Vec<StepForm> {
    StepForm::all(layer_of(cells).unwrap(), Allowed::by(gpu.limits()))
}

/// A model by these forms alone, or by the kept texts.
fn on(gpu: &Gpu, model: &Model, precision: Precision, forms: Option<Vec<StepForm>>) -> GpuModel {
    let settings = Settings::new().strategy(Strategy::Step).precision(precision);
    let mut on = pollster::block_on(GpuModel::new(gpu.clone(), model.plan().clone(), &settings)).unwrap();
    let cells = cells(gpu, model, precision);
    let step = match forms {
        None => RecurrentStep::kept(gpu, &cells),
        Some(forms) => {
            let forms = StepForms::of(layer_of(&cells).unwrap(), H200, forms);
            let made = Made::new(gpu, &cells, forms).unwrap();
            RecurrentStep::by(&cells, Shared::Forms(Box::new(made)))
        }
    };
    let recurrence = Arc::get_mut(&mut on.weights.recurrences[0]).unwrap();
    recurrence.replace(Strategy::Step, Box::new(step));
    on
}

/// A batch in which so many sequences run each step; one of them may have a value that is none.
fn run(gpu: &GpuModel, active: &[usize], spoilt: Option<usize>) -> Ran {
    run_with(gpu, active, spoilt, None)
}

fn run_with(gpu: &GpuModel, active: &[usize], spoilt: Option<usize>, states: Option<&[State]>) -> Ran {
    let (batch, time_steps) = (active[0], active.len());
    let mut values = Array3::from_shape_fn((batch, time_steps, 3), |(a, b, c)| {
        ((a * 7 + b * 3 + c) % 11) as f32 / 11.0 - 0.5
    });
    if let Some(spoilt) = spoilt {
        values[[spoilt, 0, 0]] = f32::NAN;
    }
    // the longest sequence is the last one
    let mask = Array2::from_shape_fn((batch, time_steps), |(sequence, step)| batch - sequence <= active[step]);
    let input = Input::Values(values.view());
    let flow = Arc::new(Flow::new(&gpu.plan, input, Some(mask.view())).unwrap());
    let batch = Batch {
        flow: &flow,
        input,
        initial: states.into(),
        reads: HostReads::outputs_and(true),
    };
    pollster::block_on(gpu.run(batch, &mut Output::default())).unwrap()
}

/// Wide forms for a layer: as they are taken; and where workgroups have few positions and subgroups share k.
fn wide_forms(gpu: &Gpu, layer: Layer) -> Vec<StepForm> {
    let lanes = step_wide::lanes(gpu);
    let mut forms = StepForm::wide(layer, Allowed::by(gpu.limits()), lanes);
    let others = [(2, 1, 7), (4, 2, 40)];
    let form = |(split, tiles, block)| {
        let wide = Wide {
            lanes_of_subgroup: lanes?,
            split,
            tiles,
            block,
        };
        wide.divides(layer).then(|| StepForm::of(wide))
    };
    forms.extend(others.into_iter().filter_map(form));
    forms
}

fn assert_close(name: &str, got: &Ran, want: &Ran) {
    assert_eq!(got.rows_run, want.rows_run, "{name}");
    for (got, want) in got.outputs.iter().zip(&want.outputs) {
        assert_eq!(got.shape(), want.shape());
        for (at, (got, want)) in got.iter().zip(want).enumerate() {
            // no number is close to what is none
            assert!((got - want).abs() <= 1e-5, "{name}: value {at}: {got}, expected {want}");
        }
    }
}

/// The forms of a model of these units against the kept texts: some of them for one number of units and others for the next, since each has
/// to be compiled.
fn check(model: fn(usize) -> Model, all_units: &[usize], precision: Precision) {
    for gpu in adapters() {
        for (turn, &units) in all_units.iter().enumerate() {
            let model = model(units);
            let want = run(&on(&gpu, &model, precision, None), &ACTIVE, None);
            let all = forms(&gpu, &cells(&gpu, &model, precision)).into_iter().enumerate();
            let one_in = |form: &StepForm| if form.kind == Kind::Tile { 2 } else { 12 };
            let tried = all.filter(|(number, form)| *number == 0 || is_drawn(number + turn, one_in(form)));
            for (_, form) in tried {
                let name = format!("{}, {units} units, {precision:?}: {form:?}", gpu.name());
                let made = on(&gpu, &model, precision, Some(vec![form]));
                let got = run(&made, &ACTIVE, None);
                assert_close(&name, &got, &want);
                let again = run(&made, &ACTIVE, None);
                assert!(again.outputs == got.outputs, "{name}: other bits");
            }
        }
    }
}

/// The wide forms of a model of these units against the kept texts.
fn check_wide(model: Model, precision: Precision, tried: &[usize]) {
    for gpu in adapters() {
        let layer = layer_of(&cells(&gpu, &model, precision)).unwrap();
        let forms = wide_forms(&gpu, layer);
        if forms.is_empty() {
            println!("{}: no subgroups to run the wide forms", gpu.name());
            continue;
        }
        let want = run(&on(&gpu, &model, precision, None), &ACTIVE, None);
        for form in tried.iter().map(|&number| forms[number]) {
            let name = format!("{}, {layer:?}, {precision:?}: {form:?}", gpu.name());
            let made = on(&gpu, &model, precision, Some(vec![form]));
            let got = run(&made, &ACTIVE, None);
            assert_close(&name, &got, &want);
            assert!(run(&made, &ACTIVE, None).outputs == got.outputs, "{name}: other bits");
            assert_apart(&name, &made);
        }
    }
}

#[test]
fn the_wide_forms() {
    check_wide(lstm(125), Precision::Full, &[0, 1, 2, 3]);
    check_wide(lstm(128), Precision::Full, &[0]);
    // as many registers as there are at most
    check_wide(lstm(256), Precision::Full, &[1]);
    check_wide(lstm(125), Precision::Relaxed, &[2]);
    check_wide(gru(126), Precision::Full, &[0]);
    check_wide(simple_rnn(127), Precision::Full, &[1, 3]);
    check_wide(peepholes(125), Precision::Full, &[3]);
}

#[test]
fn the_forms_of_an_lstm_at_every_edge() {
    check(lstm, &[1, 15, 17, 65, 130], Precision::Full);
}

#[test]
fn the_forms_of_the_other_cells() {
    check(gru, &[33], Precision::Full);
    check(simple_rnn, &[3, 65], Precision::Full);
    check(peepholes, &[17], Precision::Full);
}

#[test]
fn the_forms_in_relaxed_precision() {
    check(lstm, &[70], Precision::Relaxed);
}

/// What is no number in one sequence stays there, by every form in which sequences share something, and so do the bits of the others.
#[test]
fn what_is_no_number_stays_in_its_sequence() {
    for gpu in adapters() {
        let model = gru(30);
        let all = forms(&gpu, &cells(&gpu, &model, Precision::Full)).into_iter();
        let shares = all.filter(|form| form.kind == Kind::Tile || form.tile == 8 && form.rows == 8);
        for (_, form) in shares.enumerate().filter(|(number, _)| is_drawn(*number, 2)) {
            let made = on(&gpu, &model, Precision::Full, Some(vec![form]));
            assert_apart(&format!("{form:?}"), &made);
        }
    }
}

fn assert_apart(name: &str, made: &GpuModel) {
    let clean = run(made, &[9, 9, 5], None);
    for spoilt in [0, 3, 8] {
        let dirty = run(made, &[9, 9, 5], Some(spoilt));
        for (dirty, clean) in dirty.outputs.iter().zip(&clean.outputs) {
            for (sequence, (dirty, clean)) in dirty.outer_iter().zip(clean.outer_iter()).enumerate() {
                let same = dirty == clean;
                assert_eq!(
                    same,
                    sequence != spoilt,
                    "{name}: sequence {sequence}, {spoilt} is spoilt"
                );
            }
        }
    }
}

/// As they are taken on a GPU: another form for other positions within a run, and nothing is compiled by a run in a kept workspace.
#[test]
fn a_step_takes_the_form_of_its_positions() {
    for gpu in adapters() {
        let model = lstm(65);
        let cells = cells(&gpu, &model, Precision::Full);
        let want = run(&on(&gpu, &model, Precision::Full, None), &ACTIVE, None);
        let few = StepForms::few(layer_of(&cells).unwrap(), H200, &forms(&gpu, &cells)).unwrap();
        let taken = ACTIVE.map(|positions| few.by_positions(positions).unwrap().0);
        assert!(taken.iter().any(|form| *form != taken[0]), "{:?}", few.all());
        let made = on(&gpu, &model, Precision::Full, Some(few.all().to_vec()));
        assert_close("few forms", &run(&made, &ACTIVE, None), &want);
        let pipelines = gpu.counters().pipelines();
        for first in 1..ACTIVE.len() {
            run(&made, &ACTIVE[first..], None);
        }
        assert_eq!(gpu.counters().pipelines(), pipelines);
    }
}

#[path = "step_matrix_tests.rs"]
mod matrix;
