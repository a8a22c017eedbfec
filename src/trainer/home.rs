//! Weights, and what the optimiser remembers, from the device that makes the steps to the host.

#[cfg(feature = "safetensors")]
use std::borrow::Cow;

use ndarray::ArrayD;

use super::Trainer;
use crate::error::Result;
#[cfg(feature = "safetensors")]
use crate::optimizer::OptimizerState;

/// What the device has newer than the host.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Away {
    pub(super) weights: bool,
    /// What the optimiser remembers.
    pub(super) slots: bool,
}

impl Trainer {
    /// Reads the weights, and what the optimiser remembers if that is wanted too, where the device has them newer.
    pub(super) async fn come_home(&mut self, slots: bool) -> Result<()> {
        if self.away.weights {
            let weights = self.engine.newest_weights().await?;
            self.take_weights(weights)?;
            self.away.weights = false;
        }
        if slots && self.away.slots {
            let slots = self.engine.newest_slots().await?;
            self.optimizer.take_slots(&slots)?;
            self.away.slots = false;
        }
        Ok(())
    }

    /// The same, for who cannot wait otherwise.
    #[cfg_attr(
        target_arch = "wasm32",
        allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "a browser cannot wait")
    )]
    pub(super) fn wait_for_home(&mut self) -> Result<()> {
        // in a browser nothing is away behind a call
        #[cfg(not(target_arch = "wasm32"))]
        pollster::block_on(self.come_home(true))?;
        Ok(())
    }

    /// The optimiser with all that it remembers.
    #[cfg(feature = "safetensors")]
    pub(super) fn whole_optimizer(&self) -> Result<Cow<'_, OptimizerState>> {
        #[cfg(not(target_arch = "wasm32"))]
        if self.away.slots {
            let mut optimizer = self.optimizer.clone();
            optimizer.take_slots(&pollster::block_on(self.engine.newest_slots())?)?;
            return Ok(Cow::Owned(optimizer));
        }
        Ok(Cow::Borrowed(&self.optimizer))
    }

    /// Weights that the device has already.
    pub(super) fn take_weights(&mut self, weights: Vec<(String, ArrayD<f32>)>) -> Result<()> {
        self.model.replace_parameters(weights)?;
        self.weights = super::weights_of_model(&self.model);
        Ok(())
    }
}
