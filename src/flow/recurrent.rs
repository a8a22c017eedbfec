//! The recurrent layers of a flow: schedules, directions, and which row is the output at which step.

use std::sync::Arc;

use super::build::{Builder, View};
use super::{Gather, NONE, Source, Stage};
use crate::error::Result;
use crate::layer::bidirectional::MergeMode;
use crate::layer::recurrent::RecurrentOptions;
use crate::memory::STEPS;
use crate::schedule::{Direction, Schedule};

impl Builder<'_> {
    /// Cells that run one behind the other under one schedule.
    pub(super) fn recurrent(&mut self, cells: &[usize], options: &RecurrentOptions, view: View) -> Result<View> {
        let direction = if options.go_backwards {
            Direction::Backward
        } else {
            Direction::Forward
        };
        let schedule = self.schedule(&view, direction)?;
        let width = cells.last().map_or(0, |&cell| self.width_of(cell));
        let mut stage = 0;
        let mut from = self.compose(&view, &schedule)?;
        for &cell in cells {
            let input = self.left_out(cell, &schedule, from)?;
            stage = self.push_cell(cell, &schedule, input);
            from = Gather {
                source: Source::Stage(stage),
                index: STEPS.listed((0..schedule.rows()).map(|row| row as u32))?,
            };
        }
        let mut order = self.processing_order(stage, &schedule, direction, options.zero_output_for_mask, &view)?;
        Ok(if options.return_sequences {
            if options.go_backwards && options.input_order {
                self.turn_round(&mut order);
            }
            View {
                gather: order,
                width,
                sequences: true,
                mask: view.mask,
                mask_number: view.mask_number,
            }
        } else {
            View {
                gather: self.last_of(order)?,
                width,
                sequences: false,
                mask: None,
                mask_number: view.mask_number,
            }
        })
    }

    /// Two layers over the same input, one in each direction, and what becomes of their outputs.
    pub(super) fn bidirectional(
        &mut self,
        forward: usize,
        backward: usize,
        merge: MergeMode,
        return_sequences: bool,
        view: View,
    ) -> Result<Vec<View>> {
        // Keras sets zero_output_for_mask of both layers to their return_sequences
        let (first, [first_order, mut second_order]) = self.directions([forward, backward], return_sequences, &view)?;
        if return_sequences {
            self.turn_round(&mut second_order);
        }
        let order = |builder: &Self, gather| {
            if return_sequences {
                Ok(gather)
            } else {
                builder.last_of(gather)
            }
        };
        let gathers = [order(self, first_order)?, order(self, second_order)?];
        let widths = [self.width_of(forward), self.width_of(backward)];
        let mask_number = view.mask_number;
        let mask = view.mask.filter(|_| return_sequences);
        if merge == MergeMode::Separate {
            // nothing stands behind two outputs that could want a mask
            let views = gathers.into_iter().zip(widths);
            return Ok(views
                .map(|(gather, width)| View {
                    gather,
                    width,
                    sequences: return_sequences,
                    mask: None,
                    mask_number,
                })
                .collect());
        }
        let view = View {
            width: match merge {
                MergeMode::Concat => widths.iter().sum(),
                _ => widths[0],
            },
            sequences: return_sequences,
            mask,
            mask_number,
            gather: Gather {
                source: Source::Input,
                index: Vec::new(),
            },
        };
        Ok(vec![self.merged(merge, gathers, &first, view)?])
    }

    /// One merged row for each valid step, in the order of the forward schedule, or one for each sequence. `view` is what comes
    /// out, but for its rows.
    fn merged(
        &mut self,
        merge: MergeMode,
        [forward, backward]: [Gather; 2],
        first: &Schedule,
        view: View,
    ) -> Result<View> {
        let (forward, backward, index) = match view.sequences {
            true => {
                let picked = [picked(&forward, first.sources())?, picked(&backward, first.sources())?];
                let [of_forward, of_backward] = picked;
                (of_forward, of_backward, forward.index)
            }
            false => {
                let sequences = STEPS.listed((0..self.batch).map(|sequence| sequence as u32))?;
                (forward, backward, sequences)
            }
        };
        let stage = Stage::Merge {
            merge,
            forward,
            backward,
        };
        let source = Source::Stage(self.push(stage, view.width));
        Ok(View {
            gather: Gather { source, index },
            ..view
        })
    }

    /// Both directions, each in the order in which it ran, and the schedule of the forward one. What the cells leave out comes before both of
    /// them: cells that stand side by side can run together.
    fn directions(
        &mut self,
        [forward, backward]: [usize; 2],
        zero_output_for_mask: bool,
        view: &View,
    ) -> Result<(Arc<Schedule>, [Gather; 2])> {
        let (first, first_input) = self.direction(forward, Direction::Forward, view)?;
        let (second, second_input) = self.direction(backward, Direction::Backward, view)?;
        let stage = self.push_cell(forward, &first, first_input);
        let other = self.push_cell(backward, &second, second_input);
        let order = self.processing_order(stage, &first, Direction::Forward, zero_output_for_mask, view)?;
        let turned = self.processing_order(other, &second, Direction::Backward, zero_output_for_mask, view)?;
        Ok((first, [order, turned]))
    }

    /// The schedule of a direction, and what its cell reads.
    fn direction(&mut self, cell: usize, direction: Direction, view: &View) -> Result<(Arc<Schedule>, Gather)> {
        let schedule = self.schedule(view, direction)?;
        let input = self.compose(view, &schedule)?;
        let input = self.left_out(cell, &schedule, input)?;
        Ok((schedule, input))
    }

    /// The schedule of a view. Layers that see the same mask share one, so it is sorted once.
    fn schedule(&mut self, view: &View, direction: Direction) -> Result<Arc<Schedule>> {
        let of_mask = |made: &&(usize, Direction, Arc<Schedule>)| made.0 == view.mask_number;
        let made = self.made.iter().filter(of_mask);
        if let Some((_, _, schedule)) = made.clone().find(|made| made.1 == direction) {
            return Ok(Arc::clone(schedule));
        }
        let is_new = made.count() == 0;
        let mask = view.mask.as_ref().map(|mask| mask.view());
        let schedule = Arc::new(Schedule::new(mask, self.batch, self.time_steps, direction)?);
        if is_new {
            self.flow.schedules.push(Arc::clone(&schedule));
        }
        self.made.push((view.mask_number, direction, Arc::clone(&schedule)));
        Ok(schedule)
    }

    /// The rows of the input of a schedule.
    fn compose(&self, view: &View, schedule: &Schedule) -> Result<Gather> {
        picked(&view.gather, schedule.sources())
    }

    /// Which row is the output at each step, in the order of processing: a masked step repeats the output before it, or
    /// is zero; before the first valid step it is zero.
    fn processing_order(
        &self,
        stage: usize,
        schedule: &Schedule,
        direction: Direction,
        zero_output_for_mask: bool,
        view: &View,
    ) -> Result<Gather> {
        let mut rows = STEPS.filled(self.batch * self.time_steps, NONE)?;
        for (row, &step) in schedule.sources().iter().enumerate() {
            if let Some(entry) = rows.get_mut(step as usize) {
                *entry = row as u32;
            }
        }
        for sequence in rows.chunks_mut(self.time_steps.max(1)) {
            if direction == Direction::Backward {
                sequence.reverse();
            }
            if !zero_output_for_mask && view.mask.is_some() {
                let mut previous = NONE;
                for entry in sequence {
                    if *entry == NONE {
                        *entry = previous;
                    }
                    previous = *entry;
                }
            }
        }
        Ok(Gather {
            source: Source::Stage(stage),
            index: rows,
        })
    }

    /// From the order of processing of a backward layer to the order of the input.
    fn turn_round(&self, order: &mut Gather) {
        order
            .index
            .chunks_mut(self.time_steps.max(1))
            .for_each(<[u32]>::reverse);
    }

    /// The last step of each sequence; nothing if there are no steps.
    pub(super) fn last_of(&self, order: Gather) -> Result<Gather> {
        let index = if self.time_steps == 0 {
            STEPS.filled(self.batch, NONE)?
        } else {
            let sequences = order.index.chunks(self.time_steps);
            STEPS.listed(sequences.map(|sequence| sequence.last().copied().unwrap_or(NONE)))?
        };
        Ok(Gather {
            source: order.source,
            index,
        })
    }

    fn push_cell(&mut self, cell: usize, schedule: &Arc<Schedule>, input: Gather) -> usize {
        let units = self.width_of(cell);
        let stage = Stage::Recurrent {
            cell,
            schedule: Arc::clone(schedule),
            input,
        };
        self.push(stage, units)
    }
}

/// The rows at these steps.
fn picked(gather: &Gather, steps: &[u32]) -> Result<Gather> {
    let row = |&step: &u32| gather.index.get(step as usize).copied().unwrap_or(NONE);
    Ok(Gather {
        source: gather.source,
        index: STEPS.listed(steps.iter().map(row))?,
    })
}
