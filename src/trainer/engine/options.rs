//! How the sections train: frozen BatchNormalizations, which normalise as in inference, and little memory.

use super::{Engine, Path, Section};
use crate::model::planned_weight::Owner;
use crate::parameters::Role;

impl Engine {
    /// From now on the BatchNormalizations whose layer `is_held` normalise by their moving mean and variance, which stay, and all others by the batch.
    pub(in crate::trainer) fn hold(&mut self, is_held: impl Fn(&str) -> bool) {
        for section in &mut self.sections {
            section.hold(&is_held);
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
        self.flows.hold(held.collect());
    }
}
