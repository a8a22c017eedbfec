//! How the sections train: frozen BatchNormalizations, which normalise as in inference, and in which memory.

use ndarray::ArrayD;

use super::{Engine, Pass, Path, Section};
use crate::model::planned_weight::Owner;
use crate::parameters::Role;

impl Engine {
    /// From now on the BatchNormalizations whose layer `is_held` normalise by their moving mean and variance, which stay, and all others by the batch.
    pub(in crate::trainer) fn hold(&mut self, is_held: impl Fn(&str) -> bool) {
        for section in &mut self.sections {
            section.hold(&is_held);
        }
    }

    /// An array for the gradient of a loss, which may hold anything.
    pub(in crate::trainer) fn spare_gradient(&mut self) -> ArrayD<f32> {
        std::mem::take(&mut self.spare.gradient)
    }

    /// Takes a pass back that has gone both ways.
    pub(in crate::trainer) fn take_back_pass(&mut self, pass: Pass<'_>) {
        self.spare.output = pass.output.values;
    }

    /// Takes the gradients of a step back, whose memory is that of the next ones.
    pub(in crate::trainer) fn take_back(&mut self, gradients: Vec<(String, ArrayD<f32>)>) {
        let mut gradients = gradients.into_iter().map(|(_, gradient)| gradient);
        for section in &mut self.sections {
            let trained = section.plan.weights.iter().filter(|weight| weight.role.is_trained());
            let own = gradients.by_ref().take(trained.count());
            match &mut section.path {
                Path::Cpu(training) => training.take_back(own),
                Path::Gpu(_) | Path::Nothing => own.for_each(drop),
            }
        }
    }

    /// Whether gates are computed again on the way back. A GPU never keeps them.
    pub(in crate::trainer) fn low_memory(&mut self, is_low: bool) {
        for section in &mut self.sections {
            if let Path::Cpu(training) = &mut section.path {
                training.low_memory(is_low);
            }
        }
    }
}

impl Section {
    fn hold(&mut self, is_held: impl Fn(&str) -> bool) {
        let means = self
            .plan
            .weights
            .iter()
            .filter(|weight| weight.role == Role::MovingMean);
        let held = means.filter_map(|mean| {
            let (layer, _) = mean.path.rsplit_once('/')?;
            match mean.owner {
                Owner::Transform(number) if is_held(layer) => Some(number),
                _ => None,
            }
        });
        let held: Vec<usize> = held.collect();
        if let Path::Gpu(training) = &mut self.path {
            training.hold(held.clone());
        }
        self.flows.hold(held);
    }
}
