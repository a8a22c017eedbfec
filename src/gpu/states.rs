//! States that stay on the GPU: made of states of the host or of zeros, handed from run to run, reset and selected there.

mod change;
mod check;

use std::fmt;

use crate::error::{Error, Result};
use crate::gpu::commands::Copies;
use crate::gpu::device::Gpu;
use crate::gpu::device::buffer::Use;
use crate::gpu::device::mapped;
use crate::gpu::device::waits::Waits;
use crate::gpu::stage::home::{Home, part_bytes, read_state};
use crate::model::plan::PlannedCell;
use crate::schedule::check_steps;
use crate::state::State;
use crate::states::States;

/// The states of all recurrent layers of a model for a batch, in buffers of a GPU: [`States`] that need not come to the host.
///
/// [`Runner::gpu_states`](crate::Runner::gpu_states) makes them of [`States`],
/// [`Runner::zero_gpu_states`](crate::Runner::zero_gpu_states) of zeros, and [`read`](Self::read) gives them back.
/// [`Runner::run_from_gpu`](crate::Runner::run_from_gpu) and, within an application's commands,
/// [`GpuWorkspace::encode_from`](crate::GpuWorkspace::encode_from) begin with them and leave the final ones there. They belong to a
/// device and not to a runner: any runner on the device takes them whose layers have states of these shapes, and one runner
/// serves any number of them.
///
/// What changes them has two forms. [`reset`](Self::reset), [`reset_rows`](Self::reset_rows) and [`select`](Self::select) submit what they do,
/// behind all that was submitted before. [`encode_reset`](Self::encode_reset), [`encode_reset_rows`](Self::encode_reset_rows) and
/// [`encode_select`](Self::encode_select) write it into an encoder of the application, where it stands in the order of the
/// other commands. Neither waits for the GPU or reads anything back.
///
/// They take 8 bytes for each sequence and unit of an LSTM, 4 for others, with units rounded up to fours. A runner that has run from states
/// keeps the memory of the last ones until its next run of a batch of that size.
///
/// ```
/// use cellstate::{Device, Gru, Sequences};
/// use ndarray::Array3;
///
/// let device = Device::auto();
/// # let device = Device::named("llvmpipe").unwrap_or(device);
/// if device.gpu().is_some() {
///     let runner = Gru::new(2, 8).on(&device)?;
///     let mut states = runner.zero_gpu_states(3)?; // three streams
///     let chunk = Array3::from_elem((3, 5, 2), 0.5);
///     runner.run_from_gpu(&Sequences::from(&chunk), &mut states)?;
///     runner.run_from_gpu(&Sequences::from(&chunk), &mut states)?; // goes on where the first chunk ended
///     states.reset_rows(&[1])?; // stream 1 starts anew
///     let two = states.select(&[2, 0])?; // stream 1 has ended, the others change places
///     assert_eq!(two.read()?[0].hidden().dim(), (2, 8));
/// }
/// # Ok::<(), cellstate::Error>(())
/// ```
pub struct GpuStates {
    gpu: Gpu,
    batch: usize,
    cells: Vec<Cell>,
}

/// The state of one cell.
#[derive(Clone, Debug)]
struct Cell {
    home: Home,
    /// No value of h is beyond this, as far as is known; it never falls, for what is encoded may be submitted at any time.
    most: f32,
}

impl GpuStates {
    /// Of so many sequences, for these cells, from zeros or from states of their shapes.
    pub(crate) async fn make(gpu: &Gpu, batch: usize, cells: &[PlannedCell], states: Option<&[State]>) -> Result<Self> {
        let states = states.unwrap_or_default();
        let widths: Vec<Vec<usize>> = cells.iter().map(|cell| cell.cell.state_widths().collect()).collect();
        let work = || {
            let mut made = Self::zeros(gpu, batch, &widths)?;
            for (cell, state) in made.cells.iter_mut().zip(states) {
                cell.home.upload(gpu, state)?;
                cell.most = most(state);
            }
            Ok(made)
        };
        gpu.guarded("making states", work).await
    }

    /// The buffers, which the device fills with zeros.
    fn zeros(gpu: &Gpu, batch: usize, widths: &[Vec<usize>]) -> Result<Self> {
        check_steps(batch, 1)?;
        let limit = gpu.largest_binding();
        let bytes = widths.iter().flatten().map(|&width| part_bytes(width, batch));
        if let Some(needed) = bytes.max().filter(|&needed| needed > limit) {
            let widest = widths.iter().flatten().max();
            let fits = limit / widest.map_or(1, |&width| part_bytes(width, 1)).max(1);
            return Err(Error::TooLarge {
                what: format!("the states of {batch} sequences"),
                needed,
                limit,
                limit_name: "bytes, max_storage_buffer_binding_size",
                repair: format!("{fits} sequences at once would fit: keep the states of others apart"),
            });
        }
        let cell = |widths: &Vec<usize>| Cell {
            home: Home::make((gpu, "states"), batch, widths.iter().copied()),
            most: 0.0,
        };
        Ok(Self {
            gpu: gpu.clone(),
            batch,
            cells: widths.iter().map(cell).collect(),
        })
    }

    /// The number of sequences.
    ///
    /// ```no_run
    /// # fn example(runner: cellstate::Runner) -> cellstate::Result<()> {
    /// assert_eq!(runner.zero_gpu_states(3)?.batch(), 3);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Reads the states back, once the GPU has done what was submitted before.
    ///
    /// # Errors
    ///
    /// [`Error::Memory`] if there is no memory for them, [`Error::Gpu`] if the driver fails.
    ///
    /// ```
    /// # use cellstate::{Device, Lstm};
    /// # let device = Device::named("llvmpipe").unwrap_or_else(|_| Device::auto());
    /// # if device.gpu().is_some() {
    /// let runner = Lstm::new(2, 8).on(&device)?;
    /// let mut states = runner.zero_state(3);
    /// states[0].hidden_mut().fill(0.5);
    /// assert_eq!(runner.gpu_states(&states)?.read()?, states);
    /// # }
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read(&self) -> Result<States> {
        pollster::block_on(self.read_async())
    }

    /// As [`read`](Self::read).
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub async fn read_async(&self) -> Result<States> {
        let zeros = |cell: &Cell| State::zeros(self.batch, cell.home.widths());
        let mut states: Vec<State> = self.cells.iter().map(zeros).collect::<Result<_>>()?;
        let work = || {
            let mut encoder = self.encoder();
            let staging = |cell: &Cell| {
                let bytes = Home::staging_bytes(self.batch, cell.home.widths());
                let staging = self.gpu.make_buffer("state.staging", bytes, Use::Readback);
                for (part, bytes, start) in cell.home.staged(self.batch).filter(|&(_, bytes, _)| bytes > 0) {
                    encoder.copy_buffer_to_buffer(part, 0, &staging, start, bytes);
                }
                (staging, bytes)
            };
            let staged: Vec<_> = self.cells.iter().map(staging).collect();
            Ok((self.gpu.queue().submit([encoder.finish()]), staged))
        };
        let (submission, staged) = self.gpu.guarded("reading states", work).await?;
        let wanted: Vec<_> = staged.iter().map(|(buffer, bytes)| (buffer, *bytes)).collect();
        let read = mapped::bytes(&self.gpu, &wanted, Some(submission), &Waits::default()).await?;
        for (state, bytes) in states.iter_mut().zip(&read) {
            read_state(&bytes.values(), state);
        }
        Ok(States::new(states))
    }

    /// Has the homes of a workspace, each with the number of its cell, hold these states before anything else is done.
    pub(crate) fn fetch<'a>(&'a self, copies: &mut Copies, homes: impl Iterator<Item = (usize, &'a Home)>) {
        let pairs = self.pairs(homes);
        for (from, to, bytes) in pairs.flat_map(|(own, home)| own.copies(home, self.batch)) {
            copies.copy(from, 0..bytes, to, 0);
        }
    }

    /// Writes the same down.
    pub(crate) fn encode_fetch<'a>(
        &'a self,
        encoder: &mut wgpu::CommandEncoder,
        homes: impl Iterator<Item = (usize, &'a Home)>,
    ) {
        let pairs = self.pairs(homes);
        encode_copies(encoder, pairs.flat_map(|(own, home)| own.copies(home, self.batch)));
    }

    /// Writes down that these states become those of the homes.
    pub(crate) fn encode_keep<'a>(
        &'a self,
        encoder: &mut wgpu::CommandEncoder,
        homes: impl Iterator<Item = (usize, &'a Home)>,
    ) {
        let pairs = self.pairs(homes);
        encode_copies(encoder, pairs.flat_map(|(own, home)| home.copies(own, self.batch)));
    }

    /// Takes the final states of a run from the homes of its workspace.
    pub(crate) async fn keep<'a>(&'a self, homes: impl Iterator<Item = (usize, &'a Home)>) -> Result<()> {
        self.submit("keeping the states", |encoder| self.encode_keep(encoder, homes))
            .await
    }

    /// For each home its own.
    fn pairs<'a>(
        &'a self,
        homes: impl Iterator<Item = (usize, &'a Home)>,
    ) -> impl Iterator<Item = (&'a Home, &'a Home)> {
        homes.filter_map(|(cell, home)| Some((&self.cells.get(cell)?.home, home)))
    }

    /// Writes something into an encoder of its own, and submits it.
    async fn submit(&self, doing: &'static str, write: impl FnOnce(&mut wgpu::CommandEncoder)) -> Result<()> {
        let work = || {
            let mut encoder = self.encoder();
            write(&mut encoder);
            self.gpu.queue().submit([encoder.finish()]);
            Ok(())
        };
        self.gpu.guarded(doing, work).await
    }

    fn encoder(&self) -> wgpu::CommandEncoder {
        self.gpu.encoder("states")
    }
}

fn encode_copies<'a>(
    encoder: &mut wgpu::CommandEncoder,
    copies: impl Iterator<Item = (&'a wgpu::Buffer, &'a wgpu::Buffer, u64)>,
) {
    for (from, to, bytes) in copies.filter(|&(.., bytes)| bytes > 0) {
        encoder.copy_buffer_to_buffer(from, 0, to, 0, bytes);
    }
}

/// What no value of h is beyond; infinite where there is one that is no number.
fn most(state: &State) -> f32 {
    let beyond = |most: f32, value: &f32| match value.abs() {
        value if value <= most => most,
        value if value.is_finite() => value,
        _ => f32::INFINITY,
    };
    state.hidden().iter().fold(0.0, beyond)
}

impl fmt::Debug for GpuStates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GpuStates")
            .field("gpu", &self.gpu.name())
            .field("batch", &self.batch)
            .field("layers", &self.cells.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "states_tests.rs"]
mod tests;
