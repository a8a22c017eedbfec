//! Which weights training changes, and what keeps them small.

use std::collections::BTreeMap;

use super::Trainer;
use crate::error::Result;
use crate::optimizer::OptimizerState;
use crate::parameters::Role;
use crate::regularizer::{Regularizer, Regularizers};
use crate::selection::ParameterSelection;

impl Trainer {
    /// Keeps some weights as they are: those of a layer (`lstm`), one of them (`lstm/bias`), or all of a role. Keras's
    /// `layer.trainable = False`.
    ///
    /// A [`BatchNormalization`](crate::BatchNormalization) that is frozen as a layer normalises by its moving mean and variance in training too,
    /// and these stay, as in Keras. One of which only gamma and beta are frozen follows each batch as before.
    ///
    /// # Errors
    ///
    /// [`Error::Value`](crate::Error::Value) for a path that the model does not have. [`Error::Gpu`](crate::Error::Gpu) if a GPU has what the
    /// optimiser remembers and does not give it, and in a browser, which cannot wait for it,
    /// [`Error::Unsupported`](crate::Error::Unsupported): behind a call of [`fit_async`](Self::fit_async) that was dropped. The trainer is
    /// then as it was.
    ///
    /// ```
    /// use cellstate::{Adam, Dense, Device, Loss, Lstm, Model, Trainer};
    ///
    /// let model = Model::builder().add(Lstm::new(2, 8)).add(Dense::new(8, 1)).build()?;
    /// let mut trainer = Trainer::new(model, &Device::cpu(), Loss::MeanSquaredError, Adam::new(1e-3))?;
    /// trainer.freeze("lstm")?;
    /// assert_eq!(trainer.trainable_count(), 8 + 1);
    /// assert!(trainer.freeze("gru").is_err());
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn freeze(&mut self, weights: impl Into<ParameterSelection>) -> Result<()> {
        let weights = weights.into();
        weights.check(self.model.parameters())?;
        let mut frozen = self.frozen.clone();
        frozen.push(weights);
        self.set_frozen(frozen)
    }

    /// Trains all weights again. What the optimiser remembers of those that were trained all along stays.
    ///
    /// # Errors
    ///
    /// [`Error::Memory`](crate::Error::Memory) if what the optimiser remembers does not fit into memory; [`Error::Gpu`](crate::Error::Gpu) and
    /// [`Error::Unsupported`](crate::Error::Unsupported) as [`freeze`](Self::freeze) says.
    ///
    /// ```
    /// use cellstate::{Adam, Dense, Device, Loss, Lstm, Model, Trainer};
    ///
    /// let model = Model::builder().add(Lstm::new(2, 8)).add(Dense::new(8, 1)).build()?;
    /// let mut trainer = Trainer::new(model, &Device::cpu(), Loss::MeanSquaredError, Adam::new(1e-3))?;
    /// trainer.freeze("lstm")?;
    /// trainer.unfreeze()?;
    /// assert_eq!(trainer.trainable_count(), trainer.model().parameters().count());
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn unfreeze(&mut self) -> Result<()> {
        self.set_frozen(Vec::new())
    }

    /// How many numbers training changes.
    ///
    /// ```
    /// use cellstate::{Adam, Dense, Device, Loss, Model, Trainer};
    ///
    /// let model = Model::builder().add(Dense::new(2, 1)).build()?;
    /// let trainer = Trainer::new(model, &Device::cpu(), Loss::MeanSquaredError, Adam::new(1e-3))?;
    /// assert_eq!(trainer.trainable_count(), 3);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn trainable_count(&self) -> usize {
        let parameters = self.model.parameters();
        let trained = self.optimizer.trained().filter_map(|path| parameters.find(path));
        trained.map(|parameter| parameter.values().len()).sum()
    }

    /// Adds penalties to the loss that keep weights small; those of frozen weights do not count, as in Keras. They take the place of those that were
    /// there before.
    ///
    /// # Errors
    ///
    /// [`Error::Value`](crate::Error::Value) for a factor that is negative or not finite, and a path that the model does not have; the trainer is
    /// then as it was.
    ///
    /// ```
    /// use cellstate::{Adam, Dense, Device, Loss, Lstm, Model, Regularizer, Role, Trainer};
    ///
    /// let model = Model::builder().add(Lstm::new(2, 8)).add(Dense::new(8, 1)).build()?;
    /// let mut trainer = Trainer::new(model, &Device::cpu(), Loss::MeanSquaredError, Adam::new(1e-3))?;
    /// trainer.regularizers([Regularizer::l2(1e-4).on(Role::RecurrentKernel)])?;
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn regularizers(&mut self, regularizers: impl IntoIterator<Item = Regularizer>) -> Result<()> {
        let given: Vec<Regularizer> = regularizers.into_iter().collect();
        self.regularizers = Regularizers::new(&given, self.model.parameters(), self.optimizer.trained())?;
        self.given_regularizers = given;
        self.engine.penalize(&self.regularizers);
        Ok(())
    }

    /// Whether the weight of this path stays as it is.
    pub(super) fn is_frozen(&self, path: &str) -> bool {
        let role = self.model.parameters().find(path).map(|parameter| parameter.role());
        role.is_some_and(|role| self.frozen.iter().any(|frozen| frozen.selects(path, role)))
    }

    fn set_frozen(&mut self, frozen: Vec<ParameterSelection>) -> Result<()> {
        self.wait_for_home()?;
        let mut optimizer = OptimizerState::new(self.made_of.clone(), self.model.parameters(), &frozen)?;
        let regularizers = Regularizers::new(&self.given_regularizers, self.model.parameters(), optimizer.trained())?;
        // what is trained before and after goes on with what the optimiser remembers of it
        let remembered: BTreeMap<_, _> = self.optimizer.tensors()?.into_iter().collect();
        let slots = optimizer.tensors()?.into_iter().map(|(name, fresh)| {
            let slot = remembered
                .get(&name)
                .map_or_else(|| fresh.to_owned(), |slot| slot.to_owned());
            (name, slot)
        });
        let slots = slots.collect();
        optimizer.restore(self.optimizer.progress().clone(), slots)?;
        self.engine.hold(|layer| is_frozen_layer(&frozen, layer));
        (self.optimizer, self.regularizers, self.frozen) = (optimizer, regularizers, frozen);
        self.engine.penalize(&self.regularizers);
        self.engine.forget_updates();
        self.engine.ask_again();
        Ok(())
    }
}

/// Whether a whole layer is frozen: by itself, or with what stands around it. All weights of a role are no layer.
pub(super) fn is_frozen_layer(frozen: &[ParameterSelection], layer: &str) -> bool {
    frozen.iter().any(|weights| match weights {
        ParameterSelection::Path(_) => weights.selects(layer, Role::MovingMean),
        ParameterSelection::Role(_) => false,
    })
}
