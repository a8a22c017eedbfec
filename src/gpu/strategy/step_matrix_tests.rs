//! The step by matrices, on adapters that have none: the text itself, with the operations on matrices written out.

use super::*;
use crate::gpu::strategy::step_matrix::{self, MatrixForm, StepMatrix};

/// Products of matrices written out for a subgroup of 32: an invocation has 8 of the 256 sums of a matrix, and the matrices that are
/// multiplied are where they begin in workgroup memory.
const WRITTEN_OUT: &str = "
struct Sums {
    low: vec4<f32>,
    high: vec4<f32>,
}

fn pairs(values: vec4<f32>) -> vec2<u32> {
    return vec2<u32>(pack2x16float(values.xy), pack2x16float(values.zw));
}

fn spread(pairs: vec2<u32>) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(pairs.x), unpack2x16float(pairs.y));
}

fn multiply_add(lane: u32, a: u32, b: u32, before: Sums) -> Sums {
    var sums = before;
    // four, which the compiler does not see: it would write the loops out, and that takes it a minute
    let four = min(4u, 3u + params.positions);
    for (var quad = 0u; quad < four; quad++) {
        let x = spread(h_slab[a + lane / 2u * H_PITCH + quad]);
        for (var k = 0u; k < four; k++) {
            let w = b + (4u * quad + k) * W_PITCH + lane % 2u * 2u;
            sums.low += x[k] * spread(w_slab[w]);
            sums.high += x[k] * spread(w_slab[w + 1u]);
        }
    }
    return sums;
}

fn store_sums(lane: u32, matrix: Sums, begin: u32, pitch: u32) {
    let first = begin + lane / 2u * pitch + lane % 2u * 8u;
    for (var i = 0u; i < 4u; i++) {
        sums[first + i] = matrix.low[i];
        sums[first + 4u + i] = matrix.high[i];
    }
}
";

/// The text itself without matrices.
fn without_matrices() -> String {
    let replaced = [
        ("enable f16;\nenable wgpu_cooperative_matrix;\n", ""),
        ("vec4<f16>(made)", "pairs(made)"),
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
    let source = step_matrix::SHADER.source.to_owned();
    let text = replaced.into_iter().fold(source, |text, (from, to)| {
        assert!(text.contains(from), "the text has no {from}");
        text.replace(from, to)
    });
    assert!(!text.contains("coop"), "{text}");
    text + WRITTEN_OUT
}

static PLAIN: std::sync::LazyLock<Shader> = std::sync::LazyLock::new(|| Shader {
    name: "step_without_matrices",
    source: without_matrices().leak(),
    ..step_matrix::SHADER
});

fn form([rows, quads, slab, places, ahead, parts, high, wide]: [usize; 8]) -> MatrixForm {
    MatrixForm {
        rows,
        quads,
        slab,
        places,
        ahead,
        parts,
        high,
        wide,
    }
}

/// A model whose large steps run by the text.
fn by_matrices(gpu: &Gpu, model: &Model, form: MatrixForm) -> GpuModel {
    let mut on = on(gpu, model, Precision::Relaxed, None);
    let cells = cells(gpu, model, Precision::Relaxed);
    let all = StepForm::all(layer_of(&cells).unwrap(), Allowed::by(gpu.limits()));
    let few = StepForms::few(layer_of(&cells).unwrap(), H200, &all).unwrap();
    let made = Made::new(gpu, &cells, few).unwrap();
    let step = RecurrentStep {
        matrix: Some(StepMatrix::by(gpu, &cells, form, &PLAIN).unwrap()),
        ..RecurrentStep::by(&cells, Shared::Forms(Box::new(made)))
    };
    let recurrence = Arc::get_mut(&mut on.weights.recurrences[0]).unwrap();
    recurrence.replace(Strategy::Step, Box::new(step));
    on
}

const FORMS: [[usize; 8]; 6] = [
    [32, 4, 32, 1, 2, 2, 1, 2],
    [64, 4, 64, 1, 1, 2, 2, 2],
    [64, 2, 32, 2, 2, 2, 2, 1],
    [128, 2, 32, 1, 1, 2, 2, 2],
    [64, 4, 64, 1, 1, 4, 4, 2],
    [32, 2, 64, 2, 1, 4, 1, 2],
];

fn check(model: fn(usize) -> Model, units: usize, number: usize) {
    for gpu in adapters().iter().filter(|gpu| gpu.has_halves()) {
        let model = model(units);
        let want = run(&on(gpu, &model, Precision::Relaxed, None), &ACTIVE, None);
        let made = by_matrices(gpu, &model, form(FORMS[number]));
        let got = run(&made, &ACTIVE, None);
        let mut most = 0.0_f32;
        for (got, want) in got.outputs.iter().zip(&want.outputs) {
            for (got, want) in got.iter().zip(want) {
                let error = (got - want).abs();
                most = if error <= most { most } else { error };
            }
        }
        println!("{:?}: {most}", FORMS[number]);
        assert!(most < 1e-3, "{}: {most}", gpu.name());
        assert!(most > 1e-6, "h is rounded by matrices alone, so these have not run");
        assert!(run(&made, &ACTIVE, None).outputs == got.outputs, "other bits");
    }
}

#[test]
fn steps_of_an_lstm_by_matrices() {
    check(lstm, 61, 0);
    check(lstm, 64, 1);
    check(lstm, 64, 4);
    check(lstm, 120, 5);
}

#[test]
fn steps_of_a_gru_by_matrices() {
    check(gru, 50, 2);
    check(gru, 128, 3);
}
