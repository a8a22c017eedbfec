//! The memory that runs take: states, and what is kept between runs.

use super::Runner;
use super::section::Prepared;
use crate::error::Result;
use crate::schedule::check_steps;
use crate::state::State;
use crate::states::States;

impl Runner {
    /// The state in which a batch begins: zeros, one [`State`] for each recurrent layer, in the order of [`States`].
    ///
    /// ```
    /// # use cellstate::{Bidirectional, Device, Lstm};
    /// let states = Bidirectional::new(Lstm::new(2, 8)).on(&Device::cpu())?.zero_state(3);
    /// assert_eq!(states.len(), 2); // forward, backward
    /// assert_eq!(states[1].hidden().dim(), (3, 8));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    ///
    /// It takes 8 bytes for each sequence and unit of an LSTM, 4 for others. Where there is no such memory it gives no states at
    /// all, which [`Runner::run_from`] refuses: where `batch` comes from outside, call [`Runner::try_zero_state`].
    #[must_use]
    pub fn zero_state(&self, batch: usize) -> States {
        self.try_zero_state(batch).unwrap_or_else(|_| States::new(Vec::new()))
    }

    /// As [`Runner::zero_state`], for a number of sequences that nobody has checked.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`](crate::Error::TooLarge) for more sequences than a batch may have (2³¹),
    /// [`Error::Memory`](crate::Error::Memory) if there is no memory for so many.
    ///
    /// ```
    /// # use cellstate::{Device, Error, Lstm};
    /// let runner = Lstm::new(2, 8).on(&Device::cpu())?;
    /// assert_eq!(runner.try_zero_state(3)?, runner.zero_state(3));
    /// assert!(matches!(runner.try_zero_state(usize::MAX), Err(Error::TooLarge { .. })));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn try_zero_state(&self, batch: usize) -> Result<States> {
        check_steps(batch, 1)?;
        let cells = self.cells();
        let states: Result<_> = cells
            .map(|cell| State::zeros(batch, cell.cell.state_widths()))
            .collect();
        Ok(States::new(states?))
    }

    /// Gives the memory back that is kept for later runs, on the GPU as on the CPU: the buffers of the sizes that ran last,
    /// and what was worked out about their masks. Runs that are under way are not disturbed; weights and pipelines stay. The
    /// next run of each size allocates again.
    ///
    /// ```
    /// # use cellstate::{Device, Lstm, Sequences};
    /// # use ndarray::Array3;
    /// let runner = Lstm::new(2, 8).on(&Device::cpu())?;
    /// runner.run(&Sequences::from(Array3::zeros((500, 200, 2))))?; // once a night
    /// runner.release_memory();
    /// runner.run(&Sequences::from(Array3::zeros((1, 20, 2))))?; // all day long
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn release_memory(&self) {
        for section in &self.sections {
            section.flows.clear();
            match &section.prepared {
                Prepared::Cpu(model) => model.release_memory(),
                Prepared::Gpu(model) => {
                    model.drop_workspaces();
                }
                Prepared::Nothing => {}
            }
        }
    }

    /// The bytes of GPU memory that batches of (batch, time_steps) take, besides the weights: known before it is run.
    /// `None` on the CPU. The runner keeps the memory of the four sizes that ran last, and a batch that fits into what is kept
    /// takes no more. A [`GpuWorkspace`](crate::GpuWorkspace) takes another amount: it has the tensors in the place of the staging buffers,
    /// and the lists and parameters once more. The layers within a [`TimeDistributed`](crate::TimeDistributed) are left out: how many inner steps
    /// there are only a batch says, and a model of these layers alone says what they take.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`](crate::Error::TooLarge) if no such batch can be run.
    ///
    /// ```no_run
    /// use cellstate::{Device, Lstm};
    ///
    /// let runner = Lstm::new(64, 512).on(&Device::auto())?;
    /// if let Some(bytes) = runner.gpu_memory(256, 1000)? {
    ///     println!("{} MiB", bytes >> 20);
    /// }
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn gpu_memory(&self, batch: usize, time_steps: usize) -> Result<Option<u64>> {
        let mut bytes = self.gpu().map(|_| 0_u64);
        for section in self.outer() {
            if let (Prepared::Gpu(model), Some(bytes)) = (&section.prepared, &mut bytes) {
                *bytes = bytes.saturating_add(model.memory(batch, section.plan.input_steps(time_steps)?)?);
            }
        }
        Ok(bytes)
    }
}

/// A workspace for an application's encoder keeps the model alive, but has no use for what later runs would have taken.
impl Drop for Runner {
    fn drop(&mut self) {
        self.release_memory();
    }
}
