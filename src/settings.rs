//! How a model is run: its precision, and what is named by the caller instead of chosen by the crate.

mod names;

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
pub use names::{Instructions, Strategy};

/// How a model is run, for [`Model::on_with`](crate::Model::on_with). What is not set is chosen by the crate.
///
/// Some settings are of a GPU alone, others of the CPU path alone. `Model::on_with` refuses those of the other kind of device, so
/// that nothing is accepted and ignored: a program that leaves the device to [`Device::auto`](crate::Device::auto) asks
/// [`Device::gpu`](crate::Device::gpu) which one it got. The environment variables `CELLSTATE_STRATEGY` and `CELLSTATE_CPU` are
/// wishes, and are taken only where they can be.
///
/// ```
/// use cellstate::{Device, Lstm, Model, Precision, Settings};
///
/// let model = Model::builder().add(Lstm::new(2, 64)).build()?;
/// let runner = model.on_with(&Device::cpu(), &Settings::new().precision(Precision::Relaxed))?;
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Settings {
    precision: Precision,
    strategy: Option<Strategy>,
    instructions: Option<Instructions>,
    timed: bool,
    matrices: Option<bool>,
    tuning_file: Option<PathBuf>,
}

impl Settings {
    /// Everything chosen by the crate, in full precision.
    ///
    /// ```
    /// # use cellstate::{Precision, Settings};
    /// assert_eq!(Settings::new().wanted_precision(), Precision::Full);
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How exactly weights are kept.
    ///
    /// ```
    /// # use cellstate::{Precision, Settings};
    /// let settings = Settings::new().precision(Precision::Relaxed);
    /// assert_eq!(settings.wanted_precision(), Precision::Relaxed);
    /// ```
    #[must_use]
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Runs every LSTM on a GPU by this strategy, instead of the one that is chosen for its size. `Model::on_with` refuses
    /// a strategy that an LSTM of the model or the GPU cannot do, and any on the CPU, whose path has none of them. The
    /// environment variable `CELLSTATE_STRATEGY` names one too, which is taken only where it can be.
    ///
    /// ```
    /// # use cellstate::{Settings, Strategy};
    /// let settings = Settings::new().strategy(Strategy::Step);
    /// assert_eq!(settings.wanted_strategy(), Some(Strategy::Step));
    /// ```
    #[must_use]
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.strategy = Some(strategy);
        self
    }

    /// Runs the CPU path with these instructions, instead of the fastest that the machine has or those that the environment
    /// variable `CELLSTATE_CPU` names. `Model::on_with` refuses it on a GPU.
    ///
    /// ```
    /// # use cellstate::{Instructions, Settings};
    /// let settings = Settings::new().instructions(Instructions::Plain);
    /// assert_eq!(settings.wanted_instructions(), Some(Instructions::Plain));
    /// ```
    #[must_use]
    pub fn instructions(mut self, instructions: Instructions) -> Self {
        self.instructions = Some(instructions);
        self
    }

    /// Times every run on a GPU, for [`Output::timing`](crate::Output::timing). It costs two time stamps and a readback of 16
    /// bytes a run. `Model::on_with` refuses it on the CPU.
    ///
    /// ```
    /// # use cellstate::Settings;
    /// assert!(Settings::new().timed(true).is_timed());
    /// ```
    #[must_use]
    pub fn timed(mut self, timed: bool) -> Self {
        self.timed = timed;
        self
    }

    /// Whether recurrent layers in [`Precision::Relaxed`] may multiply by the matrix units of a GPU ("cooperative matrices"): operands in half
    /// precision, sums in `f32`. Unless it is said, they do where the GPU has such matrices and gives exact results in a trial of its own. `false`
    /// turns them off, `true` insists.
    ///
    /// What is multiplied is rounded to half precision too, which relaxed precision else does with weights alone: what a layer reads, and the hidden state
    /// in steps of many sequences. What half precision cannot hold is multiplied as usual: an input with a value beyond 65,504 in a valid step or with none beyond 2⁻¹⁰, the output of
    /// an activation without such a bound, and all steps of a cell with one. Products of fewer than 128
    /// rows, 128 columns or 32 inputs are made as usual too, and so are steps of few sequences: [`Runner::explain`](crate::Runner::explain) says from how many on.
    ///
    /// On an H200, h of 128 sequences and 48 steps through 1024 units differed from full precision by at most 3.5e-5, and a step took
    /// a quarter of the time. The features of `wgpu` that it needs are offered by Vulkan alone and are experimental there;
    /// a device that the application hands over has to be opened with them. `Model::on_with` makes a first trial, once on each GPU; the first large
    /// batch makes another one of a step, and where that fails, steps are made as usual.
    ///
    /// With `true`, `Model::on_with` refuses a GPU that has no such matrices or fails the first trial, full precision, a model none of whose recurrent
    /// layers can take them, and the CPU. The environment variable `CELLSTATE_MATRIX=0` turns them off where this is not said.
    ///
    /// ```
    /// # use cellstate::{Precision, Settings};
    /// let settings = Settings::new().precision(Precision::Relaxed).matrices(false);
    /// assert_eq!(settings.wanted_matrices(), Some(false));
    /// ```
    #[must_use]
    pub fn matrices(mut self, wanted: bool) -> Self {
        self.matrices = Some(wanted);
        self
    }

    /// Names a file in which the answers of [`Runner::tune`](crate::Runner::tune) are kept: `Model::on_with` reads it if it is
    /// there, `tune` writes it. Without it nothing is ever read or written. `Model::on_with` refuses it on the CPU, where nothing
    /// is tuned, and in a browser there are no files.
    ///
    /// It is text, an answer in a line, with ` | ` between the fields: `cellstate` and its version; the adapter's name; `vendor`
    /// and `device` with their numbers; the driver; the API; `full` or `relaxed`, the precision; the layer's class; `units`; `directions`;
    /// `sequences` and `time steps`, each up to a power of two; the fastest strategy. A line of another version, adapter or
    /// driver, or that says nothing of the kind, is passed over and kept. Of several answers to one question the last counts.
    ///
    /// ```
    /// # use cellstate::Settings;
    /// let settings = Settings::new().tuning_file("cellstate.tuning");
    /// assert_eq!(settings.wanted_tuning_file(), Some("cellstate.tuning".as_ref()));
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    #[must_use]
    pub fn tuning_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.tuning_file = Some(path.into());
        self
    }

    /// What [`Settings::tuning_file`] has set.
    ///
    /// ```
    /// # use cellstate::Settings;
    /// assert_eq!(Settings::new().wanted_tuning_file(), None);
    /// ```
    #[must_use]
    pub fn wanted_tuning_file(&self) -> Option<&Path> {
        self.tuning_file.as_deref()
    }

    /// What [`Settings::timed`] has set.
    ///
    /// ```
    /// # use cellstate::Settings;
    /// assert!(!Settings::new().is_timed());
    /// ```
    #[must_use]
    pub fn is_timed(&self) -> bool {
        self.timed
    }

    /// What [`Settings::matrices`] has set.
    ///
    /// ```
    /// # use cellstate::Settings;
    /// assert_eq!(Settings::new().wanted_matrices(), None);
    /// ```
    #[must_use]
    pub fn wanted_matrices(&self) -> Option<bool> {
        self.matrices
    }

    /// What [`Settings::precision`] has set.
    ///
    /// ```
    /// # use cellstate::{Precision, Settings};
    /// assert_eq!(Settings::new().wanted_precision(), Precision::Full);
    /// ```
    #[must_use]
    pub fn wanted_precision(&self) -> Precision {
        self.precision
    }

    /// What [`Settings::strategy`] has set.
    ///
    /// ```
    /// # use cellstate::Settings;
    /// assert_eq!(Settings::new().wanted_strategy(), None);
    /// ```
    #[must_use]
    pub fn wanted_strategy(&self) -> Option<Strategy> {
        self.strategy
    }

    /// What [`Settings::instructions`] has set.
    ///
    /// ```
    /// # use cellstate::Settings;
    /// assert_eq!(Settings::new().wanted_instructions(), None);
    /// ```
    #[must_use]
    pub fn wanted_instructions(&self) -> Option<Instructions> {
        self.instructions
    }
}

impl Settings {
    /// Whether everything that is set has a meaning on the device of this name.
    pub(crate) fn check_for(&self, device: &str, is_gpu: bool) -> Result<()> {
        let of_gpu = [
            self.strategy.map(|strategy| format!("strategy({strategy})")),
            self.timed.then(|| "timed(true)".to_owned()),
            (self.matrices == Some(true)).then(|| "matrices(true)".to_owned()),
            self.tuning_file
                .as_ref()
                .map(|path| format!("tuning_file({:?})", path.display().to_string())),
        ];
        let of_cpu = [self.instructions.map(|path| format!("instructions({path})"))];
        let (wrong, instead) = match is_gpu {
            true => (
                of_cpu.into_iter().flatten().next(),
                "instructions are those of the CPU path: leave the setting out, or run on Device::cpu()",
            ),
            false => (
                of_gpu.into_iter().flatten().next(),
                "the setting is for a GPU: leave it out, or name a GPU with Device::named (Device::auto gives the CPU where \
                 there is no GPU)",
            ),
        };
        match wrong {
            None => Ok(()),
            Some(setting) => Err(Error::Unsupported {
                layer: "Settings".to_owned(),
                option: format!("{setting} on {device}"),
                instead: instead.to_owned(),
            }),
        }
    }
}

/// How exactly weights are kept. Arithmetic is in `f32` either way, but for [`Settings::matrices`].
///
/// ```
/// # use cellstate::Precision;
/// assert_eq!(Precision::default(), Precision::Full);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Precision {
    /// As they are, in `f32`: what the framework that made the model gives, to float32 rounding.
    #[default]
    Full,
    /// `kernel` and `recurrent_kernel` of every LSTM are rounded to the nearest half-precision number (`f16`, 11 bits),
    /// which halves the bytes to be read: a relative error of up to 2⁻¹¹ in each weight. Biases, states, inputs, Dense
    /// layers, embeddings and all arithmetic stay in `f32`. An LSTM with a weight beyond the range of `f16` (65,504) is kept
    /// in full. A GPU with matrix units multiplies by them where that pays, unless [`Settings::matrices`] turns them off, and rounds
    /// what it multiplies as well. Where reading weights is not what costs, the run is as in full precision with the rounded weights.
    ///
    /// On the shapes of the benches, with weights uniform in ±1/√units, h differs from full precision by at most 1.1e-4 where
    /// the largest h is 0.37 (`docs/benchmarks.md`, with the command). On the CPU the bits are those of a run in full
    /// precision of a model whose weights were rounded before.
    Relaxed,
}
