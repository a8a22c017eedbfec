//! Changing states where they are: reset, and selected by row.

use super::GpuStates;
use crate::error::{Error, Result};
use crate::gpu::commands::{Commands, record_bytes};
use crate::gpu::device::buffer::Use;
use crate::gpu::rows::padded;
use crate::gpu::stage::gather::{GatherBuffers, Target, whole};
use crate::gpu::stage::lists::{make_list, upload_list};
use crate::memory::STATES;

/// Reset and select.
impl GpuStates {
    /// Sets every state to zero, as Keras's `reset_state()` does, behind all that was submitted before.
    ///
    /// # Errors
    ///
    /// [`Error::Gpu`] if the driver fails.
    ///
    /// ```
    /// # use cellstate::{Device, Lstm};
    /// # let device = Device::named("llvmpipe").unwrap_or_else(|_| Device::auto());
    /// # if device.gpu().is_some() {
    /// let runner = Lstm::new(2, 8).on(&device)?;
    /// let mut states = runner.zero_state(3);
    /// states[0].hidden_mut().fill(0.5);
    /// let mut states = runner.gpu_states(&states)?;
    /// states.reset()?;
    /// assert_eq!(states.read()?, runner.zero_state(3));
    /// # }
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn reset(&mut self) -> Result<()> {
        pollster::block_on(self.reset_async())
    }

    /// As [`reset`](Self::reset).
    ///
    /// # Errors
    ///
    /// As [`reset`](Self::reset).
    pub async fn reset_async(&mut self) -> Result<()> {
        self.submit("resetting states", |encoder| self.clear_all(encoder)).await
    }

    /// As [`reset`](Self::reset), within the commands of an application: the states are zero for what is encoded behind it.
    ///
    /// ```no_run
    /// # fn example(mut states: cellstate::GpuStates, mut encoder: wgpu::CommandEncoder) {
    /// states.encode_reset(&mut encoder);
    /// # }
    /// ```
    pub fn encode_reset(&mut self, encoder: &mut wgpu::CommandEncoder) {
        self.clear_all(encoder);
    }

    /// Sets the states of some sequences to zero, in all layers: streams have ended and others take their places. Behind all that
    /// was submitted before.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] if the batch has not all of the rows; then no state is changed. [`Error::Gpu`] if the driver fails.
    ///
    /// ```
    /// # use cellstate::{Device, Lstm};
    /// # let device = Device::named("llvmpipe").unwrap_or_else(|_| Device::auto());
    /// # if device.gpu().is_some() {
    /// let runner = Lstm::new(2, 8).on(&device)?;
    /// let mut states = runner.zero_state(3);
    /// states[0].hidden_mut().fill(0.5);
    /// let mut on_gpu = runner.gpu_states(&states)?;
    /// on_gpu.reset_rows(&[1])?;
    /// states.reset_row(1)?;
    /// assert_eq!(on_gpu.read()?, states);
    /// assert!(on_gpu.reset_rows(&[2, 3]).is_err());
    /// # }
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn reset_rows(&mut self, rows: &[usize]) -> Result<()> {
        pollster::block_on(self.reset_rows_async(rows))
    }

    /// As [`reset_rows`](Self::reset_rows).
    ///
    /// # Errors
    ///
    /// As [`reset_rows`](Self::reset_rows).
    pub async fn reset_rows_async(&mut self, rows: &[usize]) -> Result<()> {
        self.check_rows("reset_rows", rows)?;
        self.submit("resetting states", |encoder| self.clear_rows(encoder, rows))
            .await
    }

    /// As [`reset_rows`](Self::reset_rows), within the commands of an application.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] if the batch has not all of the rows; then nothing is written down.
    ///
    /// ```no_run
    /// # fn example(mut states: cellstate::GpuStates, mut encoder: wgpu::CommandEncoder) -> cellstate::Result<()> {
    /// states.encode_reset_rows(&mut encoder, &[0, 2])?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn encode_reset_rows(&mut self, encoder: &mut wgpu::CommandEncoder, rows: &[usize]) -> Result<()> {
        self.check_rows("encode_reset_rows", rows)?;
        self.clear_rows(encoder, rows);
        Ok(())
    }

    /// The states of some sequences, in the order of `rows`, which may repeat, as states of their own: streams that go on in a smaller
    /// batch, or in another order. All rows in their order make a copy. Behind all that was submitted before.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] if the batch has not all of the rows, [`Error::TooLarge`] if so many do not fit into a buffer,
    /// [`Error::Memory`] if their list does not fit into memory, [`Error::Gpu`] if the driver fails.
    ///
    /// ```
    /// # use cellstate::{Device, Lstm};
    /// # let device = Device::named("llvmpipe").unwrap_or_else(|_| Device::auto());
    /// # if device.gpu().is_some() {
    /// let runner = Lstm::new(2, 8).on(&device)?;
    /// let mut states = runner.zero_state(3);
    /// states[0].hidden_mut().row_mut(2).fill(0.5);
    /// let selected = runner.gpu_states(&states)?.select(&[2, 0])?;
    /// assert_eq!(selected.read()?, states.select(&[2, 0])?);
    /// # }
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn select(&self, rows: &[usize]) -> Result<Self> {
        pollster::block_on(self.select_async(rows))
    }

    /// As [`select`](Self::select).
    ///
    /// # Errors
    ///
    /// As [`select`](Self::select).
    pub async fn select_async(&self, rows: &[usize]) -> Result<Self> {
        let (selected, commands) = self.selected("select", rows).await?;
        self.submit("selecting states", |encoder| commands.encode(None, encoder))
            .await?;
        Ok(selected)
    }

    /// As [`select`](Self::select), within the commands of an application: the new states are there for what is encoded behind it, and
    /// hold nothing before that runs. It makes buffers, which [`GpuWorkspace::encode`](crate::GpuWorkspace::encode) does not.
    ///
    /// # Errors
    ///
    /// As [`select`](Self::select); then nothing is written down.
    ///
    /// ```no_run
    /// # fn example(states: cellstate::GpuStates, mut encoder: wgpu::CommandEncoder) -> cellstate::Result<()> {
    /// let two = states.encode_select(&mut encoder, &[2, 0])?;
    /// assert_eq!(two.batch(), 2);
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn encode_select(&self, encoder: &mut wgpu::CommandEncoder, rows: &[usize]) -> Result<Self> {
        pollster::block_on(self.encode_select_async(encoder, rows))
    }

    /// As [`encode_select`](Self::encode_select).
    ///
    /// # Errors
    ///
    /// As [`encode_select`](Self::encode_select).
    pub async fn encode_select_async(&self, encoder: &mut wgpu::CommandEncoder, rows: &[usize]) -> Result<Self> {
        let (selected, commands) = self.selected("encode_select", rows).await?;
        commands.encode(None, encoder);
        Ok(selected)
    }

    /// States of so many rows, and the commands that fill them.
    async fn selected(&self, argument: &str, rows: &[usize]) -> Result<(Self, Commands)> {
        self.check_rows(argument, rows)?;
        let widths: Vec<Vec<usize>> = self.cells.iter().map(|cell| cell.home.widths().collect()).collect();
        let work = || {
            let mut selected = Self::zeros(&self.gpu, rows.len(), &widths)?;
            let index = make_list(&self.gpu, "select", rows.len());
            let mut queue = &self.gpu;
            upload_list(&mut queue, &index, &STATES.listed(rows.iter().map(|&row| row as u32))?);
            let parts = widths.iter().map(Vec::len).sum::<usize>() as u64;
            let bytes = parts * record_bytes(&self.gpu);
            let params = self.gpu.make_buffer("select.params", bytes, Use::Uniform);
            let mut commands = Commands::new(&self.gpu);
            for (from, to) in self.cells.iter().zip(&mut selected.cells) {
                to.most = from.most;
                for (from, to) in from.home.parts.iter().zip(&to.home.parts) {
                    let (source, target) = (from.rows(self.batch), to.rows(rows.len()));
                    let buffers = (whole(&source.buffers), whole(&target.buffers));
                    let places = (&source.size, &*buffers.0);
                    let gather =
                        GatherBuffers::between((&self.gpu, &params), "select", index.clone(), places, &buffers.1);
                    let all = 0..self.batch;
                    let held = std::slice::from_ref(&all);
                    let target = Target::rows(from.width, padded(from.width));
                    gather.record(&mut commands, 0..rows.len(), held, 0, target);
                }
            }
            commands.upload(&self.gpu, &params)?;
            Ok((selected, commands))
        };
        self.gpu.guarded("selecting states", work).await
    }

    fn clear_all(&self, encoder: &mut wgpu::CommandEncoder) {
        for part in self.cells.iter().flat_map(|cell| &cell.home.parts) {
            encoder.clear_buffer(&part.buffer, 0, None);
        }
    }

    fn clear_rows(&self, encoder: &mut wgpu::CommandEncoder, rows: &[usize]) {
        for part in self.cells.iter().flat_map(|cell| &cell.home.parts) {
            let bytes = part.bytes(1);
            // neighbours at once
            for run in rows.chunk_by(|&row, &next| row + 1 == next) {
                if let Some(&row) = run.first() {
                    encoder.clear_buffer(&part.buffer, row as u64 * bytes, Some(run.len() as u64 * bytes));
                }
            }
        }
    }

    fn check_rows(&self, argument: &str, rows: &[usize]) -> Result<()> {
        match rows.iter().find(|&&row| row >= self.batch) {
            None => Ok(()),
            Some(row) => Err(Error::Value {
                argument: argument.to_owned(),
                expected: format!("rows below the batch of {}", self.batch),
                found: row.to_string(),
                repair: "rows are numbered from 0 in the order of the batch".to_owned(),
            }),
        }
    }
}
