//! The steps of an optimiser where the gradients are; the weights come home where somebody asks for them.
//!
//! Once the host has heard that all new weights are finite, they take the place of the old ones ([`GpuTraining::accept`]); else nothing has
//! happened. Where the step depends on norms, the host reads the sizes of the gradients first ([`GpuTraining::sizes`]), and else with the step.

use super::buffers::Buffers;
use super::recorder::Recorder;
use super::tensors::{in_bytes, named_of, stage};
use super::updates::{Trained, Updated, Updates};
use super::{GpuTraining, gradient_sizes};
use crate::error::{Error, Result};
use crate::gpu::device::buffer::buffer_bytes;
use crate::gpu::device::mapped;
use crate::gpu::stage::interface::{at, defect};
use crate::model::planned_weight::PlannedWeight;
use crate::model::transform::Transform;
use crate::optimizer::{GradientSize, OptimizerState, Step};

const DOING: &str = "making a step of the optimizer";

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
            // what follows is recorded before: once the step is made nothing is in its way
            if updates.taking_over.is_none() {
                let mut recorder = Recorder::new(gpu, buffers, dispatches + repack.dispatches())?;
                updates.record_taking_over(&mut recorder, plan, weights)?;
                repack.record(&mut recorder, weights.0)?;
                updates.taking_over = Some(recorder.recorded());
            }
            let mut recorder = Recorder::new(gpu, buffers, dispatches)?;
            updates.record_step(&mut recorder, step, plan, weights)?;
            let mut wanted = vec![(updates.not_finite.clone(), 1), updates.numbers()];
            if wants_weights {
                wanted.extend(updates.trained.iter().map(|of| (of.new_weights.clone(), of.count)));
            }
            let staged = stage(&mut recorder, "staging of weights", &wanted)?;
            Ok((recorder.submit()?, staged))
        };
        let made = gpu.guarded(DOING, work).await;
        if made.is_err() {
            gpu.forget_pipelines_but(&known);
            updates.taking_over = None; // of a pipeline that is none it would do nothing
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
        let recorded = updates.taking_over.as_ref().ok_or_else(defect)?;
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
