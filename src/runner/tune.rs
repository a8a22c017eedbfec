//! Measuring which strategy is the fastest.

use super::Runner;
use super::section::Prepared;
use crate::error::Result;
use crate::schedule::check_steps;
use crate::tuning::Tuning;

impl Runner {
    /// Measures which strategy runs each recurrent layer fastest for batches of about (batch, time_steps), and takes it from
    /// then on: for all runners on this [`Gpu`](crate::Gpu), in batches whose sizes are of the same powers of two, rounded up.
    /// What [`Settings::strategy`](crate::Settings::strategy) or the environment names stands before what was measured, and
    /// that before what the crate chooses by itself. [`Settings::tuning_file`](crate::Settings::tuning_file) names a file where
    /// the answers are kept.
    ///
    /// On a GPU that takes time stamps it also measures, once, what the GPU costs: a dispatch, its speed, its cache. Models
    /// that are put on that GPU afterwards choose by these numbers for every size; [`Runner::explain`] prints them.
    ///
    /// It is never done unasked: it takes up to some seconds for each kind of layer, and the answer is only as good as the GPU
    /// was idle. Results differ by rounding between strategies. On the CPU there is nothing to choose, and the tuning is empty. The layers
    /// within a [`TimeDistributed`](crate::TimeDistributed) are measured by tuning a model of these alone.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`](crate::Error::TooLarge) if no such batch can be run, [`Error::Gpu`](crate::Error::Gpu) if the driver
    /// fails, [`Error::File`](crate::Error::File) if the tuning file cannot be written; the answers are taken all the same.
    ///
    /// ```no_run
    /// use cellstate::{Device, Lstm};
    ///
    /// let runner = Lstm::new(2, 64).on(&Device::auto())?;
    /// println!("{}", runner.tune(8, 100)?);
    /// println!("{}", runner.explain(8, 100)?);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn tune(&self, batch: usize, time_steps: usize) -> Result<Tuning> {
        pollster::block_on(self.tune_async(batch, time_steps))
    }

    /// As [`Runner::tune`]. In a browser without time stamps there is no clock to measure by, and nothing is taken.
    ///
    /// # Errors
    ///
    /// As [`Runner::tune`].
    pub async fn tune_async(&self, batch: usize, time_steps: usize) -> Result<Tuning> {
        let mut tuning = Tuning::new(Vec::new(), None);
        for section in self.outer() {
            let time_steps = section.plan.input_steps(time_steps)?;
            let tuned = match &section.prepared {
                Prepared::Gpu(model) => model.tune(batch, time_steps).await?,
                Prepared::Cpu(_) | Prepared::Nothing => {
                    check_steps(batch, time_steps)?;
                    let note = match self.gpu() {
                        None => "the CPU has no strategies to choose from: there is nothing to tune",
                        Some(_) => "the host does what computes nothing: there is nothing to tune",
                    };
                    Tuning::new(Vec::new(), Some(note.to_owned()))
                }
            };
            tuning.add(tuned);
        }
        Ok(tuning)
    }
}
