//! A product by matrices on the device, compared with the same one on the host.
//!
//! All values are small multiples of 1/16, so that every sum is exact in whatever order it is made: the slightest difference is
//! an error of the driver or of the shader.

use std::sync::Arc;

use crate::error::Result;
use crate::gpu::commands::{Commands, Workgroups, record_bytes};
use crate::gpu::device::buffer::Use;
use crate::gpu::device::{Gpu, mapped};
use crate::gpu::shader::Pipeline;
use crate::gpu::stage::softmax::Params;
use crate::gpu::weights::Form;

/// A little more than a tile in each direction, in values: so there are two, of which one is nearly empty.
const ROWS: usize = 133;
const INPUTS: usize = 44;
const COLUMNS: usize = 132;

/// Rows before those that are read, and before those that are written; there is one behind each too.
const SOURCE_ROW: usize = 1;
const TARGET_ROW: usize = 2;

/// A second product is added to the first: of the kernel's first rows with the values from here on.
const SECOND: usize = 8;

/// What no product may overwrite.
const UNTOUCHED: f32 = 12_345.0;

/// Whether the device gives what the host gives, and writes nothing else. `workgroups` are those for rows and vec4 of columns.
pub(crate) async fn is_exact(
    gpu: &Gpu,
    pipeline: &Arc<Pipeline>,
    workgroups: fn(usize, usize) -> Workgroups,
) -> Result<bool> {
    let bytes = ((TARGET_ROW + ROWS + 1) * COLUMNS * 4) as u64;
    let submit = || {
        let upload = |form, values: &[f32]| gpu.upload_weights("matrix_trial", form, values);
        let rows = upload(Form::Full, &source());
        let kernel = upload(Form::Half, &list(INPUTS * COLUMNS, weight));
        let bias = upload(Form::Full, &list(COLUMNS, bias));
        let projected = upload(Form::Full, &vec![UNTOUCHED; (TARGET_ROW + ROWS + 1) * COLUMNS]);
        let staging = gpu.make_buffer("matrix_trial.staging", bytes, Use::Readback);
        let params = gpu.make_buffer("matrix_trial.params", 2 * record_bytes(gpu), Use::Uniform);
        let group = gpu.make_bind_group("matrix_trial", pipeline, &params, &[&rows, &kernel, &bias, &projected]);
        let mut commands = Commands::new(gpu);
        for first in [0, SECOND] {
            commands.dispatch(pipeline, &group, told(first), workgroups(ROWS, COLUMNS / 4));
        }
        commands.last.copy(&projected, 0..bytes, &staging, 0);
        commands.upload(gpu, &params)?;
        let mut encoder = gpu.encoder("matrix_trial");
        commands.encode(None, &mut encoder);
        Ok((gpu.queue().submit([encoder.finish()]), staging))
    };
    let (submission, staging) = gpu.guarded("trying matrices", submit).await?;
    let read = mapped::read::<f32>(gpu, &[(&staging, bytes)], Some(submission)).await?;
    // NaN is equal to nothing
    Ok(read.first().is_some_and(|read| *read == expected()))
}

/// The parameters of a product of the values from `first` on.
fn told(first: usize) -> Params {
    Params {
        source_row: SOURCE_ROW as u32,
        target_row: TARGET_ROW as u32,
        count: ROWS as u32,
        row_vectors: (INPUTS / 4) as u32,
        first_vector: (first / 4) as u32,
        input_vectors: ((INPUTS - first) / 4) as u32,
        continues: u32::from(first > 0),
        finishes: u32::from(first > 0),
        column_vectors: (COLUMNS / 4) as u32,
        width: COLUMNS as u32,
    }
}

/// A number from -8 to 8, the same for the same place.
fn number(place: usize) -> f32 {
    let mixed = (place as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed >> 40) % 17) as f32 - 8.0
}

fn value(place: usize) -> f32 {
    number(place)
}

fn weight(place: usize) -> f32 {
    number(place + 100_000) / 16.0
}

fn bias(column: usize) -> f32 {
    number(column + 200_000)
}

fn list(count: usize, at: fn(usize) -> f32) -> Vec<f32> {
    (0..count).map(at).collect()
}

/// The rows, with NaN around them.
fn source() -> Vec<f32> {
    let mut source = vec![f32::NAN; SOURCE_ROW * INPUTS];
    source.extend(list(ROWS * INPUTS, value));
    source.resize((SOURCE_ROW + ROWS + 1) * INPUTS, f32::NAN);
    source
}

/// What the target has to have in the end.
fn expected() -> Vec<f32> {
    let mut expected = vec![UNTOUCHED; TARGET_ROW * COLUMNS];
    for row in 0..ROWS {
        for column in 0..COLUMNS {
            let product = |first: usize| {
                let terms = (0..INPUTS - first).map(|k| value(row * INPUTS + first + k) * weight(k * COLUMNS + column));
                terms.sum::<f32>()
            };
            expected.push(bias(column) + product(0) + product(SECOND));
        }
    }
    expected.resize((TARGET_ROW + ROWS + 1) * COLUMNS, UNTOUCHED);
    expected
}
