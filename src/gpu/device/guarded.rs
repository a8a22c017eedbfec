//! Calls of the driver whose errors come back as `Error`, and never to a handler.

use super::Gpu;
use crate::error::{Cause, Error, Result};

impl Gpu {
    /// Whether the device is lost or destroyed, for good: all that is on it gives [`Error::Gpu`](crate::Error::Gpu) from then on, and
    /// [`Runner::rebuild`](crate::Runner::rebuild) goes on elsewhere. The driver is asked, without waiting for it; in a browser the answer
    /// may come late.
    ///
    /// ```no_run
    /// use cellstate::{Device, Lstm, Sequences};
    /// use ndarray::Array3;
    ///
    /// let batch = Sequences::from(Array3::zeros((3, 20, 2)));
    /// let mut runner = Lstm::new(2, 64).on(&Device::auto())?;
    /// let output = match runner.run(&batch) {
    ///     Err(_) if runner.gpu().is_some_and(|gpu| gpu.is_lost()) => {
    ///         runner = runner.rebuild(&Device::auto())?; // another GPU, the same one opened anew, or the CPU
    ///         runner.run(&batch)?
    ///     }
    ///     ran => ran?,
    /// };
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.life().loss(self.device(), self.queue()).is_some()
    }

    /// Refuses a device that is lost.
    pub(crate) fn check_alive(&self, doing: &'static str) -> Result<()> {
        let loss = self.life().loss(self.device(), self.queue());
        loss.map_or(Ok(()), |message| Err(self.lost(doing, &message)))
    }

    pub(crate) fn failed(&self, doing: &'static str, message: impl Into<String>) -> Error {
        Error::Gpu {
            doing,
            adapter: self.name(),
            message: message.into(),
            cause: None,
        }
    }

    fn lost(&self, doing: &'static str, message: &str) -> Error {
        self.failed(
            doing,
            format!("{message}: `runner.rebuild(&device)` goes on on another"),
        )
    }

    fn refused(&self, doing: &'static str, error: wgpu::Error) -> Error {
        Error::Gpu {
            doing,
            adapter: self.name(),
            message: error.to_string(),
            cause: Cause::of_driver(error),
        }
    }

    /// What was wrong, or that the device is lost, which explains everything else.
    pub(crate) fn explained(&self, doing: &'static str, error: Error) -> Error {
        self.check_alive(doing).err().unwrap_or(error)
    }

    /// Calls `work` and gives what the driver found wrong with it as an error, so that nothing reaches the handler of the
    /// device, which may be the application's.
    pub(crate) async fn guarded<T>(&self, doing: &'static str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let (result, caught) = self.caught(work).await;
        // on a lost device everything fails, some of it without a word
        self.check_alive(doing)?;
        match caught.or_else(|| self.life().take_error()) {
            Some(error) => Err(self.refused(doing, error)),
            None => result,
        }
    }

    /// The result of `work`, and what the driver found wrong with it.
    pub(crate) async fn caught<T>(&self, work: impl FnOnce() -> T) -> (T, Option<wgpu::Error>) {
        let (result, errors) = {
            let filters = [
                wgpu::ErrorFilter::Internal,
                wgpu::ErrorFilter::Validation,
                wgpu::ErrorFilter::OutOfMemory,
            ];
            let [internal, validation, memory] = filters.map(|filter| self.device().push_error_scope(filter));
            let result = work();
            // scopes are a stack: the last one is popped first
            let memory = memory.pop();
            let validation = validation.pop();
            (result, (memory, validation, internal.pop()))
        };
        let (memory, validation, internal) = errors;
        let caught = [memory.await, validation.await, internal.await]
            .into_iter()
            .flatten()
            .next();
        (result, caught)
    }
}
