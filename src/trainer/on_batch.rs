//! Learning from batches that the caller has made.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use super::Trainer;
use super::examples::Examples;
use super::learn::Learning;
use super::place::Place;
use super::update::Stepped;
use crate::error::Result;

impl Trainer {
    /// Learns from one batch, and gives its loss with the weights before the update: `model.train_on_batch` of Keras 3.15.
    ///
    /// # Errors
    ///
    /// As [`fit`](Self::fit); the weights are then as they were. Where a GPU has made the step and only does not give the new weights
    /// ([`Error::Gpu`](crate::Error::Gpu), [`Error::Memory`](crate::Error::Memory)), the step counts: [`model`](Self::model) says what brings them home.
    ///
    /// ```
    /// use cellstate::{Dense, Device, Examples, Loss, Model, Sequences, Sgd, Trainer};
    /// use ndarray::array;
    ///
    /// let mut model = Model::builder().add(Dense::new(1, 1)).build()?;
    /// model.replace_parameter("dense/kernel", array![[1.0]].into_dyn())?;
    /// let mut trainer = Trainer::new(model, &Device::cpu(), Loss::MeanSquaredError, Sgd::new(0.25))?;
    /// let batch = Examples::new(Sequences::from(array![[[1.0]]]), array![[[3.0_f32]]])?;
    /// assert_eq!(trainer.train_on_batch(&batch)?, 4.0); // (1 - 3)²
    /// assert_eq!(trainer.train_on_batch(&batch)?, 0.0); // kernel and bias have moved by 0.25 · 4 each
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn train_on_batch(&mut self, batch: &Examples<'_, '_>) -> Result<f64> {
        pollster::block_on(self.train_on_batch_async(batch))
    }

    /// As [`Trainer::train_on_batch`].
    ///
    /// # Errors
    ///
    /// As [`Trainer::train_on_batch`].
    pub async fn train_on_batch_async(&mut self, batch: &Examples<'_, '_>) -> Result<f64> {
        let Stepped { loss, weights, .. } = self.learn(batch, learning(true)).await?;
        if !weights.is_empty() {
            self.take_weights(weights)?;
        }
        self.come_home(false).await?;
        Ok(loss)
    }

    /// Learns from several batches, one after the other, and gives the loss of each with the weights before its update. A GPU keeps the weights
    /// until the last one is done: [`train_on_batch`](Self::train_on_batch) brings them home behind each, which takes longer where a model is large.
    ///
    /// # Errors
    ///
    /// As [`fit`](Self::fit); the weights are then those behind the batch before. A GPU that is lost takes all batches of the call with it: the
    /// weights are those before the first one.
    ///
    /// ```
    /// use cellstate::{Dense, Device, Examples, Loss, Model, Sequences, Sgd, Trainer};
    /// use ndarray::array;
    ///
    /// let mut model = Model::builder().add(Dense::new(1, 1)).build()?;
    /// model.replace_parameter("dense/kernel", array![[1.0]].into_dyn())?;
    /// let mut trainer = Trainer::new(model, &Device::cpu(), Loss::MeanSquaredError, Sgd::new(0.25))?;
    /// let batch = Examples::new(Sequences::from(array![[[1.0]]]), array![[[3.0_f32]]])?;
    /// assert_eq!(trainer.train_on_batches([&batch, &batch])?, [4.0, 0.0]);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn train_on_batches<'s, 't>(
        &mut self,
        batches: impl IntoIterator<Item: Borrow<Examples<'s, 't>>>,
    ) -> Result<Vec<f64>> {
        pollster::block_on(self.train_on_batches_async(batches))
    }

    /// As [`Trainer::train_on_batches`].
    ///
    /// # Errors
    ///
    /// As [`Trainer::train_on_batches`].
    pub async fn train_on_batches_async<'s, 't>(
        &mut self,
        batches: impl IntoIterator<Item: Borrow<Examples<'s, 't>>>,
    ) -> Result<Vec<f64>> {
        let mut losses = Vec::new();
        for batch in batches {
            match self.learn(batch.borrow(), learning(false)).await {
                Ok(learned) => losses.push(learned.loss),
                Err(error) => {
                    // a device that is lost has taken them with it
                    self.come_home(false).await.ok();
                    return Err(error);
                }
            }
        }
        self.come_home(false).await?;
        Ok(losses)
    }
}

/// What a batch alone is learned with.
fn learning(comes_home: bool) -> Learning<'static> {
    static NO_WEIGHTS: BTreeMap<i32, f32> = BTreeMap::new();
    Learning {
        class_weights: &NO_WEIGHTS,
        states: None,
        metrics: &mut [],
        comes_home,
        place: Place(None),
    }
}
