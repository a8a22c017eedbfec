//! Weights, and what the optimiser remembers, from the device that makes the steps to the host.

#[cfg(feature = "safetensors")]
use std::borrow::Cow;

use ndarray::ArrayD;

use super::Trainer;
#[cfg(target_arch = "wasm32")]
use crate::error::Error;
use crate::error::Result;
#[cfg(feature = "safetensors")]
use crate::model::Model;
#[cfg(feature = "safetensors")]
use crate::optimizer::OptimizerState;

impl Trainer {
    /// Reads the weights, and what the optimiser remembers if that is wanted too, where the device has them newer. In a browser, which cannot wait
    /// for it later, that is always wanted.
    pub(super) async fn come_home(&mut self, slots: bool) -> Result<()> {
        if self.away.weights {
            let weights = self.engine.newest_weights().await?;
            self.take_weights(weights)?;
        }
        if self.away.slots && (slots || cfg!(target_arch = "wasm32")) {
            let slots = self.engine.newest_slots().await?;
            self.optimizer.take_slots(slots)?;
            self.away.slots = false;
        }
        Ok(())
    }

    /// All of it, for who cannot wait otherwise.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn wait_for_home(&mut self) -> Result<()> {
        pollster::block_on(self.come_home(true))
    }

    /// A browser cannot wait: there nothing is away behind a call that has ended.
    #[cfg(target_arch = "wasm32")]
    pub(super) fn wait_for_home(&mut self) -> Result<()> {
        self.check_at_home()
    }

    #[cfg(target_arch = "wasm32")]
    fn check_at_home(&self) -> Result<()> {
        match self.away.weights || self.away.slots {
            false => Ok(()),
            true => Err(Error::Unsupported {
                layer: "Trainer".to_owned(),
                option: "a change or a checkpoint behind a call of `fit_async` that was dropped or whose GPU was lost, in a \
                         browser"
                    .to_owned(),
                instead: "train on a batch more (`train_on_batch_async`), which brings everything home".to_owned(),
            }),
        }
    }

    /// The model with the newest weights.
    #[cfg(feature = "safetensors")]
    pub(super) fn newest_model(&self) -> Result<Cow<'_, Model>> {
        #[cfg(target_arch = "wasm32")]
        self.check_at_home()?;
        #[cfg(not(target_arch = "wasm32"))]
        if self.away.weights {
            let mut model = self.model.clone();
            model.replace_parameters(pollster::block_on(self.engine.newest_weights())?)?;
            return Ok(Cow::Owned(model));
        }
        Ok(Cow::Borrowed(&self.model))
    }

    /// The optimiser with all that it remembers.
    #[cfg(feature = "safetensors")]
    pub(super) fn whole_optimizer(&self) -> Result<Cow<'_, OptimizerState>> {
        #[cfg(target_arch = "wasm32")]
        self.check_at_home()?;
        #[cfg(not(target_arch = "wasm32"))]
        if self.away.slots {
            let mut optimizer = self.optimizer.clone();
            optimizer.take_slots(pollster::block_on(self.engine.newest_slots())?)?;
            return Ok(Cow::Owned(optimizer));
        }
        Ok(Cow::Borrowed(&self.optimizer))
    }

    /// Weights that the device has already.
    pub(super) fn take_weights(&mut self, weights: Vec<(String, ArrayD<f32>)>) -> Result<()> {
        self.model.replace_parameters(weights)?;
        self.away.weights = false;
        Ok(())
    }
}
