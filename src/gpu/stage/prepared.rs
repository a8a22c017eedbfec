//! The weights of a model on the GPU, in the forms that its stages read, with their pipelines.

use std::sync::Arc;

use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::gpu::device::Gpu;
use crate::gpu::device::buffer::Use;
use crate::gpu::rows::{Rows, RowsSize, VALUE, padded};
use crate::gpu::stage::earlier_rows;
use crate::gpu::stage::input_projection::{self, Projection, Weights};
use crate::gpu::stage::matrix_projection::Matrices;
use crate::gpu::stage::row_transform::{self, RowTransform};
use crate::gpu::stage::tables;
use crate::gpu::strategy::entry::Entry;
use crate::gpu::strategy::numbers::Numbers;
use crate::gpu::strategy::recurrence::{Recurrence, together};
use crate::gpu::strategy::step;
use crate::gpu::weights::{self, Form, by_lane, projected_width, recurrent_values};
use crate::half_precision::fits_half;
use crate::model::layer_names::LayerNames;
use crate::model::plan::{Plan, PlannedCell, PlannedDense};
use crate::model::planned_dropout::{CellDropout, PlannedDropout};
use crate::settings::Precision;

/// The weights of a model on the GPU.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The `kernel` of each cell.
    pub(crate) projections: Vec<Arc<Projection>>,
    /// The cells that run together, and their recurrent kernels.
    together: Vec<Vec<usize>>,
    pub(crate) recurrences: Vec<Arc<Recurrence>>,
    /// For each of them the rows of its recurrent kernel that are multiplied before each step, if there are such.
    earlier_rows: Vec<Option<Arc<Projection>>>,
    pub(crate) denses: Vec<Arc<Projection>>,
    pub(crate) transforms: Vec<Arc<RowTransform>>,
    pub(crate) dropouts: Vec<PlannedDropout>,
    /// What each cell leaves out in training.
    pub(crate) cell_dropouts: Vec<CellDropout>,
    /// What the GPU costs; `None` for a software adapter.
    pub(crate) numbers: Option<Numbers>,
    /// The embeddings, and how many rows each has.
    pub(crate) tables: Vec<Rows>,
    pub(crate) table_rows: Vec<usize>,
    /// Whether what each cell and each Dense layer makes, and what each embedding has, can be rounded to half precision.
    pub(crate) fits: Fits,
    pub(crate) names: LayerNames,
}

/// What no value is beyond of which the matrix units of a GPU can make halves.
#[derive(Debug)]
pub(crate) struct Fits {
    pub(crate) cells: Vec<bool>,
    pub(crate) denses: Vec<bool>,
    pub(crate) transforms: Vec<bool>,
    pub(crate) tables: Vec<bool>,
}

impl Fits {
    /// Embeddings are looked through only where anything is rounded.
    pub(crate) fn of(plan: &Plan, rounds: bool) -> Self {
        let tables = plan.tables.iter();
        Self {
            cells: plan.cells.iter().map(|cell| cell.cell.is_within_one()).collect(),
            denses: plan
                .denses
                .iter()
                .map(|dense| dense.activation.is_within_one())
                .collect(),
            transforms: plan
                .transforms
                .iter()
                .map(|transform| transform.bound().is_some_and(fits_half))
                .collect(),
            tables: tables
                .map(|table| rounds && table.iter().all(|&value| fits_half(value)))
                .collect(),
        }
    }
}

impl Prepared {
    /// Uploads the weights and makes the pipelines, those of the strategies that are wanted.
    pub(crate) fn make(
        gpu: &Gpu,
        plan: &Plan,
        (precision, matrices): (Precision, &Matrices),
        wanted: &[&Entry],
    ) -> Result<Self> {
        let numbers = Numbers::of(gpu)?;
        let names = LayerNames::of(plan);
        let together = together(plan, |cells| fit_together(gpu, cells));
        let (mut projections, mut recurrences, mut earlier) = (Vec::new(), Vec::new(), Vec::new());
        for numbered in &together {
            let cells: Vec<&PlannedCell> = numbered.iter().filter_map(|&cell| plan.cells.get(cell)).collect();
            let (cells, form) = weights::prepared(gpu, &cells, precision);
            let cells: Vec<&PlannedCell> = cells.iter().map(AsRef::as_ref).collect();
            for (cell, &number) in cells.iter().zip(numbered) {
                let projection = cell_projection(gpu, &names.cell(number), (form, numbers), cell)?;
                projections.push(Arc::new(projection.with_matrices(matrices.pipeline(form))));
            }
            let &cell = cells.first().ok_or_else(|| Error::defect("the flow of the model"))?;
            let width = width_of(gpu, form, &cells);
            let first_k = first_row(gpu, form, cell, width)?;
            let fits = cells.iter().all(|cell| cell.cell.is_within_one());
            let by_matrices = fits && matrices.pipeline(form).is_some();
            let costs = numbers.map(|numbers| Numbers { by_matrices, ..numbers });
            let name = names.layer_of(numbered.first().copied().unwrap_or_default());
            let recurrence = Recurrence::make((gpu, &name), (form, first_k, width), &cells, (wanted, costs));
            recurrences.push(Arc::new(
                recurrence.ok_or_else(|| Error::defect("the flow of the model"))?,
            ));
            earlier.push(
                (first_k > 0).then(|| Arc::new(earlier_rows::make((gpu, &name), (form, numbers), cell, first_k))),
            );
        }
        let denses = plan.denses.iter().enumerate();
        let denses =
            denses.map(|(number, dense)| Ok(Arc::new(dense_weights(gpu, &names.dense(number), numbers, dense)?)));
        Ok(Self {
            numbers,
            projections,
            together,
            recurrences,
            earlier_rows: earlier,
            denses: denses.collect::<Result<_>>()?,
            transforms: transforms(gpu, &names, plan)?,
            dropouts: plan.dropouts.clone(),
            cell_dropouts: plan.cell_dropouts.clone(),
            tables: embeddings(gpu, &names, plan)?,
            table_rows: plan.tables.iter().map(|table| table.nrows()).collect(),
            fits: Fits::of(plan, matrices.are_ready()),
            names,
        })
    }

    /// The buffers of all weights, in an order that follows from the shapes.
    pub(crate) fn buffers(&self) -> Vec<&wgpu::Buffer> {
        let earlier = self.earlier_rows.iter().flatten();
        let projections = self.projections.iter().chain(earlier).chain(&self.denses);
        let mut buffers: Vec<&wgpu::Buffer> = projections.flat_map(|projection| projection.buffers()).collect();
        buffers.extend(self.recurrences.iter().map(|recurrence| &recurrence.recurrent_kernel));
        buffers.extend(self.transforms.iter().flat_map(|transform| transform.buffers()));
        buffers.extend(self.tables.iter().flat_map(|table| &table.buffers));
        buffers
    }

    /// Writes what of a plan is no weight in another order: the rows of embeddings, those that differ from the plan before if that is what is
    /// there, and what a BatchNormalization multiplies by and adds.
    pub(crate) fn write_rest(&self, gpu: &Gpu, before: Option<&Plan>, plan: &Plan) -> Result<()> {
        for (number, (rows, table)) in self.tables.iter().zip(&plan.tables).enumerate() {
            match before.and_then(|before| before.tables.get(number)) {
                Some(there) => tables::write_changed(gpu, rows, there, table)?,
                None => tables::write(gpu, rows, table)?,
            }
        }
        for (made, transform) in self.transforms.iter().zip(&plan.transforms) {
            made.write_scales(gpu, transform);
        }
        Ok(())
    }

    /// How many cells run together with this one, itself included.
    pub(crate) fn directions(&self, cell: usize) -> usize {
        self.running_with(cell).map_or(1, <[usize]>::len)
    }

    /// The cells that run together with this one, itself included.
    pub(crate) fn running_with(&self, cell: usize) -> Option<&[usize]> {
        let cells = self.together.iter().find(|cells| cells.contains(&cell));
        cells.map(Vec::as_slice)
    }

    /// The rows of the recurrent kernel of the recurrence with this first cell that are multiplied before each step.
    pub(crate) fn earlier_rows(&self, cell: usize) -> Option<&Arc<Projection>> {
        let number = self.together.iter().position(|cells| cells.first() == Some(&cell))?;
        self.earlier_rows.get(number)?.as_ref()
    }

    /// The recurrence whose first cell this is.
    pub(crate) fn recurrence(&self, cell: usize) -> Option<&Arc<Recurrence>> {
        let number = self.together.iter().position(|cells| cells.first() == Some(&cell));
        number.and_then(|number| self.recurrences.get(number))
    }
}

/// What becomes of rows by themselves.
fn transforms(gpu: &Gpu, names: &LayerNames, plan: &Plan) -> Result<Vec<Arc<RowTransform>>> {
    let transforms = plan.transforms.iter().enumerate().map(|(number, transform)| {
        let values = transform.values();
        check_weight(gpu, "weights of a normalisation", values as u64 * VALUE)?;
        let layer = format!("normalisation of {values} features");
        check_passes(gpu, layer, row_transform::passes(values))?;
        Ok(Arc::new(RowTransform::make((gpu, &names.transform(number)), transform)))
    });
    transforms.collect()
}

/// The embeddings, row by row.
fn embeddings(gpu: &Gpu, names: &LayerNames, plan: &Plan) -> Result<Vec<Rows>> {
    let mut tables = Vec::with_capacity(plan.tables.len());
    for (number, table) in plan.tables.iter().enumerate() {
        let (rows, width) = table.dim();
        let size = RowsSize::new(width, padded(width), rows, gpu.largest_binding());
        check_weight(gpu, "row of the embeddings", size.row_bytes())?;
        let made = Rows::make(gpu, &format!("{}.embeddings", names.table(number)), &size, Use::Storage);
        tables::write(gpu, &made, table)?;
        tables.push(made);
    }
    Ok(tables)
}

/// Whether the recurrent weights of several cells find room in one binding.
fn fit_together(gpu: &Gpu, cells: &[&PlannedCell]) -> bool {
    let values = cells
        .iter()
        .map(|planned| recurrent_values(&planned.cell, 0, planned.cell.units));
    Form::Full.bytes(values.sum()) <= gpu.largest_binding()
}

/// The columns of the recurrent kernels of cells that share a buffer: those of their size class if they then find room, else no more than
/// the units.
fn width_of(gpu: &Gpu, form: Form, cells: &[&PlannedCell]) -> usize {
    let width = cells
        .iter()
        .map(|planned| weights::class_of(&planned.cell))
        .max()
        .unwrap_or(0);
    let values = cells.iter().map(|planned| recurrent_values(&planned.cell, 0, width));
    let units = cells.iter().map(|planned| planned.cell.units).max().unwrap_or(0);
    if form.bytes(values.sum()) <= gpu.largest_binding() {
        width
    } else {
        units
    }
}

/// The row with which the part of the recurrent kernel begins that fits a binding.
fn first_row(gpu: &Gpu, form: Form, planned: &PlannedCell, width: usize) -> Result<usize> {
    let values = recurrent_values(&planned.cell, 0, width);
    if form.bytes(values) <= gpu.largest_binding() {
        return Ok(0);
    }
    let rows = earlier_rows::count(gpu, form, planned);
    match rows {
        Some(rows) => Ok(rows),
        None => {
            check_weight(gpu, "recurrent_kernel", form.bytes(values))?;
            Ok(0)
        }
    }
}

fn cell_projection(
    gpu: &Gpu,
    name: &str,
    (form, numbers): (Form, Option<Numbers>),
    planned: &PlannedCell,
) -> Result<Projection> {
    let PlannedCell { cell, weights } = planned;
    let (features, units, lanes) = (cell.features, cell.units, cell.lanes().len());
    let columns = projected_width(cell);
    check_weight(gpu, "four rows of the kernel", form.bytes(4 * columns))?;
    let layer = format!("{} with {features} features and {units} units", cell.class());
    check_passes(gpu, layer, step::passes(cell).max(input_projection::passes(features)))?;
    Ok(Projection::make(
        gpu,
        name,
        (form, numbers),
        &Weights {
            row_values: features,
            inputs: 0..features,
            column_vectors: columns / 4,
            width: units * lanes,
            kernel: &|k, column| by_lane(cell, column, |lane, unit| cell.kernel_lane(weights, k, lane, unit)),
            bias: Some(&|column| by_lane(cell, column, |lane, unit| cell.bias_lane(weights, lane, unit))),
        },
        Activation::Linear,
    ))
}

fn dense_weights(gpu: &Gpu, name: &str, numbers: Option<Numbers>, part: &PlannedDense) -> Result<Projection> {
    let (features, units) = part.weights.kernel.dim();
    check_weight(
        gpu,
        "four rows of the kernel of the Dense layer",
        Form::Full.bytes(4 * padded(units)),
    )?;
    let layer = format!("Dense layer with {features} features");
    check_passes(gpu, layer, input_projection::passes(features))?;
    let kernel = &part.weights.kernel;
    let bias = part.weights.bias.as_ref();
    Ok(Projection::make(
        gpu,
        name,
        (Form::Full, numbers),
        &Weights {
            row_values: features,
            inputs: 0..features,
            column_vectors: padded(units) / 4,
            width: units,
            kernel: &|k, column| std::array::from_fn(|lane| kernel.get((k, column * 4 + lane)).copied().unwrap_or(0.0)),
            bias: Some(&|column| {
                std::array::from_fn(|lane| {
                    bias.and_then(|bias| bias.get(column * 4 + lane))
                        .copied()
                        .unwrap_or(0.0)
                })
            }),
        },
        part.activation,
    ))
}

/// A shader may make so many passes of its loops.
pub(super) fn check_passes(gpu: &Gpu, layer: String, passes: usize) -> Result<()> {
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
pub(super) fn check_weight(gpu: &Gpu, what: &str, needed: u64) -> Result<()> {
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
