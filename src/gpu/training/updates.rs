//! The steps of an optimiser where the gradients are: what it remembers of each weight stays on the GPU, and the weights come home where somebody
//! asks for them.
//!
//! A step writes the new weights and slots beside the old ones. Once the host has heard that all of them are finite, they take their place
//! ([`GpuTraining::accept`]); else nothing has happened. Where the step depends on norms, the host reads the sizes of the gradients first
//! ([`GpuTraining::sizes`]), and else with the step.

use super::gradient_sizes;
use super::newest::{Named, current, in_bytes, named_of, stage};
use super::recorder::{Recorded, Recorder};
use super::sums::add_parts;
use super::update::{self, Tensors};
use super::{Buffers, GpuTraining, Weights};
use crate::error::{Error, Result};
use crate::gpu::device::Gpu;
use crate::gpu::device::buffer::{Use, buffer_bytes};
use crate::gpu::device::mapped;
use crate::gpu::rows::Rows;
use crate::gpu::stage::interface::{at, defect};
use crate::model::plan::Plan;
use crate::model::planned_weight::PlannedWeight;
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
    /// How what a step has made takes the place of what was there.
    taking_over: Option<Recorded>,
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

/// What a step has led to.
#[derive(Debug, Default)]
pub(crate) struct Updated {
    /// Whether all new weights are.
    pub(crate) is_finite: bool,
    /// Of the gradients.
    pub(crate) sizes: Vec<(String, GradientSize)>,
    /// The new weights, if they are wanted.
    pub(crate) weights: Named,
}

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
            taking_over: None,
        })
    }

    /// Records the sizes of the gradients.
    pub(super) fn record_sizes(&self, recorder: &mut Recorder<'_>) -> Result<()> {
        let mut first = 0;
        for trained in &self.trained {
            let gradient = recorder.buffer(("gradient", trained.number), trained.count)?;
            gradient_sizes::record(recorder, (&gradient, trained.count), (&self.sizes, first));
            first += gradient_sizes::numbers(trained.count);
        }
        Ok(())
    }

    /// The numbers that are left of all gradients, and how many there are.
    fn numbers(&self) -> (wgpu::Buffer, usize) {
        let trained = self.trained.iter();
        let numbers = trained.map(|of| gradient_sizes::numbers(of.count)).sum();
        (self.sizes.clone(), numbers)
    }

    /// The sizes of the gradients, from the numbers that were read.
    fn sizes_of(&self, plan: &Plan, read: &[f32]) -> Result<Vec<(String, GradientSize)>> {
        let mut read = read.iter().map(|value| value.to_bits());
        let sizes = self.trained.iter().map(|trained| {
            let numbers: Vec<u32> = read.by_ref().take(gradient_sizes::numbers(trained.count)).collect();
            let path = at(&plan.weights, trained.number)?.path.clone();
            Ok((path, gradient_sizes::size(&numbers)))
        });
        sizes.collect()
    }

    /// Records the step of each weight.
    fn record_step(
        &self,
        recorder: &mut Recorder<'_>,
        step: &Step,
        plan: &Plan,
        from: (&Weights, &[Rows]),
    ) -> Result<()> {
        recorder.commands.first.clear(&self.not_finite, 0..4);
        let nothing = recorder.nothing();
        let [nothing_written, _] = recorder.nothing_written();
        for trained in &self.trained {
            let weight = at(&plan.weights, trained.number)?;
            let gradient = recorder.buffer(("gradient", trained.number), trained.count)?;
            let (weights, width) = current(weight, (from.0.values(trained.number)?, from.1))?;
            let has_slots = self.slots_per_weight > 0;
            let tensors = Tensors {
                gradient: &gradient,
                weights,
                count: trained.count,
                width,
                slots: if has_slots { &trained.slots } else { &nothing },
                new_weights: &trained.new_weights,
                new_slots: if has_slots {
                    &trained.new_slots
                } else {
                    &nothing_written
                },
                not_finite: &self.not_finite,
            };
            let update = step.update(&weight.path).ok_or_else(defect)?;
            update::record(recorder, update, &tensors);
        }
        Ok(())
    }

    /// Records how the new weights take the place of the old ones.
    fn record_taking_over(&self, recorder: &mut Recorder<'_>, plan: &Plan, places: (&Weights, &[Rows])) -> Result<()> {
        for trained in &self.trained {
            let weight = at(&plan.weights, trained.number)?;
            let (to, width) = current(weight, (places.0.values(trained.number)?, places.1))?;
            if to.stride == width {
                let bytes = 0..4 * trained.count as u64;
                recorder.commands.first.copy(&trained.new_weights, bytes, to.buffer, 0);
            } else {
                let rows = trained.count / width.max(1);
                add_parts(recorder, (&trained.new_weights, 1, [rows, width]), to, false);
            }
        }
        Ok(())
    }
}

impl GpuTraining {
    /// Whether steps of this optimiser could be made here. Where they cannot, the host makes them: where BatchNormalization follows means, where the
    /// host packs the weights, where embeddings lie in several buffers, and without the memory.
    pub(crate) async fn could_update(&mut self, optimizer: &OptimizerState) -> Result<bool> {
        Ok(match &self.updates {
            Some(made) => made.is_some(),
            None => {
                self.make_repack().await?;
                matches!(self.repack, Some(Some(_))) && self.fits_updates(optimizer)
            }
        })
    }

    /// Makes what steps need, and says whether there is the memory.
    pub(crate) async fn begin_updates(&mut self, optimizer: &OptimizerState) -> Result<bool> {
        if self.updates.is_none() {
            let gpu = self.model.gpu.clone();
            let make = || Updates::new(&gpu, &self.model.plan, optimizer);
            self.updates = Some(
                match gpu.guarded("uploading what the optimizer remembers", make).await {
                    // the host has memory of its own
                    Err(Error::Gpu { .. } | Error::Memory { .. }) => None,
                    made => Some(made?),
                },
            );
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
        let (mut all, mut numbers, mut largest) = (2 * bytes(1), 0, 0);
        for weight in &self.model.plan.weights {
            if optimizer.slots_of(&weight.path).is_some() {
                let count = weight.shape.iter().product();
                all += 2 * bytes(count) + 2 * bytes(slots * count);
                numbers += gradient_sizes::numbers(count);
                largest = largest.max(bytes(slots.max(1) * count));
            }
        }
        // what comes home does so one by one
        all + 2 * bytes(numbers) + largest
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
        if let Some(Some(_)) = self.updates {
            self.updates = None;
        }
    }

    /// The sizes of the gradients that the last way back has kept.
    pub(crate) async fn sizes(&self) -> Result<Vec<(String, GradientSize)>> {
        let Some(Some(updates)) = &self.updates else {
            return Err(defect());
        };
        let read = self.read(&[updates.numbers()]).await?;
        updates.sizes_of(&self.model.plan, at(&read, 0)?)
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

    /// Makes a step by the gradients that the last way back has kept. Nothing has changed before [`accept`](Self::accept).
    pub(crate) async fn update(&mut self, step: &Step, wants_weights: bool) -> Result<Updated> {
        let (Some(Some(updates)), Some(Some(repack))) = (&mut self.updates, &self.repack) else {
            return Err(defect());
        };
        let (gpu, plan) = (&self.model.gpu, &self.model.plan);
        let (weights, buffers) = ((&self.weights, &*self.model.weights.tables), &mut self.buffers);
        let known = gpu.known_pipelines();
        let work = || {
            let dispatches = updates.trained.len();
            // what follows is recorded first: once the step is made nothing is in its way
            let mut recorder = Recorder::new(gpu, buffers, dispatches + repack.dispatches())?;
            updates.record_taking_over(&mut recorder, plan, weights)?;
            repack.record(&mut recorder, weights.0)?;
            updates.taking_over = Some(recorder.recorded());
            let mut recorder = Recorder::new(gpu, buffers, dispatches)?;
            updates.record_step(&mut recorder, step, plan, weights)?;
            let mut wanted = vec![(updates.not_finite.clone(), 1), updates.numbers()];
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
        let (flags, sizes) = (read.next().ok_or_else(defect)?, read.next().ok_or_else(defect)?);
        let updates = self.updates.iter().flatten().next().ok_or_else(defect)?;
        let weights = updates.trained.iter().zip(read);
        let weights = weights.map(|(of, values)| named_of(&self.model.plan, of.number, values));
        Ok(Updated {
            is_finite: flags.iter().all(|flag| flag.to_bits() == 0),
            sizes: updates.sizes_of(&self.model.plan, &sizes)?,
            weights: weights.collect::<Result<_>>()?,
        })
    }

    /// The step that was made last counts.
    pub(crate) async fn accept(&mut self) -> Result<()> {
        self.put_back();
        let Some(Some(updates)) = &mut self.updates else {
            return Err(defect());
        };
        let recorded = updates.taking_over.take().ok_or_else(defect)?;
        let gpu = &self.model.gpu;
        self.is_ahead = true;
        let made = gpu.guarded(DOING, || recorded.submit(gpu)).await;
        if made.is_err() {
            // of a device that is lost: what arrived nobody knows
            self.updates = Some(None);
            return made.map(|_| ());
        }
        for trained in &mut updates.trained {
            std::mem::swap(&mut trained.slots, &mut trained.new_slots);
        }
        Ok(())
    }

    /// Behind an error some buffers may be the host's still, or none.
    fn or_without_buffers<T>(&mut self, made: Result<T>) -> Result<T> {
        if made.is_err() {
            self.buffers = Buffers::default();
        }
        made
    }
}
