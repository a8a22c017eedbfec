//! The table of a model in training.

use std::fmt;

use super::Trainer;

impl Trainer {
    /// The table of layers, with the weights that training changes: Keras's `model.summary(show_trainable=True)`.
    ///
    /// ```
    /// use cellstate::{Adam, Dense, Device, Loss, Lstm, Model, Trainer};
    ///
    /// let model = Model::builder().add(Lstm::new(2, 8)).add(Dense::new(8, 1)).build()?;
    /// let mut trainer = Trainer::new(model, &Device::cpu(), Loss::MeanSquaredError, Adam::new(1e-3))?;
    /// trainer.freeze("lstm")?;
    /// let summary = trainer.summary();
    /// assert!(summary.ends_with("9 parameters are trained, 352 are not: lstm/kernel, lstm/recurrent_kernel, lstm/bias"));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn summary(&self) -> String {
        self.to_string()
    }
}

/// The table of the model, and what of it is trained.
impl fmt::Display for Trainer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}", self.model)?;
        let trained = self.trainable_count();
        let parameters = self.model.parameters();
        let rest = parameters.count().saturating_sub(trained);
        write!(formatter, "{trained} parameters are trained")?;
        if rest == 0 {
            return Ok(());
        }
        let left = parameters
            .iter()
            .filter(|parameter| !parameter.role().is_trained() || self.is_frozen(parameter.path()));
        let paths: Vec<&str> = left.map(|parameter| parameter.path()).collect();
        write!(formatter, ", {rest} are not: {}", paths.join(", "))
    }
}
