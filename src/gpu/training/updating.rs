//! The steps of an optimiser where the gradients are; the weights come home where somebody asks for them.
//!
//! Once the host has heard that all new weights are finite, the step counts ([`GpuTraining::accept`]), and they take the place of the old ones
//! before anybody asks for them; else nothing has happened. Where the step depends on norms, the host reads the sizes of the gradients first
//! ([`GpuTraining::sizes`]).

use std::sync::Arc;

use super::buffers::Buffers;
use super::penalties::Penalties;
use super::recorder::Recorder;
use super::tensors::{STAGED_WEIGHT, in_bytes, named_of, stage};
use super::updates::{Trained, Updated, Updates};
use super::{GpuTraining, gradient_sizes};
use crate::error::{Error, Result};
use crate::flow::size::{FlowSize, OutputSize};
use crate::gpu::device::buffer::buffer_bytes;
use crate::gpu::device::mapped;
use crate::gpu::stage::interface::{at, defect};
use crate::loss::elsewhere::{DeviceLoss, DeviceRule};
use crate::model::planned_weight::PlannedWeight;
use crate::model::transform::Transform;
use crate::optimizer::{GradientSize, OptimizerState, Step};
use crate::regularizer::Regularizers;

const DOING: &str = "making a step of the optimizer";

impl GpuTraining {
    /// Whether steps of this optimiser could be made here. Where they cannot, the host makes them: where a BatchNormalization follows means, where the
    /// host packs the weights, where embeddings lie in several buffers, where a weight that is trained, or its slots, are larger than a binding, and
    /// without the memory.
    pub(crate) async fn could_update(&mut self, optimizer: &OptimizerState) -> Result<bool> {
        self.make_repack().await?;
        let could = match &self.updates {
            Some(made) => made.is_some(),
            None => self.fits_updates(optimizer),
        };
        Ok(could && matches!(self.repack, Some(Some(_))))
    }

    /// Makes what steps need, and says whether there is the memory.
    pub(crate) async fn begin_updates(&mut self, optimizer: &OptimizerState) -> Result<bool> {
        if self.updates.is_none() {
            let gpu = self.model.gpu.clone();
            let make = || Updates::new(&gpu, &self.model.plan, optimizer);
            self.updates = Some(
                match gpu.guarded("uploading what the optimizer remembers", make).await {
                    // the host has memory of its own
                    Err(Error::Gpu { .. } | Error::Memory { .. }) => {
                        self.lacks_memory = true;
                        None
                    }
                    made => Some(made?),
                },
            );
        }
        Ok(matches!(self.updates, Some(Some(_))))
    }

    /// How the loss may be computed here, of one output that is in one buffer; known before anything runs.
    pub(crate) fn judge_by(&mut self, rule: Option<DeviceRule>) {
        self.judges_by = rule;
    }

    /// Whether the loss of a batch of (batch, time_steps) can be computed here.
    pub(crate) fn can_judge(&self, (batch, time_steps): (usize, usize)) -> bool {
        let size = FlowSize::in_training(&self.model.plan, batch, time_steps);
        // outputs and targets, and what is said of each step
        let bytes = |output: &OutputSize| (4 * output.width.max(4) as u64).saturating_mul(output.entries as u64);
        matches!(&size.outputs[..], [output] if bytes(output) <= self.model.gpu.largest_binding())
    }

    /// The loss of the pass that ran last, which its way back computes.
    pub(crate) fn judge(&mut self, loss: DeviceLoss) {
        self.losses = loss.sums();
        self.loss = Some(loss);
    }

    /// Takes it back once it is computed.
    pub(crate) fn take_loss(&mut self) -> Option<DeviceLoss> {
        self.loss.take()
    }

    /// From now on these transforms normalise by the means and variances that they have.
    pub(crate) fn hold(&mut self, transforms: Vec<usize>) {
        self.held = transforms;
    }

    /// From now on the gradients that stay here are those of a loss with these penalties.
    pub(crate) fn penalize(&mut self, regularizers: &Regularizers) {
        self.penalties = Penalties::of(&self.model.plan, regularizers);
        self.buffers.give_up(&["penalties", "staged penalties"]);
    }

    /// What there was no memory for is asked for once more. Not with every batch, for a GPU that is full says so slowly, and steps of the host between
    /// those of the GPU send all weights and slots to and fro; but where there may be more memory by now: behind large batches that were given up, for
    /// an optimiser that remembers less, and at the beginning of a training, before which other programs may have ended.
    pub(crate) fn ask_again(&mut self) {
        if std::mem::take(&mut self.lacks_memory) {
            self.repack.take_if(|repack| repack.is_none());
            self.updates.take_if(|updates| updates.is_none());
        }
    }

    /// The bytes that steps here take, with what the host reads of them.
    pub(super) fn bytes_of_updates(&self, optimizer: &OptimizerState) -> u64 {
        let cannot = matches!(self.repack, Some(None)) && !self.lacks_memory;
        if cannot || !self.fits_updates(optimizer) {
            return 0;
        }
        let bytes = |count: usize| buffer_bytes(4 * count as u64);
        let slots = optimizer.slots_per_weight();
        let (mut all, mut numbers, mut largest) = (2 * bytes(1), 0, 0);
        for weight in &self.model.plan.weights {
            if optimizer.number_of(&weight.path).is_some() {
                let count = weight.shape.iter().product();
                all += bytes(count) + 2 * bytes(slots * count);
                numbers += gradient_sizes::numbers(count);
                largest = largest.max(bytes(slots.max(1) * count));
            }
        }
        // what comes home does so one by one
        all + 2 * (bytes(numbers) + bytes(self.penalties.sums())) + largest
    }

    fn fits_updates(&self, optimizer: &OptimizerState) -> bool {
        let plan = &self.model.plan;
        let mut transforms = plan.transforms.iter().enumerate();
        let follows = transforms.any(|(number, transform)| {
            matches!(transform, Transform::Scale { by: Some(_), .. }) && !self.held.contains(&number)
        });
        let is_whole = self.model.weights.tables.iter().all(|table| table.whole().is_ok());
        let slots = optimizer.slots_per_weight().max(1) as u64;
        let fits = |weight: &PlannedWeight| {
            let values = weight.shape.iter().product::<usize>() as u64;
            values.saturating_mul(4 * slots) <= self.model.gpu.largest_binding()
        };
        let mut trained = plan
            .weights
            .iter()
            .filter(|weight| optimizer.number_of(&weight.path).is_some());
        !follows && is_whole && trained.all(fits)
    }

    /// Forgets what the optimiser remembers: the host has it, or another one.
    pub(crate) fn forget_updates(&mut self) {
        if let Some(Some(_)) = self.updates {
            let of_steps = ["staged flag", "staged sizes", "penalties", "staged penalties"];
            let of_loss = ["steps of the loss", "targets", "losses", "staged losses"];
            self.buffers.give_up(&[of_steps, of_loss].concat());
            self.updates = None;
        }
    }

    /// The sizes of the gradients that the last way back has kept.
    pub(crate) async fn sizes(&mut self) -> Result<Vec<(usize, GradientSize)>> {
        let left = self.left.as_ref().and_then(|left| left.sizes.clone());
        let (submission, staged) = left.ok_or_else(defect)?;
        let read = mapped::read(&self.model.gpu, &in_bytes(&[staged]), Some(submission)).await;
        let read = self.or_without_buffers(read)?;
        let updates = self.updates.iter().flatten().next().ok_or_else(defect)?;
        Ok(updates.sizes_of(at(&read, 0)?))
    }

    /// What the optimiser remembers of each trained weight, with the number of that: all its slots one behind the other.
    pub(crate) async fn newest_slots(&self) -> Result<Vec<(usize, Vec<f32>)>> {
        let Some(Some(updates)) = &self.updates else {
            return Err(defect());
        };
        let values = |of: &Trained| updates.slots_per_weight * of.count;
        let wanted = updates.trained.iter().map(|of| (of.slots.clone(), values(of)));
        let wanted: Vec<_> = wanted.collect();
        let numbers = updates.trained.iter().map(|of| of.of_optimizer);
        Ok(numbers.zip(self.read(&wanted).await?).collect())
    }

    /// Makes a step by the gradients that the last way back has kept. Nothing has changed before [`accept`](Self::accept).
    pub(crate) async fn update(&mut self, step: &Step, wants_weights: bool) -> Result<Updated> {
        let (Some(Some(updates)), Some(Some(repack))) = (&mut self.updates, &self.repack) else {
            return Err(defect());
        };
        let (gpu, plan) = (&self.model.gpu, &self.model.plan);
        let (weights, buffers) = ((&self.weights, &*self.model.weights.tables), &mut self.buffers);
        let (penalties, losses) = (&self.penalties, std::mem::take(&mut self.losses));
        let known = gpu.known_pipelines();
        let work = || {
            let dispatches = updates.trained.len();
            // what follows is recorded before: once the step is made nothing is in its way
            if updates.taking_over.is_none() {
                let mut recorder = Recorder::new(gpu, buffers, dispatches + repack.dispatches())?;
                updates.record_taking_over(&mut recorder, plan, weights)?;
                repack.record(&mut recorder, weights.0)?;
                updates.taking_over = Some(Arc::new(recorder.recorded()));
            }
            let mut recorder = Recorder::new(gpu, buffers, dispatches)?;
            updates.record_step(&mut recorder, step, plan, weights)?;
            let mut staged = vec![stage(&mut recorder, ("staged flag", 0), (&updates.not_finite, 1))?];
            staged.extend(penalties.stage(&mut recorder)?);
            if losses > 0 {
                let sums = recorder.buffer(("losses", 0), losses)?;
                staged.push(stage(&mut recorder, ("staged losses", 0), (&sums, losses))?);
            }
            for of in updates.trained.iter().filter(|_| wants_weights) {
                let name = (STAGED_WEIGHT, of.number);
                staged.push(stage(&mut recorder, name, (&of.new_weights, of.count))?);
            }
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
        let flags = read.next().ok_or_else(defect)?;
        let sums = match self.penalties.sums() {
            0 => Vec::new(),
            _ => read.next().ok_or_else(defect)?,
        };
        let of_loss = match losses {
            0 => Vec::new(),
            _ => read.next().ok_or_else(defect)?,
        };
        let updates = self.updates.iter().flatten().next().ok_or_else(defect)?;
        let weights = updates.trained.iter().zip(read);
        let weights = weights.map(|(of, values)| named_of(&self.model.plan, of.number, values));
        Ok(Updated {
            is_finite: flags.iter().all(|flag| flag.to_bits() == 0),
            penalty: self.penalties.loss(&sums),
            loss: of_loss.into_iter().map(f64::from).sum(),
            weights: weights.collect::<Result<_>>()?,
        })
    }

    /// The step that was made last counts. Nothing is asked of the driver, so that no step counts by half: [`settle`](Self::settle) does the rest.
    pub(crate) fn accept(&mut self) -> Result<()> {
        let Some(Some(updates)) = &mut self.updates else {
            return Err(defect());
        };
        self.owed = Some(Arc::clone(updates.taking_over.as_ref().ok_or_else(defect)?));
        self.is_ahead = true;
        for trained in &mut updates.trained {
            std::mem::swap(&mut trained.slots, &mut trained.new_slots);
        }
        Ok(())
    }

    /// Puts the weights of a step that counts into their place. Whoever needs them there calls it before, and fails with it; what is done twice is as if
    /// it were done once.
    pub(super) async fn settle(&self) -> Result<()> {
        let Some(owed) = &self.owed else { return Ok(()) };
        let gpu = &self.model.gpu;
        gpu.guarded(DOING, || owed.submit(gpu)).await.map(|_| ())
    }

    /// Behind an error some buffers may be the host's still, or none.
    fn or_without_buffers<T>(&mut self, made: Result<T>) -> Result<T> {
        if made.is_err() {
            self.buffers = Buffers::default();
        }
        made
    }
}
