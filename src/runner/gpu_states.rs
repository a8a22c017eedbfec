//! A runner whose states stay on the GPU.

use super::Runner;
use crate::error::{Error, Result};
use crate::gpu::GpuStates;
use crate::output::Output;
use crate::sequences::Sequences;
use crate::states::States;
use crate::trace::{said, spanned};

const OPTION: &str = "states that stay on the GPU";

impl Runner {
    /// States of the host as states on the GPU; the next submission uploads them.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`](crate::Error::Unsupported) on the CPU, and for a model with a `Masking` layer behind one that computes, which is
    /// run in pieces; [`Error::Size`](crate::Error::Size) if the states belong to another model;
    /// [`Error::TooLarge`](crate::Error::TooLarge) if an array of them is more than the GPU binds,
    /// [`Error::Memory`](crate::Error::Memory) if there is no memory to hand them over, [`Error::Gpu`](crate::Error::Gpu) if the driver fails.
    ///
    /// ```
    /// # use cellstate::{Device, Lstm};
    /// # let device = Device::named("llvmpipe").unwrap_or_else(|_| Device::auto());
    /// # if device.gpu().is_some() {
    /// let runner = Lstm::new(2, 8).on(&device)?;
    /// let mut states = runner.zero_state(3);
    /// states[0].hidden_mut().fill(0.5); // or what was saved yesterday
    /// let states = runner.gpu_states(&states)?;
    /// assert_eq!(states.batch(), 3);
    /// # }
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn gpu_states(&self, states: &States) -> Result<GpuStates> {
        pollster::block_on(self.gpu_states_async(states))
    }

    /// As [`Runner::gpu_states`].
    ///
    /// # Errors
    ///
    /// As [`Runner::gpu_states`].
    pub async fn gpu_states_async(&self, states: &States) -> Result<GpuStates> {
        let model = self.gpu_model(OPTION)?;
        let batch = states.first().map_or(0, |state| state.batch());
        self.check_states(states, batch)?;
        GpuStates::make(&model.gpu, batch, &model.plan.cells, Some(states)).await
    }

    /// The states in which a batch begins, on the GPU: zeros.
    ///
    /// # Errors
    ///
    /// As [`Runner::gpu_states`]; [`Error::TooLarge`](crate::Error::TooLarge) also for more sequences than a batch may have (2³¹).
    ///
    /// ```
    /// # use cellstate::{Device, Lstm};
    /// # let device = Device::named("llvmpipe").unwrap_or_else(|_| Device::auto());
    /// # if device.gpu().is_some() {
    /// let runner = Lstm::new(2, 8).on(&device)?;
    /// assert_eq!(runner.zero_gpu_states(3)?.read()?, runner.zero_state(3));
    /// # }
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn zero_gpu_states(&self, batch: usize) -> Result<GpuStates> {
        pollster::block_on(self.zero_gpu_states_async(batch))
    }

    /// As [`Runner::zero_gpu_states`].
    ///
    /// # Errors
    ///
    /// As [`Runner::zero_gpu_states`].
    pub async fn zero_gpu_states_async(&self, batch: usize) -> Result<GpuStates> {
        let model = self.gpu_model(OPTION)?;
        GpuStates::make(&model.gpu, batch, &model.plan.cells, None).await
    }

    /// As [`Runner::run_from`], with states that stay on the GPU: nothing of them is uploaded or read back, unless the last layer has
    /// `return_state`.
    ///
    /// # Errors
    ///
    /// As [`Runner::run`] and [`Runner::gpu_states`]; [`Error::Size`](crate::Error::Size) if the states belong to another batch or model,
    /// [`Error::Value`](crate::Error::Value) if they are on another device, and on a GPU with matrix units in relaxed precision if they may
    /// be beyond one. The states are then as they were.
    ///
    /// ```
    /// # use cellstate::{Device, Lstm, Sequences};
    /// # use ndarray::Array3;
    /// # let device = Device::named("llvmpipe").unwrap_or_else(|_| Device::auto());
    /// # if device.gpu().is_some() {
    /// let runner = Lstm::new(2, 8).on(&device)?;
    /// let (mut states, mut on_gpu) = (runner.zero_state(3), runner.zero_gpu_states(3)?);
    /// for number in 0..3 {
    ///     let chunk = Array3::from_elem((3, 5, 2), number as f32 / 2.0);
    ///     let one = runner.run_from(&Sequences::from(&chunk), &mut states)?;
    ///     let other = runner.run_from_gpu(&Sequences::from(&chunk), &mut on_gpu)?;
    ///     assert_eq!(one.values(), other.values());
    /// }
    /// assert_eq!(on_gpu.read()?, states);
    /// # }
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run_from_gpu(&self, sequences: &Sequences<'_>, states: &mut GpuStates) -> Result<Output> {
        pollster::block_on(self.run_from_gpu_async(sequences, states))
    }

    /// As [`Runner::run_from_gpu`].
    ///
    /// # Errors
    ///
    /// As [`Runner::run_from_gpu`].
    pub async fn run_from_gpu_async(&self, sequences: &Sequences<'_>, states: &mut GpuStates) -> Result<Output> {
        let model = self.gpu_model(OPTION)?;
        let section = self
            .sections
            .first()
            .ok_or_else(|| Error::defect("a model without sections"))?;
        self.check_time_steps(sequences)?;
        let input = self.check_input(sequences)?;
        let mut output = Output::default();
        let mask = sequences.mask().map(|mask| mask.view());
        let run = async {
            section.run_from_gpu(model, (input, mask), states, &mut output).await?;
            said!("ran" { rows = output.rows_run });
            Ok(())
        };
        spanned!("run" { batch = input.size().0, time_steps = input.size().1, device = self.device.name() }, run)
            .await?;
        Ok(output)
    }
}
