//! The LSTM of a problem on a device of cellstate.

use cellstate::{Device, Lstm, Model, Output, Runner, Sequences, Settings};
use ndarray::{Array1, Array2, Array3};

use super::rule::{Outcome, Problem};

pub(crate) struct Layer {
    pub(crate) runner: Runner,
    pub(crate) input: Array3<f32>,
    lengths: Option<Vec<usize>>,
}

impl Layer {
    pub(crate) fn new(device: &Device, settings: &Settings, problem: &Problem) -> Outcome<Self> {
        let shape = problem.shape;
        let runner = Model::builder()
            .add(lstm(problem)?)
            .build()?
            .on_with(device, settings)?;
        let dimensions = (shape.batch, shape.time_steps, shape.features);
        Ok(Self {
            runner,
            input: Array3::from_shape_vec(dimensions, problem.input.clone())?,
            lengths: problem.lengths.clone(),
        })
    }

    pub(crate) fn run(&self) -> cellstate::Result<Output> {
        let mut output = Output::default();
        self.run_into(&mut output)?;
        Ok(output)
    }

    pub(crate) fn run_into(&self, output: &mut Output) -> cellstate::Result<()> {
        let sequences = Sequences::from(&self.input);
        match &self.lengths {
            Some(lengths) => self.runner.run_into(&sequences.with_lengths(lengths)?, output),
            None => self.runner.run_into(&sequences, output),
        }
    }
}

/// With the output at every step, and zero at padded ones, as the peers give it.
pub(crate) fn lstm(problem: &Problem) -> Outcome<Lstm> {
    let shape = problem.shape;
    let columns = 4 * shape.units;
    let matrix = |rows: usize, values: &[f32]| Array2::from_shape_vec((rows, columns), values.to_vec());
    let lstm = Lstm::new(shape.features, shape.units).with_weights(
        matrix(shape.features, &problem.kernel)?,
        matrix(shape.units, &problem.recurrent_kernel)?,
        Some(Array1::from(problem.bias.clone())),
    )?;
    Ok(lstm.return_sequences(true).zero_output_for_mask(true))
}
