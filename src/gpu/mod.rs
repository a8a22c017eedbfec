//! The GPU path: the stages of a flow as dispatches of WGSL shaders.

mod commands;
pub(crate) mod device;
mod explain;
mod record;
mod rows;
mod run;
mod shader;
mod sizes;
mod stage;
mod strategy;
mod upload;
mod weights;
mod workspace;

use std::sync::{Arc, Mutex};

use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::gpu::weights::{GATES, gates_of};
use crate::model::plan::{Plan, PlannedCell as Cell, PlannedDense};
use crate::settings::Settings;
use device::Gpu;
use device::buffer::Use;
use device::timer::Timer;
use rows::{Rows, RowsSize, VALUE, padded};
use sizes::{Measured, Sizes};
use stage::gather;
use stage::input_projection::{self, Projection};
use strategy::choice::{self, Asked};
use strategy::recurrence::{Place, Recurrence, is_rowwise};
use strategy::step;
use weights::Form;
use workspace::Workspace;

/// The weights of a model on the GPU.
#[derive(Debug)]
struct Weights {
    /// For each cell where it runs, and its `kernel`.
    places: Vec<Place>,
    projections: Vec<Projection>,
    recurrences: Vec<Recurrence>,
    denses: Vec<Projection>,
    tables: Vec<Rows>,
}

/// A model with its weights on a GPU, ready to run.
#[derive(Debug)]
pub(crate) struct GpuModel {
    gpu: Gpu,
    parts: Arc<Plan>,
    weights: Weights,
    settings: Settings,
    asked: Asked,
    /// The workspaces of the sizes that were run last, the latest at the end. One that is in use is not among them.
    workspaces: Mutex<Vec<Workspace>>,
}

impl GpuModel {
    /// Uploads the weights and makes the pipelines.
    pub(crate) async fn new(gpu: Gpu, parts: Arc<Plan>, settings: &Settings) -> Result<Self> {
        parts.cells.iter().try_for_each(|cell| cell.check_is_run())?;
        let asked = Asked::new(settings)?;
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(path) = settings.wanted_tuning_file() {
            let text = strategy::tuning_file::read(path)?;
            gpu.tuned().read(&strategy::tuned::gpu_fields(gpu.info()), &text);
        }
        let known = gpu.known_pipelines();
        let made = gpu
            .guarded("uploading the weights", || Self::make(&gpu, &parts, settings, asked))
            .await;
        if made.is_err() {
            gpu.forget_pipelines_but(&known);
        }
        Ok(Self {
            weights: made?,
            gpu,
            parts,
            asked,
            settings: settings.clone(),
            workspaces: Mutex::default(),
        })
    }

    fn make(gpu: &Gpu, parts: &Plan, settings: &Settings, asked: Asked) -> Result<Weights> {
        gpu.pipeline(&gather::SHADER, &[]); // every workspace uses it
        let places = Place::all(parts);
        let placed: Vec<(&Cell, &Place)> = parts.cells.iter().zip(&places).collect();
        let wants_team = choice::wants_team(gpu, settings, asked);
        let (mut projections, mut recurrences) = (Vec::new(), Vec::new());
        for placed in placed.chunk_by(|(_, one), (_, next)| one.recurrence == next.recurrence) {
            let cells: Vec<&Cell> = placed.iter().map(|&(cell, _)| cell).collect();
            let (cells, form) = weights::prepared(gpu, &cells, settings.wanted_precision());
            let cells: Vec<&Cell> = cells.iter().map(AsRef::as_ref).collect();
            for cell in &cells {
                projections.push(cell_projection(gpu, form, cell, cells.len())?);
            }
            recurrences.push(Recurrence::make(gpu, "lstm", form, &cells, wants_team));
        }
        choice::check(gpu, &recurrences, settings.wanted_strategy())?;
        let denses = parts
            .denses
            .iter()
            .map(|dense| dense_weights(gpu, dense))
            .collect::<Result<_>>()?;
        for table in &parts.tables {
            check_weight(gpu, "row of the embeddings", Form::Full.bytes(padded(table.ncols())))?;
        }
        let tables = parts.tables.iter().map(|table| {
            let size = table_size(gpu, table.dim());
            let rows = Rows::make(gpu, "cellstate.embeddings", &size, Use::Storage);
            for (buffer, held) in rows.buffers.iter().zip(size.full_cut(table.nrows())) {
                let mut packed = vec![0.0_f32; held.len() * size.stride];
                for (packed, row) in packed
                    .chunks_exact_mut(size.stride)
                    .zip(table.outer_iter().skip(held.start))
                {
                    packed.iter_mut().zip(row).for_each(|(packed, &value)| *packed = value);
                }
                gpu.queue().write_buffer(buffer, 0, bytemuck::cast_slice(&packed));
            }
            rows
        });
        Ok(Weights {
            projections,
            recurrences,
            denses,
            tables: tables.collect(),
            places,
        })
    }

    fn sizes(&self, batch: usize, time_steps: usize) -> Result<Sizes> {
        let tables: Vec<RowsSize> = self.weights.tables.iter().map(|table| table.size.clone()).collect();
        let model = Measured {
            parts: &self.parts,
            places: &self.weights.places,
            recurrences: &self.weights.recurrences,
            tables: &tables,
        };
        Sizes::new(&self.gpu, model, batch, time_steps)
    }

    /// The bytes of GPU memory that batches of a size take, besides the weights.
    pub(crate) fn memory(&self, batch: usize, time_steps: usize) -> Result<u64> {
        let timer = if self.settings.is_timed() {
            Timer::memory(&self.gpu)
        } else {
            0
        };
        Ok(self.sizes(batch, time_steps)?.total() + timer)
    }
}

fn table_size(gpu: &Gpu, (rows, width): (usize, usize)) -> RowsSize {
    let stride = padded(width);
    RowsSize::new(
        stride,
        0,
        rows,
        (gpu.largest_binding() / (stride as u64 * VALUE)) as usize,
    )
}

fn cell_projection(gpu: &Gpu, form: Form, cell: &Cell, directions: usize) -> Result<Projection> {
    let (features, units) = (cell.features(), cell.units());
    check_weight(gpu, "kernel", form.bytes(padded(features) * units * GATES))?;
    check_weight(gpu, "recurrent_kernel", form.bytes(directions * units * units * GATES))?;
    let step_passes = match is_rowwise(cell) {
        true => units.div_ceil(step::ROWWISE_UNITS) * (units + 4),
        false => units * (1 + step::HEIGHTS[0]),
    };
    let layer = format!("LSTM with {features} features and {units} units");
    check_passes(gpu, layer, step_passes.max(input_projection::passes(features)))?;
    let weights = &cell.weights;
    let kernel: Vec<[f32; GATES]> = weights
        .kernel
        .outer_iter()
        .flat_map(|row| gates_of(row, units))
        .collect();
    let bias: Vec<[f32; GATES]> = weights
        .bias
        .as_ref()
        .map_or_else(Vec::new, |bias| gates_of(bias.row(0), units).collect());
    Ok(Projection::make(
        gpu,
        "lstm",
        form,
        (features, units, units * GATES),
        |k, unit| kernel.get(k * units + unit).copied().unwrap_or_default(),
        |unit| bias.get(unit).copied().unwrap_or_default(),
        Activation::Linear,
    ))
}

fn dense_weights(gpu: &Gpu, part: &PlannedDense) -> Result<Projection> {
    let (features, units) = part.weights.kernel.dim();
    check_weight(
        gpu,
        "kernel of the Dense layer",
        Form::Full.bytes(padded(features) * padded(units)),
    )?;
    let layer = format!("Dense layer with {features} features");
    check_passes(gpu, layer, input_projection::passes(features))?;
    let kernel = &part.weights.kernel;
    let bias = part.weights.bias.as_ref();
    Ok(Projection::make(
        gpu,
        "dense",
        Form::Full,
        (features, padded(units) / 4, units),
        |k, column| std::array::from_fn(|lane| kernel.get((k, column * 4 + lane)).copied().unwrap_or(0.0)),
        |column| {
            std::array::from_fn(|lane| {
                bias.and_then(|bias| bias.get(column * 4 + lane))
                    .copied()
                    .unwrap_or(0.0)
            })
        },
        part.activation,
    ))
}

/// A shader may make so many passes of its loops.
fn check_passes(gpu: &Gpu, layer: String, passes: usize) -> Result<()> {
    if passes <= gpu.most_passes() {
        return Ok(());
    }
    Err(Error::Unsupported {
        layer,
        option: format!(
            "a sum of so many values on {}, which leaves long loops without a word",
            gpu.name()
        ),
        instead: "install Mesa 25 or later, or run on Device::cpu()".to_owned(),
    })
}

/// A weight has to fit one binding.
fn check_weight(gpu: &Gpu, what: &str, needed: u64) -> Result<()> {
    let limit = gpu.largest_binding();
    if needed <= limit {
        return Ok(());
    }
    Err(Error::TooLarge {
        what: format!("the {what} on {}", gpu.name()),
        needed,
        limit,
        limit_name: "bytes, max_storage_buffer_binding_size",
        repair: "open the device with the limits of its adapter, or run on Device::cpu()".to_owned(),
    })
}
