//! What a flow of training has besides: the stages of Dropout, and what a BatchNormalization has to know of its rows.

use super::build::{Builder, View};
use super::{BatchStatistics, Gather, NONE, Source, Stage};
use crate::error::{Error, Result};
use crate::memory::STEPS;
use crate::model::transform::Transform;
use crate::random::row_of_gate;
use crate::schedule::Schedule;

impl Builder<'_> {
    /// In training each step has noise of its own, so that steps which were one row are many now; in inference nothing happens.
    pub(super) fn dropout(&mut self, position: usize, number: usize, view: View) -> Result<View> {
        let dropout = self.plan.dropouts.get(number);
        let dropout = dropout.ok_or_else(|| Error::defect("a Dropout of the plan"))?;
        if !self.trains || dropout.rate == 0.0 {
            return Ok(view);
        }
        let time_steps = if view.sequences { self.time_steps.max(1) } else { 1 };
        let mut wanted = self.wanted(position, &view).map(|mask| mask.iter());
        let mut rows = STEPS.list(view.gather.index.len())?;
        let mut noise = STEPS.list(view.gather.index.len())?;
        let mut placed = STEPS.list(view.gather.index.len())?;
        for (step, &row) in view.gather.index.iter().enumerate() {
            let is_masked = wanted.as_mut().is_some_and(|wanted| wanted.next() == Some(&false));
            // what reads as zeros stays so
            if row == NONE || is_masked {
                placed.push(NONE);
                continue;
            }
            placed.push(rows.len() as u32);
            rows.push(row);
            noise.push(if dropout.spatial { step / time_steps } else { step } as u32);
        }
        let input = Gather {
            source: view.gather.source,
            index: rows,
        };
        let stage = Stage::Dropout {
            dropout: number,
            input,
            noise,
        };
        let stage = self.push(stage, view.width);
        Ok(View {
            gather: Gather {
                source: Source::Stage(stage),
                index: placed,
            },
            ..view
        })
    }

    /// The rows of the input of a cell, without what the cell leaves out in training: of each sequence the same at all steps.
    pub(super) fn left_out(&mut self, cell: usize, schedule: &Schedule, input: Gather) -> Result<Gather> {
        let dropout = self.plan.cell_dropouts.get(cell).and_then(|of| of.input);
        let (Some(dropout), Some(planned), true) = (dropout, self.plan.cells.get(cell), self.trains) else {
            return Ok(input);
        };
        let width = planned.features();
        let mut rows = STEPS.list(input.index.len())?;
        let mut noise = STEPS.list(input.index.len())?;
        let mut placed = STEPS.list(input.index.len())?;
        let positions = (0..schedule.steps()).flat_map(|step| 0..schedule.active(step));
        for (&row, position) in input.index.iter().zip(positions) {
            // what reads as zeros stays so
            if row == NONE {
                placed.push(NONE);
                continue;
            }
            placed.push(rows.len() as u32);
            rows.push(row);
            let sequence = schedule.order().get(position).copied().unwrap_or(0);
            noise.push(row_of_gate(sequence, 0, false));
        }
        let input = Gather {
            source: input.source,
            index: rows,
        };
        let stage = Stage::Dropout { dropout, input, noise };
        Ok(Gather {
            source: Source::Stage(self.push(stage, width)),
            index: placed,
        })
    }

    /// Notes how often each row of a BatchNormalization counts, of which `view` shows the rows: in training mean and variance are those of the
    /// steps that the mask leaves, as in Keras.
    pub(super) fn count_for_statistics(&mut self, transform: usize, view: &View) -> Result<()> {
        let transform = self.plan.transforms.get(transform);
        let (Source::Stage(stage), Some(Transform::Scale { by: Some(_), .. })) = (view.gather.source, transform) else {
            return Ok(());
        };
        if !self.trains {
            return Ok(());
        }
        let rows = self.flow.stages.get(stage).map_or(0, Stage::rows);
        let mut counts = STEPS.filled(rows, 0_u32)?;
        let mask = view.mask.as_ref().filter(|_| view.sequences);
        let mut mask = mask.map(|mask| mask.iter());
        for &row in &view.gather.index {
            let is_masked = mask.as_mut().is_some_and(|mask| mask.next() == Some(&false));
            if let Some(count) = counts.get_mut(row as usize).filter(|_| !is_masked) {
                *count += 1;
            }
        }
        let is_masked = mask.is_some();
        self.flow.batch_statistics.push(BatchStatistics {
            stage,
            counts,
            is_masked,
        });
        Ok(())
    }
}
