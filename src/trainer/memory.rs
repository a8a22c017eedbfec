//! How much memory training takes, known before a batch is run.

use super::Trainer;
use crate::cpu::threads;
use crate::error::{Error, Result};
use crate::flow::size::FlowSize;
use crate::schedule::check_steps;

impl Trainer {
    /// The bytes that training on batches of (batch, time_steps) takes at most, whatever their masks: known before one is run, and
    /// without its memory.
    ///
    /// On a GPU these are the bytes of all buffers: weights in each of their forms, gradients, what a pass forward leaves, what the way back
    /// computes in, what the optimiser remembers before and behind a step, what the host reads, and before all this what is there for a moment to find
    /// out where each weight goes. On the CPU they are those of the process: the same, with what the optimiser remembers. Not counted are
    /// the model as it was given, the examples, and what drivers and threads take for themselves.
    ///
    /// Batches of another size take no more, where both numbers are smaller; but on a GPU what a pass forward leaves is kept of the four sizes that ran
    /// last, and both directions of a layer go back at once, which takes more, where their buffers fit a binding together. Where layers are within a
    /// [`TimeDistributed`](crate::TimeDistributed), ask [`memory_within`](Self::memory_within).
    /// [`Ctc`](crate::Ctc) computes on the CPU, with 8 bytes for each time step and each of 2·labels + 1 places, on each thread. On the CPU these are counted, with as
    /// many labels as time steps, which are the most that can be said; rows of targets that are padded to more take 16 bytes more for each number.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`](crate::Error::TooLarge) if no such batch can be trained on: more than 2³¹ steps, or more than a buffer of the GPU holds.
    /// [`Error::Size`](crate::Error::Size) where layers are within a `TimeDistributed`: how many steps these see the two numbers do not say.
    ///
    /// ```
    /// use cellstate::{Adam, Device, Error, Loss, Lstm, Model, Trainer};
    ///
    /// let model = Model::builder().add(Lstm::new(16, 64)).build()?;
    /// let trainer = Trainer::new(model, &Device::cpu(), Loss::MeanSquaredError, Adam::new(1e-3))?;
    /// let (few, many) = (trainer.memory(8, 100)?, trainer.memory(64, 100)?);
    /// assert!(few < many && many < 100 << 20);
    /// assert!(matches!(trainer.memory(usize::MAX, 100), Err(Error::TooLarge { .. })));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn memory(&self, batch: usize, time_steps: usize) -> Result<u64> {
        self.check_nests(false)?;
        self.bytes_of((batch, time_steps, 0))
    }

    /// The same as [`memory`](Self::memory) where layers are within a [`TimeDistributed`](crate::TimeDistributed): of batches of
    /// (batch, time_steps, inner_time_steps).
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`](crate::Error::TooLarge) if no such batch can be trained on; [`Error::Size`](crate::Error::Size) where no layer is within a
    /// `TimeDistributed`.
    ///
    /// ```
    /// use cellstate::{Adam, Dense, Device, Error, Loss, Lstm, Model, TimeDistributed, Trainer};
    ///
    /// // a number for each text, of words of characters
    /// let words = TimeDistributed::new(Lstm::new(8, 16));
    /// let model = Model::builder().add(words).add(Lstm::new(16, 32)).add(Dense::new(32, 1)).build()?;
    /// let trainer = Trainer::new(model, &Device::cpu(), Loss::MeanSquaredError, Adam::new(1e-3))?;
    /// assert!(trainer.memory_within(4, 100, 5)? < trainer.memory_within(4, 100, 12)?);
    /// assert!(matches!(trainer.memory(4, 100), Err(Error::Size { .. })));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn memory_within(&self, batch: usize, time_steps: usize, inner_time_steps: usize) -> Result<u64> {
        self.check_nests(true)?;
        self.bytes_of((batch, time_steps, inner_time_steps))
    }

    /// Whether the model is one of sequences within sequences, as the caller believes.
    fn check_nests(&self, believed: bool) -> Result<()> {
        let is_nested = self.model.plans().iter().any(|plan| plan.is_inner);
        if is_nested == believed {
            return Ok(());
        }
        let sizes = ["(batch, time_steps)", "(batch, time_steps, inner_time_steps)"];
        let [flat, nested] = sizes.map(str::to_owned);
        let (expected, found, call) = match is_nested {
            true => (nested, flat, "memory_within"),
            false => (flat, nested, "memory"),
        };
        Err(Error::Size {
            argument: "the size of a batch".to_owned(),
            expected,
            found,
            repair: format!("call Trainer::{call}"),
        })
    }

    fn bytes_of(&self, size: (usize, usize, usize)) -> Result<u64> {
        let bytes = self.engine.memory(size, self.optimizer_of_device())?;
        if self.engine.is_on_gpu() {
            return Ok(bytes);
        }
        // a step writes new weights beside those of the model, and the model that was given may be somebody else's too
        let of_weights = 2 * (self.trainable_count() as u64).saturating_mul(size_of::<f32>() as u64);
        let slots = self.optimizer.tensors()?;
        // those before the last step are there too
        let of_slots: u64 = slots
            .iter()
            .map(|(_, slot)| 2 * (slot.len() * size_of::<f32>()) as u64)
            .sum();
        let parts = [of_weights, of_slots, self.of_loss(size)?];
        Ok(parts.into_iter().fold(bytes, u64::saturating_add))
    }

    /// What the loss computes in: with a sequence on each thread.
    fn of_loss(&self, size: (usize, usize, usize)) -> Result<u64> {
        let (batch, ..) = size;
        let plans = self.head.plans(&self.model);
        let Some(last) = plans.last() else {
            return Ok(0);
        };
        let (sequences, steps) = last.size_within(size)?;
        check_steps(sequences, last.most_steps(steps))?;
        let size = FlowSize::in_training(last, sequences, steps);
        // what an inner sequence gives is a time step of another one
        let outputs = size
            .outputs
            .first()
            .map(|output| (output.entries / batch.max(1), output.width));
        let each = outputs.map_or(0, |outputs| self.head.loss.bytes_of_sequence(outputs));
        Ok(each.saturating_mul(threads().min(batch) as u64))
    }
}
