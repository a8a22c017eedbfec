//! The steps of an optimiser where the gradients are: what it remembers of each weight stays on the GPU, and the weights come home where somebody
//! asks for them.
//!
//! A step writes the new weights and slots beside the old ones. Once the host has heard that all of them are finite, they take their place
//! ([`GpuTraining::accept`]); else nothing has happened.

use ndarray::ArrayD;

use super::gradient_sizes;
use super::read_back::in_shape;
use super::recorder::{Matrix, Recorder};
use super::sums::add_parts;
use super::update::{self, Tensors};
use super::{Buffers, GpuTraining};
use crate::error::{Error, Result};
use crate::gpu::device::Gpu;
use crate::gpu::device::buffer::{Use, buffer_bytes};
use crate::gpu::device::mapped;
use crate::gpu::rows::Rows;
use crate::gpu::stage::interface::{at, defect};
use crate::memory::OUTPUT;
use crate::model::plan::Plan;
use crate::model::planned_weight::{Owner, PlannedWeight};
use crate::model::transform::Transform;
use crate::optimizer::{GradientSize, OptimizerState, Step};

const DOING: &str = "making a step of the optimizer";

/// What steps need besides weights and gradients.
#[derive(Debug)]
pub(super) struct Updates {
    trained: Vec<Trained>,
    slots_per_weight: usize,
    /// The numbers that are left of all gradients.
    sizes: wgpu::Buffer,
    not_finite: wgpu::Buffer,
}

/// A weight that steps change.
#[derive(Debug)]
struct Trained {
    /// Its number in the plan, and its values.
    number: usize,
    count: usize,
    /// What comes in the place of the weights.
    new_weights: wgpu::Buffer,
    /// What the optimiser remembers, and what comes in its place.
    slots: wgpu::Buffer,
    new_slots: wgpu::Buffer,
}

/// A list of tensors with their paths: weights in their shapes.
type Weights = Vec<(String, ArrayD<f32>)>;

impl Updates {
    /// Uploads what an optimiser remembers of the weights of a plan.
    fn new(gpu: &Gpu, plan: &Plan, optimizer: &OptimizerState) -> Result<Self> {
        let slots_per_weight = optimizer.slots_per_weight();
        let mut trained = Vec::new();
        let mut numbers = 0;
        for (number, weight) in plan.weights.iter().enumerate() {
            let Some(slots) = optimizer.slots_of(&weight.path) else {
                continue;
            };
            let count: usize = weight.shape.iter().product();
            let buffer = |what: &str, count: usize| {
                let label = format!("{}.{what}", weight.path);
                gpu.make_buffer(&label, 4 * count as u64, Use::Storage)
            };
            let made = Trained {
                number,
                count,
                new_weights: buffer("new", count),
                slots: buffer("slots", slots_per_weight * count),
                new_slots: buffer("new slots", slots_per_weight * count),
            };
            for (place, slot) in slots.iter().enumerate() {
                let first = 4 * (place * count) as u64;
                gpu.queue().write_buffer(&made.slots, first, bytemuck::cast_slice(slot));
            }
            numbers += gradient_sizes::numbers(count);
            trained.push(made);
        }
        Ok(Self {
            trained,
            slots_per_weight,
            sizes: gpu.make_buffer("sizes of gradients", 4 * numbers as u64, Use::Storage),
            not_finite: gpu.make_buffer("not finite", 4, Use::Storage),
        })
    }

    /// Records the sizes of the gradients. Gives their buffer, and how many numbers there are.
    pub(super) fn record_sizes(&self, recorder: &mut Recorder<'_>) -> Result<(wgpu::Buffer, usize)> {
        let mut first = 0;
        for trained in &self.trained {
            let gradient = recorder.buffer(("gradient", trained.number), trained.count)?;
            gradient_sizes::record(recorder, (&gradient, trained.count), (&self.sizes, first));
            first += gradient_sizes::numbers(trained.count);
        }
        Ok((self.sizes.clone(), first))
    }

    /// The sizes of the gradients, from the numbers that were read.
    pub(super) fn sizes_of(&self, plan: &Plan, read: &[f32]) -> Result<Vec<(String, GradientSize)>> {
        let mut read = read.iter().map(|value| value.to_bits());
        let sizes = self.trained.iter().map(|trained| {
            let numbers: Vec<u32> = read.by_ref().take(gradient_sizes::numbers(trained.count)).collect();
            let path = at(&plan.weights, trained.number)?.path.clone();
            Ok((path, gradient_sizes::size(&numbers)))
        });
        sizes.collect()
    }
}

impl GpuTraining {
    /// Whether steps of this optimiser can be made here. Where they cannot, the host makes them: where BatchNormalization follows means, where the
    /// host packs the weights, where embeddings lie in several buffers, and without the memory.
    pub(crate) async fn can_update(&mut self, optimizer: &OptimizerState) -> Result<bool> {
        if self.updates.is_none() {
            self.make_repack().await?;
            let is_possible = matches!(self.repack, Some(Some(_))) && self.fits_updates(optimizer);
            self.updates = Some(match is_possible {
                false => None,
                true => {
                    let gpu = self.model.gpu.clone();
                    let make = || Updates::new(&gpu, &self.model.plan, optimizer);
                    match gpu.guarded("uploading what the optimizer remembers", make).await {
                        // the host has memory of its own
                        Err(Error::Gpu { .. } | Error::Memory { .. }) => None,
                        made => Some(made?),
                    }
                }
            });
        }
        Ok(matches!(self.updates, Some(Some(_))))
    }

    /// The bytes that steps here take, with what the host reads of them.
    pub(super) fn bytes_of_updates(&self, optimizer: &OptimizerState) -> u64 {
        if matches!(self.updates, Some(None)) || !self.fits_updates(optimizer) {
            return 0;
        }
        let bytes = |count: usize| buffer_bytes(4 * count as u64);
        let slots = optimizer.slots_per_weight();
        let (mut all, mut numbers) = (2 * bytes(1), 0);
        for weight in &self.model.plan.weights {
            if optimizer.slots_of(&weight.path).is_some() {
                let count = weight.shape.iter().product();
                all += 2 * bytes(count) + 2 * bytes(slots * count);
                numbers += gradient_sizes::numbers(count);
            }
        }
        all + 2 * bytes(numbers)
    }

    fn fits_updates(&self, optimizer: &OptimizerState) -> bool {
        let plan = &self.model.plan;
        let mut transforms = plan.transforms.iter();
        let follows = transforms.any(|transform| matches!(transform, Transform::Scale { by: Some(_), .. }));
        let is_whole = self.model.weights.tables.iter().all(|table| table.whole().is_ok());
        let slots = optimizer.slots_per_weight().max(1) as u64;
        let fits = |weight: &PlannedWeight| {
            let values = weight.shape.iter().product::<usize>() as u64;
            values.saturating_mul(4 * slots) <= self.model.gpu.largest_binding()
        };
        !follows && is_whole && plan.weights.iter().all(fits)
    }

    /// Forgets what the optimiser remembers: the host has it, or another one.
    pub(crate) fn forget_updates(&mut self) {
        self.updates = None;
    }

    /// Makes a step of the last way back, whose gradients were kept. Gives the new weights if they are wanted; nothing where some are NaN or
    /// infinite. Either way nothing has changed before [`accept`](Self::accept).
    pub(crate) async fn update(&mut self, step: &Step, wants_weights: bool) -> Result<Option<Weights>> {
        let Some(Some(updates)) = &self.updates else {
            return Err(defect());
        };
        let (gpu, model, weights, buffers) = (&self.model.gpu, &self.model, &self.weights, &mut self.buffers);
        let known = gpu.known_pipelines();
        // those of `accept` too, so that nothing is in its way
        let dispatches = self
            .repack
            .iter()
            .flatten()
            .map(super::Repack::dispatches)
            .sum::<usize>();
        let work = || {
            let mut recorder = Recorder::new(gpu, buffers, dispatches + 2 * updates.trained.len())?;
            recorder.commands.first.clear(&updates.not_finite, 0..4);
            let nothing = recorder.nothing();
            let [nothing_written, _] = recorder.nothing_written();
            for trained in &updates.trained {
                let weight = at(&model.plan.weights, trained.number)?;
                let gradient = recorder.buffer(("gradient", trained.number), trained.count)?;
                let (from, width) = current(weight, (weights.values(trained.number)?, &model.weights.tables))?;
                let has_slots = updates.slots_per_weight > 0;
                let tensors = Tensors {
                    gradient: &gradient,
                    weights: from,
                    count: trained.count,
                    width,
                    slots: if has_slots { &trained.slots } else { &nothing },
                    new_weights: &trained.new_weights,
                    new_slots: if has_slots {
                        &trained.new_slots
                    } else {
                        &nothing_written
                    },
                    not_finite: &updates.not_finite,
                };
                let update = step.update(&weight.path).ok_or_else(defect)?;
                update::record(&mut recorder, update, &tensors);
            }
            let mut wanted = vec![(updates.not_finite.clone(), 1)];
            if wants_weights {
                wanted.extend(updates.trained.iter().map(|of| (of.new_weights.clone(), of.count)));
            }
            let staged = stage(&mut recorder, &wanted)?;
            Ok((recorder.submit()?, staged))
        };
        let made = gpu.guarded(DOING, work).await;
        if made.is_err() {
            gpu.forget_pipelines_but(&known);
        }
        let (submission, staged) = self.or_without_buffers(made)?;
        let read = mapped::read::<f32>(&self.model.gpu, &in_bytes(&staged), Some(submission)).await;
        let mut read = self.or_without_buffers(read)?.into_iter();
        let is_finite = read
            .next()
            .is_some_and(|flags| flags.iter().all(|flag| flag.to_bits() == 0));
        let Some(updates) = self.updates.iter().flatten().next().filter(|_| is_finite) else {
            return Ok(None);
        };
        let weights = updates.trained.iter().zip(read);
        let weights = weights.map(|(of, values)| named_of(&self.model.plan, of.number, values));
        weights.collect::<Result<_>>().map(Some)
    }

    /// The step that was made last counts.
    pub(crate) async fn accept(&mut self) -> Result<()> {
        self.put_back();
        let (Some(Some(updates)), Some(Some(repack))) = (&mut self.updates, &self.repack) else {
            return Err(defect());
        };
        let gpu = &self.model.gpu;
        let (model, weights, buffers) = (&self.model, &self.weights, &mut self.buffers);
        let known = gpu.known_pipelines();
        let work = || {
            let dispatches = repack.dispatches() + updates.trained.len();
            let mut recorder = Recorder::new(gpu, buffers, dispatches)?;
            for trained in &updates.trained {
                let weight = at(&model.plan.weights, trained.number)?;
                let (to, width) = current(weight, (weights.values(trained.number)?, &model.weights.tables))?;
                let rows = trained.count / width.max(1);
                if to.stride == width {
                    let bytes = 0..4 * trained.count as u64;
                    recorder.commands.first.copy(&trained.new_weights, bytes, to.buffer, 0);
                } else {
                    add_parts(&mut recorder, (&trained.new_weights, 1, [rows, width]), to, false);
                }
            }
            repack.record(&mut recorder, weights)?;
            recorder.submit()
        };
        let made = gpu.guarded(DOING, work).await;
        if made.is_err() {
            gpu.forget_pipelines_but(&known);
            // what arrived nobody knows: every weight is written whole, and packed by the host
            (self.repack, self.updates, self.is_ahead) = (Some(None), Some(None), true);
            self.buffers = Buffers::default();
            return made.map(|_| ());
        }
        for trained in &mut updates.trained {
            std::mem::swap(&mut trained.slots, &mut trained.new_slots);
        }
        self.is_ahead = true;
        Ok(())
    }

    /// The gradients of all weights that the last way back has kept.
    pub(crate) async fn kept_gradients(&mut self) -> Result<Weights> {
        let mut wanted = Vec::new();
        for (number, weight) in trained(&self.model.plan) {
            let count = weight.shape.iter().product();
            let name = ("gradient", number);
            let buffer = self.buffers.get(&self.model.gpu, name, count, Use::Storage)?;
            wanted.push((buffer, count));
        }
        let read = self.read(&wanted).await?;
        let named = trained(&self.model.plan).zip(read);
        let named = named.map(|((number, _), values)| named_of(&self.model.plan, number, values));
        named.collect()
    }

    /// The weights that steps change, as they are here.
    pub(crate) async fn newest_weights(&self) -> Result<Weights> {
        let plan = &self.model.plan;
        let from = |number, weight| current(weight, (self.weights.values(number)?, &self.model.weights.tables));
        let mut wanted = Vec::new();
        for (number, weight) in trained(plan) {
            let (from, width) = from(number, weight)?;
            let rows = weight.shape.iter().product::<usize>() / width.max(1);
            wanted.push((from.buffer.clone(), rows * from.stride));
        }
        let mut found = Vec::new();
        for ((number, weight), values) in trained(plan).zip(self.read(&wanted).await?) {
            let (from, width) = from(number, weight)?;
            let values = match from.stride == width {
                true => values,
                false => {
                    let rows = values.chunks(from.stride.max(1));
                    OUTPUT.collected(rows.flat_map(|row| row.iter().take(width).copied()))?
                }
            };
            found.push(named_of(plan, number, values)?);
        }
        Ok(found)
    }

    /// What the optimiser remembers of each trained weight, all its slots one behind the other.
    pub(crate) async fn newest_slots(&self) -> Result<Vec<(String, Vec<f32>)>> {
        let Some(Some(updates)) = &self.updates else {
            return Err(defect());
        };
        let values = |of: &Trained| updates.slots_per_weight * of.count;
        let wanted = updates.trained.iter().map(|of| (of.slots.clone(), values(of)));
        let wanted: Vec<_> = wanted.collect();
        let found = updates.trained.iter().zip(self.read(&wanted).await?);
        let found = found.map(|(of, values)| Ok((at(&self.model.plan.weights, of.number)?.path.clone(), values)));
        found.collect()
    }

    /// Reads so many values of each buffer.
    async fn read(&self, wanted: &[(wgpu::Buffer, usize)]) -> Result<Vec<Vec<f32>>> {
        let gpu = &self.model.gpu;
        let mut buffers = Buffers::default();
        let work = || {
            let mut recorder = Recorder::new(gpu, &mut buffers, 0)?;
            let staged = stage(&mut recorder, wanted)?;
            Ok((recorder.submit()?, staged))
        };
        let (submission, staged) = gpu.guarded("reading the weights", work).await?;
        mapped::read(gpu, &in_bytes(&staged), Some(submission)).await
    }

    /// Behind an error some buffers may be the host's still, or none.
    fn or_without_buffers<T>(&mut self, made: Result<T>) -> Result<T> {
        if made.is_err() {
            self.buffers = Buffers::default();
        }
        made
    }
}

/// The weights that are trained, with their numbers.
fn trained(plan: &Plan) -> impl Iterator<Item = (usize, &PlannedWeight)> {
    let weights = plan.weights.iter().enumerate();
    weights.filter(|(_, weight)| weight.role.is_trained())
}

/// Where the weights of a tensor are, row by row, and the width of a row: of embeddings where the forward pass reads them.
fn current<'a>(
    weight: &PlannedWeight,
    (values, tables): (&'a wgpu::Buffer, &'a [Rows]),
) -> Result<(Matrix<'a>, usize)> {
    if let Owner::Table(table) = weight.owner {
        let rows = at(tables, table)?;
        let matrix = Matrix::tight(rows.whole()?, rows.size.stride);
        return Ok((matrix, rows.size.width));
    }
    let count = weight.shape.iter().product();
    Ok((Matrix::tight(values, count), count))
}

/// Copies so many values of each buffer to one that the host reads.
fn stage(recorder: &mut Recorder<'_>, wanted: &[(wgpu::Buffer, usize)]) -> Result<Vec<(wgpu::Buffer, usize)>> {
    let staged = wanted.iter().enumerate().map(|(place, (buffer, count))| {
        let staging = ("staging of weights", place);
        let staging = recorder.buffers.get(recorder.gpu, staging, *count, Use::Readback)?;
        recorder.commands.last.copy(buffer, 0..4 * *count as u64, &staging, 0);
        Ok((staging, *count))
    });
    staged.collect()
}

fn in_bytes(staged: &[(wgpu::Buffer, usize)]) -> Vec<(&wgpu::Buffer, u64)> {
    staged
        .iter()
        .map(|(staging, count)| (staging, 4 * *count as u64))
        .collect()
}

/// Values of a weight of a plan in its shape, with its path.
fn named_of(plan: &Plan, number: usize, values: Vec<f32>) -> Result<(String, ArrayD<f32>)> {
    let weight = at(&plan.weights, number)?;
    Ok((weight.path.clone(), in_shape(&weight.shape, Some(values))?))
}
