//! A model on a device, ready to run.

#[cfg(test)]
mod capture_tests;
pub(crate) mod check;
mod explain;
mod gpu_states;
mod memory;
mod rebuild;
#[cfg(test)]
mod recording_tests;
pub(crate) mod section;
#[cfg(test)]
mod training_tests;
mod tune;
mod workspace;

pub use explain::Explanation;

use crate::device::Device;
use crate::error::Result;
use crate::gpu::device::Gpu;
use crate::layer::TimeDistributed;
use crate::layer::batch_normalization::BatchNormalization;
use crate::layer::bidirectional::Bidirectional;
use crate::layer::dense::Dense;
use crate::layer::embedding::Embedding;
use crate::layer::flatten::Flatten;
use crate::layer::gru::Gru;
use crate::layer::layer_normalization::LayerNormalization;
use crate::layer::lstm::Lstm;
use crate::layer::recurrent::Recurrent;
use crate::layer::reshape::Reshape;
use crate::layer::simple_rnn::SimpleRnn;
use crate::layer::stacked::StackedRnnCells;
use crate::model::Model;
use crate::output::Output;
use crate::schedule::check_steps;
use crate::sequences::Sequences;
use crate::settings::Settings;
use crate::state::State;
use crate::states::States;
use crate::trace::{said, spanned};
use section::{Inputs, Section, run_sections};

/// A model with its weights on a device, ready to run; from [`Model::on`].
///
/// Preparing is done once, running often: on a GPU the second run of a batch of the same (batch, time_steps) makes no
/// buffer, no bind group and no pipeline, whatever its mask. The buffers of the four sizes that ran last are kept, and a
/// batch that is smaller in both takes those of a larger one. On the CPU it is the same with all memory: the second run of a
/// batch allocates what it hands out ([`Runner::run_into`] not even that) and little else, unless the model has a `Masking`
/// layer, or softmax in the gates of a cell. There the buffers of a size are also given up after sixteen runs in a row that need
/// less than a quarter of them.
///
/// What the last four runs have worked out about their masks and tokens is kept too, at most 16 MiB for each (17 bytes a time
/// step for one recurrent layer, 33 for a `Bidirectional`, 4 more for each further cell): a batch with the mask of one of them
/// is not worked out again. [`Runner::release_memory`] gives all of that back.
///
/// A runner may be used by several threads at once; each run has buffers of its own. It keeps weights of its own: the layers
/// and the model may be dropped.
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
    sections: Vec<Section>,
    device: Device,
    settings: Settings,
}

impl Model {
    /// Puts the weights on a device and makes everything that a run needs.
    ///
    /// # Errors
    ///
    /// On a GPU [`Error::TooLarge`](crate::Error::TooLarge) if a weight is larger than its binding,
    /// [`Error::Gpu`](crate::Error::Gpu) if the driver fails. On the CPU [`Error::Value`](crate::Error::Value) if the
    /// environment variable `CELLSTATE_CPU` names instructions that the machine does not have.
    ///
    /// ```
    /// # use cellstate::{Dense, Device, Lstm, Model, Sequences};
    /// # use ndarray::Array3;
    /// let model = Model::builder().add(Lstm::new(2, 8)).add(Dense::new(8, 1)).build()?;
    /// let runner = model.on(&Device::cpu())?;
    /// assert_eq!(runner.run(&Sequences::from(Array3::zeros((3, 20, 2))))?.last().dim(), (3, 1));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn on(&self, device: &Device) -> Result<Runner> {
        self.on_with(device, &Settings::new())
    }

    /// As [`Model::on`].
    ///
    /// # Errors
    ///
    /// As [`Model::on`].
    pub async fn on_async(&self, device: &Device) -> Result<Runner> {
        self.on_with_async(device, &Settings::new()).await
    }

    /// As [`Model::on`], with settings of the caller's: relaxed precision, or a way of running that is named instead of
    /// chosen.
    ///
    /// # Errors
    ///
    /// As [`Model::on`]; [`Error::Unsupported`](crate::Error::Unsupported) if a layer or the GPU cannot do the strategy that
    /// the settings name, or for a setting that is of the other kind of device; [`Error::Value`](crate::Error::Value) if the
    /// machine has not the instructions that they name; [`Error::File`](crate::Error::File) if a tuning file cannot be read.
    ///
    /// ```
    /// # use cellstate::{Device, Instructions, Lstm, Model, Sequences, Settings};
    /// # use ndarray::Array3;
    /// let model = Model::builder().add(Lstm::new(2, 8)).build()?;
    /// let plain = model.on_with(&Device::cpu(), &Settings::new().instructions(Instructions::Plain))?;
    /// assert_eq!(plain.run(&Sequences::from(Array3::zeros((3, 20, 2))))?.last().dim(), (3, 8));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn on_with(&self, device: &Device, settings: &Settings) -> Result<Runner> {
        pollster::block_on(self.on_with_async(device, settings))
    }

    /// As [`Model::on_with`].
    ///
    /// # Errors
    ///
    /// As [`Model::on_with`].
    pub async fn on_with_async(&self, device: &Device, settings: &Settings) -> Result<Runner> {
        Runner::of(self.plans().iter(), device, settings).await
    }
}

macro_rules! layers_on {
    ($($layer:ident: $($example:literal)*;)*) => {$(
        impl $layer {
            /// A model of this layer alone, with its weights on a device, ready to run: a shorter
            /// [`Model::builder`] … [`Model::on`].
            ///
            /// # Errors
            ///
            /// What [`ModelBuilder::build`](crate::ModelBuilder::build) and [`Model::on`] find wrong.
            ///
            /// ```
            /// # use cellstate::*;
            /// # use ndarray::{Array2, Array3, Array4};
            $(#[doc = $example])*
            /// # Ok::<(), cellstate::Error>(())
            /// ```
            #[cfg(not(target_arch = "wasm32"))]
            pub fn on(&self, device: &Device) -> Result<Runner> {
                Model::builder().add(self.clone()).build()?.on(device)
            }

            /// As [`on`](Self::on).
            ///
            /// # Errors
            ///
            /// As [`on`](Self::on).
            pub async fn on_async(&self, device: &Device) -> Result<Runner> {
                Model::builder().add(self.clone()).build()?.on_async(device).await
            }
        }
    )*};
}

layers_on! {
    Embedding:
        "let runner = Embedding::new(10, 4).on(&Device::cpu())?;"
        "assert_eq!(runner.run(&Sequences::from(Array2::zeros((3, 20))))?.values().shape(), [3, 20, 4]);";
    Lstm:
        "let runner = Lstm::new(2, 8).on(&Device::cpu())?;"
        "assert_eq!(runner.run(&Sequences::from(Array3::zeros((3, 20, 2))))?.values().shape(), [3, 8]);";
    Gru:
        "let runner = Gru::new(2, 8).on(&Device::cpu())?;"
        "assert_eq!(runner.run(&Sequences::from(Array3::zeros((3, 20, 2))))?.values().shape(), [3, 8]);";
    SimpleRnn:
        "let runner = SimpleRnn::new(2, 8).on(&Device::cpu())?;"
        "assert_eq!(runner.run(&Sequences::from(Array3::zeros((3, 20, 2))))?.values().shape(), [3, 8]);";
    Recurrent:
        "let runner = Recurrent::from(Lstm::new(2, 8)).on(&Device::cpu())?;"
        "assert_eq!(runner.run(&Sequences::from(Array3::zeros((3, 20, 2))))?.values().shape(), [3, 8]);";
    Bidirectional:
        "let runner = Bidirectional::new(Lstm::new(2, 8)).on(&Device::cpu())?;"
        "assert_eq!(runner.run(&Sequences::from(Array3::zeros((3, 20, 2))))?.values().shape(), [3, 16]);";
    StackedRnnCells:
        "let runner = StackedRnnCells::new([Lstm::new(2, 8), Lstm::new(8, 4)]).on(&Device::cpu())?;"
        "assert_eq!(runner.run(&Sequences::from(Array3::zeros((3, 20, 2))))?.values().shape(), [3, 4]);";
    TimeDistributed:
        "let runner = TimeDistributed::new(Lstm::new(2, 8)).on(&Device::cpu())?;"
        "assert_eq!(runner.run(&Sequences::nested(Array4::zeros((3, 20, 5, 2)))?)?.values().shape(), [3, 20, 8]);";
    Dense:
        "let runner = Dense::new(2, 8).on(&Device::cpu())?;"
        "assert_eq!(runner.run(&Sequences::from(Array3::zeros((3, 20, 2))))?.values().shape(), [3, 20, 8]);";
    BatchNormalization:
        "let runner = BatchNormalization::new(2).on(&Device::cpu())?;"
        "assert_eq!(runner.run(&Sequences::from(Array3::zeros((3, 20, 2))))?.values().shape(), [3, 20, 2]);";
    LayerNormalization:
        "let runner = LayerNormalization::new(2).on(&Device::cpu())?;"
        "assert_eq!(runner.run(&Sequences::from(Array3::zeros((3, 20, 2))))?.values().shape(), [3, 20, 2]);";
    Flatten:
        "let runner = Flatten::new(20, 2).on(&Device::cpu())?;"
        "assert_eq!(runner.run(&Sequences::from(Array3::zeros((3, 20, 2))))?.values().shape(), [3, 40]);";
    Reshape:
        "let runner = Reshape::new([20, 2], [10, 4]).on(&Device::cpu())?;"
        "assert_eq!(runner.run(&Sequences::from(Array3::zeros((3, 20, 2))))?.values().shape(), [3, 10, 4]);";
}

impl Runner {
    /// Runs a batch; every state begins at zero. It gives what `model.predict` or `model(x, training=False)` gives in
    /// Keras 3.15, for the whole batch at once.
    ///
    /// # Errors
    ///
    /// [`Error::InputKind`](crate::Error::InputKind) for tokens where numbers are wanted or the reverse,
    /// [`Error::Features`](crate::Error::Features) for another number of features than the model's,
    /// [`Error::Token`](crate::Error::Token) for a token without a row,
    /// [`Error::TooLarge`](crate::Error::TooLarge) for more than 2³¹ steps, [`Error::Memory`](crate::Error::Memory) if what the
    /// run needs does not fit into memory. On a GPU `TooLarge` also if the batch does not fit, [`Error::Gpu`](crate::Error::Gpu)
    /// if the driver fails.
    ///
    /// ```
    /// # use cellstate::{Device, Error, Lstm, Sequences};
    /// # use ndarray::{Array2, Array3};
    /// let runner = Lstm::new(2, 8).on(&Device::cpu())?;
    /// assert_eq!(runner.run(&Sequences::from(Array3::zeros((3, 20, 2))))?.last().dim(), (3, 8));
    /// let tokens = Sequences::from(Array2::<i32>::zeros((3, 20)));
    /// assert!(matches!(runner.run(&tokens), Err(Error::InputKind { .. })));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
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
        let mut output = Output::default();
        self.run_into_async(sequences, &mut output).await?;
        Ok(output)
    }

    /// As [`Runner::run`], into an output of an earlier run, which is overwritten: where its arrays have the shape that this run
    /// gives, the values go into their memory, which is there already. New memory has to be fetched from the system page by page,
    /// and that can take longer than everything else that is done on the host.
    ///
    /// Any output will do, of another model or batch too, and `Output::default()`.
    ///
    /// # Errors
    ///
    /// As [`Runner::run`]. The output is then as it was.
    ///
    /// ```
    /// # use cellstate::{Device, Lstm, Output, Sequences};
    /// # use ndarray::Array3;
    /// let runner = Lstm::new(2, 8).return_sequences(true).on(&Device::cpu())?;
    /// let mut output = Output::default();
    /// for number in 0..3 {
    ///     let batch = Array3::from_elem((3, 20, 2), number as f32);
    ///     runner.run_into(&Sequences::from(&batch), &mut output)?; // the second and third take the memory of the first
    ///     println!("{}", output.values());
    /// }
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run_into(&self, sequences: &Sequences<'_>, output: &mut Output) -> Result<()> {
        pollster::block_on(self.run_into_async(sequences, output))
    }

    /// As [`Runner::run_into`].
    ///
    /// # Errors
    ///
    /// As [`Runner::run_into`].
    pub async fn run_into_async(&self, sequences: &Sequences<'_>, output: &mut Output) -> Result<()> {
        check_steps(sequences.batch(), sequences.time_steps())?; // before there is a state of so many sequences
        self.run_states(sequences, None, output).await
    }

    /// Runs a batch from given states and leaves the final ones there: Keras's `initial_state` and `stateful`.
    ///
    /// The states left behind are those after the last valid step of each sequence (Keras 3.15), so a sequence without
    /// any keeps its state. On an error the states are as they were.
    ///
    /// # Errors
    ///
    /// As [`Runner::run`]; [`Error::Size`](crate::Error::Size) if the states belong to another batch or model.
    ///
    /// ```
    /// # use cellstate::{Device, Lstm, Sequences};
    /// # use ndarray::array;
    /// let runner = Lstm::new(1, 8).on(&Device::cpu())?;
    /// let mut states = runner.zero_state(1);
    /// runner.run_from(&Sequences::from(array![[[1.0], [2.0]]]), &mut states)?;
    /// let piecewise = runner.run_from(&Sequences::from(array![[[3.0]]]), &mut states)?;
    /// assert_eq!(piecewise.last(), runner.run(&Sequences::from(array![[[1.0], [2.0], [3.0]]]))?.last());
    /// # Ok::<(), cellstate::Error>(())
    /// ```
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
        let mut output = Output::default();
        self.run_states(sequences, Some(states), &mut output).await?;
        Ok(output)
    }

    /// Runs a batch, from zeros where there are no states, and leaves the final states there. What it gives takes the place of
    /// an earlier output.
    async fn run_states(
        &self,
        sequences: &Sequences<'_>,
        states: Option<&mut States>,
        output: &mut Output,
    ) -> Result<()> {
        let input = self.check_input(sequences)?;
        self.check_time_steps(sequences)?;
        let outer = sequences.mask().map(|mask| mask.view());
        let within = sequences.mask_within()?;
        let run = async {
            match self.sections.as_slice() {
                [section] => {
                    let mask = outer;
                    let states = states.map(|states| &mut **states);
                    section.run(input, mask, states, output).await?;
                }
                sections => {
                    let mut finals = states.as_deref().map(|states| State::all_copied(states)).transpose()?;
                    let batch = Inputs {
                        input,
                        size: (sequences.batch(), sequences.time_steps()),
                        mask: outer,
                        within: within.as_ref().map(|mask| mask.view()),
                    };
                    run_sections(sections, batch, finals.as_deref_mut(), output).await?;
                    if let Some((states, finals)) = states.zip(finals) {
                        *states = States::new(finals);
                    }
                }
            }
            said!("ran" { rows = output.rows_run });
            Ok(())
        };
        spanned!("run" { batch = sequences.batch(), time_steps = sequences.time_steps(), device = self.device.name() }, run)
            .await
    }

    /// The GPU that it runs on; `None` on the CPU.
    ///
    /// ```
    /// # use cellstate::{Device, Lstm};
    /// assert!(Lstm::new(2, 8).on(&Device::cpu())?.gpu().is_none());
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn gpu(&self) -> Option<&Gpu> {
        self.device.gpu()
    }

    /// The device that it runs on.
    ///
    /// ```
    /// # use cellstate::{Device, Lstm};
    /// assert_eq!(Lstm::new(2, 8).on(&Device::cpu())?.device().name(), "CPU");
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }
}
