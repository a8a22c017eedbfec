//! From a model and a batch to its flow.

use std::sync::Arc;

use ndarray::{Array2, ArrayView2};

use super::{Flow, Gather, Input, NONE, Placed, Source, Stage};
use crate::error::{Error, Result};
use crate::memory::STEPS;
use crate::model::plan::{Operation, Plan};
use crate::schedule::{Direction, Schedule, check_steps};

/// The output of a layer as the next one sees it.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) gather: Gather,
    pub(super) width: usize,
    /// Whether there is a value for every step (batch · time_steps entries), or one for each sequence.
    pub(super) sequences: bool,
    pub(super) mask: Option<Array2<bool>>,
    /// Which mask that is: views of the same number have the same.
    pub(super) mask_number: usize,
}

pub(super) struct Builder<'a> {
    pub(super) plan: &'a Plan,
    /// Whether the flow is one of training, which has stages that inference does without.
    pub(super) trains: bool,
    pub(super) batch: usize,
    pub(super) time_steps: usize,
    pub(super) flow: Flow,
    /// The schedules that were made, each with the number of the mask that it was made of.
    pub(super) made: Vec<(usize, Direction, Arc<Schedule>)>,
}

impl Flow {
    /// The flow of `plan` over a batch with a mask (batch, time_steps).
    ///
    /// The caller has checked that the input is what the model takes; here only tokens are checked, one by one.
    pub(crate) fn new(plan: &Plan, input: Input<'_>, mask: Option<ArrayView2<'_, bool>>) -> Result<Self> {
        Self::build(plan, input, mask, false)
    }

    /// The same for training: with the stages of Dropout layers, and what a BatchNormalization has to know of its rows.
    pub(crate) fn in_training(plan: &Plan, input: Input<'_>, mask: Option<ArrayView2<'_, bool>>) -> Result<Self> {
        Self::build(plan, input, mask, true)
    }

    fn build(plan: &Plan, input: Input<'_>, mask: Option<ArrayView2<'_, bool>>, trains: bool) -> Result<Self> {
        let (batch, time_steps) = input.size();
        check_steps(batch, time_steps)?;
        let flow = Self {
            batch,
            stages: Vec::new(),
            widths: Vec::new(),
            input_steps: Vec::new(),
            outputs: Vec::new(),
            schedules: Vec::new(),
            batch_statistics: Vec::new(),
            mask: None,
        };
        let mut builder = Builder {
            plan,
            trains,
            batch,
            time_steps,
            flow,
            made: Vec::new(),
        };
        let mut views = vec![View {
            gather: Gather {
                source: Source::Input,
                index: STEPS.listed((0..batch * time_steps).map(|step| step as u32))?,
            },
            width: plan.features.unwrap_or(0),
            sequences: true,
            mask: mask.map(|mask| STEPS.copied(&mask)).transpose()?,
            mask_number: 0,
        }];
        for (position, operation) in plan.operations.iter().enumerate() {
            // `Model` has seen to it that only the last operation makes two views
            let Some(view) = views.pop() else { break };
            views = builder.apply(position, operation, view, input)?;
        }
        let (mut flow, steps_out) = (builder.flow, builder.time_steps);
        for view in views {
            let shape = match view.sequences {
                true => vec![batch, steps_out, view.width],
                false => vec![batch, view.width],
            };
            if trains && view.sequences {
                flow.mask = view.mask;
            }
            flow.outputs.push(Placed {
                gather: view.gather,
                shape,
            });
        }
        flow.number_input_rows(batch * time_steps)?;
        flow.input_steps.shrink_to_fit(); // a flow is kept for later runs
        Ok(flow)
    }

    /// Leaves of the input only the rows that somebody reads, in the order of the first reading: what is not read is not
    /// uploaded, and the first layer finds its rows in the order of its schedule.
    fn number_input_rows(&mut self, steps: usize) -> Result<()> {
        let mut numbers = STEPS.filled(steps, NONE)?;
        self.input_steps = STEPS.list(steps)?; // no step is listed twice
        let input_steps = &mut self.input_steps;
        let mut renumber = |gather: &mut Gather| {
            if gather.source != Source::Input {
                return;
            }
            for entry in &mut gather.index {
                if let Some(number) = numbers.get_mut(*entry as usize) {
                    if *number == NONE {
                        *number = input_steps.len() as u32;
                        input_steps.push(*entry);
                    }
                    *entry = *number;
                }
            }
        };
        for stage in &mut self.stages {
            match stage {
                Stage::Recurrent { input, .. }
                | Stage::Dense { input, .. }
                | Stage::Transform { input, .. }
                | Stage::Dropout { input, .. }
                | Stage::Reshape { input, .. } => renumber(input),
                Stage::Merge { forward, backward, .. } => {
                    renumber(forward);
                    renumber(backward);
                }
            }
        }
        self.outputs.iter_mut().for_each(|placed| renumber(&mut placed.gather));
        Ok(())
    }
}

impl Builder<'_> {
    fn apply(&mut self, position: usize, operation: &Operation, view: View, input: Input<'_>) -> Result<Vec<View>> {
        Ok(match operation {
            Operation::Masking { mask_value } => vec![self.masking(position, *mask_value, view, input)?],
            Operation::RepeatVector { time_steps } => vec![self.repeat(position, *time_steps, &view)?],
            Operation::Embedding { table, mask_zero } => {
                vec![self.embedding(position, (*table, *mask_zero), view, input)?]
            }
            Operation::Dense { dense } => vec![self.dense(position, *dense, view)?],
            Operation::Transform { transform } => {
                let (transform, width) = (*transform, view.width);
                let view = self.distinct(position, view, width, |input| Stage::Transform { transform, input })?;
                self.count_for_statistics(transform, &view)?;
                vec![view]
            }
            Operation::Reshape { from, to, flattens } => vec![self.reshape(position, (*from, *to), *flattens, view)?],
            Operation::LastStep => vec![self.last_step(view)?],
            Operation::EndMask => vec![View {
                mask: None,
                mask_number: position + 1,
                ..view
            }],
            Operation::Dropout { dropout } => vec![self.dropout(position, *dropout, view)?],
            Operation::Nothing => vec![view],
            Operation::Recurrent { cells, options } => vec![self.recurrent(cells, options, view)?],
            Operation::Bidirectional {
                forward,
                backward,
                merge,
                options,
            } => self.bidirectional(*forward, *backward, *merge, options.return_sequences, view)?,
        })
    }

    fn embedding(
        &self,
        position: usize,
        (table, mask_zero): (usize, bool),
        mut view: View,
        input: Input<'_>,
    ) -> Result<View> {
        let (input_dim, width) = self.plan.tables.get(table).map_or((0, 0), |table| table.dim());
        view.gather.source = Source::Table(table);
        view.width = width;
        match input {
            Input::Tokens(tokens) => {
                for (entry, ((sequence, time_step), &token)) in view.gather.index.iter_mut().zip(tokens.indexed_iter())
                {
                    let counts = view
                        .mask
                        .as_ref()
                        .is_none_or(|mask| mask.get((sequence, time_step)) == Some(&true));
                    *entry = match u32::try_from(token) {
                        Ok(row) if (row as usize) < input_dim => row,
                        // padding may hold anything
                        _ if !counts => NONE,
                        _ => {
                            return Err(Error::Token {
                                layer: "Embedding".to_owned(),
                                sequence,
                                time_step,
                                token,
                                input_dim,
                            });
                        }
                    };
                }
                if mask_zero {
                    // as in Keras this mask takes the place of the caller's; but what names no row stays padding
                    let rows = tokens.iter().zip(&view.gather.index);
                    let counts = STEPS.listed(rows.map(|(&token, &row)| token != 0 && row != NONE))?;
                    view.mask = Some(masked(tokens.dim(), counts)?);
                    view.mask_number = position + 1;
                }
            }
            Input::Values(_) => return Err(Error::defect("an Embedding that reads numbers")),
        }
        Ok(view)
    }

    /// A Dense layer runs over the distinct rows of its input.
    fn dense(&mut self, position: usize, dense: usize, view: View) -> Result<View> {
        let width = self
            .plan
            .denses
            .get(dense)
            .map_or(0, |part| part.weights.kernel.ncols());
        self.distinct(position, view, width, |input| Stage::Dense { dense, input })
    }

    /// A stage that makes a row of each distinct row of its input. If a recurrent layer stands behind it, the steps which
    /// that layer will not read are left out; else every step is asked for, masked or not, as in Keras.
    fn distinct(
        &mut self,
        position: usize,
        view: View,
        width: usize,
        stage: impl FnOnce(Gather) -> Stage,
    ) -> Result<View> {
        let wanted = self.wanted(position, &view);
        let mut wanted = wanted.map(|mask| mask.iter());
        let highest = view
            .gather
            .index
            .iter()
            .filter(|&&row| row != NONE)
            .max()
            .map_or(0, |&row| row as usize + 1);
        let mut numbers = STEPS.filled(highest + 1, NONE)?; // the last entry is for NONE
        let mut distinct = STEPS.list(view.gather.index.len().min(highest + 1))?;
        let mut placed = STEPS.list(view.gather.index.len())?;
        for &row in &view.gather.index {
            let masked = wanted.as_mut().is_some_and(|wanted| wanted.next() == Some(&false));
            let Some(number) = numbers.get_mut((row as usize).min(highest)).filter(|_| !masked) else {
                placed.push(NONE);
                continue;
            };
            if *number == NONE {
                *number = distinct.len() as u32;
                distinct.push(row);
            }
            placed.push(*number);
        }
        distinct.shrink_to_fit();
        let input = Gather {
            source: view.gather.source,
            index: distinct,
        };
        let stage = self.push(stage(input), width);
        Ok(View {
            gather: Gather {
                source: Source::Stage(stage),
                index: placed,
            },
            width,
            ..view
        })
    }

    /// The steps that are wanted of a layer at this position, if not all of them.
    pub(super) fn wanted<'a>(&self, position: usize, view: &'a View) -> Option<&'a Array2<bool>> {
        let mask = view.mask.as_ref();
        mask.filter(|_| view.sequences && self.reads_what_counts(position))
    }

    /// Whether the next layer behind a position that does not take every step for itself is a recurrent one.
    fn reads_what_counts(&self, position: usize) -> bool {
        let behind = self.plan.operations.iter().skip(position + 1);
        let mut reads = behind.filter_map(|operation| match operation {
            Operation::Recurrent { .. } | Operation::Bidirectional { .. } => Some(true),
            Operation::Reshape { .. } | Operation::LastStep | Operation::EndMask => Some(false),
            _ => None,
        });
        reads.next().unwrap_or(false)
    }

    pub(super) fn push(&mut self, stage: Stage, width: usize) -> usize {
        self.flow.stages.push(stage);
        self.flow.widths.push(width);
        self.flow.stages.len() - 1
    }

    pub(super) fn width_of(&self, cell: usize) -> usize {
        self.plan.cells.get(cell).map_or(0, |cell| cell.output())
    }
}

/// Which steps count, as a mask of (batch, time_steps).
pub(super) fn masked(size: (usize, usize), counts: Vec<bool>) -> Result<Array2<bool>> {
    Array2::from_shape_vec(size, counts).map_err(|_| Error::defect("the mask that a layer makes"))
}
