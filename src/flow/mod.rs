//! The stages of one model over one batch: which rows each stage reads, and where its rows go.
//!
//! Between the stages there are no padded tensors. A stage makes *rows* (the valid steps of a recurrent layer in the
//! order of its schedule, say), and what Keras calls the output of a layer is a list that says for each step of each
//! sequence which row it is: a masked step names an earlier row of its sequence, or none, which reads as zeros. The next
//! stage composes its own list with that one. So padding costs nothing and NaN in it reaches nothing; only the model's
//! output is placed into a padded tensor, at the very end. The CPU path and the GPU run the same flow.

pub(crate) mod backward;
mod build;
mod kept;
mod masking;
mod noise;
mod recurrent;
mod reshape;
pub(crate) mod size;
pub(crate) mod statistics;

use std::sync::Arc;

use ndarray::{Array2, ArrayD, ArrayView2, ArrayView3};

use crate::error::{Error, Result};
use crate::layer::bidirectional::MergeMode;
use crate::output::Timing;
use crate::schedule::Schedule;
use crate::state::State;

pub(crate) use kept::Flows;

/// The row that is none: it reads as zeros.
pub(crate) const NONE: u32 = u32::MAX;

/// What the rows of a list belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The rows of the input that are uploaded, [`Flow::input_steps`].
    Input,
    /// The rows of an embedding.
    Table(usize),
    /// The rows that a stage has made.
    Stage(usize),
}

/// A list of rows to read, in the order in which they are wanted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Gather {
    pub(crate) source: Source,
    pub(crate) index: Vec<u32>,
}

/// One stage. It makes one row for each entry of its lists, but for a Reshape.
#[derive(Clone, Debug)]
pub(crate) enum Stage {
    /// A cell: `input` has one entry for each row of the schedule.
    Recurrent {
        cell: usize,
        schedule: Arc<Schedule>,
        input: Gather,
    },
    /// A Dense layer over the distinct rows of its input.
    Dense { dense: usize, input: Gather },
    /// Each distinct row of its input becomes another of the same width, by itself.
    Transform { transform: usize, input: Gather },
    /// Each row of its input by itself with some values left out; only a flow of training has one. `noise` has a number for each row: rows
    /// with the same number leave the same out.
    Dropout {
        dropout: usize,
        input: Gather,
        noise: Vec<u32>,
    },
    /// The values of all rows of its input, one behind the other, in so many rows of another width.
    Reshape { input: Gather, rows: usize },
    /// The outputs of two directions become one.
    Merge {
        merge: MergeMode,
        forward: Gather,
        backward: Gather,
    },
}

impl Stage {
    /// The first list of rows that it reads.
    pub(crate) fn input(&self) -> &Gather {
        match self {
            Self::Recurrent { input, .. }
            | Self::Dense { input, .. }
            | Self::Transform { input, .. }
            | Self::Dropout { input, .. }
            | Self::Reshape { input, .. } => input,
            Self::Merge { forward, .. } => forward,
        }
    }

    /// The schedule by which it runs, of a recurrent stage.
    pub(crate) fn schedule(&self) -> Option<&Schedule> {
        match self {
            Self::Recurrent { schedule, .. } => Some(schedule),
            Self::Dense { .. }
            | Self::Transform { .. }
            | Self::Dropout { .. }
            | Self::Reshape { .. }
            | Self::Merge { .. } => None,
        }
    }

    /// The number of rows that it makes.
    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Reshape { rows, .. } => *rows,
            _ => self.input().index.len(),
        }
    }
}

/// An output of the model: its rows, and the shape that they fill.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) gather: Gather,
    pub(crate) shape: Vec<usize>,
}

/// The stages of one model over one batch.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    pub(crate) batch: usize,
    pub(crate) stages: Vec<Stage>,
    /// The width of the rows of each stage.
    pub(crate) widths: Vec<usize>,
    /// For each row of the input the step `sequence * time_steps + time_step` that it is.
    pub(crate) input_steps: Vec<u32>,
    /// One output, or two (forward, backward).
    pub(crate) outputs: Vec<Placed>,
    /// One schedule for each mask by which recurrent stages run: all of them with this mask have its order, lengths and steps.
    pub(crate) schedules: Vec<Arc<Schedule>>,
    /// Of a flow of training: the BatchNormalizations, and how often each of their rows counts.
    pub(crate) batch_statistics: Vec<BatchStatistics>,
    /// Of a flow of training: which time steps of the output count, (batch, time_steps), where it has a mask. A loss leaves the others out.
    pub(crate) mask: Option<Array2<bool>>,
}

/// How often each row counts in the mean and the variance of a batch.
#[derive(Clone, Debug)]
pub(crate) struct BatchStatistics {
    pub(crate) stage: usize,
    /// For each row of the stage the steps that are this row and count.
    pub(crate) counts: Vec<u32>,
    /// Whether a mask says which steps count.
    pub(crate) is_masked: bool,
}

impl Flow {
    /// The stage of this number.
    pub(crate) fn stage(&self, number: usize) -> Result<&Stage> {
        self.stages
            .get(number)
            .ok_or_else(|| Error::defect("a stage of the flow"))
    }

    /// How often the rows of a stage count, if it is a BatchNormalization of a flow of training.
    pub(crate) fn statistics(&self, stage: usize) -> Option<&BatchStatistics> {
        self.batch_statistics
            .iter()
            .find(|statistics| statistics.stage == stage)
    }

    /// The bytes of its lists. A schedule that several stages share is counted once.
    pub(crate) fn bytes(&self) -> usize {
        let mut counted: Vec<*const Schedule> = Vec::new();
        let mut of_stage = |stage: &Stage| match stage {
            Stage::Recurrent { schedule, input, .. } => {
                let address = Arc::as_ptr(schedule);
                let entries = match counted.contains(&address) {
                    true => 0,
                    false => 2 * schedule.batch() + schedule.steps() + 1 + schedule.rows(),
                };
                counted.push(address);
                entries + input.index.len()
            }
            Stage::Dense { input, .. } | Stage::Transform { input, .. } | Stage::Reshape { input, .. } => {
                input.index.len()
            }
            Stage::Dropout { input, noise, .. } => input.index.len() + noise.len(),
            Stage::Merge { forward, backward, .. } => forward.index.len() + backward.index.len(),
        };
        let stages: usize = self.stages.iter().map(&mut of_stage).sum();
        let outputs: usize = self.outputs.iter().map(|placed| placed.gather.index.len()).sum();
        let counts: usize = self
            .batch_statistics
            .iter()
            .map(|statistics| statistics.counts.len())
            .sum();
        let mask = self.mask.as_ref().map_or(0, Array2::len);
        (stages + outputs + counts + self.input_steps.len()) * size_of::<u32>() + mask
    }
}

/// What a run of a flow gives.
#[derive(Debug)]
pub(crate) struct Ran {
    /// While they are made, each has its shape or is empty, with room for its values.
    pub(crate) outputs: Vec<ArrayD<f32>>,
    /// The final state of every cell.
    pub(crate) states: Vec<State>,
    /// The rows that the recurrent stages have run: counted while they ran on the CPU, by the dispatches on a GPU.
    pub(crate) rows_run: usize,
    /// Whether a first attempt was given up, whose workgroups waited in vain.
    pub(crate) was_replayed: bool,
    pub(crate) timing: Option<Timing>,
}

/// What a flow is made for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Input<'a> {
    /// Numbers, (batch, time_steps, features).
    Values(ArrayView3<'a, f32>),
    /// Tokens, (batch, time_steps).
    Tokens(ArrayView2<'a, i32>),
}

impl Input<'_> {
    /// (batch, time_steps)
    pub(crate) fn size(&self) -> (usize, usize) {
        match self {
            Self::Values(values) => (values.dim().0, values.dim().1),
            Self::Tokens(tokens) => tokens.dim(),
        }
    }
}
