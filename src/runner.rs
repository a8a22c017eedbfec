//! A model on a device, ready to run.

use std::sync::Arc;

use crate::cpu::CpuModel;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::flow::{Flow, Input};
use crate::gpu::GpuModel;
use crate::gpu::device::Gpu;
use crate::layer::bidirectional::Bidirectional;
use crate::layer::dense::Dense;
use crate::layer::embedding::Embedding;
use crate::layer::lstm::Lstm;
use crate::layer::masking::Masking;
use crate::layer::stacked::StackedRnnCells;
use crate::model::Model;
use crate::model::parts::Parts;
use crate::schedule::check_steps;
use crate::sequences::Sequences;
use crate::state::{Output, State, States};

/// A model with its weights on a device, ready to run; from [`Model::on`].
///
/// Preparing is done once, running often: on a GPU the second run of a batch of the same (batch, time_steps) makes no
/// buffer, no bind group and no pipeline, whatever its mask. The buffers of the four sizes that ran last are kept, and a
/// batch that is smaller in both takes those of a larger one. A runner may be used by several threads at once.
///
/// ```
/// use cellstate::{Device, Lstm, Sequences};
/// use ndarray::Array3;
///
/// let runner = Lstm::new(2, 64).return_sequences(true).on(&Device::cpu())?;
/// let batch = Sequences::from(Array3::zeros((3, 15, 2))).with_lengths(&[15, 10, 12])?;
/// let output = runner.run(&batch)?;
/// assert_eq!(output.sequences()?.dim(), (3, 15, 64));
/// assert_eq!(output.rows_run(), 15 + 10 + 12); // padding is not run
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Debug)]
pub struct Runner {
    parts: Arc<Parts>,
    prepared: Prepared,
    device: Device,
}

#[derive(Debug)]
enum Prepared {
    Cpu(CpuModel),
    Gpu(Box<GpuModel>),
}

impl Model {
    /// Puts the weights on a device and makes everything that a run needs.
    ///
    /// # Errors
    ///
    /// On a GPU [`Error::TooLarge`] if a weight is larger than its binding, [`Error::Gpu`] if the driver fails. On the CPU
    /// [`Error::Value`] if the environment variable `CELLSTATE_CPU` names instructions that the machine does not have.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn on(&self, device: &Device) -> Result<Runner> {
        pollster::block_on(self.on_async(device))
    }

    /// As [`Model::on`].
    ///
    /// # Errors
    ///
    /// As [`Model::on`].
    pub async fn on_async(&self, device: &Device) -> Result<Runner> {
        let parts = Arc::clone(self.parts());
        let prepared = match device {
            Device::Cpu => Prepared::Cpu(CpuModel::new(Arc::clone(&parts))?),
            Device::Gpu(gpu) => Prepared::Gpu(Box::new(GpuModel::new(gpu.clone(), Arc::clone(&parts)).await?)),
        };
        Ok(Runner {
            parts,
            prepared,
            device: device.clone(),
        })
    }
}

macro_rules! layers_on {
    ($($layer:ident),*) => {$(
        impl $layer {
            /// A model of this layer alone, with its weights on a device, ready to run.
            ///
            /// # Errors
            ///
            /// What [`ModelBuilder::build`](crate::ModelBuilder::build) and [`Model::on`] find wrong.
            #[cfg(not(target_arch = "wasm32"))]
            pub fn on(&self, device: &Device) -> Result<Runner> {
                Model::builder().add(self.clone()).build()?.on(device)
            }

            /// As `on`.
            ///
            /// # Errors
            ///
            /// As `on`.
            pub async fn on_async(&self, device: &Device) -> Result<Runner> {
                Model::builder().add(self.clone()).build()?.on_async(device).await
            }
        }
    )*};
}

layers_on!(Masking, Embedding, Lstm, Bidirectional, StackedRnnCells, Dense);

impl Runner {
    /// Runs a batch; every state begins at zero.
    ///
    /// # Errors
    ///
    /// [`Error::InputKind`] for tokens where numbers are wanted or the reverse, [`Error::Features`] for another number of
    /// features than the model's, [`Error::Token`] for a token without a row. On a GPU [`Error::TooLarge`] if the batch
    /// does not fit, [`Error::Gpu`] if the driver fails.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run(&self, sequences: &Sequences<'_>) -> Result<Output> {
        pollster::block_on(self.run_async(sequences))
    }

    /// As [`Runner::run`]. On a native target the future waits for the GPU inside of one `poll`; in a browser it yields.
    ///
    /// # Errors
    ///
    /// As [`Runner::run`].
    pub async fn run_async(&self, sequences: &Sequences<'_>) -> Result<Output> {
        check_steps(sequences.batch(), sequences.time_steps())?; // before there is a state of so many sequences
        let wants_states = !self.parts.returned_states.is_empty();
        let states = self.zero_state(sequences.batch());
        Ok(self.run_states(sequences, &states, wants_states).await?.0)
    }

    /// Runs a batch from given states and leaves the final ones there: Keras's `initial_state` and `stateful`.
    ///
    /// A sequence without any valid step keeps its state. On an error the states are as they were.
    ///
    /// # Errors
    ///
    /// As [`Runner::run`]; [`Error::Size`] if the states belong to another batch or model.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run_from(&self, sequences: &Sequences<'_>, states: &mut States) -> Result<Output> {
        pollster::block_on(self.run_from_async(sequences, states))
    }

    /// As [`Runner::run_from`].
    ///
    /// # Errors
    ///
    /// As [`Runner::run_from`].
    pub async fn run_from_async(&self, sequences: &Sequences<'_>, states: &mut States) -> Result<Output> {
        self.check_states(states, sequences.batch())?;
        let (output, finals) = self.run_states(sequences, states, true).await?;
        *states = finals;
        Ok(output)
    }

    async fn run_states(
        &self,
        sequences: &Sequences<'_>,
        states: &States,
        wants_states: bool,
    ) -> Result<(Output, States)> {
        let input = self.check_input(sequences)?;
        let flow = Flow::new(&self.parts, input, sequences.mask().map(|mask| mask.view()))?;
        let ran = match &self.prepared {
            Prepared::Cpu(model) => model.run(&flow, input, states)?,
            Prepared::Gpu(model) => model.run(&flow, input, states, wants_states).await?,
        };
        let mut outputs = ran.outputs.into_iter();
        let returned = self
            .parts
            .returned_states
            .iter()
            .filter_map(|&cell| ran.states.get(cell).cloned())
            .collect();
        let output = Output {
            values: outputs.next().unwrap_or_default(),
            backward: outputs.next(),
            states: returned,
            device: self.device.name(),
            rows_run: ran.rows_run,
        };
        Ok((output, States::new(ran.states)))
    }

    /// The state in which a batch begins: zeros, one [`State`] for each LSTM.
    pub fn zero_state(&self, batch: usize) -> States {
        States::new(
            self.parts
                .cells
                .iter()
                .map(|cell| State::zeros(batch, cell.units()))
                .collect(),
        )
    }

    /// The GPU that it runs on; `None` on the CPU.
    pub fn gpu(&self) -> Option<&Gpu> {
        self.device.gpu()
    }

    /// The device that it runs on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The bytes of GPU memory that batches of (batch, time_steps) take, besides the weights: known before it is run.
    /// `None` on the CPU.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] if no such batch can be run.
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
        match &self.prepared {
            Prepared::Cpu(_) => Ok(None),
            Prepared::Gpu(model) => model.memory(batch, time_steps).map(Some),
        }
    }

    fn check_input<'a>(&self, sequences: &'a Sequences<'_>) -> Result<Input<'a>> {
        match (self.parts.features, sequences.values(), sequences.tokens()) {
            (None, _, Some(tokens)) => Ok(Input::Tokens(tokens)),
            (None, _, None) => Err(Error::InputKind {
                layer: self.parts.reader.clone(),
                expected: "tokens (batch, time_steps) of i32",
                found: "numbers (batch, time_steps, features) of f32",
                repair: "pass an Array2<i32> of token numbers".to_owned(),
            }),
            (Some(expected), Some(values), _) => {
                let (_, time_steps, found) = values.dim();
                if found == expected {
                    return Ok(Input::Values(values));
                }
                let repair = if time_steps == expected {
                    "the axes look swapped (time_steps equals the features wanted): call \
                     `.permuted_axes([0, 2, 1])` to get (batch, time_steps, features)"
                        .to_owned()
                } else {
                    format!("give every time step {expected} features, or make the layer for {found}")
                };
                let shape = values.shape().to_vec();
                Err(Error::Features {
                    layer: self.parts.reader.clone(),
                    expected,
                    found,
                    shape,
                    repair,
                })
            }
            (Some(features), None, _) => Err(Error::InputKind {
                layer: self.parts.reader.clone(),
                expected: "numbers (batch, time_steps, features) of f32",
                found: "tokens (batch, time_steps) of i32",
                repair: format!(
                    "put an Embedding first: `Model::builder().add(Embedding::new(vocabulary, {features}))`, or pass an \
                     Array3<f32>"
                ),
            }),
        }
    }

    fn check_states(&self, states: &[State], batch: usize) -> Result<()> {
        let repair = || format!("begin with `runner.zero_state({batch})`");
        if states.len() != self.parts.cells.len() {
            return Err(Error::Size {
                argument: "states".to_owned(),
                expected: format!(
                    "one state for each of the {} LSTMs of the model",
                    self.parts.cells.len()
                ),
                found: format!("{} states", states.len()),
                repair: repair(),
            });
        }
        for (number, (state, cell)) in states.iter().zip(&self.parts.cells).enumerate() {
            let wanted = (batch, cell.units());
            for (name, part) in [("hidden", &state.hidden), ("cell", &state.cell)] {
                if part.dim() != wanted {
                    return Err(Error::Size {
                        argument: format!("states[{number}].{name}"),
                        expected: format!("shape (batch, units) = {wanted:?}"),
                        found: format!("shape {:?}", part.dim()),
                        repair: repair(),
                    });
                }
            }
        }
        Ok(())
    }
}
