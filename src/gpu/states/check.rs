//! Whether states on a GPU are those of a run.

use super::GpuStates;
use crate::error::{Error, Result};
use crate::gpu::device::Gpu;
use crate::gpu::stage::prepared::Fits;
use crate::model::plan::PlannedCell;

impl GpuStates {
    /// Whether a batch of so many sequences can begin with them.
    pub(crate) fn check(&self, gpu: &Gpu, cells: &[PlannedCell], batch: usize) -> Result<()> {
        if self.gpu.device() != gpu.device() {
            return Err(Error::Value {
                argument: "the states".to_owned(),
                expected: format!("states on the runner's device, of {}", gpu.name()),
                found: format!("states on another device, of {}", self.gpu.name()),
                repair: "bring them over by the host: `runner.gpu_states(&states.read()?)`".to_owned(),
            });
        }
        if self.cells.len() != cells.len() {
            return Err(Error::Size {
                argument: "the states".to_owned(),
                expected: format!("one for each of the {} recurrent layers of the model", cells.len()),
                found: format!("those of {} layers", self.cells.len()),
                repair: format!("begin with `runner.zero_gpu_states({batch})` of this runner"),
            });
        }
        // a model without any has those of any batch
        if self.batch != batch && !cells.is_empty() {
            return Err(Error::Size {
                argument: "the states".to_owned(),
                expected: format!("those of {batch} sequences"),
                found: format!("those of {}", self.batch),
                repair: format!(
                    "begin with `runner.zero_gpu_states({batch})`, or make them fit: `states.select(&rows)` takes some sequences, and a \
                     workspace or a batch of {} takes them as they are",
                    self.batch
                ),
            });
        }
        for (number, (own, planned)) in self.cells.iter().zip(cells).enumerate() {
            if !own.home.widths().eq(planned.cell.state_widths()) {
                return Err(Error::Size {
                    argument: format!("state {number}"),
                    expected: format!(
                        "arrays (batch, units) of {:?} units for the {}",
                        planned.cell.state_widths().collect::<Vec<_>>(),
                        planned.cell.class()
                    ),
                    found: format!("{:?} units", own.home.widths().collect::<Vec<_>>()),
                    repair: format!("begin with `runner.zero_gpu_states({batch})` of this runner"),
                });
            }
        }
        Ok(())
    }

    /// Refuses states that might be beyond what matrix units of a GPU can hold, of which nobody looks at the values.
    pub(crate) fn check_within_one(&self, fits: &Fits) -> Result<()> {
        // cells without a bound never step by matrices
        let bounded = self.cells.iter().zip(&fits.cells).filter(|(_, fits)| **fits);
        match bounded.map(|(cell, _)| cell.most).find(|&most| most > 1.0) {
            None => Ok(()),
            Some(most) => Err(Error::Value {
                argument: "the states".to_owned(),
                expected: "hidden states within one, for steps by matrix units".to_owned(),
                found: match most.is_finite() {
                    true => most.to_string(),
                    false => "states that may be anything".to_owned(),
                },
                repair: "turn the matrix units off by Settings::matrices(false), or begin with `runner.zero_gpu_states(batch)`"
                    .to_owned(),
            }),
        }
    }

    /// Takes note of a run by cells of which some keep h within one, if it is.
    pub(crate) fn ran(&mut self, fits: &Fits) {
        for (cell, &is_within_one) in self.cells.iter_mut().zip(&fits.cells) {
            cell.most = match is_within_one {
                true => cell.most.max(1.0),
                false => f32::INFINITY,
            };
        }
    }
}
