//! A model judged, and what it gives.

use std::ops::Range;

use ndarray::ArrayViewD;

use super::Trainer;
use super::engine::Pass;
use super::examples::Examples;
use super::monitor::names;
use super::scores::Scores;
use crate::error::{Error, Result};
use crate::layer::shape::Shape;
use crate::loss::Mean;
use crate::metric::Metric;
use crate::output::Output;
use crate::sequences::Sequences;

/// How many sequences are judged at once, as in Keras.
const BATCH_SIZE: usize = 32;

/// Which examples are judged, and how.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) rows: Range<usize>,
    pub(super) batch_size: usize,
    /// Whether states are carried from batch to batch.
    pub(super) stateful: bool,
}

impl Trainer {
    /// Loss and metrics of examples, which nothing is learned from: `model.evaluate` of Keras 3.15, by 32 sequences at once. The loss is the mean
    /// over these batches, each weighted by its sequences.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] without examples; those of [`Runner::run`](crate::Runner::run) and of [`Loss::compute`](crate::Loss::compute).
    ///
    /// ```
    /// use cellstate::{Adam, Dense, Device, Examples, Loss, Metric, Model, Sequences, Trainer};
    /// use ndarray::{Array3, array};
    ///
    /// let model = Model::builder().add(Dense::new(2, 1)).build()?;
    /// let trainer = Trainer::new(model, &Device::cpu(), Loss::MeanSquaredError, Adam::new(1e-3))?;
    /// let mut trainer = trainer.metrics([Metric::mean_absolute_error()]);
    /// let test = Examples::new(Sequences::from(Array3::zeros((2, 1, 2))), array![[[1.0_f32]], [[3.0]]])?;
    /// let scores = trainer.evaluate(&test)?;
    /// assert_eq!((scores.loss(), scores.get("mean_absolute_error")), (5.0, Some(2.0)));
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn evaluate(&mut self, examples: &Examples<'_, '_>) -> Result<Scores> {
        pollster::block_on(self.evaluate_async(examples))
    }

    /// As [`Trainer::evaluate`].
    ///
    /// # Errors
    ///
    /// As [`Trainer::evaluate`].
    pub async fn evaluate_async(&mut self, examples: &Examples<'_, '_>) -> Result<Scores> {
        let all = Part {
            rows: 0..examples.len(),
            batch_size: BATCH_SIZE,
            stateful: false,
        };
        self.scores(examples, all).await
    }

    /// What the model gives with the weights as they are now, as [`Runner::run`](crate::Runner::run) gives it.
    ///
    /// # Errors
    ///
    /// As [`Runner::run`](crate::Runner::run).
    ///
    /// ```
    /// use cellstate::{Adam, Dense, Device, Loss, Model, Sequences, Trainer};
    /// use ndarray::Array3;
    ///
    /// let model = Model::builder().add(Dense::new(2, 1)).build()?;
    /// let mut trainer = Trainer::new(model, &Device::cpu(), Loss::MeanSquaredError, Adam::new(1e-3))?;
    /// assert_eq!(trainer.predict(&Sequences::from(Array3::zeros((3, 20, 2))))?.values().shape(), [3, 20, 1]);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn predict(&mut self, sequences: &Sequences<'_>) -> Result<Output> {
        pollster::block_on(self.predict_async(sequences))
    }

    /// As [`Trainer::predict`].
    ///
    /// # Errors
    ///
    /// As [`Trainer::predict`].
    pub async fn predict_async(&mut self, sequences: &Sequences<'_>) -> Result<Output> {
        let mut output = self.engine.forward(sequences, None, None).await?.output;
        output.values = self.head.outputs(output.values)?;
        Ok(output)
    }

    /// Whether the targets and weights of examples fit what the model gives for them, by their shapes.
    pub(super) fn check_targets(&self, examples: &Examples<'_, '_>) -> Result<()> {
        let (batch, all) = (examples.len(), examples.sequences().time_steps());
        let shape = match self.model.output_shape() {
            Some(Shape::Last { width }) => vec![batch, width],
            Some(Shape::Sequences { width, time_steps }) => vec![batch, time_steps.unwrap_or(all), width],
            // no loss fits these
            Some(Shape::Input | Shape::Separate { .. }) | None => return Ok(()),
        };
        let (targets, weights) = (examples.targets(), examples.weights());
        self.head.loss.check_shapes(&shape, targets, weights.clone())?;
        let mut metrics = self.metrics.iter();
        metrics.try_for_each(|metric| metric.check_shapes(&shape, targets, weights.clone()))
    }

    /// Adds a batch to metrics.
    pub(super) fn watch(
        &self,
        metrics: &mut [Metric],
        pass: &Pass<'_>,
        batch: &Examples<'_, '_>,
        weights: Option<ArrayViewD<'_, f32>>,
    ) -> Result<()> {
        if metrics.is_empty() {
            return Ok(());
        }
        let given = &pass.output.values;
        let outputs = self.head.outputs_of(given)?;
        for metric in metrics {
            let weights = weights.clone().filter(|_| metric.is_weighted());
            match self.head.metric_before(metric) {
                Some(mut before) => {
                    before.update(given.view(), batch.targets(), pass.mask(), weights)?;
                    metric.set_mean(before.mean());
                }
                None => {
                    let outputs = outputs.as_ref().unwrap_or(given);
                    metric.update(outputs.view(), batch.targets(), pass.mask(), weights)?;
                }
            }
        }
        Ok(())
    }

    /// Loss and metrics of some examples, batch by batch.
    pub(super) async fn scores(&mut self, examples: &Examples<'_, '_>, part: Part) -> Result<Scores> {
        let Range { start, end } = part.rows;
        if start >= end {
            return Err(Error::Value {
                argument: "examples".to_owned(),
                expected: "at least one sequence".to_owned(),
                found: "none".to_owned(),
                repair: "give what the model should be judged by".to_owned(),
            });
        }
        let time_steps = examples.sequences().time_steps();
        let mut loss = Mean::default();
        let mut metrics = self.metrics.clone();
        metrics.iter_mut().for_each(|metric| metric.reset());
        let mut states = None;
        for first in (start..end).step_by(part.batch_size.max(1)) {
            let rows: Vec<usize> = (first..end.min(first.saturating_add(part.batch_size))).collect();
            let batch = examples.select(&rows, time_steps, false)?;
            if part.stateful && states.is_none() {
                states = Some(self.engine.zero_states(rows.len())?);
            }
            let pass = self
                .engine
                .forward(batch.sequences(), states.as_deref_mut(), None)
                .await?;
            let value = self.judge(&pass, &batch, batch.weights(), None)?;
            loss.add(value.value() * rows.len() as f64, rows.len() as f64);
            self.watch(&mut metrics, &pass, &batch, batch.weights())?;
        }
        Ok(Scores::new(loss.result() + self.penalty().await?, results(&metrics)))
    }
}

/// What metrics have come to.
pub(super) fn results(metrics: &[Metric]) -> Vec<(String, f64)> {
    let results = metrics.iter().map(Metric::result);
    names(metrics).into_iter().zip(results).collect()
}
