//! What the host does about matrices, on adapters that have none: by a stand-in, a plain text that binds and computes the same, and
//! by some that are wrong. And the text itself, with the operations on matrices written out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::sync::LazyLock;

use ndarray::{Array3, ArrayD, Axis};

use super::*;
use crate::drawn::is_drawn;
use crate::flow::{Flow, Input};
use crate::gpu::GpuModel;
use crate::gpu::device::adapter::Adapter;
use crate::gpu::recording::{Batch, Initial};
use crate::gpu::shader::written_out;
use crate::gpu::stage::interface::HostReads;
use crate::layer::Layer;
use crate::layer::lstm::Lstm;
use crate::layer::simple_rnn::SimpleRnn;
use crate::model::Model;
use crate::output::Output;

/// The product of a workgroup, one vec4 after the other.
const PLAIN: &str = "
@group(0) @binding(0) var<uniform> params: Projection;
@group(0) @binding(1) var<storage, read> rows: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> kernel: array<Weights>;
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> projected: array<vec4<f32>>;

fn rounded(x: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(pack2x16float(x.xy)), unpack2x16float(pack2x16float(x.zw)));
}

fn product(row: u32, column: u32) -> vec4<f32> {
    let begin = (params.source_row + row) * params.row_vectors + params.first_vector;
    var sum = vec4<f32>();
    for (var quad = 0u; quad < params.input_vectors; quad++) {
        let x = rounded(rows[begin + quad]);
        for (var k = 0u; k < 4u; k++) {
            sum += x[k] * unpacked(kernel[(4u * quad + k) * params.column_vectors + column]);
        }
    }
    return sum;
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    for (var piece = lane; piece < 4096u; piece += 256u) {
        let row = (workgroup.z * workgroups.y + workgroup.y) * 128u + piece / 32u;
        let column = workgroup.x * 32u + piece % 32u;
        if (row < params.count && column < params.column_vectors) {
            let place = (params.target_row + row) * params.column_vectors + column;
            if (params.continues == 1u) {
                projected[place] += product(row, column);
            } else {
                projected[place] = bias[column] + product(row, column);
            }
        }
    }
}
";

/// The text itself without matrices.
fn without_matrices() -> String {
    let replaced = [
        ("enable f16;\nenable wgpu_cooperative_matrix;\n", ""),
        ("vec4<f16>(rows[", "pairs(rows["),
        ("vec4<f16>", "vec2<u32>"),
        (
            "    @builtin(subgroup_id) subgroup: u32,\n) {\n",
            ") {\n    let subgroup = lane / SUBGROUP;\n",
        ),
        ("coop_mat16x16<f32, C>()", "Sums()"),
        ("coopLoadT<coop_mat16x16<f16, A>>(&row_slab[", "("),
        ("], ROW_PITCH)", ")"),
        ("coopLoadT<coop_mat16x16<f16, B>>(&kernel_slab[", "("),
        ("], KERNEL_PITCH)", ")"),
        ("coopMultiplyAdd(", "multiply_add(lane % SUBGROUP, "),
        ("coopStoreT(", "store_sums(lane % SUBGROUP, "),
        ("&sums[", ""),
        ("], SUMS_PITCH)", ", SUMS_PITCH)"),
    ];
    let text = replaced.into_iter().fold(SHADER.source.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "the text has no {from}");
        text.replace(from, to)
    });
    assert!(!text.contains("coop"), "{text}");
    text + &written_out::products(["row_slab", "ROW_PITCH"], ["kernel_slab", "KERNEL_PITCH"], "count")
}

fn shader(name: &'static str, source: String) -> Shader {
    Shader {
        name,
        source: source.leak(),
        shared: &[],
        bindings: SHADER.bindings,
        constants: SHADER.constants,
        ..SHADER
    }
}

static STAND_IN: LazyLock<Shader> = LazyLock::new(|| shader("stand_in", PLAIN.to_owned()));

fn of_32(_: &Gpu) -> std::result::Result<Vec<u32>, &'static str> {
    of_subgroup(32, [u32::MAX; 3])
}

fn means(shader: &'static Shader) -> Means {
    Means {
        shader,
        constants: of_32,
    }
}

/// A device of each adapter that can run these means, with them; they have not been tried yet.
fn gpus_by(means: Means) -> Vec<Gpu> {
    let open = |adapter: &Adapter| {
        let limits = pollster::block_on(adapter.open()).unwrap().limits().clone();
        let features = adapter.features() & wgpu::Features::IMMEDIATES;
        let gpu = pollster::block_on(adapter.open_with(limits, features)).unwrap();
        if !gpu.has_halves() || gpu.limits().max_compute_workgroup_storage_size < WORKGROUP_BYTES {
            println!(
                "skipped: {} has no halves, or too little workgroup memory",
                adapter.name()
            );
            return None;
        }
        gpu.shared::<Trust>().replace(means);
        Some(gpu)
    };
    let adapters = pollster::block_on(Adapter::all());
    let gpus: Vec<Gpu> = adapters.iter().filter_map(open).collect();
    let required = env::var("CELLSTATE_REQUIRE_GPU").is_ok_and(|value| value == "1");
    assert!(!gpus.is_empty() || !required, "no adapter can run the stand-in");
    gpus
}

/// The same with the stand-in, for all tests one device.
fn gpus() -> &'static [Gpu] {
    static GPUS: LazyLock<Vec<Gpu>> = LazyLock::new(|| gpus_by(means(&STAND_IN)));
    &GPUS
}

fn relaxed() -> Settings {
    Settings::new().precision(Precision::Relaxed)
}

fn new(gpu: &Gpu, settings: &Settings) -> Result<Matrices> {
    pollster::block_on(Matrices::new(gpu, settings))
}

fn on(gpu: &Gpu, model: &Model, settings: &Settings) -> Result<GpuModel> {
    pollster::block_on(GpuModel::new(gpu.clone(), model.plan().clone(), settings))
}

/// A model in relaxed precision, as usual and by matrices.
fn both(gpu: &Gpu, layer: impl Into<Layer>) -> [GpuModel; 2] {
    let model = Model::builder().add(layer).build().unwrap();
    [false, true].map(|wanted| on(gpu, &model, &relaxed().matrices(wanted)).unwrap())
}

fn run(model: &GpuModel, values: &Array3<f32>) -> ArrayD<f32> {
    let input = Input::Values(values.view());
    let batch = Batch {
        flow: &Arc::new(Flow::new(&model.plan, input, None).unwrap()),
        input,
        initial: Initial::Zeros,
        reads: HostReads::outputs_and(false),
    };
    let ran = pollster::block_on(model.run(batch, &mut Output::default()));
    ran.unwrap().outputs.swap_remove(0)
}

/// How far apart two outputs are.
fn apart(one: &ArrayD<f32>, other: &ArrayD<f32>) -> f32 {
    assert_eq!(one.dim(), other.dim());
    let differences = one.iter().zip(other).map(|(one, other)| (one - other).abs());
    // NaN is above everything
    differences.fold(0.0, |most, now| if now <= most { most } else { now })
}

/// Tiles, slabs, tails and places of the text are right; of the operations on matrices only a GPU that has them can tell.
#[test]
fn the_text_is_exact_with_its_matrices_written_out() {
    if !is_drawn(0, 3) {
        println!("not drawn: the text takes half a minute to compile in software");
        return;
    }
    let shader: &'static Shader = Box::leak(Box::new(shader("written_out", without_matrices())));
    for gpu in gpus_by(means(shader)) {
        assert!(pollster::block_on(trusted(&gpu)).is_ok());
    }
}

#[test]
fn the_stand_in_passes_once() {
    for gpu in gpus() {
        let first = pollster::block_on(trusted(gpu)).unwrap();
        let second = pollster::block_on(trusted(gpu)).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        let known = gpu.known_pipelines();
        let of_stand_in = known.iter().filter(|(name, _)| *name == STAND_IN.name);
        assert_eq!(of_stand_in.count(), 1);
    }
}

/// What a driver or a text may get wrong is noticed: a scale, a place, a tail, a sum that is begun anew.
#[test]
fn what_is_wrong_fails_the_trial() {
    let wrong = [
        ("scale", "x[k] * unp", "x[k] * 1024.0 * unp"),
        ("rounding", "sum += x[k]", "sum += 1.0001 * x[k]"),
        ("row", "row < params.count", "row <= params.count"),
        ("rows", "workgroup.y) * 128u", "workgroup.y) * 64u"),
        (
            "column",
            "column < params.column_vectors",
            "column < params.column_vectors - 1u",
        ),
        (
            "quad",
            "quad < params.input_vectors",
            "quad + 1u < params.input_vectors",
        ),
        ("sum", "params.continues == 1u", "params.continues == 2u"),
        ("first", " + params.first_vector", ""),
        ("bias", "bias[column]", "bias[0]"),
        ("target", "params.target_row + row", "row"),
    ];
    for (name, from, to) in wrong {
        assert!(STAND_IN.source.contains(from), "{from}");
        let shader: &'static Shader = Box::leak(Box::new(shader(name, STAND_IN.source.replace(from, to))));
        for gpu in gpus_by(means(shader)) {
            // a program that insists is refused
            let error = new(&gpu, &relaxed().matrices(true)).unwrap_err().to_string();
            for part in ["matrices(true)", &gpu.name(), NOT_EXACT, "leave it out"] {
                assert!(error.contains(part), "{name}: {error}");
            }
            assert_eq!(gpu.known_pipelines().len(), 0, "{name}: the pipeline is forgotten");
            // and the answer is kept
            assert_eq!(pollster::block_on(trusted(&gpu)).unwrap_err(), NOT_EXACT);
            assert_eq!(gpu.counters().pipelines(), 1);
        }
    }
}

/// What the driver refuses is a reason, and neither a panic nor the error of something else.
#[test]
fn what_does_not_compile_fails_the_trial() {
    let broken = format!("{}\nfn broken() -> u32 {{ return nothing; }}\n", STAND_IN.source);
    let shader: &'static Shader = Box::leak(Box::new(shader("broken", broken)));
    for gpu in gpus_by(means(shader)) {
        let why = pollster::block_on(trusted(&gpu)).unwrap_err();
        assert!(why.contains("the trial failed") && why.contains("nothing"), "{why}");
        assert_eq!(gpu.known_pipelines().len(), 0);
    }
}

#[test]
fn relaxed_precision_has_it_unless_it_is_turned_off() {
    for gpu in gpus() {
        if env::var_os(VARIABLE).is_none() {
            assert!(matches!(new(gpu, &relaxed()), Ok(Matrices::Ready(_))));
        }
        assert!(matches!(new(gpu, &relaxed().matrices(false)), Ok(Matrices::Off)));
        assert!(matches!(new(gpu, &Settings::new()), Ok(Matrices::Off)));
        let settings = Settings::new().matrices(true);
        let error = new(gpu, &settings).unwrap_err().to_string();
        assert!(error.contains("Precision::Relaxed"), "{error}");
        let matrices = new(gpu, &relaxed().matrices(true)).unwrap();
        assert!(matrices.pipeline(Form::Half).is_some() && matrices.pipeline(Form::Full).is_none());
    }
}

/// A device without them, as every one on which the tests of this crate have run.
#[test]
fn devices_without_matrices_refuse_them() {
    for adapter in pollster::block_on(Adapter::all()) {
        let gpu = pollster::block_on(adapter.open_another()).unwrap();
        if gpu.has_matrices() {
            let answer = pollster::block_on(trusted(&gpu));
            println!("{}: {answer:?}", gpu.name());
            continue;
        }
        let error = new(&gpu, &relaxed().matrices(true)).unwrap_err().to_string();
        assert!(error.contains(NOT_OFFERED), "{error}");
        // and without being asked for they are passed over
        assert!(matches!(
            new(&gpu, &relaxed()),
            Ok(Matrices::Refused(_) | Matrices::Off)
        ));
    }
}

/// Runs at which tiles begin and end, against the same in relaxed precision without matrices.
#[test]
fn models_project_by_matrices() {
    for gpu in gpus() {
        // 43 units have 43 vec4 of columns, and 35 features one vec4 of k more than a slab
        for (features, units, batch, time_steps) in [(35, 43, 13, 10), (32, 32, 16, 8), (70, 33, 43, 6)] {
            let lstm = Lstm::new(features, units).return_sequences(true).seed(5);
            let [usual, by_matrices] = both(gpu, lstm);
            let place = |(b, t, f): (usize, usize, usize)| ((b * 31 + t * 17 + f * 7) % 101) as f32 / 50.0 - 1.0;
            let mut values = Array3::from_shape_fn((batch, time_steps, features), place);
            let (got, expected) = (run(&by_matrices, &values), run(&usual, &values));
            let error = apart(&got, &expected);
            assert!(error < 1e-3, "{features}, {units}: {error}");
            assert!(
                error > 0.0,
                "inputs are rounded by matrices alone, so these have not run"
            );
            assert_eq!(run(&by_matrices, &values), got, "two runs have the same bits");
            // what is no number stays in its sequence
            values.index_axis_mut(Axis(0), 1).fill(f32::NAN);
            let spoilt = run(&by_matrices, &values);
            for (sequence, (spoilt, got)) in spoilt.outer_iter().zip(got.outer_iter()).enumerate() {
                match sequence {
                    1 => assert!(spoilt.iter().all(|value| value.is_nan())),
                    _ => assert_eq!(spoilt, got, "sequence {sequence}"),
                }
            }
            let (lines, _) = by_matrices.explain(batch, time_steps).unwrap();
            let said = |line: &&String| line.starts_with("matrices: kernels in half precision");
            assert_eq!(lines.iter().filter(said).count(), 1, "{lines:?}");
        }
    }
}

/// Small products are made as usual, to the bit.
#[test]
fn small_products_are_made_as_usual() {
    assert!(suits(128, 32, 8));
    assert!(!suits(127, 32, 8) && !suits(128, 31, 8) && !suits(128, 32, 7));
    for gpu in gpus() {
        let [usual, by_matrices] = both(gpu, Lstm::new(40, 40).seed(2));
        let values = Array3::from_shape_fn((9, 14, 40), |(b, t, f)| ((b + 3 * t + 5 * f) % 23) as f32 / 23.0);
        assert_eq!(run(&usual, &values), run(&by_matrices, &values));
    }
}

/// Where no kernel is kept as halves there is nothing to multiply by matrices.
#[test]
fn a_model_without_halves_refuses_matrices() {
    for gpu in gpus() {
        let model = Model::builder().add(SimpleRnn::new(4, 4)).build().unwrap();
        let refused = on(gpu, &model, &relaxed().matrices(true));
        let error = refused.unwrap_err().to_string();
        assert!(error.contains(NO_HALVES), "{error}");
    }
}
