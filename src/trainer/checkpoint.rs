//! A training as a file: to go on from another time, with the same bits as if nothing had happened in between.
//!
//! It is a safetensors file. Under `weights/`, `best/` and `slots/` stand the weights, those of the best epoch and what the optimiser remembers,
//! under `states/` the states that are carried; what else there is stands as JSON in the header.

mod names;
mod read;
mod text;

use std::path::Path;

use ndarray::ArrayViewD;

use super::Trainer;
use super::standing::Standing;
use crate::error::Result;
use crate::format::chain;
use crate::format::file::File;
use crate::format::opening::read_tensors;
use crate::format::safetensors::write::bytes;
use crate::format::save::write;
use crate::model::Model;
use names::{BEST, KEY, SLOTS, STATES, WEIGHTS};
use read::{Checkpoint, of_file};
pub(super) use text::Batching;
use text::{Position, objective};

impl Trainer {
    /// Writes weights and optimiser to a file, from which [`load_checkpoint`](Self::load_checkpoint) goes on: beside an old one, and then renamed.
    /// [`Fit::checkpoint`](crate::Fit::checkpoint) does that behind every epoch, and keeps where the training stands too.
    ///
    /// # Errors
    ///
    /// [`Error::File`](crate::Error::File) if the file cannot be written. [`Error::Gpu`](crate::Error::Gpu) if a GPU has weights or what the optimiser remembers, and does
    /// not give it: where the GPU is lost, this is gone. In a browser, which cannot wait for it, [`Error::Unsupported`](crate::Error::Unsupported) behind a call of
    /// [`fit_async`](Self::fit_async) that was dropped. The old file is then as it was.
    ///
    /// ```
    /// use cellstate::{Adam, Dense, Device, Loss, Model, Trainer};
    ///
    /// let trainer = || {
    ///     let model = Model::builder().add(Dense::new(2, 1)).build()?;
    ///     Trainer::new(model, &Device::cpu(), Loss::MeanSquaredError, Adam::new(1e-3))
    /// };
    /// let path = std::env::temp_dir().join(format!("cellstate-checkpoint-{}.safetensors", std::process::id()));
    /// trainer()?.save_checkpoint(&path)?;
    /// trainer()?.load_checkpoint(&path)?;
    /// # std::fs::remove_file(&path).ok();
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn save_checkpoint(&self, path: impl AsRef<Path>) -> Result<()> {
        self.write_checkpoint(path.as_ref(), None)
    }

    /// Takes weights, optimiser, seed and the number of batches of a file that [`save_checkpoint`](Self::save_checkpoint) or
    /// [`Fit::checkpoint`](crate::Fit::checkpoint) has written.
    ///
    /// # Errors
    ///
    /// [`Error::File`](crate::Error::File) if the file cannot be read; [`Error::Content`](crate::Error::Content) if it is cut off, damaged, or of another model, [`Error::Value`](crate::Error::Value) or
    /// [`Error::Size`](crate::Error::Size) if it is of another optimiser, or this remembers something of other weights. Nothing is changed then.
    ///
    /// ```
    /// use cellstate::{Adam, Dense, Device, Error, Loss, Model, Trainer};
    ///
    /// let model = Model::builder().add(Dense::new(2, 1)).build()?;
    /// let mut trainer = Trainer::new(model, &Device::cpu(), Loss::MeanSquaredError, Adam::new(1e-3))?;
    /// assert!(matches!(trainer.load_checkpoint("nowhere.safetensors"), Err(Error::File { .. })));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn load_checkpoint(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let bytes = read_tensors(path)?;
        let file = File::new(&bytes, path, None);
        let checkpoint = Checkpoint::read(&file, &self.model)?;
        self.take(checkpoint, &file)
    }

    /// Where the training of a checkpoint stands, which this one with these batches goes on with.
    pub(super) fn resumed(&mut self, path: &Path, fresh: Standing, batching: Batching) -> Result<Standing> {
        let bytes = read_tensors(path)?;
        let file = File::new(&bytes, path, None);
        let checkpoint = Checkpoint::read(&file, &self.model)?;
        checkpoint.check_objective(&objective(self), &file)?;
        let standing = checkpoint.standing(fresh, batching, &file)?;
        if let Some(states) = &standing.states {
            self.engine.check_states(states, batching.batch_size)?;
        }
        self.take(checkpoint, &file)?;
        Ok(standing)
    }

    /// Takes what a checkpoint has, or nothing.
    fn take(&mut self, checkpoint: Checkpoint, file: &File<'_>) -> Result<()> {
        let mut model = self.model.clone();
        model
            .replace_parameters(checkpoint.weights)
            .map_err(|error| of_file(error, file))?;
        let mut optimizer = self.optimizer.clone();
        optimizer.restore(checkpoint.optimizer, checkpoint.slots)?;
        self.set_model(model);
        self.optimizer = optimizer;
        self.away.slots = false;
        self.engine.forget_updates();
        (self.seed, self.batches) = (checkpoint.seed, checkpoint.batches);
        Ok(())
    }

    /// Writes everything, and where the training stands if it is under way.
    pub(super) fn write_checkpoint(&self, path: &Path, position: Option<Position<'_>>) -> Result<()> {
        let of_model = |prefix: &str, model: &'_ Model| -> Vec<(String, ndarray::ArrayD<f32>)> {
            let parameters = model.parameters().iter();
            parameters
                .map(|parameter| (format!("{prefix}{}", parameter.path()), parameter.values().to_owned()))
                .collect()
        };
        let newest = self.newest_model()?;
        let mut tensors = of_model(WEIGHTS, &newest);
        let optimizer = self.whole_optimizer()?;
        let slots = optimizer.tensors()?.into_iter();
        tensors.extend(slots.map(|(name, slot)| (format!("{SLOTS}{name}"), slot.to_owned())));
        if let Some((standing, _)) = position {
            tensors.extend(standing.best.iter().flat_map(|best| of_model(BEST, best)));
            for (number, state) in standing.states.iter().flatten().enumerate() {
                for (array, kind) in state.arrays().zip(["hidden", "cell"]) {
                    tensors.push((format!("{STATES}{number}/{kind}"), array.clone().into_dyn()));
                }
            }
        }
        let views: Vec<(String, ArrayViewD<'_, f32>)> = tensors
            .iter()
            .map(|(name, tensor)| (name.clone(), tensor.view()))
            .collect();
        let texts = [
            (KEY, text::write(self, position)),
            (chain::KEY, chain::write(self.model.layers())?),
        ];
        write(path, &bytes(views, texts)?)
    }
}
