//! A step by matrices on the device, compared with the same one on the host.
//!
//! The cell is an LSTM without activations. Of each unit one lane is tried, the sum, and the others are 0 or 1, such that the new h is that
//! sum. All values are small multiples of 1/16, so that every sum is exact in whatever order it is made: the slightest difference is an error
//! of the driver or of the shader.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::cell::Cell;
use crate::error::Result;
use crate::gpu::commands::{Commands, record_bytes};
use crate::gpu::device::buffer::Use;
use crate::gpu::device::{Gpu, mapped};
use crate::gpu::rows::padded;
use crate::gpu::shader::cell::CellText;
use crate::gpu::shader::{Shader, Variant};
use crate::gpu::strategy::step_layer::Layer;
use crate::gpu::strategy::step_matrix_form::MatrixForm;
use crate::gpu::strategy::step_params::Params;
use crate::gpu::weights::Form;

pub(crate) const NOT_EXACT: &str = "a step over whole numbers by matrices differed from the same one on the host";

/// Positions beyond the rows of a workgroup, so that there is a second one, nearly empty; and units that the size class has beyond the cell's.
const MORE: usize = 3;
const PAST_UNITS: usize = 6;

/// Rows before those that are read and written; there is one behind them too.
const BEFORE: usize = 1;

/// What no step may overwrite.
const UNTOUCHED: f32 = 12_345.0;

/// What stands past the units of h, which no sum may take: not even times zero.
const PAST: f32 = f32::INFINITY;

/// What came of the trials on a GPU: of each text and form once.
#[derive(Debug, Default)]
struct Trials(Mutex<Vec<Known>>);

type Known = ((&'static str, MatrixForm), std::result::Result<(), String>);

impl Trials {
    fn lock(&self) -> MutexGuard<'_, Vec<Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a step by a form of the text is exact, else why not. It is tried once on each GPU.
pub(crate) async fn passes(gpu: &Gpu, shader: &'static Shader, form: MatrixForm) -> std::result::Result<(), String> {
    let trials = gpu.shared::<Trials>();
    let key = (shader.name, form);
    let known = trials.lock().iter().find(|(known, _)| *known == key).cloned();
    if let Some((_, answer)) = known {
        return answer;
    }
    let pipelines = gpu.known_pipelines();
    let answer = match Trial::of(form).is_exact(gpu, shader).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(NOT_EXACT.to_owned()),
        Err(error) => Err(format!("the trial failed: {error}")),
    };
    if answer.is_err() {
        gpu.forget_pipelines_but(&pipelines);
    }
    // no lock was held while the GPU worked; another thread has found the same
    trials.lock().push((key, answer.clone()));
    answer
}

/// The sizes of a trial.
#[derive(Clone, Copy, Debug)]
struct Trial {
    form: MatrixForm,
    positions: usize,
    layer: Layer,
}

impl Trial {
    fn of(form: MatrixForm) -> Self {
        let width = 2 * form.slab;
        Self {
            form,
            positions: form.rows + MORE,
            layer: Layer {
                directions: 1,
                units: width - PAST_UNITS,
                width,
                lanes: 4,
                weight_bytes: Form::Half.bytes(4) as usize,
            },
        }
    }

    /// Whether the device gives what the host gives, and writes nothing else.
    async fn is_exact(self, gpu: &Gpu, shader: &'static Shader) -> Result<bool> {
        let [hidden, cell_state] = self.expected();
        let bytes = [&hidden, &cell_state].map(|values| (4 * values.len()) as u64);
        let submit = || {
            let pipeline = gpu.pipeline_for(shader, self.variant());
            let upload = |form, values: &[f32]| gpu.upload_weights("step_trial", form, values);
            let kernel = upload(Form::Half, &self.kernel());
            let projected = upload(Form::Full, &self.projected());
            let states = [self.hidden(), self.cell_state()].map(|values| upload(Form::Full, &values));
            let staging = bytes.map(|bytes| gpu.make_buffer("step_trial.staging", bytes, Use::Readback));
            let params = gpu.make_buffer("step_trial.params", record_bytes(gpu), Use::Uniform);
            let [hidden, cell_state] = &states;
            let group = gpu.make_bind_group(
                "step_trial",
                &pipeline,
                &params,
                &[&kernel, &projected, hidden, cell_state],
            );
            let mut commands = Commands::new(gpu);
            let workgroups = self.form.workgroups(self.layer, self.positions);
            commands.dispatch(&pipeline, &group, self.params(), workgroups);
            for ((state, staging), bytes) in states.iter().zip(&staging).zip(bytes) {
                commands.last.copy(state, 0..bytes, staging, 0);
            }
            commands.upload(gpu, &params)?;
            let mut encoder = gpu.encoder("step_trial");
            commands.encode(None, &mut encoder);
            Ok((gpu.queue().submit([encoder.finish()]), staging))
        };
        let (submission, staging) = gpu.guarded("trying a step by matrices", submit).await?;
        let parts: Vec<_> = staging.iter().zip(bytes).collect();
        let read = mapped::read::<f32>(gpu, &parts, Some(submission)).await?;
        // NaN is equal to nothing
        Ok(read == [hidden, cell_state])
    }

    fn variant(self) -> Variant {
        Variant {
            form: Form::Half,
            cell: Some(CellText::of(&Cell::without_activations(self.layer.units))),
            constants: self.form.constants(self.layer.width),
        }
    }

    fn params(self) -> Params {
        let stride = self.stride() as u32;
        Params {
            previous_row: BEFORE as u32,
            current_row: (BEFORE + self.positions) as u32,
            projected_row: BEFORE as u32,
            positions: self.positions as u32,
            units: self.layer.units as u32,
            output: self.layer.units as u32,
            hidden_stride: stride,
            cell_stride: stride,
            hidden_pitch: self.hidden_rows() as u32,
            projected_pitch: (self.positions + 2 * BEFORE) as u32,
            cell_pitch: self.positions as u32,
            first_k: 0,
            kernel_width: self.layer.width as u32,
        }
    }

    fn stride(self) -> usize {
        padded(self.layer.units)
    }

    /// The h before the step and the one after, with a row around them.
    fn hidden_rows(self) -> usize {
        2 * self.positions + 2 * BEFORE
    }

    /// By k, unit and lane: zeros past the units, and in the lanes that are not tried.
    fn kernel(self) -> Vec<f32> {
        let Layer { units, width, .. } = self.layer;
        let mut kernel = vec![0.0; width * width * 4];
        for (k, row) in kernel.chunks_exact_mut(4 * width).enumerate().take(units) {
            for (unit, lanes) in row.chunks_exact_mut(4).enumerate().take(units) {
                if let Some(tried) = lanes.get_mut(unit % 4) {
                    *tried = weight(k * units + unit);
                }
            }
        }
        kernel
    }

    /// By row, unit and lane, with rows of NaN around them.
    fn projected(self) -> Vec<f32> {
        let units = self.layer.units;
        let mut projected = vec![f32::NAN; 4 * units * BEFORE];
        for position in 0..self.positions {
            for unit in 0..units {
                // i f g o of which all but one are such that h is that one
                let mut lanes = match unit % 4 {
                    0 => [0.0, 0.0, 1.0, 1.0],
                    1 => [0.0, 0.0, 1.0, 1.0],
                    2 => [1.0, 0.0, 0.0, 1.0],
                    _ => [1.0, 0.0, 1.0, 0.0],
                };
                if let Some(tried) = lanes.get_mut(unit % 4) {
                    *tried = number(position * units + unit + 200_000);
                }
                projected.extend(lanes);
            }
        }
        projected.resize(projected.len() + 4 * units * BEFORE, f32::NAN);
        projected
    }

    /// h before the step, with what no sum may take past the units, and what may not be overwritten around.
    fn hidden(self) -> Vec<f32> {
        let (units, stride) = (self.layer.units, self.stride());
        let mut hidden = vec![UNTOUCHED; self.hidden_rows() * stride];
        let rows = hidden.chunks_exact_mut(stride).skip(BEFORE).take(self.positions);
        for (position, row) in rows.enumerate() {
            for (unit, value) in row.iter_mut().enumerate() {
                *value = if unit < units {
                    number(position * units + unit)
                } else {
                    PAST
                };
            }
        }
        hidden
    }

    /// The cell state before the step: what a forget gate is multiplied by.
    fn cell_state(self) -> Vec<f32> {
        let mut cell = vec![1.0; self.positions * self.stride()];
        cell.resize(cell.len() + self.stride(), UNTOUCHED);
        cell
    }

    /// What `hidden` and `cell_state` have to have in the end.
    fn expected(self) -> [Vec<f32>; 2] {
        let (units, stride) = (self.layer.units, self.stride());
        let (mut hidden, mut cell_state) = (self.hidden(), self.cell_state());
        let weights: Vec<f32> = (0..units * units).map(weight).collect();
        let (before, after) = hidden.split_at_mut((BEFORE + self.positions) * stride);
        let before = before.chunks_exact(stride).skip(BEFORE);
        let after = after.chunks_exact_mut(stride).zip(cell_state.chunks_exact_mut(stride));
        for (position, (before, (hidden, cell))) in before.zip(after).enumerate() {
            hidden.fill(0.0);
            cell.fill(0.0);
            for (unit, sum) in hidden.iter_mut().enumerate().take(units) {
                *sum = number(position * units + unit + 200_000);
            }
            for (h, weights) in before.iter().zip(weights.chunks_exact(units)) {
                let sums = hidden.iter_mut().zip(weights);
                sums.for_each(|(sum, weight)| *sum += h * weight);
            }
            for (unit, (cell, sum)) in cell.iter_mut().zip(hidden.iter()).enumerate().take(units) {
                *cell = if unit % 4 == 3 { 1.0 } else { *sum };
            }
        }
        [hidden, cell_state]
    }
}

/// A number from -8 to 8, the same for the same place.
fn number(place: usize) -> f32 {
    let mixed = (place as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed >> 40) % 17) as f32 - 8.0
}

fn weight(place: usize) -> f32 {
    number(place + 100_000) / 16.0
}
