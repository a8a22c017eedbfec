//! The steps of an optimiser on the device, for all sections.

use ndarray::ArrayD;

use super::{Engine, Path};
use crate::error::Result;
use crate::gpu::training::{GpuTraining, Updated};
use crate::optimizer::{GradientSize, OptimizerState, Step};
use crate::regularizer::Regularizers;

/// Weights with their paths.
type Named = Vec<(String, ArrayD<f32>)>;

impl Engine {
    /// The sections that have weights, if a GPU trains them.
    fn on_gpu(&mut self) -> impl Iterator<Item = &mut GpuTraining> {
        let sections = self.sections.iter_mut();
        sections.filter_map(|section| match &mut section.path {
            Path::Gpu(training) => Some(&mut **training),
            Path::Cpu(_) | Path::Nothing => None,
        })
    }

    /// The same, to look at.
    fn seen_on_gpu(&self) -> impl Iterator<Item = &GpuTraining> {
        let sections = self.sections.iter();
        sections.filter_map(|section| match &section.path {
            Path::Gpu(training) => Some(&**training),
            Path::Cpu(_) | Path::Nothing => None,
        })
    }

    /// Whether the device can make the steps of this optimiser, those of all sections.
    pub(in crate::trainer) async fn can_update(&mut self, optimizer: &OptimizerState) -> Result<bool> {
        if !self.is_on_gpu() || optimizer.trained().len() == 0 {
            return Ok(false);
        }
        for training in self.on_gpu() {
            if !training.could_update(optimizer).await? {
                return Ok(false);
            }
        }
        let mut can = true;
        for training in self.on_gpu() {
            can &= training.begin_updates(optimizer).await?;
        }
        Ok(can)
    }

    /// From now on the gradients that are kept are those of a loss with these penalties.
    pub(in crate::trainer) fn penalize(&mut self, regularizers: &Regularizers) {
        self.on_gpu().for_each(|training| training.penalize(regularizers));
    }

    /// The sizes of the gradients that were kept, with the numbers that their weights have for the optimiser.
    pub(in crate::trainer) async fn sizes(&mut self) -> Result<Vec<(usize, GradientSize)>> {
        let mut sizes = Vec::new();
        for training in self.on_gpu() {
            sizes.extend(training.sizes().await?);
        }
        Ok(sizes)
    }

    /// Makes a step by the gradients that were kept. Nothing has changed before [`accept`](Self::accept).
    pub(in crate::trainer) async fn update(&mut self, step: &Step, wants_weights: bool) -> Result<Updated> {
        let mut updated = Updated {
            is_finite: true,
            ..Updated::default()
        };
        for training in self.on_gpu() {
            let section = training.update(step, wants_weights).await?;
            updated.is_finite &= section.is_finite;
            updated.penalty += section.penalty;
            updated.loss += section.loss;
            updated.weights.extend(section.weights);
        }
        Ok(updated)
    }

    /// The step that was made last counts.
    pub(in crate::trainer) fn accept(&mut self) -> Result<()> {
        self.on_gpu().try_for_each(GpuTraining::accept)
    }

    /// The gradients that were kept.
    pub(in crate::trainer) async fn kept_gradients(&mut self) -> Result<Named> {
        let mut gradients = Vec::new();
        for training in self.on_gpu() {
            gradients.extend(training.kept_gradients().await?);
        }
        Ok(gradients)
    }

    /// The weights as the device has them.
    pub(in crate::trainer) async fn newest_weights(&self) -> Result<Named> {
        let mut weights = Vec::new();
        for training in self.seen_on_gpu() {
            weights.extend(training.newest_weights().await?);
        }
        Ok(weights)
    }

    /// What the optimiser remembers, as the device has it, by the numbers that weights have for it.
    pub(in crate::trainer) async fn newest_slots(&self) -> Result<Vec<(usize, Vec<f32>)>> {
        let mut slots = Vec::new();
        for training in self.seen_on_gpu() {
            slots.extend(training.newest_slots().await?);
        }
        Ok(slots)
    }

    /// What the device had no memory for is asked for again.
    pub(in crate::trainer) fn ask_again(&mut self) {
        self.on_gpu().for_each(GpuTraining::ask_again);
    }

    /// The device forgets what the optimiser remembers: the host has it, or another one.
    pub(in crate::trainer) fn forget_updates(&mut self) {
        self.on_gpu().for_each(GpuTraining::forget_updates);
    }
}
