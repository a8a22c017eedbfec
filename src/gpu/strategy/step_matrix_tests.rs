//! The step by matrices on adapters that have none: by its text with the operations on matrices written out, correct and with mistakes, which proves
//! its tiles and tails, but nothing of the matrices.

use std::sync::LazyLock;

use super::*;
use crate::gpu::shader::written_out;
use crate::gpu::strategy::numbers::Numbers;
use crate::gpu::strategy::step_matrix::{self, StepMatrix};
use crate::gpu::strategy::step_matrix_form::MatrixForm;
use crate::gpu::strategy::step_trial;

/// The text itself without matrices.
fn without_matrices() -> String {
    let replaced = [
        ("enable f16;\nenable wgpu_cooperative_matrix;\n", ""),
        ("vec4<f16>(select", "pairs(select"),
        ("vec4<f16>", "vec2<u32>"),
        (
            "    @builtin(subgroup_id) subgroup: u32,\n) {\n",
            ") {\n    let subgroup = lane / 32u;\n",
        ),
        ("coop_mat16x16<f32, C>()", "Sums()"),
        ("coopLoadT<coop_mat16x16<f16, A>>(&h_slab[", "("),
        ("], H_PITCH)", ")"),
        ("coopLoadT<coop_mat16x16<f16, B>>(&w_slab[", "("),
        ("], W_PITCH)", ")"),
        ("coopMultiplyAdd(", "multiply_add(lane % 32u, "),
        ("coopStoreT(", "store_sums(lane % 32u, "),
        ("&sums[", ""),
        ("], SUMS_PITCH)", ", SUMS_PITCH)"),
    ];
    let source = [&[step_matrix::SHADER.source], step_matrix::SHADER.shared]
        .concat()
        .concat();
    let text = replaced.into_iter().fold(source, |text, (from, to)| {
        assert!(text.contains(from), "the text has no {from}");
        text.replace(from, to)
    });
    assert!(!text.contains("coop"), "{text}");
    text + &written_out::products(["h_slab", "H_PITCH"], ["w_slab", "W_PITCH"], "positions")
}

fn shader(name: &'static str, source: String) -> Shader {
    Shader {
        name,
        source: source.leak(),
        shared: &[],
        ..step_matrix::SHADER
    }
}

static PLAIN: LazyLock<Shader> = LazyLock::new(|| shader("step_without_matrices", without_matrices()));

/// Of a GPU whose matrices cost nothing.
const FREE: Numbers = Numbers {
    dispatch: 0.0,
    trip: 0.0,
    barrier: 0.0,
    cache_bytes: f64::INFINITY,
    by_matrices: true,
    ..H200
};

/// The positions that run a step, one after the other: around the edges of both forms, and at last those that go by the usual ones.
const EDGES: [usize; 10] = [130, 129, 128, 65, 64, 33, 32, 17, 9, 7];

/// The adapters that can run the stand-in.
fn gpus() -> Vec<Gpu> {
    adapters().into_iter().filter(Gpu::has_halves).collect()
}

fn matrix_forms(gpu: &Gpu, width: usize) -> Vec<MatrixForm> {
    MatrixForm::all(width, Allowed::by(gpu.limits()))
}

/// A model whose steps of many positions run by this shader, and the others by forms of a GPU.
fn by_matrices(gpu: &Gpu, model: &Model, form: MatrixForm, shader: &'static Shader) -> GpuModel {
    let mut on = on(gpu, model, Precision::Relaxed, None);
    let cells = cells(gpu, model, Precision::Relaxed);
    let layer = layer_of(&cells).unwrap();
    let few = StepForms::few(layer, H200, &forms(gpu, &cells)).unwrap();
    let made = Made {
        matrix: Some(StepMatrix::by(&cells, layer, FREE, (&[form], shader))),
        ..Made::new(gpu, &cells, few).unwrap()
    };
    let step = RecurrentStep::by(&cells, Shared::Forms(Box::new(made)));
    let recurrence = Arc::get_mut(&mut on.weights.recurrences[0]).unwrap();
    recurrence.replace(Strategy::Step, Box::new(step));
    on
}

/// A run from states that are not zero, for the first sequences of another batch.
fn run_from(gpu: &GpuModel, active: &[usize]) -> Ran {
    let mut states: Vec<State> = (gpu.plan.cells.iter())
        .map(|planned| State::zeros(active[0], planned.cell.state_widths()).unwrap())
        .collect();
    for state in &mut states {
        let number = |(row, unit): (usize, usize)| ((row * 5 + unit * 3) % 13) as f32 / 13.0 - 0.5;
        let hidden = Array2::from_shape_fn(state.hidden().dim(), number);
        state.hidden_mut().assign(&hidden);
        if let Some(mut cell) = state.cell_mut() {
            cell.assign(&hidden.mapv(|value| 0.9 - value));
        }
    }
    run_with(gpu, active, None, Some(&states))
}

fn apart(got: &Ran, want: &Ran) -> f32 {
    let mut most = 0.0_f32;
    let mut differ = |got: &f32, want: &f32| {
        let error = (got - want).abs();
        // NaN is above everything
        most = if error <= most { most } else { error };
    };
    for (got, want) in got.outputs.iter().zip(&want.outputs) {
        assert_eq!(got.shape(), want.shape());
        got.iter().zip(want).for_each(|(got, want)| differ(got, want));
    }
    for (got, want) in got.states.iter().zip(&want.states) {
        got.hidden()
            .iter()
            .zip(want.hidden())
            .for_each(|(got, want)| differ(got, want));
        let cells = got.cell().into_iter().flatten().zip(want.cell().into_iter().flatten());
        cells.for_each(|(got, want)| differ(got, want));
    }
    most
}

/// Every form of a model against the kept text, with lengths, from zero and from other states. (The texts of a class take long to
/// compile, so each class has one cell and a rest of units; the trial has the class of 64.)
fn check(model: fn(usize) -> Model, units: usize) {
    for gpu in gpus() {
        let model = model(units);
        let kept = on(&gpu, &model, Precision::Relaxed, None);
        let want = [run(&kept, &EDGES, None), run_from(&kept, &EDGES)];
        let width = class_of(&model.plan().cells[0].cell);
        let forms = matrix_forms(&gpu, width);
        let one_in = forms.len().clamp(1, 2);
        let drawn = forms.into_iter().enumerate();
        for (_, form) in drawn.filter(|(number, _)| is_drawn(*number, one_in)) {
            let name = format!("{}, {units} units: {form:?}", gpu.name());
            let made = by_matrices(&gpu, &model, form, &PLAIN);
            let got = [run(&made, &EDGES, None), run_from(&made, &EDGES)];
            for (got, want) in got.iter().zip(&want) {
                let error = apart(got, want);
                println!("{name}: {error}");
                assert!(error < 1e-3, "{name}: {error}");
                assert!(
                    error > 1e-6,
                    "{name}: h is rounded by matrices alone, so these have not run"
                );
            }
            assert!(run(&made, &EDGES, None).outputs == got[0].outputs, "{name}: other bits");
            let pipelines = gpu.counters().pipelines();
            run(&made, &EDGES[2..], None);
            assert_eq!(gpu.counters().pipelines(), pipelines, "{name}");
        }
    }
}

#[test]
fn steps_of_an_lstm_by_matrices() {
    check(lstm, 117);
}

#[test]
fn steps_of_a_gru_by_matrices() {
    check(gru, 181);
}

/// The trial passes with the text as it is, once for each form.
#[test]
fn the_text_is_exact_with_its_matrices_written_out() {
    for gpu in gpus() {
        let all: Vec<MatrixForm> = [64, 128]
            .into_iter()
            .flat_map(|width| matrix_forms(&gpu, width))
            .collect();
        assert!(all.len() >= 3, "{}: {all:?}", gpu.name());
        for (_, form) in all.into_iter().enumerate().filter(|(number, _)| is_drawn(*number, 2)) {
            let answers = [0; 2].map(|_| {
                let answer = pollster::block_on(step_trial::passes(&gpu, &PLAIN, form));
                (answer, gpu.counters().pipelines())
            });
            assert_eq!(answers[0], answers[1], "it is tried once");
            assert_eq!(answers[0].0, Ok(()), "{form:?}");
        }
    }
}

/// What a driver or the text may get wrong is noticed, and turns the text off: the steps then run as usual, to the bit.
#[test]
fn what_is_wrong_fails_the_trial() {
    let wrong = [
        ("scale", "(1.0 / SCALE)", "(1.0 / 1000.0)"),
        ("lane", "sums[at0 + 2u]", "sums[at0 + 3u]"),
        ("part", "$pu * DOWN", "0u * DOWN"),
        ("quad", "quad + k) * W_PITCH", "quad) * W_PITCH"),
        (
            "row",
            "lane / QUADS % 16u * SUMS_PITCH",
            "lane / QUADS % 8u * SUMS_PITCH",
        ),
        ("slab", "(k + SLAB) * UNITS]", "k * UNITS]"),
        ("h", "(k + SLAB) / 4u", "k / 4u"),
        (
            "units",
            "hidden[row + min(four, fours - 1u)], are_units(4u * four)",
            "hidden[row + min(four, fours - 1u)], vec4<bool>(true)",
        ),
        ("first", "min(first + row", "min(row"),
        (
            "positions",
            "position < params.positions &&",
            "position <= params.positions &&",
        ),
        ("projected", "params.projected_row + ", ""),
    ];
    for gpu in gpus() {
        let form = matrix_forms(&gpu, 64)[1];
        for (number, (name, from, to)) in wrong.iter().enumerate() {
            let from = from.replace("at0", "at$p");
            let to = to.replace("at0", "at$p");
            assert!(PLAIN.source.contains(&from), "{from}");
            if !is_drawn(number, 3) {
                continue;
            }
            let shader: &'static Shader = Box::leak(Box::new(shader(name, PLAIN.source.replace(&from, &to))));
            let answer = pollster::block_on(step_trial::passes(&gpu, shader, form));
            assert_eq!(answer, Err(step_trial::NOT_EXACT.to_owned()), "{name}");
        }
        let broken = format!("{}\nfn broken() -> u32 {{ return nothing; }}\n", PLAIN.source);
        let broken: &'static Shader = Box::leak(Box::new(shader("broken", broken)));
        let why = pollster::block_on(step_trial::passes(&gpu, broken, form)).unwrap_err();
        assert!(why.contains("the trial failed") && why.contains("nothing"), "{why}");
        assert!(
            gpu.known_pipelines()
                .iter()
                .all(|(known, _)| *known != "broken" && wrong.iter().all(|(name, ..)| known != name))
        );

        let model = lstm(50);
        let made = by_matrices(&gpu, &model, form, broken);
        let cells = cells(&gpu, &model, Precision::Relaxed);
        let few = StepForms::few(layer_of(&cells).unwrap(), H200, &forms(&gpu, &cells)).unwrap();
        let usual = on(&gpu, &model, Precision::Relaxed, Some(few.all().to_vec()));
        assert!(run(&made, &EDGES, None).outputs == run(&usual, &EDGES, None).outputs);
        let (lines, _) = made.explain(EDGES[0], EDGES.len()).unwrap();
        let said = |line: &String| line.contains("steps by matrices are not taken: the trial failed");
        assert!(lines.iter().any(said), "{lines:?}");
    }
}

/// What is no number in one sequence stays there.
#[test]
fn what_is_no_number_stays_in_its_sequence() {
    for gpu in gpus() {
        let model = gru(60);
        let form = matrix_forms(&gpu, 64)[1];
        let made = by_matrices(&gpu, &model, form, &PLAIN);
        let (lines, _) = made.explain(40, 3).unwrap();
        let said = |line: &String| line.contains("steps of many sequences are multiplied by matrices, from 8 on");
        assert!(lines.iter().any(said), "{lines:?}");
        let active = [40, 40, 35];
        let clean = run(&made, &active, None);
        for spoilt in [0, 17, 39] {
            let dirty = run(&made, &active, Some(spoilt));
            for (dirty, clean) in dirty.outputs.iter().zip(&clean.outputs) {
                for (sequence, (dirty, clean)) in dirty.outer_iter().zip(clean.outer_iter()).enumerate() {
                    assert_eq!(
                        dirty == clean,
                        sequence != spoilt,
                        "sequence {sequence}, {spoilt} is spoilt"
                    );
                }
            }
        }
    }
}
