//! Which steps of a workspace count: by the host, or by a buffer that only the GPU knows.

use std::sync::Arc;

use super::{GpuWorkspace, Steps, unseen};
use crate::error::{Error, Result};
use crate::flow::{Flow, Input};
use crate::gpu::stage::carry::{GpuMask, MaskKind, masked_cells};
use crate::sequences::{Mask, Sequences};
use crate::settings::Strategy;

/// Which steps count.
impl GpuWorkspace {
    /// Of sequence `i` only the first `lengths[i]` steps count, in all that is encoded from now on: a batch padded at the end.
    ///
    /// It makes lists on the host and hands them to the queue in one write; the next submission uploads them. It makes one
    /// buffer if the workspace was encoded since the last call. It waits for nothing, and what was encoded before still runs as it
    /// was encoded. Lengths of `time_steps` make all steps count again.
    ///
    /// # Errors
    ///
    /// [`Error::Size`](crate::Error::Size) if there is not one length for each sequence; [`Error::Length`](crate::Error::Length)
    /// names the first sequence whose length is more than `time_steps`; [`Error::Memory`](crate::Error::Memory) if the lists
    /// do not fit into memory, [`Error::TooLarge`](crate::Error::TooLarge) if they do not fit into one buffer, [`Error::Gpu`](crate::Error::Gpu) if the driver fails. The schedule is then as it was.
    ///
    /// ```no_run
    /// # fn example(runner: cellstate::Runner, mut encoder: wgpu::CommandEncoder) -> cellstate::Result<()> {
    /// let mut workspace = runner.workspace(3, 15)?;
    /// workspace.set_lengths(&[15, 10, 12])?;
    /// workspace.encode(&mut encoder)?;
    /// assert_eq!(workspace.rows_run(), 15 + 10 + 12); // of one recurrent layer: padding is not run
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn set_lengths(&mut self, lengths: &[usize]) -> Result<()> {
        pollster::block_on(self.set_lengths_async(lengths))
    }

    /// As [`set_lengths`](Self::set_lengths).
    ///
    /// # Errors
    ///
    /// As [`set_lengths`](Self::set_lengths).
    pub async fn set_lengths_async(&mut self, lengths: &[usize]) -> Result<()> {
        let batch = self.batch()?.with_lengths(lengths)?;
        self.set_steps_of(&batch).await
    }

    /// The steps that are `true` in `mask` (batch, time_steps) count, in all that is encoded from now on; the others may be
    /// anywhere. As [`set_lengths`](Self::set_lengths) in everything else.
    ///
    /// # Errors
    ///
    /// [`Error::Size`](crate::Error::Size) if the mask has another shape, else as [`set_lengths`](Self::set_lengths).
    ///
    /// ```no_run
    /// # fn example(runner: cellstate::Runner) -> cellstate::Result<()> {
    /// use ndarray::array;
    ///
    /// let mut workspace = runner.workspace(2, 3)?;
    /// workspace.set_mask(array![[true, false, true], [false, true, true]])?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn set_mask(&mut self, mask: impl Into<Mask>) -> Result<()> {
        pollster::block_on(self.set_mask_async(mask))
    }

    /// As [`set_mask`](Self::set_mask).
    ///
    /// # Errors
    ///
    /// As [`set_mask`](Self::set_mask).
    pub async fn set_mask_async(&mut self, mask: impl Into<Mask>) -> Result<()> {
        let batch = self.batch()?.with_mask(mask)?;
        self.set_steps_of(&batch).await
    }

    /// Of sequence `i` only the first `lengths[i]` steps count, where the buffer has `lengths` when that runs which is encoded from now
    /// on: a `u32` for each sequence, which only the GPU need know. More than `time_steps` is as many.
    ///
    /// The meaning is that of [`set_lengths`](Self::set_lengths), but every step of every sequence is run, by
    /// [`Strategy::Step`](crate::Strategy::Step), and what does not count is undone behind each step: it costs what a batch without
    /// a mask costs, and a second dispatch for each step. [`set_lengths`](Self::set_lengths) or [`set_mask`](Self::set_mask) end it.
    ///
    /// The buffer has the usage `STORAGE`, and the lengths begin at a multiple of the device's `min_storage_buffer_offset_alignment`.
    /// They may lie in any buffer, but not among the bytes of the outputs.
    ///
    /// # Errors
    ///
    /// As [`set_input`](Self::set_input); [`Error::Unsupported`] where the settings name another strategy than `step`;
    /// [`Error::TooLarge`] if the parameters of all steps do not fit into one buffer. The workspace is then as it was.
    ///
    /// ```no_run
    /// # fn example(runner: cellstate::Runner, lengths: wgpu::Buffer) -> cellstate::Result<()> {
    /// let mut workspace = runner.workspace(3, 20)?;
    /// workspace.set_lengths_from(&lengths, 0)?; // three u32, written by a shader of the application
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn set_lengths_from(&mut self, buffer: &wgpu::Buffer, offset: u64) -> Result<()> {
        pollster::block_on(self.set_lengths_from_async(buffer, offset))
    }

    /// As [`set_lengths_from`](Self::set_lengths_from).
    ///
    /// # Errors
    ///
    /// As [`set_lengths_from`](Self::set_lengths_from).
    pub async fn set_lengths_from_async(&mut self, buffer: &wgpu::Buffer, offset: u64) -> Result<()> {
        self.set_steps_from(MaskKind::Lengths, buffer, offset).await
    }

    /// The steps whose byte in the buffer is not 0 count: (batch, time_steps), a byte for each step, one behind the other, up to a
    /// multiple of four bytes. As [`set_lengths_from`](Self::set_lengths_from) in everything else.
    ///
    /// # Errors
    ///
    /// As [`set_lengths_from`](Self::set_lengths_from).
    ///
    /// ```no_run
    /// # fn example(runner: cellstate::Runner, mask: wgpu::Buffer) -> cellstate::Result<()> {
    /// let mut workspace = runner.workspace(3, 21)?;
    /// workspace.set_mask_from(&mask, 0)?; // 64 bytes, of which the last counts for nothing
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn set_mask_from(&mut self, buffer: &wgpu::Buffer, offset: u64) -> Result<()> {
        pollster::block_on(self.set_mask_from_async(buffer, offset))
    }

    /// As [`set_mask_from`](Self::set_mask_from).
    ///
    /// # Errors
    ///
    /// As [`set_mask_from`](Self::set_mask_from).
    pub async fn set_mask_from_async(&mut self, buffer: &wgpu::Buffer, offset: u64) -> Result<()> {
        self.set_steps_from(MaskKind::Bytes, buffer, offset).await
    }

    /// A batch of this size, whose values nobody looks at.
    fn batch(&self) -> Result<Sequences<'static>> {
        Ok(Sequences::from(unseen(self.recorded.flow.batch, self.time_steps)?))
    }

    async fn set_steps_of(&mut self, batch: &Sequences<'_>) -> Result<()> {
        let Some(mask) = batch.mask() else { return Ok(()) };
        if matches!(&self.steps, Steps::OfHost(present) if present == mask) {
            return Ok(());
        }
        let flow = self.flow_of(Some(mask))?;
        self.change(Steps::OfHost(mask.clone()), None, flow).await
    }

    fn flow_of(&self, mask: Option<&Mask>) -> Result<Arc<Flow>> {
        let input = Input::Values(unseen(self.recorded.flow.batch, self.time_steps)?);
        Ok(Arc::new(Flow::new(&self.plan, input, mask.map(Mask::view))?))
    }

    async fn set_steps_from(&mut self, kind: MaskKind, buffer: &wgpu::Buffer, offset: u64) -> Result<()> {
        let asked = self.model.settings.wanted_strategy();
        if let Some(strategy) = asked.filter(|&strategy| strategy != Strategy::Step) {
            return Err(Error::Unsupported {
                layer: "a mask that only the GPU knows".to_owned(),
                option: format!("the strategy {strategy}"),
                instead: "leave it out of the settings, and `step` is taken".to_owned(),
            });
        }
        let batch = self.recorded.flow.batch;
        let (what, shape, bytes) = match kind {
            MaskKind::Lengths => ("lengths", vec![batch], 4 * batch),
            MaskKind::Bytes => {
                let steps = batch.saturating_mul(self.time_steps);
                ("mask", vec![batch, self.time_steps], steps.next_multiple_of(4))
            }
        };
        let bytes = (bytes as u64).max(4);
        self.check_mask((what, &shape), buffer, (offset, bytes))?;
        let mask = GpuMask {
            kind,
            buffer: buffer.clone(),
            offset,
            bytes,
            time_steps: self.time_steps,
            cells: masked_cells(&self.plan),
        };
        let flow = self.flow_of(None)?;
        self.change(Steps::OfGpu, Some(mask), flow).await
    }

    /// Takes other steps; on an error they are as they were.
    async fn change(&mut self, steps: Steps, mask: Option<GpuMask>, flow: Arc<Flow>) -> Result<()> {
        let before = (std::mem::replace(&mut self.steps, steps), self.gpu_mask.take());
        self.gpu_mask = mask;
        let changed = match self.bind_mask().await {
            Ok(()) => self.record(flow).await,
            Err(error) => Err(error),
        };
        if changed.is_err() {
            (self.steps, self.gpu_mask) = before;
            // what was bound before can be bound again; its lists too, for others may be in their parcel
            if self.bind_mask().await.is_ok() {
                drop(self.record(self.recorded.flow.clone()).await);
            }
        }
        changed
    }

    async fn bind_mask(&mut self) -> Result<()> {
        let (gpu, mask) = (&self.model.gpu, self.gpu_mask.as_ref());
        let (stages, params) = (&mut self.workspace.stages, &self.workspace.params);
        let bind = || {
            stages.iter_mut().for_each(|stage| stage.bind_mask(gpu, params, mask));
            Ok(())
        };
        gpu.guarded("binding a mask of the application", bind).await
    }
}
