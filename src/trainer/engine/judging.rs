//! The loss where the outputs are: of a model of one section, on a GPU.

use super::{Engine, Pass, Path};
use crate::error::{Error, Result};
use crate::gpu::training::GpuTraining;
use crate::loss::elsewhere::{DeviceLoss, DeviceRule};
use crate::random::Noise;
use crate::sequences::Sequences;
use crate::state::State;

impl Engine {
    fn judge_of(&mut self) -> Option<&mut GpuTraining> {
        match &mut self.sections[..] {
            [section] => match &mut section.path {
                Path::Gpu(training) => Some(training),
                Path::Cpu(_) | Path::Nothing => None,
            },
            _ => None,
        }
    }

    /// How the device may compute the loss: what that takes is counted as memory.
    pub(in crate::trainer) fn judge_by(&mut self, rule: Option<DeviceRule>) {
        if let Some(training) = self.judge_of() {
            training.judge_by(rule);
        }
    }

    /// Whether the device can compute the loss of a batch of (batch, time_steps).
    pub(in crate::trainer) fn can_judge(&mut self, size: (usize, usize)) -> bool {
        self.judge_of().is_some_and(|training| training.can_judge(size))
    }

    /// As [`forward`](Self::forward) in training, whose output stays on the device: [`judge`](Self::judge) says its loss.
    pub(in crate::trainer) async fn forward_there<'s>(
        &mut self,
        sequences: &'s Sequences<'_>,
        states: Option<&mut [State]>,
        noise: Noise,
    ) -> Result<Pass<'s>> {
        self.run(sequences, states, (Some(noise), false)).await
    }

    /// The loss of the pass that ran last.
    pub(in crate::trainer) fn judge(&mut self, loss: DeviceLoss) -> Result<()> {
        let training = self.judge_of();
        training
            .ok_or_else(|| Error::defect("a device that computes a loss"))?
            .judge(loss);
        Ok(())
    }

    /// Memory for targets, which may hold anything.
    pub(in crate::trainer) fn spare_targets(&mut self) -> Vec<f32> {
        std::mem::take(&mut self.spare.targets)
    }

    /// Takes the memory of the targets back, once the loss is computed.
    pub(in crate::trainer) fn take_back_targets(&mut self) {
        if let Some(loss) = self.judge_of().and_then(GpuTraining::take_loss) {
            self.spare.targets = loss.targets;
        }
    }
}
