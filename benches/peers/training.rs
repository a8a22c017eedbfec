//! A training step of the LSTM of a problem on a device of cellstate: forward, backward and an update by Adam, on one batch.

use cellstate::{Adam, Device, Examples, Loss, Model, Sequences, Trainer};
use ndarray::Array3;

use super::layer;
use super::rule::{Outcome, Problem, TRAINING_STEPS};
use super::serve::Prepared;

pub(crate) struct Training {
    trainer: Trainer,
    input: Array3<f32>,
    targets: Array3<f32>,
    lengths: Option<Vec<usize>>,
    adapter: String,
}

impl Training {
    /// The loss is the mean squared error of the outputs at all steps that count.
    pub(crate) fn new(device: &Device, adapter: String, problem: &Problem) -> Outcome<Self> {
        let shape = problem.shape;
        let model = Model::builder().add(layer::lstm(problem)?).build()?;
        let dimensions = |width| (shape.batch, shape.time_steps, width);
        Ok(Self {
            // PyTorch's epsilon
            trainer: Trainer::new(model, device, Loss::MeanSquaredError, Adam::pytorch(1e-3))?,
            input: Array3::from_shape_vec(dimensions(shape.features), problem.input.clone())?,
            targets: Array3::from_shape_vec(dimensions(shape.units), problem.targets())?,
            lengths: problem.lengths.clone(),
            adapter,
        })
    }

    fn sequences(&self) -> cellstate::Result<Sequences<'_>> {
        let sequences = Sequences::from(&self.input);
        match &self.lengths {
            Some(lengths) => sequences.with_lengths(lengths),
            None => Ok(sequences),
        }
    }
}

impl Prepared for Training {
    fn call(&mut self) -> Outcome<()> {
        let sequences = Sequences::from(&self.input);
        let sequences = match &self.lengths {
            Some(lengths) => sequences.with_lengths(lengths)?,
            None => sequences,
        };
        let examples = Examples::new(sequences, &self.targets)?;
        self.trainer.train_on_batch(&examples)?;
        Ok(())
    }

    fn output(&mut self) -> Outcome<Vec<f32>> {
        for _ in 0..TRAINING_STEPS {
            self.call()?;
        }
        let runner = self.trainer.model().on(&Device::cpu())?;
        Ok(runner.run(&self.sequences()?)?.values().iter().copied().collect())
    }

    fn adapter(&self) -> String {
        self.adapter.clone()
    }
}
