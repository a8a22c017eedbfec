//! How much memory training takes, known before a batch is run.

use super::Trainer;
use crate::cpu::threads;
use crate::error::Result;
use crate::flow::size::FlowSize;
use crate::schedule::check_steps;

impl Trainer {
    /// The bytes that training on batches of (batch, time_steps) takes at most, whatever their masks: known before one is run, and
    /// without its memory.
    ///
    /// On a GPU these are the bytes of all buffers: weights in each of their forms, gradients, what a pass forward leaves, what the way back
    /// computes in, what the optimiser remembers before and behind a step, and what the host reads. On the CPU they are those of the process: the same, with what the optimiser remembers. Not counted are
    /// the model as it was given, the examples, what drivers and threads take for themselves, and what a GPU needs for a moment in its first batch, to
    /// find out where each weight goes.
    ///
    /// Batches of another size take no more, where both numbers are smaller; but on a GPU what a pass forward leaves is kept of the four sizes that ran
    /// last. The layers within a [`TimeDistributed`](crate::TimeDistributed) are left out: how many inner steps there are only a batch says.
    /// [`Ctc`](crate::Ctc) computes on the CPU, with 8 bytes for each time step and each of 2·labels + 1 places, on each thread. On the CPU these are counted, with as
    /// many labels as time steps, which are the most that can be said; rows of targets that are padded to more take 16 bytes more for each number.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`](crate::Error::TooLarge) if no such batch can be trained on: more than 2³¹ steps, or more than a buffer of the GPU holds.
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
        let bytes = self.engine.memory((batch, time_steps), self.optimizer_of_device())?;
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
        let parts = [of_weights, of_slots, self.of_loss((batch, time_steps))?];
        Ok(parts.into_iter().fold(bytes, u64::saturating_add))
    }

    /// What the loss computes in: with a sequence on each thread.
    fn of_loss(&self, (batch, time_steps): (usize, usize)) -> Result<u64> {
        let plans = self.head.plans(&self.model);
        let Some(last) = plans.last().filter(|plan| !plan.is_inner) else {
            return Ok(0);
        };
        let time_steps = last.input_steps(time_steps)?;
        check_steps(batch, last.most_steps(time_steps))?;
        let size = FlowSize::in_training(last, batch, time_steps);
        let outputs = size
            .outputs
            .first()
            .map(|output| (output.entries / batch.max(1), output.width));
        let each = outputs.map_or(0, |outputs| self.head.loss.bytes_of_sequence(outputs));
        Ok(each.saturating_mul(threads().min(batch) as u64))
    }
}
